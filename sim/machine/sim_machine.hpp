// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/abi/platform.hpp"
#include "core/memory/page_tables.hpp"
#include "core/supervisor/checks.hpp"
#include "hal/roles/machine.hpp"
#include "sim/devices/devices.hpp"
#include "sim/devices/local_apic.hpp"
#include "sim/engine/engine.hpp"
#include "sim/machine/fetch_log.hpp"
#include "sim/machine/fiber.hpp"
#include "sim/machine/machine.hpp"
#include "sim/machine/msr_file.hpp"
#include "sim/machine/ram.hpp"
#include "sim/machine/save_state_map.hpp"

namespace mm::sim {

/// RAM, devices and CPUs in management mode; satisfies hal::Machine. The scheduler that gives CPUs their turn is here.
class SimMachine {
 public:
  static constexpr bool kTraced = true;
  static constexpr bool kHasDefects = true;
  class Cpu;
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
  Range mmram() noexcept { return devices_.smram_locked() && devices_.tseg_closed() ? devices_.tseg() : Range{}; }
  u64 own_code() noexcept { return placement_.supervisor_entry; }
  void halt(hal::HaltReason why) noexcept;
  /// A reset, power that is switched off, or a normal world without its own code: nothing runs any more.
  void power_off() noexcept;
  /// Whether this check was removed by MachineConfig::defects.
  bool defect(supervisor::Check check) const noexcept { return (config_.defects & supervisor::bit_of(check)) != 0; }
  /// The defect of Check::PageAttributes: makes every present page of MMRAM a user page.
  void open_pages() noexcept;

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
  std::optional<hal::HaltReason> halted() const noexcept { return halted_; }
  bool is_off() const noexcept { return off_; }
  bool is_in_hlt() const noexcept { return in_hlt_; }  ///< the boot processor, inside MM
  /// How ring 3 came to run as ring 0; nothing runs behind it.
  std::vector<std::string> const& ring0_reached() const noexcept { return ring0_; }
  /// Entries of ring 3 with a TLB that was not flushed after an edit of the tables, each as a sentence.
  std::vector<std::string> const& stale_entries() const noexcept { return stale_; }
  std::vector<hal::TraceEvent>& events() noexcept { return events_; }
  std::vector<hal::TraceEvent> const& events() const noexcept { return events_; }
  u64& dropped_events() noexcept { return dropped_events_; }
  u64 dropped_events() const noexcept { return dropped_events_; }
  FetchLog& fetch_log() noexcept { return fetch_log_; }
  u64 time_ns() const noexcept { return time_ns_; }
  /// Configuration space lies over RAM here; never over MMRAM for a CPU in MM.
  bool under_pciexbar(u64 address) const noexcept {
    return devices_.pciexbar().contains({address, 1}) && !devices_.tseg().contains({address, 1});
  }
  u64 user_blocks() const noexcept;
  u64 protected_writes() const noexcept { return protected_writes_; }
  u64 cr3() const noexcept { return placement_.cr3; }
  MachineConfig const& config() const noexcept { return config_; }

  void snapshot();
  void reset();

 private:
  friend class Cpu;
  struct UserPage {
    u64 entry = 0;  ///< address of the page-table entry
    u64 page = 0;
  };
  struct Saved {
    DeviceState devices{0};
    u64 time_ns = 0;
    u64 random = 0;
    std::vector<UserPage> user_pages;
    std::vector<u8> is_table;  ///< by page number
    std::vector<u8> is_code;   ///< by page number: ring 3 may execute it
    u64 code_map = 0;
    std::optional<hal::HaltReason> halted;
    bool off = false;
  };
  bool goes_on() const noexcept { return !halted_.has_value() && !off_ && !in_hlt_ && ring0_.empty(); }
  u64 table_entry(u64 at) const noexcept;
  /// Finds the leaf entries of all pages that ring 3 can write; gives a hash of what it can execute, and where. At a
  /// snapshot also notes tables and code in `saved_`.
  u64 survey(std::vector<UserPage>& out, Saved* note) const;
  bool maybe_written(UserPage const& page) const noexcept;
  u32 next_random() noexcept;
  void run_one(u32 index) noexcept;
  void abandon() noexcept;
  void reached_ring0(u32 cpu, u64 rip) noexcept;
  void flush_all() noexcept;
  SaveStateFormat save_state_format() const noexcept {
    return {config_.save_state, config_.profile == Profile::Reference};
  }

  MachineConfig config_;
  Ram ram_;
  Devices devices_;
  Handler handler_{};
  Placement placement_{};
  std::vector<std::unique_ptr<Cpu>> cpus_;
  std::vector<hal::TraceEvent> events_;
  u64 dropped_events_ = 0;  ///< beyond MachineConfig::most_events
  FetchLog fetch_log_;
  std::optional<hal::HaltReason> halted_;
  bool off_ = false;
  bool in_hlt_ = false;
  std::vector<std::string> ring0_;
  std::vector<std::string> stale_;
  u64 table_edits_ = 0;  ///< write windows over read-only pages that were closed
  u64 time_ns_ = 0;
  u64 random_ = 1;
  u64 protected_writes_ = 0;  ///< by ring 0 to pages that are read-only
  u32 runnable_ = 0;
  Cpu* current_ = nullptr;
  Saved saved_;
  std::vector<UserPage> now_;  ///< of reset(), kept for its memory
};

/// One CPU in management mode; satisfies hal::Cpu. Memory access by ring 0 is checked against the live page tables.
class SimMachine::Cpu {
 public:
  Cpu(SimMachine& machine, u32 index, std::unique_ptr<Engine> engine) noexcept;

