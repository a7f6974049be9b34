// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/qemu_rom/fw_cfg.hpp"

#include <array>
#include <bit>

#include "hal/bare/instructions.hpp"

namespace mm::rom {
namespace {

constexpr u16 kPortDmaHigh = 0x514;
constexpr u16 kPortDmaLow = 0x518;
constexpr u16 kKeyDirectory = 0x19;
constexpr u32 kDmaError = 1, kDmaRead = 2, kDmaSelect = 8, kDmaWrite = 0x10;

struct DmaAccess {  // big-endian
  u32 control = 0;
  u32 length = 0;
  u64 address = 0;
};

struct DirectoryEntry {  // big-endian
  u32 size = 0;
  u16 key = 0;
  u16 reserved = 0;
  std::array<char, 56> name{};
};
static_assert(sizeof(DirectoryEntry) == 64);

bool transfer(u32 control, u64 address, u64 bytes) noexcept {
  DmaAccess volatile access;
  access.control = std::byteswap(control);
  access.length = std::byteswap(static_cast<u32>(bytes));
  access.address = std::byteswap(address);
  u64 const at = reinterpret_cast<u64>(&access);
  bare::out32(kPortDmaHigh, std::byteswap(static_cast<u32>(at >> 32)));
  bare::out32(kPortDmaLow, std::byteswap(static_cast<u32>(at)));
  u32 left = 0;
  while ((left = std::byteswap(u32{access.control})) != 0 && (left & kDmaError) == 0) {
    bare::pause();
  }
  return left == 0;
}

constexpr u32 select(u16 key) noexcept { return kDmaSelect | static_cast<u32>(key) << 16; }

bool same_name(DirectoryEntry const& entry, char const* name) noexcept {
  for (char const c : entry.name) {
    if (c != *name) {
      return false;
    }
    if (c == 0) {
      return true;
    }
    ++name;
  }
  return false;
}

}  // namespace

std::optional<FwCfgFile> find_file(char const* name) noexcept {
  u32 count = 0;
  if (!transfer(kDmaRead | select(kKeyDirectory), reinterpret_cast<u64>(&count), sizeof count)) {
    return std::nullopt;
  }
  for (u32 i = std::byteswap(count); i != 0; --i) {
    DirectoryEntry entry;
    if (!transfer(kDmaRead, reinterpret_cast<u64>(&entry), sizeof entry)) {
      return std::nullopt;
    }
    if (same_name(entry, name)) {
      return FwCfgFile{std::byteswap(entry.key), std::byteswap(entry.size)};
    }
  }
  return std::nullopt;
}

bool read_file(FwCfgFile file, std::span<std::byte> to) noexcept {
  return transfer(kDmaRead | select(file.key), reinterpret_cast<u64>(to.data()), to.size());
}

bool write_file(FwCfgFile file, std::span<std::byte const> from) noexcept {
  return transfer(kDmaWrite | select(file.key), reinterpret_cast<u64>(from.data()), from.size());
}

}  // namespace mm::rom
