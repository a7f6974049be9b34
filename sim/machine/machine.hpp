// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/abi/boot.hpp"
#include "core/abi/console.hpp"
#include "core/abi/platform.hpp"
#include "core/abi/syscalls.hpp"
#include "core/arch/save_state.hpp"
#include "core/base/types.hpp"
#include "core/memory/page_tables.hpp"
#include "core/steps/cpu_state.hpp"
#include "hal/roles/trace.hpp"
#include "sim/devices/windows.hpp"
#include "sim/engine/block_log.hpp"
#include "sim/machine/stack_log.hpp"

namespace mm::loader {
struct LoadResult;  // core/loader/loader.hpp
}

namespace mm::sim {

/// What the simulated platform behaves like.
enum class Profile {
  Q35Tcg,     ///< QEMU q35 under TCG: unknown MSRs read 0 and writes to them are ignored, no SMRR, no I/O trap
  Reference,  ///< the manuals: an MSR that was not declared faults, SMRR, a complete save state
};

/// In the q35-tcg profile AMD64 has only what QEMU writes.
using SaveStateLayout = arch::save_state::Layout;

/// Everything a simulated machine is made from. The spans need to live only during Simulator::create().
struct MachineConfig {
  abi::BootConfig boot;
  Profile profile = Profile::Q35Tcg;
  SaveStateLayout save_state = SaveStateLayout::Amd64;
  u64 seed = 1;                        ///< of the scheduler: same seed, same run
  u64 user_budget_blocks = 5'000'000;  ///< basic blocks of ring 3 per entry before UserExitKind::Budget
  u32 defects = 0;                     ///< supervisor::Check bits: checks that are removed, for tests of the scenarios
  bool record_trace = true;  ///< false: trace() drops events (benchmarks, fuzzing), and one CPU makes no notes
  std::size_t most_events = 1u << 18;        ///< that the trace keeps; a halt is always kept
  std::size_t most_frame_bytes = 80u << 20;  ///< that frames() keeps
  std::span<std::byte const> mmi_entry;      ///< MmiEntry.bin
  /// Optional edge counters of ring 3 for a fuzzer, incremented per executed block; power-of-two size.
  std::span<u8> coverage{};
  /// Optional: only blocks in it are counted. It must live as long as the machine, and may change.
  Range const* covered = nullptr;
  /// Optional: told of each compare of ring 3 (address of the instruction, operands, their bytes), for a fuzzer.
  void (*on_compare)(u64 at, u64 left, u64 right, u32 bytes) noexcept = nullptr;
  BlockLog* block_log = nullptr;              ///< counts the blocks of ring 3; null: nobody does
  std::vector<WindowSpec> windows;            ///< devices beside those of q35, none over memory or another
  std::vector<Ring3Stack>* stacks = nullptr;  ///< where the stacks of faults go; null: nowhere
};

/// One frame that the normal world emitted.
struct Frame {
  abi::FrameKind kind{};
  std::vector<std::byte> payload;
  std::size_t events = 0;  ///< trace events before it
};

/// Bytes of the normal world that ring 0 read a second time within one MMI: what was checked the first time may differ.
struct DoubleFetch {
  u64 address = 0;
  u64 bytes = 0;
  u32 cpu = 0;  ///< that read them the second time
  friend bool operator==(DoubleFetch const&, DoubleFetch const&) = default;
};

/// One 4 KiB page of the live page tables.
struct PageInfo {
  u64 addr = 0;
  memory::PageAttr attr;
};

/// The composition root of the simulator: RAM, devices, CPUs, the native supervisor, and the normal world.
/// Satisfies steps::StepWorld. Not thread-safe; several simulators may live in one process.
class Simulator {
 public:
  /// Makes a machine that has not booted. The error is a sentence for the user: bad sizes, CPU count, engine trouble.
  static std::expected<std::unique_ptr<Simulator>, std::string> create(MachineConfig const& config);
  ~Simulator();
  Simulator(Simulator const&) = delete;
  Simulator& operator=(Simulator const&) = delete;

  /// Puts the firmware volume at platform::kFvBase and `hobs` into the normal world's HOB list, runs the loader, locks
  /// TSEG and delivers the first MMI to all CPUs. The error is a sentence: why the loader refused, or that the machine
  /// halted in the first MMI.
  std::expected<void, std::string> boot(std::span<std::byte const> fv, std::span<std::byte const> hobs = {});

