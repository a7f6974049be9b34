// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/abi/platform.hpp"
#include "core/supervisor/checks.hpp"
#include "hal/roles/machine.hpp"
#include "sim/devices/devices.hpp"
#include "sim/machine/fetch_log.hpp"
#include "sim/machine/machine.hpp"
#include "sim/machine/ram.hpp"
#include "sim/machine/save_state_map.hpp"
#include "sim/machine/sim_cpu.hpp"
#include "sim/machine/user_pages.hpp"

namespace mm::sim {

/// RAM, devices and CPUs in management mode; satisfies hal::Machine. The scheduler that gives CPUs their turn is here.
class SimMachine {
 public:
  static constexpr bool kTraced = true;
  static constexpr bool kHasDefects = true;
  using Cpu = SimCpu;
  /// What a CPU runs at an MMI, and whom a ring-0 fault is reported to. `self` is handed back.
  struct Handler {
    void* self = nullptr;
    void (*serve)(void* self, Cpu& cpu, u32 index) = nullptr;
    void (*fault)(void* self, Cpu& cpu, u64 vector, u64 error, u64 site, u64 cr2) = nullptr;
  };
  struct Placement {
    u64 cr3 = 0;
    u64 gdt0 = 0;
    u64 supervisor_entry = 0;
    std::array<u64, platform::kMaxCpus> smbase{};
  };

  explicit SimMachine(MachineConfig const& config);
  ~SimMachine();
  SimMachine(SimMachine const&) = delete;
  SimMachine& operator=(SimMachine const&) = delete;
  /// Why the machine cannot be made; called once, right after construction.
  std::expected<void, std::string> make_cpus(Handler handler);
  /// The loader is done: CPUs get their page tables, GDT and SMBASE.
  std::expected<void, std::string> place(Placement const& placement);

  // hal::Machine
  void trace(hal::TraceEvent const& event) noexcept;
  /// Whether notes of ring 3 are worth a system call each. With several CPUs they are made though nobody reads them: a
  /// system call is a scheduling point, and a run must be the same with and without a trace.
  bool hears_notes() const noexcept { return config_.record_trace || cpus_.size() > 1; }
  Range mmram() noexcept { return devices_.smram_locked() && devices_.tseg_closed() ? devices_.tseg() : Range{}; }
  u64 own_code() noexcept { return placement_.supervisor_entry; }
  void halt(hal::HaltReason why) noexcept;
  /// A reset, power that is switched off, or a normal world without its own code: nothing runs any more.
  void power_off() noexcept;
  /// Whether this check was removed by MachineConfig::defects.
  bool defect(supervisor::Check check) const noexcept { return (config_.defects & supervisor::bit_of(check)) != 0; }
  /// The defect of Check::PageAttributes: makes every present page of MMRAM a user page.
  void open_pages() noexcept;
  /// No CPU keeps a translation: after an edit of the page tables, whoever made it.
  void flush_all() noexcept;

  /// Delivers an MMI to the CPUs of the mask, bit = index, and returns when all CPUs have left MM or the machine
  /// halted. When the boot processor leaves by RSM in ring 3 it returns at once: the others stay in MM until the next
  /// MMI. `io`: the instruction of the boot processor that raised it, if any.
  void deliver(u32 mask, IoInstruction const* io = nullptr) noexcept;
  /// Delivers an IPI, except that SMIs are left to the caller: the mask of the CPUs that get one now.
  u32 send(u32 sender, Ipi ipi) noexcept;
  u32 cpus() const noexcept { return static_cast<u32>(cpus_.size()); }
  Cpu& cpu(u32 index) noexcept { return *cpus_[index]; }
  Cpu const& cpu(u32 index) const noexcept { return *cpus_[index]; }
  Ram& ram() noexcept { return ram_; }
  Ram const& ram() const noexcept { return ram_; }
  Devices& devices() noexcept { return devices_; }
  Devices const& devices() const noexcept { return devices_; }
  std::optional<hal::HaltReason> halted() const noexcept { return state_.halted; }
  bool is_off() const noexcept { return state_.off; }
  bool is_in_hlt() const noexcept { return state_.in_hlt; }  ///< the boot processor, inside MM
  /// How ring 3 came to run as ring 0; nothing runs behind it.
  std::vector<std::string> const& ring0_reached() const noexcept { return seen_.ring0; }
  /// Entries of ring 3 with a TLB that was not flushed after an edit of the tables, each as a sentence.
  std::vector<std::string> const& stale_entries() const noexcept { return seen_.stale; }
  std::vector<hal::TraceEvent>& events() noexcept { return seen_.events; }
  std::vector<hal::TraceEvent> const& events() const noexcept { return seen_.events; }
  u64& dropped_events() noexcept { return seen_.dropped_events; }
  u64 dropped_events() const noexcept { return seen_.dropped_events; }
  FetchLog& fetch_log() noexcept { return fetch_log_; }
  u64 time_ns() const noexcept { return state_.time_ns; }
  /// Configuration space lies over RAM here; never over MMRAM for a CPU in MM.
  bool under_pciexbar(u64 address) const noexcept {
    return devices_.pciexbar().contains({address, 1}) && !devices_.tseg().contains({address, 1});
  }
  u64 user_blocks() const noexcept;
  u64 protected_writes() const noexcept { return seen_.protected_writes; }
  u64 cr3() const noexcept { return placement_.cr3; }
  MachineConfig const& config() const noexcept { return config_; }

  void snapshot();
  void reset();

 private:
  friend class SimCpu;
  /// Everything of the machine that a snapshot saves, besides RAM, devices and what each CPU saves of itself.
  struct State {
    u64 time_ns = 0;
    u64 random = 1;
    std::optional<hal::HaltReason> halted;
    bool off = false;
    bool in_hlt = false;
  };
  /// What was seen since the start or the last reset.
  struct Seen {
    std::vector<hal::TraceEvent> events;
    u64 dropped_events = 0;  ///< beyond MachineConfig::most_events
    std::vector<std::string> ring0;
    std::vector<std::string> stale;
    u64 protected_writes = 0;  ///< by ring 0 to pages that are read-only; not reset
  };
  bool goes_on() const noexcept {
    return !state_.halted.has_value() && !state_.off && !state_.in_hlt && seen_.ring0.empty();
  }
  BusDevices bus() noexcept;
  u32 next_random() noexcept;
  void run_one(u32 index) noexcept;
  void abandon() noexcept;
  void reached_ring0(u32 cpu, u64 rip) noexcept;
  SaveStateFormat save_state_format() const noexcept {
    return {config_.save_state, config_.profile == Profile::Reference};
  }

  MachineConfig config_;
  Ram ram_;
  UserPages user_pages_;
  Devices devices_;
  DeviceState saved_devices_{0};
  State state_;
  State saved_;
  Handler handler_{};
  Placement placement_{};
  std::vector<std::unique_ptr<Cpu>> cpus_;
  Seen seen_;
  FetchLog fetch_log_;
  u64 table_edits_ = 0;  ///< write windows over read-only pages that were closed
  u32 runnable_ = 0;
  Cpu* current_ = nullptr;
};

static_assert(hal::Machine<SimMachine>);

}  // namespace mm::sim
