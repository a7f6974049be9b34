// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/abi/comm.hpp"
#include "core/abi/guids.hpp"
#include "core/abi/syscalls.hpp"
#include "core/memory/page_allocator.hpp"
#include "core/supervisor/types.hpp"

/// What must hold before a message, a system call or a request is served: each rule once, as a function of values. The
/// parts of the supervisor ask these functions; what else decides - the secure policy, page tables, bitmaps - is told
/// with the call. core/request has those of the requests' payloads.
namespace mm::supervisor {

/// A message that fits its buffer.
struct Message {
  Guid guid{};
  u64 header_bytes = 0;
  u64 message_bytes = 0;
  u64 version = 0;  ///< 1 or 3
};

/// Phase 1 of a save-state read (core/abi/ABI.md 9).
struct SaveStateHolder {
  u64 token = 0;
  u64 reg = 0;
  u32 cpu = 0;
  u32 caller = 0;
  bool valid = false;
};

namespace precondition {

// --- messages

constexpr bool is_v3(abi::CommunicateHeaderV3 const& header) noexcept {
  return header.header_guid == guids::gEfiMmCommunicateHeaderV3Guid;
}

/// What a header says of its message; one that is not V3 is as long as a CommunicateHeader. BadBufferSize: header and
/// message do not fit a buffer of `room` bytes. `limited` false: a V1 message may be longer (Check::MessageSize).
constexpr Expected<Message> message_of(abi::CommunicateHeaderV3 const& header, u64 room, bool limited) noexcept {
  Message m{header.header_guid, sizeof(abi::CommunicateHeader), header.buffer_size, 1};  // the MessageLength of V1
  if (is_v3(header)) {
    m = {header.message_guid, sizeof(abi::CommunicateHeaderV3), header.message_size, 3};
    if (header.buffer_size > room || header.buffer_size < sizeof(header) ||
        m.message_bytes > header.buffer_size - sizeof(header)) {
      return std::unexpected(Status::BadBufferSize);
    }
  }
  if (m.message_bytes > room - m.header_bytes && limited) {
    return std::unexpected(Status::BadBufferSize);
  }
  return m;
}

// --- addresses

/// Whether ring 3 could own `range`: not empty, and not the null page. AddressSpace::claim() asks the tables.
constexpr bool is_user_range(Range range) noexcept { return range.base >= kPageSize && range.size != 0; }

/// Whether a region outside MMRAM may be opened. SecurityViolation: the null page. InvalidParameter: beyond `limit`,
/// the addresses of the CPU. OutOfResources: more than the table pages could ever map. AddressSpace::check_closed()
/// asks tables and tracker.
constexpr Expected<void> can_be_opened(Range range, u64 limit) noexcept {
  constexpr u64 kLargest = memory::PageAllocator::kTablePages << 21;
  if (range.base < kPageSize) {
    return std::unexpected(Status::SecurityViolation);
  }
  if (range.base >= limit || range.size > limit - range.base) {
    return std::unexpected(Status::InvalidParameter);
  }
  if (range.size > kLargest) {
    return std::unexpected(Status::OutOfResources);
  }
  return {};
}

/// SecurityViolation: `range` overlaps one of the others.
constexpr Expected<void> are_apart(Range range, std::span<Range const> others) noexcept {
  for (Range const& one : others) {
    if (range.overlaps(one)) {
      return std::unexpected(Status::SecurityViolation);
    }
  }
  return {};
}

// --- system calls

/// AccessDenied: the call is the BSP's alone.
constexpr Status caller(abi::SyscallRow const& row, bool is_bsp) noexcept {
  return row.caller == abi::Caller::Bsp && !is_bsp ? Status::AccessDenied : Status::Success;
}
/// InvalidParameter: a number beyond 32 bits.
constexpr Status msr_number(u64 msr) noexcept { return msr > UINT32_MAX ? Status::InvalidParameter : Status::Success; }
/// InvalidParameter: not 1, 2 or 4 bytes.
constexpr Status io_width(abi::IoWidth width) noexcept {
  return width > abi::IoWidth::Dword ? Status::InvalidParameter : Status::Success;
}
/// Unsupported: not AllocateAnyPages, or code pages. InvalidParameter: another memory type.
constexpr Status alloc_page(abi::call::AllocPage const& call) noexcept {
  constexpr u64 kRuntimeServicesCode = 5;
  constexpr u64 kRuntimeServicesData = 6;
  if (call.allocate_type != 0 || call.memory_type == kRuntimeServicesCode) {
    return Status::Unsupported;
  }
  return call.memory_type == kRuntimeServicesData ? Status::Success : Status::InvalidParameter;
}
/// The pages that FREE_PAGE names. SecurityViolation: their size overflows.
constexpr Expected<Range> free_page(abi::call::FreePage const& call) noexcept {
  auto const bytes = checked_mul(call.pages, kPageSize);
  if (!bytes) {
    return std::unexpected(Status::SecurityViolation);
  }
  return Range{raw(call.address), *bytes};
}
/// InvalidParameter: no such AP, or no procedure.
constexpr Status start_ap(abi::call::StartApProc const& call, u32 caller, u32 cpus) noexcept {
  bool const good = call.cpu < cpus && call.cpu != caller && call.procedure != UserAddr{};
  return good ? Status::Success : Status::InvalidParameter;
}
/// InvalidParameter: no token, register above the last, no such CPU.
constexpr Status save_state_read(abi::call::SaveStateRead const& call, u64 last_register, u32 cpus) noexcept {
  bool const good = call.token != 0 && call.reg <= last_register && call.cpu < cpus;
  return good ? Status::Success : Status::InvalidParameter;
}
/// What RAX tells ring 3 when phase 2 does not fit phase 1. NotStarted: no phase 1, or another token. AccessDenied:
/// phase 1 was another CPU's. InvalidParameter: no byte is asked for.
constexpr Status save_state_read2(abi::call::SaveStateRead2 const& call, SaveStateHolder const& holder,
                                  u32 caller) noexcept {
  if (!holder.valid || (holder.caller == caller && holder.token != call.token)) {
    return Status::NotStarted;
  }
  if (holder.caller != caller) {
    return Status::AccessDenied;
  }
  return call.width == 0 ? Status::InvalidParameter : Status::Success;
}

// --- supervisor requests

/// AccessDenied: after ExitBootServices nothing comes in by the supervisor channel.
constexpr Status supervisor_channel(bool runtime) noexcept { return runtime ? Status::AccessDenied : Status::Success; }
/// AccessDenied: after the lock nothing is opened.
constexpr Expected<void> unblock(bool locked) noexcept {
  return locked ? Expected<void>(std::unexpected(Status::AccessDenied)) : Expected<void>{};
}
/// AccessDenied: after the lock, or a second time.
constexpr Expected<void> comm_update(bool locked, bool updated) noexcept { return unblock(locked || updated); }

}  // namespace precondition
}  // namespace mm::supervisor
