// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"

/// Decoding and checks of supervisor requests that need no machine (core/abi/ABI.md 4).
namespace mm::request {

inline constexpr u32 kRevision = 1;

/// Whether the envelope is one that can be answered. InvalidParameter otherwise.
constexpr Expected<void> check_envelope(abi::SupervisorRequestHeader const& h) noexcept {
  if (h.signature != abi::kRequestSignature || h.revision != kRevision) {
    return std::unexpected(Status::InvalidParameter);
  }
  return {};
}

/// Least payload bytes behind the envelope.
constexpr u64 payload_minimum(u32 request) noexcept {
  switch (static_cast<abi::SupervisorRequest>(request)) {
    case abi::SupervisorRequest::UnblockMem:
      return sizeof(abi::UnblockMemoryParams);
    case abi::SupervisorRequest::VersionInfo:
      return sizeof(abi::VersionInfo);
    case abi::SupervisorRequest::CommUpdate:
      return 4 * sizeof(abi::UnblockMemoryParams);
    case abi::SupervisorRequest::FetchPolicy:
      return 0;
  }
  return 0;
}

/// The range that an unblock request names. InvalidParameter: zero GUID, unaligned, no page, or an end beyond 2^64.
/// SecurityViolation: any byte of it is in MMRAM.
constexpr Expected<Range> unblock_range(abi::UnblockMemoryParams const& p, Range mmram) noexcept {
  if (p.identifier.is_zero() || p.descriptor.physical_start % kPageSize != 0 || p.descriptor.number_of_pages == 0) {
    return std::unexpected(Status::InvalidParameter);
  }
  MM_TRY_ASSIGN(u64 const bytes, checked_mul(p.descriptor.number_of_pages, kPageSize));
  MM_TRY_ASSIGN(Range const range, Range::make(p.descriptor.physical_start, bytes));
  if (range.overlaps(mmram)) {
    return std::unexpected(Status::SecurityViolation);
  }
  return range;
}

/// The pages that one descriptor of COMM_UPDATE names; they replace `bytes` of the same kind.
/// SecurityViolation: another size, type or attribute than those of every communicate buffer and mailbox, or MMRAM.
/// InvalidParameter as above.
constexpr Expected<Range> comm_update_range(abi::UnblockMemoryParams const& p, u64 bytes, Range mmram) noexcept {
  constexpr u32 kRuntimeServicesData = 6;
  if (p.descriptor.number_of_pages != bytes >> kPageShift || p.descriptor.type != kRuntimeServicesData ||
      p.descriptor.attribute != (abi::kMemoryXp | abi::kMemorySp)) {
    return std::unexpected(Status::SecurityViolation);
  }
  return unblock_range(p, mmram);
}

}  // namespace mm::request
