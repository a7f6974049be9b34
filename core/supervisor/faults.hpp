// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>

#include "core/abi/boot.hpp"
#include "core/abi/guids.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/telemetry.hpp"
#include "core/arch/descriptors.hpp"
#include "core/memory/page_tables.hpp"
#include "core/supervisor/here.hpp"
#include "core/supervisor/user_page.hpp"

namespace mm::supervisor {

/// The images of ring 3, by which a fault gets a name.
class UserImages {
 public:
  /// Where the hand-over's modules are put; adopt() says how many there are.
  std::span<UserImage> room() noexcept { return images_; }
  void adopt(u32 count) noexcept { count_ = count; }
  u32 count() const noexcept { return count_; }
  /// The image that holds `rip`; an empty one when none does.
  UserImage at(u64 rip) const noexcept {
    for (u32 i = 0; i < count_; ++i) {
      if (images_[i].range.contains({rip, 1})) {
        return images_[i];
      }
    }
    return {};
  }

 private:
  std::array<UserImage, kMaxImages> images_{};
  u32 count_ = 0;
};

/// A fault as the CPU reports it.
struct CpuFault {
  u64 vector = 0;
  u64 error = 0;
  u64 rip = 0;
  u64 cr2 = 0;
};

/// What a fault of ring 3, a refused system call and a fault of ring 0 leave behind, and whether the machine goes on
/// (core/ARCHITECTURE.md 7): events, a telemetry record in the supervisor-to-user page, and the end or a record in the
/// slot.
template <hal::Machine M>
class Faults {
 public:
  /// `core` is the image of ring 0, `user_entry` an address inside the user core, `policy` a FaultPolicy.
  void adopt(Range core, u64 user_entry, u32 policy) noexcept {
    core_ = core;
    user_entry_ = user_entry;
    contains_ = policy == static_cast<u32>(abi::FaultPolicy::Contain);
  }
  UserImages& images() noexcept { return images_; }
  UserImages const& images() const noexcept { return images_; }
  UserPage<M>& page() noexcept { return page_; }
  UserPage<M> const& page() const noexcept { return page_; }

  /// A fault of ring 0: stops the machine. A second one of the same CPU stops it at once.
  void ring0(Here<M> const& here, CpuFault const& fault) const noexcept;
  /// A fault of ring 3 while it ran `command`: stops the machine, or leaves the record in the slot.
  void ring3(Here<M> const& here, abi::UserCommand command, CpuFault const& fault,
             hal::UserContext const& user) const noexcept;
  /// A system call that was refused with `status`; `user` is as ring 3 left it. As ring3().
  void refused(Here<M> const& here, abi::UserCommand command, Status status,
               hal::UserContext const& user) const noexcept;

 private:
  bool fails_stop(abi::UserFaultRecord const& fault) const noexcept;
  void contain(Here<M> const& here, abi::UserFaultRecord record) const noexcept {
    record.image_base = images_.at(record.rip).range.base;
    here.slot.fault = record;
    here.emit(hal::event::Contained{record.image_base});
  }
  static void report_registers(Here<M> const& here, u64 error, u64 cr2, hal::UserContext const& user) noexcept;
  void leave_telemetry(Here<M> const& here, abi::UserFaultRecord const& fault,
                       hal::UserContext const& user) const noexcept;

