// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/abi/boot.hpp"
#include "core/abi/comm.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/telemetry.hpp"
#include "core/memory/hob_list.hpp"
#include "core/memory/page_allocator.hpp"
#include "core/memory/page_tables.hpp"
#include "core/memory/unblock_tracker.hpp"
#include "core/policy/foundation.hpp"
#include "core/policy/memory_policy.hpp"
#include "core/policy/policy.hpp"
#include "core/supervisor/checks.hpp"
#include "core/supervisor/cpu_protection.hpp"
#include "core/supervisor/handover.hpp"
#include "core/supervisor/types.hpp"
#include "core/supervisor/wait.hpp"
#include "hal/roles/machine.hpp"

namespace mm::supervisor {

/// The MM Supervisor: ring 0 of management mode, over any machine. All of its state is in this object and in MMRAM.
///
/// The parts are in headers of their own: init.hpp (first MMI), mmi.hpp (rendezvous, channels), ap.hpp (application
/// processors), user.hpp (demotion and faults), syscalls.hpp, save_state.hpp, requests.hpp (supervisor channel).
template <hal::Machine M>
class Supervisor {
 public:
  using Cpu = typename M::Cpu;

  explicit constexpr Supervisor(M& machine) noexcept : machine_(machine) {}

  /// One whole MMI of one CPU: the first call on a CPU initialises it, later ones serve. `cpu_index` is dense.
  /// `hob_list` is the loader's list in MMRAM; it is read by the BSP in its first MMI only.
  void enter(Cpu& cpu, u32 cpu_index, PhysAddr hob_list) noexcept;

  /// A fault of ring 0: traces it and stops the machine. Does not return where the machine can stop.
  void supervisor_fault(Cpu& cpu, u64 vector, u64 error, u64 rip, u64 cr2) noexcept;

  /// Address of the supervisor-to-user page, for tools; 0 before the first MMI.
  u64 user_page() const noexcept { return user_page_; }
  /// Supervisor mailbox, user mailbox, supervisor buffer, user buffer: pages of the normal world.
  std::array<Range, 4> comm_pages() const noexcept;

 private:
  using Tables = memory::PageTables<Cpu>;

  // --- common
  void emit(u32 cpu, hal::TraceKind kind, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) noexcept {
    if constexpr (M::kTraced) {
      machine_.trace(
          hal::TraceEvent{kind, static_cast<u16>(cpu), slots_[cpu % platform::kMaxCpus].mmis, a, b, c, d, e, f, 0});
    }
  }
  void halt(u32 cpu, hal::HaltReason why, u64 b = 0, u64 c = 0, u64 d = 0) noexcept {
    emit(cpu, hal::TraceKind::Halt, static_cast<u64>(why), b, c, d);
    machine_.halt(why);
    store(stopped_, 1);  // not before: a CPU that saw it would leave MM
  }
  void halt_init(u32 cpu, InitError why) noexcept {
    halt(cpu, hal::HaltReason::InitFailed, static_cast<u64>(status_of(why.problem)), static_cast<u64>(why.problem),
         why.at);
  }
  /// Only seen true where halt() returns: on a fake machine.
  bool stopped() const noexcept { return load(stopped_) != 0; }
  /// Whether `check` is in force: always, except on a machine with switchable defects (checks.hpp).
  bool enforced([[maybe_unused]] Check check) const noexcept {
    if constexpr (requires { M::kHasDefects; }) {
      return !machine_.defect(check);
    } else {
      return true;
    }
  }
  Tables tables(Cpu& cpu) noexcept { return Tables(cpu, PhysAddr{root_}); }
  policy::View policy_view() const noexcept { return policy::View(std::span(policy_).first(policy_bytes_)); }

  // --- init.hpp
  Checked<void> initialise(Cpu& cpu, PhysAddr hob_list) noexcept;
  Checked<void> allocate_internal(Cpu& cpu, Handover const& handover) noexcept;
  Checked<void> publish_user_hobs(Cpu& cpu, PhysAddr hob_list, Handover const& handover) noexcept;
  Checked<void> adopt_unblocked(Cpu& cpu, PhysAddr hob_list) noexcept;
  bool register_cpu(Cpu& cpu, u32 index) noexcept;
  void read_version(Cpu& cpu, Range image) noexcept;

