// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <memory>
#include <utility>

#include "core/base/types.hpp"
#include "hal/roles/machine.hpp"
#include "sim/devices/local_apic.hpp"
#include "sim/engine/engine.hpp"
#include "sim/machine/fiber.hpp"
#include "sim/machine/msr_file.hpp"
#include "sim/machine/save_state_map.hpp"

namespace mm::sim {

class SimMachine;

/// One CPU in management mode; satisfies hal::Cpu. Memory access by ring 0 is checked against the live page tables.
class SimCpu {
 public:
  SimCpu(SimMachine& machine, u32 index, std::unique_ptr<Engine> engine) noexcept;

  void read(PhysAddr at, std::span<std::byte> out) noexcept;
  void write(PhysAddr at, std::span<std::byte const> in) noexcept;
  void copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept;
  void zero(PhysAddr at, u64 bytes) noexcept;
  Expected<u64> read_msr(u32 msr) noexcept;
  Expected<void> write_msr(u32 msr, u64 value) noexcept { return state_.msrs.write(msr, value, CpuWorld::Mm); }
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
  void pause() noexcept { yield(); }
  /// CPUs take turns, and only where they pause.
  u32 load_shared(u32 const& word) noexcept { return word; }
  void store_shared(u32& word, u32 value) noexcept { word = value; }
  void increment_shared(u32& word) noexcept { ++word; }
  u64 read_cr3() noexcept;
  void flush_tlb() noexcept;
  /// The tables are edited in such windows: what was edited since this CPU last flushed may be stale in its TLB.
  void set_write_protect(bool on) noexcept;
  void set_user_access(bool on) noexcept;
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
  MsrFile& msrs() noexcept { return state_.msrs; }
  MsrFile const& msrs() const noexcept { return state_.msrs; }
  LocalApic& apic() noexcept { return state_.apic; }
  /// What the CPU does outside MM.
  NormalCpu& normal() noexcept { return state_.normal; }
  NormalCpu const& normal() const noexcept { return state_.normal; }
  /// An NMI waits until ring 3 is entered: the IRETQ that does so lets it through.
  void pend_nmi(bool pending) noexcept { nmi_pending_ = pending; }
  /// Whether the last RSM asked for the I/O instruction again; asking clears it.
  bool take_io_restart() noexcept { return std::exchange(io_restart_, false); }

 private:
  friend class SimMachine;
  static constexpr u64 kNsPerStep = 1000;  ///< of virtual time for a scheduling point
  static constexpr std::size_t kBorderMsrs = 9;
  /// Everything of a CPU that a snapshot saves, but for the engine's registers, which the engine saves. What else is
  /// here is made anew by restart(), lasts for one MMI, or is a cache.
  struct State {
    MsrFile msrs;
    NormalCpu normal;
    LocalApic apic;
  };
  /// What ring 0 may do now that it may not always.
  struct Windows {
    bool write_protect = true;
    bool user_access = false;
    bool faulting = false;  ///< a second fault ends the machine
  };
  /// Left: out of MM in a way that abandons what ring 0 was doing (RSM in ring 3, halt).
  enum class Run { Idle, Running, Left };
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
  void save() noexcept;
  void go_back(bool again, bool code_changed) noexcept;
  void forget_translations() noexcept;
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
  Run run_ = Run::Idle;
  Windows windows_;
  u64 flushed_at_ = 0;  ///< table_edits_ at the last flush, or entry of MM
  State state_;
  State saved_;
  std::array<u64, kBorderMsrs> outside_{};  ///< what the normal world has in the registers of the border
  bool io_restart_ = false;
  bool nmi_pending_ = false;
  std::array<Translation, 256> translations_{};
  bool translated_ = false;  ///< one of them is in use
};

static_assert(hal::Cpu<SimCpu>);

}  // namespace mm::sim
