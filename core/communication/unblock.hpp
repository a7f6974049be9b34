// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/communication/supervisor_client.hpp"

/// Opening normal-world memory to ring 3, by the phase of the boot (core/communication/CLIENT.md 7).
namespace mm::communication {

/// EFI_MEMORY_TYPE of what may be unblocked.
enum class MemoryType : u32 { Reserved = 0, RuntimeCode = 5, RuntimeData = 6, AcpiNvs = 10 };

/// Takes an unblock HOB for the launcher to hand over; OutOfResources when there is no room.
template <typename S>
concept UnblockHobSink = requires(S& s, abi::UnblockMemoryParams const& params) {
  { s.append(params) } noexcept -> std::same_as<Expected<void>>;
};

/// Whether normal-world memory of this kind may be opened: not what the OS will hand to anybody, and not read-only.
constexpr bool may_unblock(abi::MemoryDescriptor const& entry) noexcept {
  switch (static_cast<MemoryType>(entry.type)) {
    case MemoryType::Reserved:
    case MemoryType::AcpiNvs:
      return true;
    case MemoryType::RuntimeCode:
    case MemoryType::RuntimeData:
      return (entry.attribute & abi::kMemoryRo) == 0;
  }
  return false;
}

/// Checks that every byte of `wanted` is in an entry of the UEFI memory map `map` that may be unblocked (the reference
/// means to, but compares pages with bytes). AccessDenied otherwise.
constexpr Expected<void> check_unblock(std::span<abi::MemoryDescriptor const> map, Range wanted) noexcept {
  u64 done = 0;
  while (done < wanted.size) {
    u64 const at = wanted.base + done;
    u64 step = 0;
    for (auto const& entry : map) {
      auto const bytes = checked_mul(entry.number_of_pages, kPageSize);
      bool const here = bytes.has_value() && at >= entry.physical_start && at - entry.physical_start < *bytes;
      if (here && may_unblock(entry)) {
        step = *bytes - (at - entry.physical_start);
        break;
      }
    }
    if (step == 0) {
      return std::unexpected(Status::AccessDenied);
    }
    done = step < wanted.size - done ? done + step : wanted.size;
  }
  return {};
}

/// One a boot. Before the supervisor is up requests become HOBs, then messages, and after ready-to-lock they are
/// refused.
template <UnblockHobSink S>
class UnblockMemory {
 public:
  explicit UnblockMemory(S& hobs) noexcept : hobs_(hobs) {}

  enum class Phase : u8 { BeforeLaunch, Running, Locked };
  Phase phase() const noexcept { return phase_; }
  void supervisor_is_up() noexcept { phase_ = phase_ == Phase::BeforeLaunch ? Phase::Running : phase_; }
  void ready_to_lock() noexcept { phase_ = Phase::Locked; }

  /// PEI: the launcher will hand the request over. AccessDenied: the supervisor is up already; InvalidParameter: as
  /// request_pages(); what the sink says.
  Expected<void> request_by_hob(abi::UnblockMemoryParams const& params) noexcept {
    if (phase_ != Phase::BeforeLaunch) {
      return std::unexpected(Status::AccessDenied);
    }
    auto const& d = params.descriptor;
    if (params.identifier.is_zero() || d.physical_start == 0 || d.physical_start % kPageSize != 0) {
      return std::unexpected(Status::InvalidParameter);
    }
    return d.number_of_pages == 0 ? Expected<void>{} : hobs_.append(params);
  }

  /// DXE: checks against the UEFI memory map, then asks. In this order: InvalidParameter for a zero
  /// GUID, address 0 or an unaligned one; Success for 0 pages; AccessDenied after ready-to-lock; NotReady before the
  /// supervisor is up; InvalidParameter for a range that wraps; AccessDenied by the map; what the supervisor says.
  template <typename Client>
  Expected<void> request_pages(Client& supervisor, std::span<abi::MemoryDescriptor const> map, u64 address, u64 pages,
                               Guid const& caller) noexcept {
    if (caller.is_zero() || address == 0 || address % kPageSize != 0) {
      return std::unexpected(Status::InvalidParameter);
    }
    if (pages == 0) {
      return {};
    }
    if (phase_ == Phase::Locked) {
      return std::unexpected(Status::AccessDenied);
    }
    if (phase_ == Phase::BeforeLaunch) {
      return std::unexpected(Status::NotReady);
    }
    MM_TRY_ASSIGN(u64 const bytes, checked_mul(pages, kPageSize));
    MM_TRY_ASSIGN(Range const wanted, Range::make(address, bytes));
    MM_TRY(check_unblock(map, wanted));
    abi::UnblockMemoryParams params;
    params.descriptor.type = kRuntimeServicesData;
    params.descriptor.physical_start = address;
    params.descriptor.number_of_pages = pages;
    params.identifier = caller;
    return supervisor.unblock(params);
  }

 private:
  S& hobs_;
  Phase phase_ = Phase::BeforeLaunch;
};

}  // namespace mm::communication
