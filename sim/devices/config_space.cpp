// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/config_space.hpp"

#include <span>

namespace mm::sim {
namespace {

/// A dword after reset that is not 0.
struct Reset {
  u8 offset;
  u32 value;
};
/// Writable bits of one byte. Without an entry all bits below 0x40 are read-only, and all above are not.
struct Writable {
  u8 offset;
  u8 mask;
};

constexpr Reset kMchReset[] = {{0x00, 0x29C08086}, {0x08, 0x06000000}, {0x2C, 0x11001AF4}, {0x9C, 0x00380200}};
constexpr Reset kLpcReset[] = {{0x00, 0x29188086}, {0x08, 0x06010002}, {0x0C, 0x00800000}, {0x2C, 0x11001AF4},
                               {0x40, 0x00000001}, {0x60, 0x80808080}, {0x68, 0x80808080}, {0x80, 0x00010000}};
constexpr Reset kSataReset[] = {{0x00, 0x29228086}, {0x04, 0x00100000}, {0x08, 0x01060102}, {0x0C, 0x00800000},
                                {0x20, 0x00000001}, {0x2C, 0x11001AF4}, {0x34, 0x00000080}, {0x3C, 0x00000100},
                                {0x80, 0x0080A805}, {0x90, 0x00000040}, {0xA8, 0x00100012}, {0xAC, 0x00000048}};
constexpr Reset kSmbusReset[] = {{0x00, 0x29308086}, {0x08, 0x0C050002}, {0x0C, 0x00800000},
                                 {0x20, 0x00000001}, {0x2C, 0x11001AF4}, {0x3C, 0x00000100}};
constexpr std::array<std::span<Reset const>, 4> kReset{kMchReset, kLpcReset, kSataReset, kSmbusReset};

/// Command, cache line size and interrupt line, of every function.
constexpr Writable kHeader[] = {{0x04, 0x07}, {0x05, 0x05}, {0x0C, 0xFF}, {0x3C, 0xFF}};
constexpr Writable kSata[] = {{0x20, 0xE0}, {0x21, 0xFF}, {0x22, 0xFF}, {0x23, 0xFF}, {0x25, 0xF0},
                              {0x26, 0xFF}, {0x27, 0xFF}, {0x80, 0x00}, {0x81, 0x00}, {0x82, 0x01},
                              {0x83, 0x00}, {0x84, 0xFC}, {0xA8, 0x00}, {0xA9, 0x00}, {0xAA, 0x00},
                              {0xAB, 0x00}, {0xAC, 0x00}, {0xAD, 0x00}, {0xAE, 0x00}, {0xAF, 0x00}};
constexpr Writable kSmbus[] = {{0x20, 0xC0}, {0x21, 0xFF}, {0x22, 0xFF}, {0x23, 0xFF}, {0x40, 0xF7}};
constexpr std::array<std::span<Writable const>, 4> kWritable{std::span<Writable const>{}, std::span<Writable const>{},
                                                             kSata, kSmbus};

constexpr u8 mask_of(std::size_t function, u8 offset) noexcept {
  for (auto const list : {kWritable[function], std::span<Writable const>{kHeader}}) {
    for (auto const& entry : list) {
      if (entry.offset == offset) {
        return entry.mask;
      }
    }
  }
  return offset < 0x40 ? u8{0} : u8{0xFF};
}

constexpr u8 kSmramcLock = 0x10;
constexpr u8 kSmramcOpen = 0x40;

}  // namespace

ConfigSpace::ConfigSpace(u64 tseg_bytes) noexcept : tseg_mebibytes_(static_cast<u8>(tseg_bytes >> 20)) {
  for (std::size_t f = 0; f < kFunctions; ++f) {
    for (auto const& [offset, value] : kReset[f]) {
      for (unsigned i = 0; i < 4; ++i) {
        functions_[f][offset + i] = static_cast<u8>(value >> (8 * i));
      }
    }
  }
  functions_[0][0x50] = tseg_mebibytes_;
}

std::size_t ConfigSpace::index_of(u8 device, u8 function) noexcept {
  if (device == 0 && function == 0) {
    return 0;
  }
  if (device != 0x1F) {
    return kNone;
  }
  return function == 0 ? 1 : function == 2 ? 2 : function == 3 ? 3 : kNone;
}

u8 ConfigSpace::read(u8 device, u8 function, u8 offset) const noexcept {
  auto const f = index_of(device, function);
  return f == kNone ? u8{0xFF} : functions_[f][offset];
}

void ConfigSpace::write(u8 device, u8 function, u8 offset, u8 value) noexcept {
  switch (index_of(device, function)) {
    case 0:
      return write_mch(offset, value);
    case 1:
      return write_lpc(offset, value);
    case kNone:
      return;
    default:
      return write_plain(index_of(device, function), offset, value);
  }
}

void ConfigSpace::write_plain(std::size_t function, u8 offset, u8 value) noexcept {
  u8 const mask = mask_of(function, offset);
  u8& now = functions_[function][offset];
  now = static_cast<u8>((now & ~mask) | (value & mask));
}

void ConfigSpace::write_mch(u8 offset, u8 value) noexcept {
  auto& mch = functions_[0];
  bool const locked = (mch[0x9D] & kSmramcLock) != 0;
  switch (offset) {
    case 0x50:
    case 0x51:
      mch[offset] = value;
      if (mch[0x50] == 0xFF && mch[0x51] == 0xFF) {  // asks for the size of the extended TSEG
        mch[0x50] = tseg_mebibytes_;
        mch[0x51] = 0;
      }
      return;
    case 0x9D:
      if (!locked) {
        // D_LCK closes D_OPEN; C_BASE_SEG reads 2.
        u8 const next = static_cast<u8>((value & 0x78) | 0x02);
        mch[offset] = static_cast<u8>((next & kSmramcLock) != 0 ? next & ~kSmramcOpen : next);
      }
      return;
    case 0x9E:
      mch[offset] = locked ? mch[offset] : static_cast<u8>((value & 0x87) | 0x38);
      return;
    case 0x9C:
    case 0x9F:
      return;
    default:
      return write_plain(0, offset, value);
  }
}

void ConfigSpace::write_lpc(u8 offset, u8 value) noexcept {
  auto& lpc = functions_[1];
  switch (offset) {
    case 0x40:
      lpc[offset] = static_cast<u8>((value & 0x80) | 1);
      return;
    case 0x42:
    case 0x43:
      return;
    case 0x44:
      lpc[offset] = value & 0x87;
      return;
    case 0xA0:
      lpc[offset] = static_cast<u8>(value | (lpc[offset] & 0x10));
      return;
    default:
      return write_plain(1, offset, value);
  }
}

Range ConfigSpace::pciexbar() const noexcept {
  u64 raw = 0;
  for (unsigned i = 0; i < 8; ++i) {
    raw |= u64{mch()[0x60 + i]} << (8 * i);
  }
  unsigned const code = static_cast<unsigned>(raw >> 1 & 3);
  if ((raw & 1) == 0 || code == 3) {
    return {};
  }
  // QEMU takes address bits 26 and 25 with 128 MiB and bit 25 with 64 MiB, where the chipset has bit 27, and 27 and 26.
  constexpr u64 kAddressBits = ((1ull << 36) - 1) & ~((256ull << 20) - 1);
  constexpr std::array<u64, 3> kMore{0, 3ull << 25, 1ull << 25};
  return {raw & (kAddressBits | kMore[code]), (256ull << 20) >> code};
}

u16 ConfigSpace::pm_base() const noexcept {
  bool const on = (lpc()[0x44] & 0x80) != 0;
  return on ? static_cast<u16>(lpc()[0x41] << 8 | (lpc()[0x40] & 0x80)) : u16{0};
}

}  // namespace mm::sim
