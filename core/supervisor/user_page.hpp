// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/abi/telemetry.hpp"
#include "core/supervisor/here.hpp"

namespace mm::supervisor {

/// The supervisor-to-user page: what ring 0 and the user core tell each other in memory of ring 3, which ring 0 reads
/// as it reads all of ring 3's. Its layout is in core/abi/comm.hpp and telemetry.hpp.
template <hal::Machine M>
class UserPage {
 public:
  /// What ring 3 left behind a UserRequest.
  struct Reply {
    abi::CommBufferStatus status;
    bool has_root_handlers = true;  ///< it wants to be asked about an MMI without a message
  };

  void adopt(u64 address) noexcept { address_ = address; }
  /// 0 before the first MMI.
  u64 address() const noexcept { return address_; }

  /// MmEntryContext and a copy of the status block, for UserRequest.
  void write_request(Here<M> const& here, u32 cpus, abi::CommBufferStatus const& status) const noexcept {
    struct {
      abi::MmEntryContext context;
      abi::CommBufferStatus status;
      u64 roots = 0;
    } page;
    static_assert(sizeof(page) == abi::kUserRootsOffset + sizeof(u64));
    page.context.currently_executing_cpu = here.index;
    page.context.number_of_cpus = cpus;
    page.status = status;
    put(here, 0, page);
  }
  Reply read_reply(Here<M> const& here) const noexcept {
    struct {
      abi::CommBufferStatus status;
      u64 roots = 0;
    } page;
    static_assert(offsetof(decltype(page), roots) == abi::kUserRootsOffset - abi::kUserStatusOffset);
    hal::UserAccess access(here.cpu);
    here.cpu.read(PhysAddr{address_ + abi::kUserStatusOffset}, std::as_writable_bytes(std::span(&page, 1)));
    return {page.status, page.roots != abi::kNoRootHandlers};
  }
  void write_fault(Here<M> const& here, abi::UserFaultRecord const& fault) const noexcept {
    put(here, abi::kUserFaultOffset, fault);
  }
  void write_telemetry(Here<M> const& here, u64 offset, abi::TelemetryData const& data) const noexcept {
    put(here, offset, data);
    here.emit(hal::event::Telemetry{offset, data.exception_type, data.context.exception_data, data.exception_rip,
                                    data.context.cr2, data.driver_load_address});
  }

 private:
  template <typename T>
  void put(Here<M> const& here, u64 offset, T const& value) const noexcept {
    hal::UserAccess access(here.cpu);
    hal::write_object(here.cpu, PhysAddr{address_ + offset}, value);
  }

  u64 address_ = 0;
};

}  // namespace mm::supervisor