  void read(PhysAddr at, std::span<std::byte> out) noexcept;
  void write(PhysAddr at, std::span<std::byte const> in) noexcept;
  void copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept;
  void zero(PhysAddr at, u64 bytes) noexcept;
  Expected<u64> read_msr(u32 msr) noexcept;
  Expected<void> write_msr(u32 msr, u64 value) noexcept;
  Expected<u64> normal_read_msr(u32 msr) noexcept;               ///< as read_msr(), outside MM
  Expected<void> normal_write_msr(u32 msr, u64 value) noexcept;  ///< as write_msr(), outside MM
  u32 port_in(u16 port, abi::IoWidth width) noexcept;
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept;
  void cli() noexcept {}
  /// Interrupts are off in MM and nobody sends an NMI: the CPU does not wake. With the boot processor the machine
  /// stops.
  void hlt() noexcept;
  void wbinvd() noexcept {}
  void speculation_barrier() noexcept {}
  void pause() noexcept;
  /// CPUs take turns, and only where they pause.
  u32 load_shared(u32 const& word) noexcept { return word; }
  void store_shared(u32& word, u32 value) noexcept { word = value; }
  void increment_shared(u32& word) noexcept { ++word; }
  u64 read_cr3() noexcept { return machine_.placement_.cr3; }
  void flush_tlb() noexcept {
    flushed_at_ = machine_.table_edits_;
    machine_.flush_all();
  }
  /// The tables are edited in such windows: what was edited since this CPU last flushed may be stale in its TLB.
  void set_write_protect(bool on) noexcept {
    machine_.table_edits_ += on && !write_protect_ ? 1u : 0u;
    write_protect_ = on;
  }
  void set_user_access(bool on) noexcept { user_access_ = on && !machine_.defect(supervisor::Check::UserAccessWindow); }
  hal::UserExit run_user(hal::UserContext& user) noexcept;
  void clean_user_state() noexcept {
    engine_->begin_entry();
    engine_->clean_vector_state();
  }
  u64 now_us() noexcept;
  bool is_bsp() noexcept { return index_ == 0; }
  u32 apic_id() noexcept { return index_; }
  u32 physical_address_bits() noexcept;

  u32 index() const noexcept { return index_; }
  Engine& engine() noexcept { return *engine_; }
  MsrFile& msrs() noexcept { return msrs_; }
  MsrFile const& msrs() const noexcept { return msrs_; }
  LocalApic& apic() noexcept { return apic_; }
  /// What the CPU does outside MM.
  NormalCpu& normal() noexcept { return normal_; }
  NormalCpu const& normal() const noexcept { return normal_; }
  /// An NMI waits until ring 3 is entered: the IRETQ that does so lets it through.
  void pend_nmi(bool pending) noexcept { nmi_pending_ = pending; }
  /// Whether the last RSM asked for the I/O instruction again; asking clears it.
  bool take_io_restart() noexcept { return std::exchange(io_restart_, false); }

 private:
  friend class SimMachine;
  static constexpr std::size_t kBorderMsrs = 9;
  /// Left: out of MM in a way that abandons what ring 0 was doing (RSM in ring 3, halt).
  enum class State { Idle, Running, Left };
  struct Translation {
    u64 page = ~u64{0};
    u64 entry = 0;
  };
  std::byte* access(u64 address, bool write) noexcept;
  void note_fetch(u64 address, u64 bytes) noexcept;
  u64 walk(u64 address) const noexcept;
  void fault(u64 address, u64 error, u64 vector = 14) noexcept;
  void yield() noexcept;
  bool restart() noexcept;
  void enter_mm(IoInstruction const* io) noexcept;
  void leave_mm() noexcept;
  void set_border() noexcept;
  void give_border_back() noexcept;
  void init() noexcept;
  bool start() noexcept;
  bool takes_mmi() noexcept;
  void relocate(u32 smbase) noexcept;
  std::byte* save_state() noexcept;
  static void body(void* self);

  SimMachine& machine_;
  u32 index_;
  std::unique_ptr<Engine> engine_;
  Fiber fiber_;
  State state_ = State::Idle;
  bool write_protect_ = true;
  bool user_access_ = false;
  bool faulting_ = false;
  u64 flushed_at_ = 0;  ///< table_edits_ at the last flush, or entry of MM
  MsrFile msrs_;
  MsrFile saved_msrs_;
  NormalCpu normal_;
  NormalCpu saved_normal_;
  LocalApic apic_;
  LocalApic saved_apic_;
  std::array<u64, kBorderMsrs> outside_{};  ///< what the normal world has in the registers of the border
  bool io_restart_ = false;
  bool nmi_pending_ = false;
  std::array<Translation, 256> translations_{};
  bool translated_ = false;  ///< one of them is in use
};

static_assert(hal::Machine<SimMachine>);

}  // namespace mm::sim
