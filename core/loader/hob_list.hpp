// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/abi/hob.hpp"
#include "core/image/bytes.hpp"
#include "core/loader/types.hpp"
#include "hal/roles/machine.hpp"

/// Reading an untrusted HOB list, writing a new one.
namespace mm::loader {

/// One HOB of a list: type and all of its bytes, header included.
struct Hob {
  abi::HobType type{};
  u64 offset = 0;  ///< from the start of the list
  image::Bytes bytes;

  /// Whether this is a GUID extension HOB of `name`.
  constexpr bool is_guid(Guid const& name) const noexcept {
    return type == abi::HobType::GuidExtension && bytes.size() >= sizeof(abi::HobGuid) &&
           image::load_guid(bytes, 8) == name;
  }
  /// Payload of a GUID extension HOB.
  constexpr image::Bytes payload() const noexcept { return image::slice(bytes, sizeof(abi::HobGuid), bytes.size()); }
};

/// Walks a HOB list inside a span. The PHIT's end pointer is not used.
class HobWalker {
 public:
  constexpr explicit HobWalker(image::Bytes list) noexcept : list_(list) {}

  /// The next HOB before END, nothing at END. HobTruncated, HobLength; then the walk is over.
  constexpr std::expected<std::optional<Hob>, LoadError> next() noexcept {
    u64 const at = at_;
    if (ended_) {
      return std::optional<Hob>{};
    }
    ended_ = true;
    if (!image::fits(list_, at, sizeof(abi::HobHeader))) {
      return fail(LoadProblem::HobTruncated, at);
    }
    auto const type = static_cast<abi::HobType>(image::load_le<u16>(list_, at));
    u64 const length = image::load_le<u16>(list_, at + 2);
    if (type == abi::HobType::EndOfHobList) {
      return std::optional<Hob>{};
    }
    if (length < least(type) || length % 8 != 0) {
      return fail(LoadProblem::HobLength, at);
    }
    if (!image::fits(list_, at, length)) {
      return fail(LoadProblem::HobTruncated, at);
    }
    ended_ = false;
    at_ = at + length;
    return Hob{type, at, image::slice(list_, at, length)};
  }

 private:
  static constexpr u64 least(abi::HobType type) noexcept {
    switch (type) {
      case abi::HobType::Handoff:
        return sizeof(abi::HobHandoff);
      case abi::HobType::MemoryAllocation:
        return 48;
      case abi::HobType::ResourceDescriptor:
        return sizeof(abi::HobResourceDescriptor);
      case abi::HobType::ResourceDescriptor2:
        return 56;
      case abi::HobType::GuidExtension:
        return sizeof(abi::HobGuid);
      case abi::HobType::Fv:
        return sizeof(abi::HobFv);
      default:
        return sizeof(abi::HobHeader);
    }
  }
  static constexpr std::unexpected<LoadError> fail(LoadProblem p, u64 at) noexcept {
    return std::unexpected(LoadError{p, Status::CompromisedData, {}, at});
  }

  image::Bytes list_;
  u64 at_ = 0;
  bool ended_ = false;
};

/// Appends HOBs to memory. The caller has reserved enough room: sizes are computed before.
template <hal::PhysMemory Mem>
class HobWriter {
 public:
  constexpr HobWriter(Mem& memory, u64 at) noexcept : memory_(memory), at_(at) {}

  void move_to(u64 at) noexcept { at_ = at; }
  /// Address of the next HOB.
  constexpr u64 position() const noexcept { return at_; }

  void raw_bytes(image::Bytes bytes) noexcept {
    memory_.write(PhysAddr{at_}, bytes);
    at_ += bytes.size();
  }
  template <typename T>
  void object(T const& value) noexcept {
    raw_bytes(std::as_bytes(std::span<T const, 1>{&value, 1}));
  }
  /// The header of a GUID HOB with `payload` bytes to follow; the padded length must fit in 16 bits.
  void guid_header(Guid const& name, u64 payload) noexcept {
    abi::HobGuid hob;
    hob.header.length = static_cast<u16>(align_up(sizeof(abi::HobGuid) + payload, 8));
    hob.name = name;
    object(hob);
  }
  /// A GUID HOB with a payload whose size is a multiple of 8.
  template <typename T>
  void guid(Guid const& name, T const& payload) noexcept {
    static_assert(sizeof(T) % 8 == 0);
    guid_header(name, sizeof(T));
    object(payload);
  }
  void pad() noexcept {
    static constexpr std::byte kZero[8]{};
    raw_bytes(image::Bytes{kZero, static_cast<std::size_t>(align_up(at_, 8) - at_)});
  }
  void end() noexcept { object(abi::HobHeader{static_cast<u16>(abi::HobType::EndOfHobList), 8, 0}); }

 private:
  Mem& memory_;
  u64 at_;
};

constexpr u64 guid_hob_bytes(u64 payload) noexcept { return align_up(sizeof(abi::HobGuid) + payload, 8); }

}  // namespace mm::loader