  /// Normal-world memory access: locked MMRAM reads FF and drops writes, as do addresses without memory.
  void read(PhysAddr at, std::span<std::byte> out) noexcept;
  void write(PhysAddr at, std::span<std::byte const> in) noexcept;
  u32 port_in(u16 port, abi::IoWidth width) noexcept;
  /// A write to 0xB2 returns after all CPUs have served the MMI; after a halt MMIs do nothing.
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept;
  Expected<u64> read_msr(u32 msr) noexcept;               ///< of the boot processor
  Expected<void> write_msr(u32 msr, u64 value) noexcept;  ///< of the boot processor
  /// An MMI at whose entry an NMI is pending.
  void raise_with_nmi(u8 command) noexcept;
  /// The program that raises MMIs, on the boot processor.
  steps::CpuState cpu_state() const noexcept;
  void set_cpu_state(steps::CpuState const& state) noexcept;
  /// The MMI of q35-tcg comes behind these loads, that of the reference profile before them.
  void set_later_loads(steps::LaterLoads const& later) noexcept;
  /// An I/O instruction of the program that the chipset turns into an MMI, and what an IN gave (RAX after RSM). `form`:
  /// steps::TrappedForm. Unsupported: q35 has no such trap.
  Expected<u32> trapped_io(u16 port, abi::IoWidth width, u32 value, u16 form) noexcept;
  /// Another CPU executes this I/O instruction over and over. Unsupported: q35 records none. InvalidParameter: no such
  /// CPU.
  Expected<void> park(u32 cpu, u16 port, abi::IoWidth width, u16 form, u64 rsi) noexcept;
  /// By the APIC of the boot processor (core/arch/ipi.hpp).
  void send_ipi(u32 destination, u32 command) noexcept;
  void emit(abi::FrameKind kind, std::span<std::byte const> payload) noexcept;

  std::vector<hal::TraceEvent> const& trace() const noexcept;
  u64 dropped_events() const noexcept;  ///< that trace() has no room for
  void clear_trace() noexcept;          ///< and the double fetches
  /// All double fetches since the machine was made, or since clear_trace() or reset(); at most kMaxDoubleFetches. Empty
  /// for a supervisor that copies each message once. Reads of MMRAM are not looked at.
  std::vector<DoubleFetch> const& double_fetches() const noexcept;
  static constexpr std::size_t kMaxDoubleFetches = 64;
  std::vector<Frame> const& frames() const noexcept;
  u64 dropped_frame_bytes() const noexcept;  ///< that frames() has no room for
  void clear_frames() noexcept;              ///< and the room that they took; what was dropped stays counted
  /// Bytes written to the 16550 at 0x3F8.
  std::string const& serial_output() const noexcept;
  /// What was asked of the devices in MachineConfig::windows that keep a log, since the start or the last reset().
  std::vector<DeviceLog> device_logs() const;
  std::optional<hal::HaltReason> halted() const noexcept;
  /// The machine was reset or switched off (0xCF9, 0x64, 0x92, SLP_EN), or its normal world lost its own code.
  bool was_reset() const noexcept;
  /// How ring 3 came to run as ring 0: a sentence each. Nothing runs behind it.
  std::vector<std::string> const& ring0_reached() const noexcept;
  /// As SimMachine::stale_entries().
  std::vector<std::string> const& stale_entries() const noexcept;
  /// The boot processor is in HLT inside MM, where nothing wakes it.
  bool is_in_hlt() const noexcept;
  bool stopped() const noexcept {
    return halted().has_value() || was_reset() || is_in_hlt() || !ring0_reached().empty();
  }
  /// Where the loader put things; valid after boot() got that far.
  loader::LoadResult const& layout() const noexcept;
  MachineConfig const& config() const noexcept;
  /// `observer` is called after each MMI that the normal world raises, when all CPUs have left MM or the machine
  /// halted.
  void observe_mmis(std::function<void()> observer);
  /// What SMRR of the CPU covers; nothing: the CPU has none.
  std::optional<Range> smrr(u32 cpu) const noexcept;
  /// Address of the supervisor-to-user page; 0 before the first MMI.
  u64 user_page() const noexcept;
  /// Supervisor mailbox, user mailbox, supervisor buffer, user buffer, as the supervisor has them now.
  std::array<Range, 4> comm_pages() const noexcept;

  /// Remembers the whole machine between two MMIs; the trace and the frames are not part of it.
  void snapshot();
  /// Back to the snapshot by copying only what changed. Also clears trace and frames, and revives a halted machine.
  void reset();

  /// The live page tables, one entry per present 4 KiB page, ascending.
  std::vector<PageInfo> page_map() const;
  void page_map(std::vector<PageInfo>& into) const;  ///< the same, in memory that is there already
  /// Memory as MM sees it, for inspection by tests and tools: no guard, no side effect.
  void peek(PhysAddr at, std::span<std::byte> out) const noexcept;
  /// Writes memory as MM sees it, for tests and fuzzers: no guard. Before snapshot(), or reset() brings it back.
  void poke(PhysAddr at, std::span<std::byte const> in) noexcept;
  /// Numbers of the pages that the normal world and ring 0 wrote since snapshot() or reset(); what ring 3 wrote is not
  /// among them.
  std::span<u64 const> changed_pages() const noexcept;
  /// How often ring 0 wrote to a read-only page: while this stays, so do the page tables.
  u64 protected_writes() const noexcept;
  /// Ring-3 basic blocks executed so far on all CPUs.
  u64 user_blocks() const noexcept;

 private:
  struct Impl;
  explicit Simulator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mm::sim
