// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <span>

#include "core/base/types.hpp"
#include "core/image/bytes.hpp"
#include "hal/qemu_rom/fw_cfg.hpp"

/// QEMU's ACPI tables: files of the configuration device, and a script, etc/table-loader, that says how to place and
/// link them (QEMU hw/acpi/bios-linker-loader.c). An OS on top of the ROM finds processors, interrupts and power-off by
/// them.
namespace mm::rom {

/// Where files come from: the configuration device, or what a test has.
template <typename F>
concept FileSource = requires(F& f, char const* name, FwCfgFile file, std::span<std::byte> to) {
  { f.find(name) } -> std::same_as<std::optional<FwCfgFile>>;
  { f.read(file, to) } -> std::same_as<bool>;
};

/// Places the tables in `room`, memory that is identity mapped. Use once.
template <FileSource F>
class AcpiTables {
 public:
  AcpiTables(F& files, std::span<std::byte> room) noexcept : files_(files), room_(room) {}

  /// Runs the script, whose file is read into the end of the room. Null when done, else what is wrong.
  char const* place() noexcept {
    auto const script = files_.find("etc/table-loader");
    if (!script.has_value()) {
      return "there is no etc/table-loader";
    }
    if (script->size % kCommandBytes != 0 || script->size > room_.size() / 2) {
      return "etc/table-loader: its size is no number of commands";
    }
    std::span<std::byte> const commands = room_.last(script->size);
    room_ = room_.first(room_.size() - script->size);
    if (!files_.read(*script, commands)) {
      return "etc/table-loader cannot be read";
    }
    for (std::size_t at = 0; at < commands.size(); at += kCommandBytes) {
      if (char const* const problem = run(commands.subspan(at, kCommandBytes)); problem != nullptr) {
        return problem;
      }
    }
    return rsdp() == 0 ? "etc/table-loader places no etc/acpi/rsdp" : nullptr;
  }
  /// Address of the root pointer; 0 before place().
  u64 rsdp() const noexcept {
    Placed const* const file = find("etc/acpi/rsdp");
    return file == nullptr ? 0 : address(*file);
  }

 private:
  static constexpr std::size_t kCommandBytes = 128;
  static constexpr std::size_t kNameBytes = 56;
  static constexpr std::size_t kMaxFiles = 16;
  enum class Command : u32 { Allocate = 1, AddPointer = 2, AddChecksum = 3 };

  struct Placed {
    std::array<char, kNameBytes> name{};
    std::span<std::byte> bytes;
  };

  static u64 address(Placed const& file) noexcept { return reinterpret_cast<u64>(file.bytes.data()); }
  /// A name in a command; empty when it has no end.
  static std::array<char, kNameBytes> name(std::span<std::byte const> command, std::size_t at) noexcept {
    std::array<char, kNameBytes> found;
    __builtin_memcpy(found.data(), command.data() + at, found.size());
    return found.back() == 0 ? found : std::array<char, kNameBytes>{};
  }
  static bool same(char const* a, char const* b) noexcept {
    for (; *a == *b; ++a, ++b) {
      if (*a == 0) {
        return true;
      }
    }
    return false;
  }
  Placed const* find(char const* wanted) const noexcept {
    for (Placed const& file : std::span{placed_}.first(count_)) {
      if (same(file.name.data(), wanted)) {
        return &file;
      }
    }
    return nullptr;
  }

  char const* run(std::span<std::byte const> command) noexcept {
    switch (static_cast<Command>(image::load_le<u32>(command, 0))) {
      case Command::Allocate:
        return allocate(command);
      case Command::AddPointer:
        return add_pointer(command);
      case Command::AddChecksum:
        return add_checksum(command);
    }
    return nullptr;  // the script ends in empty commands; QEMU asks to skip what is not known
  }
  /// file[56] @4, alignment @60.
  char const* allocate(std::span<std::byte const> command) noexcept {
    auto const called = name(command, 4);
    u64 const alignment = image::load_le<u32>(command, 60);
    auto const file = files_.find(called.data());
    if (!file.has_value() || count_ == kMaxFiles) {
      return "etc/table-loader: a table is missing, or one too many";
    }
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
      return "etc/table-loader: an alignment is no power of two";
    }
    u64 const start = reinterpret_cast<u64>(room_.data());
    u64 const skip = (alignment - start % alignment) % alignment;
    if (skip > room_.size() || file->size > room_.size() - skip) {
      return "the ACPI tables are larger than their place";
    }
    Placed& made = placed_[count_++];
    made = {called, room_.subspan(skip, file->size)};
    room_ = room_.subspan(skip + file->size);
    return files_.read(*file, made.bytes) ? nullptr : "an ACPI table cannot be read";
  }
  /// destination[56] @4, source[56] @60, offset @116, size @120: adds the source's address to the field.
  char const* add_pointer(std::span<std::byte const> command) noexcept {
    Placed const* const destination = find(name(command, 4).data());
    Placed const* const source = find(name(command, 60).data());
    u64 const offset = image::load_le<u32>(command, 116);
    u64 const size = image::load_le<u8>(command, 120);
    if (destination == nullptr || source == nullptr || (size != 1 && size != 2 && size != 4 && size != 8) ||
        offset > destination->bytes.size() || size > destination->bytes.size() - offset) {
      return "etc/table-loader: a pointer outside its table";
    }
    u64 value = 0;
    __builtin_memcpy(&value, destination->bytes.data() + offset, size);
    value += address(*source);
    __builtin_memcpy(destination->bytes.data() + offset, &value, size);
    return nullptr;
  }
  /// file[56] @4, offset @60, start @64, length @68: makes the bytes from start sum up to zero.
  char const* add_checksum(std::span<std::byte const> command) noexcept {
    Placed const* const file = find(name(command, 4).data());
    u64 const offset = image::load_le<u32>(command, 60);
    u64 const start = image::load_le<u32>(command, 64);
    u64 const length = image::load_le<u32>(command, 68);
    if (file == nullptr || offset >= file->bytes.size() || start > file->bytes.size() ||
        length > file->bytes.size() - start) {
      return "etc/table-loader: a checksum outside its table";
    }
    u8 sum = 0;
    for (std::byte const b : file->bytes.subspan(start, length)) {
      sum = static_cast<u8>(sum + static_cast<u8>(b));
    }
    std::byte& target = file->bytes[offset];
    target = static_cast<std::byte>(static_cast<u8>(target) - sum);
    return nullptr;
  }

  F& files_;
  std::span<std::byte> room_;
  std::array<Placed, kMaxFiles> placed_{};
  std::size_t count_ = 0;
};

}  // namespace mm::rom