  UserImages images_;
  UserPage<M> page_;
  Range core_;
  u64 user_entry_ = 0;
  bool contains_ = false;
};

template <hal::Machine M>
void Faults<M>::ring0(Here<M> const& here, CpuFault const& fault) const noexcept {
  if (++here.slot.faults > 1) {
    here.halt_at_once(hal::HaltReason::SupervisorFault);
    return;
  }
  here.emit(hal::event::SupervisorFault{fault.vector, fault.error, fault.rip, fault.cr2});
  if (page_.address() != 0) {
    bool const ours = core_.contains({fault.rip, 1});
    abi::TelemetryData data;
    data.exception_type = fault.vector;
    data.driver_id = ours ? guids::gMmSupervisorCoreGuid : Guid{};
    data.exception_rip = data.context.rip = fault.rip;
    data.driver_load_address = ours ? core_.base : fault.rip;
    data.context.exception_data = fault.error;
    data.context.cr2 = fault.cr2;
    data.context.cr3 = here.cpu.read_cr3() & memory::pte::kAddress;
    data.context.cs = arch::kSupervisorCodeSelector;
    page_.write_telemetry(here, abi::kTelemetryOffset, data);
  }
  here.halt(hal::HaltReason::SupervisorFault, fault.vector, fault.rip);
}

template <hal::Machine M>
void Faults<M>::ring3(Here<M> const& here, abi::UserCommand command, CpuFault const& fault,
                      hal::UserContext const& user) const noexcept {
  here.emit(hal::event::Fault{fault.vector, fault.error, fault.rip, fault.cr2, user.rsp, command});
  abi::UserFaultRecord const record{fault.vector, fault.error, fault.rip, fault.cr2, static_cast<u64>(command), 0};
  leave_telemetry(here, record, user);
  if (fails_stop(record)) {
    bool const budget = fault.vector == kVectorBudget;
    here.halt(budget ? hal::HaltReason::UserBudget : hal::HaltReason::UserFault, fault.vector, fault.rip);
  } else {
    contain(here, record);
  }
}

template <hal::Machine M>
void Faults<M>::refused(Here<M> const& here, abi::UserCommand command, Status status,
                        hal::UserContext const& user) const noexcept {
  u64 const why = static_cast<u64>(status);
  abi::UserFaultRecord const record{kVectorRefusedSyscall, user.rax, user.rip, why, static_cast<u64>(command), 0};
  leave_telemetry(here, record, user);
  if (fails_stop(record)) {
    here.halt(hal::HaltReason::SyscallRefused, user.rax, why);
  } else {
    contain(here, record);
  }
}

/// Whether a fault or a refused system call stops the machine. Under either policy do one of the user core while it
/// cleans up, and a procedure of an AP that has not ended: it would run on beside everything else.
template <hal::Machine M>
bool Faults<M>::fails_stop(abi::UserFaultRecord const& fault) const noexcept {
  bool const cleans_up = fault.command == static_cast<u64>(abi::UserCommand::UserFault);
  bool const ap_runs_on = fault.vector == kVectorRefusedSyscall &&
                          fault.error_code == static_cast<u64>(abi::Syscall::StartApProc) &&
                          fault.cr2 == static_cast<u64>(Status::Timeout);
  return !contains_ || ap_runs_on || (cleans_up && images_.at(user_entry_).range.contains({fault.rip, 1}));
}

/// Four events: the registers of ring 3, CR2 and the error code. RF is the CPU's own note and differs between CPUs.
template <hal::Machine M>
void Faults<M>::report_registers(Here<M> const& here, u64 error, u64 cr2, hal::UserContext const& user) noexcept {
  using hal::event::Registers;
  constexpr u64 kResumeFlag = 1ull << 16;
  auto const& u = user;
  here.emit(Registers{0, {u.rax, u.rbx, u.rcx, u.rdx, u.rsi}});
  here.emit(Registers{1, {u.rdi, u.rbp, u.rsp, u.r8, u.r9}});
  here.emit(Registers{2, {u.r10, u.r11, u.r12, u.r13, u.r14}});
  here.emit(Registers{3, {u.r15, u.rip, u.rflags & ~kResumeFlag, cr2, error}});
}

/// Before the machine stops, or the driver is removed: MM_SUPV_TELEMETRY_DATA in the supervisor-to-user page. The
/// error-report pointer of ring 3 is not called: what has failed is not asked again.
template <hal::Machine M>
void Faults<M>::leave_telemetry(Here<M> const& here, abi::UserFaultRecord const& fault,
                                hal::UserContext const& user) const noexcept {
  report_registers(here, fault.error_code, fault.cr2, user);
  abi::TelemetryData data;
  UserImage const image = images_.at(user.rip);
  data.exception_type = fault.vector;
  data.exception_rip = user.rip;
  data.driver_load_address = image.hob == 0 ? user.rip : image.range.base;
  if (image.hob != 0) {
    data.driver_id = hal::read_object<abi::HobMemoryAllocationModule>(here.cpu, PhysAddr{image.hob}).module_name;
  }
  auto& c = data.context;
  c.exception_data = fault.error_code;
  c.cr2 = fault.cr2;
  c.cr3 = here.cpu.read_cr3() & memory::pte::kAddress;
  c.rflags = user.rflags;
  c.rip = user.rip;
  c.cs = arch::kUserCodeSelector;
  c.ss = c.ds = c.es = c.fs = c.gs = arch::kUserDataSelector;
  c.rdi = user.rdi, c.rsi = user.rsi, c.rbp = user.rbp, c.rsp = user.rsp;
  c.rbx = user.rbx, c.rdx = user.rdx, c.rcx = user.rcx, c.rax = user.rax;
  c.r8 = user.r8, c.r9 = user.r9, c.r10 = user.r10, c.r11 = user.r11;
  c.r12 = user.r12, c.r13 = user.r13, c.r14 = user.r14, c.r15 = user.r15;
  page_.write_telemetry(here, fails_stop(fault) ? abi::kTelemetryOffset : abi::kContainedTelemetryOffset, data);
}

}  // namespace mm::supervisor
