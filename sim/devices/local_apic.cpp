// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/local_apic.hpp"

namespace mm::sim {
namespace {

// Register numbers: offset / 16.
constexpr u32 kId = 0x02, kVersion = 0x03, kTpr = 0x08, kPpr = 0x0A, kLogical = 0x0D, kFormat = 0x0E, kSpurious = 0x0F;
constexpr u32 kRequested = 0x20, kRequestedEnd = 0x28, kError = 0x28, kIcrLow = 0x30, kIcrHigh = 0x31;
constexpr u32 kLocal = 0x32, kLocalEnd = 0x38, kTimerCount = 0x38, kTimerDivide = 0x3E;
constexpr u32 kVersionValue = 0x0005'0014;
constexpr u32 kSoftwareEnable = 0x100;

}  // namespace

u32 LocalApic::read(u32 offset) const noexcept {
  u32 const reg = offset >> 4;
  if (reg >= kRequested && reg < kRequestedEnd) {
    return requested_[reg - kRequested];
  }
  if (reg >= kLocal && reg < kLocalEnd) {
    return local_[reg - kLocal];
  }
  switch (reg) {
    case kId:
      return id_ << 24;
    case kVersion:
      return kVersionValue;
    case kTpr:
    case kPpr:
      return task_priority_;
    case kLogical:
      return logical_id_;
    case kFormat:
      return format_;
    case kSpurious:
      return spurious_;
    case kError:
      return error_;
    case kIcrLow:
      return icr_low_;
    case kIcrHigh:
      return icr_high_;
    case kTimerCount:
      return timer_count_;
    case kTimerDivide:
      return timer_divide_;
    default:
      return 0;
  }
}

bool LocalApic::write(u32 offset, u32 value, Ipi& sent) noexcept {
  u32 const reg = offset >> 4;
  if (reg >= kLocal && reg < kLocalEnd) {
    local_[reg - kLocal] = value;
    return false;
  }
  switch (reg) {
    case kTpr:
      task_priority_ = value & 0xFF;
      break;
    case kLogical:
      logical_id_ = value & 0xFF00'0000;
      break;
    case kFormat:
      format_ = value | 0x0FFF'FFFF;
      break;
    case kSpurious:
      spurious_ = value & 0x1FF;
      break;
    case kIcrLow:
      icr_low_ = value;
      sent = {value, icr_high_ >> 24};
      return true;
    case kIcrHigh:
      icr_high_ = value;
      break;
    case kTimerCount:
      timer_count_ = value;
      break;
    case kTimerDivide:
      timer_divide_ = value & 0xB;
      break;
    default:
      break;
  }
  return false;
}

void LocalApic::accept(u8 vector) noexcept {
  if ((spurious_ & kSoftwareEnable) != 0) {
    requested_[vector / 32] |= 1u << vector % 32;
  }
}

}  // namespace mm::sim