  // --- mmi.hpp
  void enter_bsp(Cpu& cpu, u32 index, PhysAddr hob_list) noexcept;
  bool first_mmi(Cpu& cpu, u32 index, PhysAddr hob_list) noexcept;
  void report_memory_map(Cpu& cpu, u32 index) noexcept;
  bool rendezvous(Cpu& cpu, u32 index) noexcept;
  void release(Cpu& cpu, u32 index) noexcept;
  void serve(Cpu& cpu, u32 index) noexcept;
  static void expect_writes(CommChannel& ch, u64 reply) noexcept;
  void serve_user(Cpu& cpu, u32 index, abi::CommBufferStatus status) noexcept;
  void serve_supervisor(Cpu& cpu, u32 index, abi::CommBufferStatus status) noexcept;
  void serve_asynchronous(Cpu& cpu, u32 index) noexcept;
  struct Message {
    Guid guid;
    u64 header_bytes = 0;
    u64 message_bytes = 0;
    u64 version = 0;
  };
  Expected<Message> copy_in(Cpu& cpu, u32 index, abi::Channel which) noexcept;
  void copy_out(Cpu& cpu, u32 index, abi::Channel which, u64 bytes) noexcept;
  void finish(Cpu& cpu, u32 index, abi::Channel which, abi::CommBufferStatus status) noexcept;
  CommChannel& channel(abi::Channel which) noexcept { return channels_[static_cast<u64>(which) & 1]; }
  abi::CommBufferStatus request_user(Cpu& cpu, u32 index, abi::CommBufferStatus const& status) noexcept;
  void write_user_page(Cpu& cpu, u32 index, abi::CommBufferStatus const& status) noexcept;
  u64 hash_of(Cpu& cpu, PhysAddr at, u64 bytes) noexcept;

  // --- ap.hpp
  void enter_ap(Cpu& cpu, u32 index) noexcept;
  void run_mailbox(Cpu& cpu, u32 index) noexcept;
  SyscallResult start_ap(Cpu& cpu, u32 index, u64 procedure, u64 target, u64 argument) noexcept;

  // --- user.hpp
  u64 demote(Cpu& cpu, u32 index, abi::UserCommand command, u64 a1, u64 a2) noexcept;
  bool run_command(Cpu& cpu, u32 index, abi::UserCommand command, u64 a1, u64 a2, u64& rax) noexcept;
  bool handle_syscall(Cpu& cpu, u32 index, abi::UserCommand command, hal::UserContext& user) noexcept;
  void handle_fault(Cpu& cpu, u32 index, abi::UserCommand command, hal::UserExit const& exit,
                    hal::UserContext const& user) noexcept;
  void contain(u32 index, abi::UserFaultRecord record) noexcept;
  void report_fault(Cpu& cpu, u32 index) noexcept;
  void write_fault_record(Cpu& cpu, abi::UserFaultRecord const& fault) noexcept;
  UserImage image_of(u64 rip) const noexcept;
  bool fails_stop(abi::UserFaultRecord const& fault) const noexcept;
  void report_registers(u32 index, u64 error, u64 cr2, hal::UserContext const& user) noexcept;
  void write_telemetry(Cpu& cpu, u32 index, u64 offset, abi::TelemetryData const& data) noexcept;
  void leave_telemetry(Cpu& cpu, u32 index, abi::UserFaultRecord const& fault, hal::UserContext const& user) noexcept;
  bool user_owned(Cpu& cpu, u64 address, u64 size, bool writable = false) noexcept;

  // --- syscalls.hpp
  SyscallResult dispatch(Cpu& cpu, u32 index, u64 number, u64 a1, u64 a2, u64 a3) noexcept;
  SyscallResult dispatch_legacy(Cpu& cpu, u32 index, abi::Syscall number, u64 a1, u64 a2, u64 a3) noexcept;
  SyscallResult msr_access(Cpu& cpu, u32 index, u64 msr, u64 value, u16 access) noexcept;
  SyscallResult io_access(Cpu& cpu, u32 index, u64 port, u64 width, u64 value, u16 access) noexcept;
  Status gate_instruction(u32 index, policy::Instruction instruction) noexcept;
  bool stands_on(u32 index, policy::Foundation const* row, policy::Type type, u64 what, u16 access, u64 width,
                 u64 config_address = 0) noexcept;
  SyscallResult alloc_page(Cpu& cpu, u32 index, u64 alloc_type, u64 memory_type, u64 pages) noexcept;
  SyscallResult free_page(Cpu& cpu, u32 index, u64 address, u64 pages) noexcept;
  SyscallResult error_report_jump(Cpu& cpu, u64 address) noexcept;
  SyscallResult mm_unblocked(Cpu& cpu, u64 address, u64 size) noexcept;
  SyscallResult is_comm_buffer(u64 address, u64 size) noexcept;

