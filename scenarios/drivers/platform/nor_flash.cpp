// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "scenarios/drivers/platform/nor_flash.hpp"

namespace platform_driver {
namespace {

constexpr u8 kErase = 0x20;
constexpr u8 kProgram = 0x40;
constexpr u8 kClearStatus = 0x50;
constexpr u8 kReadStatus = 0x70;
constexpr u8 kConfirm = 0xD0;
constexpr u8 kReadArray = 0xFF;
constexpr u8 kReady = 0x80;
constexpr u8 kErrors = 0x3A;  ///< erase, program, voltage, lock
constexpr u64 kPatience = 1'000'000;

}  // namespace

bool NorFlash::is_there() const noexcept {
  u64 const probe = bytes_ - 1;
  at(probe) = kReadArray;
  u8 const before = at(probe);
  at(probe) = kClearStatus;
  at(probe) = kReadStatus;
  u8 const status = at(probe);
  at(probe) = kReadArray;
  u8 const after = at(probe);
  // A flash that happens to hold the status at this place reads alike; so does RAM that took the last command.
  return (status & kErrors) == 0 && status != kReadStatus && after == before && after != kReadStatus;
}

void NorFlash::read(u64 offset, void* to, u64 bytes) const noexcept {
  auto* const out = static_cast<u8*>(to);
  for (u64 i = 0; i < bytes; ++i) {
    out[i] = at(offset + i);
  }
}

/// Waits until it is ready, and leaves it in array mode.
bool NorFlash::finish(u64 offset) const noexcept {
  u8 status = at(offset);
  for (u64 i = 0; i < kPatience && (status & kReady) == 0; ++i) {
    status = at(offset);
  }
  at(offset) = kClearStatus;
  at(offset) = kReadArray;
  return (status & kReady) != 0 && (status & kErrors) == 0;
}

bool NorFlash::program(u64 offset, void const* from, u64 bytes) const noexcept {
  auto const* const in = static_cast<u8 const*>(from);
  for (u64 i = 0; i < bytes; ++i) {
    at(offset + i) = kProgram;
    at(offset + i) = in[i];
  }
  return bytes == 0 || finish(offset);
}

bool NorFlash::erase(u64 block) const noexcept {
  at(block * kBlockBytes) = kErase;
  at(block * kBlockBytes) = kConfirm;
  return finish(block * kBlockBytes);
}

}  // namespace platform_driver