  // --- save_state.hpp
  SyscallResult save_state_stage(Cpu& cpu, u32 index, u64 token, u64 reg, u64 target) noexcept;
  SyscallResult save_state_read(Cpu& cpu, u32 index, u64 token, u64 width, u64 buffer) noexcept;
  Expected<void> save_state_copy(Cpu& cpu, u32 index, u64 reg, u32 target, u64 width, u64 buffer) noexcept;
  Expected<void> save_state_io(Cpu& cpu, u32 index, u32 target, u64 width, u64 buffer) noexcept;
  Expected<void> gate_save_state(u32 index, policy::SaveStateField field, policy::IoTrap trap) noexcept;

  // --- requests.hpp
  Status handle_supervisor_message(Cpu& cpu, u32 index, Message const& message, u64& reply) noexcept;
  Status handle_request(Cpu& cpu, u32 index, u64 bytes, u64& reply) noexcept;
  Expected<u64> apply_request(Cpu& cpu, u32 index, u32 request, u64 payload, u64 room) noexcept;
  Expected<void> unblock(Cpu& cpu, u32 index, abi::UnblockMemoryParams const& params) noexcept;
  Expected<void> check_closed(Cpu& cpu, Range range) noexcept;
  Expected<void> map_closed(Cpu& cpu, Range range, memory::PageAttr attr) noexcept;
  Expected<void> open_region(Cpu& cpu, Range range, bool supervisor) noexcept;
  Expected<void> comm_update(Cpu& cpu, PhysAddr payload) noexcept;
  Expected<void> move_comm_pages(Cpu& cpu, std::array<Range, 4> const& fresh) noexcept;
  Expected<u64> fetch_policy(Cpu& cpu, u32 index, u64 payload, u64 room) noexcept;
  Expected<void> lock(Cpu& cpu, u32 index, hal::LockEvent event) noexcept;

  M& machine_;
  std::array<CpuSlot, platform::kMaxCpus> slots_{};
  u32 stopped_ = 0;
  u32 init_done_ = 0;
  u32 bsp_inside_ = 0;
  u32 release_generation_ = 0;
  u32 released_ = 0;  ///< APs that acknowledged the last release
  u32 cpu_count_ = 0;
  u32 bsp_index_ = 0;
  u32 image_count_ = 0;

  u64 root_ = 0;
  u64 address_limit_ = memory::kAddressLimit;  ///< no page above it is opened
  Range core_;                                 ///< the supervisor image
  memory::PageAllocator allocator_;
  memory::UnblockTracker unblocked_;
  std::array<CommChannel, 2> channels_{};  ///< by abi::Channel
  std::array<UserImage, kMaxImages> images_{};
  u64 user_entry_ = 0;
  u64 user_page_ = 0;  ///< supervisor-to-user page
  Range user_hob_list_;
  u64 stack_base_ = 0;   ///< ring-3 stacks
  u64 stack_bytes_ = 0;  ///< of one CPU
  u64 error_report_ = 0;
  u64 mseg_ = 0;            ///< 0: none
  u64 mm_initialized_ = 0;  ///< one byte a CPU: its first MMI is done
  SaveStateHolder holder_;
  abi::TestOptions options_;

  Expected<abi::VersionInfo> version_ = std::unexpected(Status::CompromisedData);
  bool locked_ = false;        ///< ReadyToLock, or the policy was fetched
  bool runtime_ = false;       ///< ExitBootServices
  bool comm_updated_ = false;  ///< COMM_UPDATE is served once
  bool user_has_roots_ =
      true;  ///< ring 3 is asked about an MMI without a message; what the last UserRequest left behind
  policy::MemorySnapshot snapshot_;
  u64 policy_bytes_ = 0;
  std::array<std::byte, policy::kMaxBytes> policy_{};
};

}  // namespace mm::supervisor

// IWYU pragma: begin_exports
#include "core/supervisor/ap.hpp"
#include "core/supervisor/init.hpp"
#include "core/supervisor/mmi.hpp"
#include "core/supervisor/requests.hpp"
#include "core/supervisor/save_state.hpp"
#include "core/supervisor/syscalls.hpp"
#include "core/supervisor/user.hpp"
// IWYU pragma: end_exports
