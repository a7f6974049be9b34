// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "core/arch/msr.hpp"
#include "core/loader/loader.hpp"
#include "core/supervisor/supervisor.hpp"
#include "sim/machine/machine.hpp"
#include "sim/machine/sim_machine.hpp"

/// The inside of a Simulator, for the files that implement it: simulator.cpp (making, booting, snapshot),
/// normal_world.cpp (what the normal world does), inspection.cpp (looking without touching).
namespace mm::sim {

using Supervisor = supervisor::Supervisor<SimMachine>;
static_assert(std::is_trivially_copyable_v<Supervisor>);  // Simulator::snapshot() copies its bytes

inline constexpr u64 kRomBytes = 0x20'0000;  ///< from platform::kRomWork (hal/qemu_rom/layout.inc)

/// The objects of one simulated platform.
struct Simulator::Impl {
  using Supervisor = supervisor::Supervisor<SimMachine>;

  explicit Impl(MachineConfig const& c)
      : config(c), mmi_entry(c.mmi_entry.begin(), c.mmi_entry.end()), machine(c), core(machine) {
    config.mmi_entry = mmi_entry;
  }

  static void serve(void* self, SimMachine::Cpu& cpu, u32 index);
  static void fault(void* self, SimMachine::Cpu& cpu, u64 vector, u64 error, u64 site, u64 cr2);
  u64* payload_msr(u32 msr) noexcept;
  void write_apic(u32 offset, u32 value) noexcept;
  /// Accesses as the payload makes them: aligned dwords; the APIC answers narrower ones with 0 and ignores their
  /// writes.
  void read_apic(u64 offset, std::span<std::byte> out) noexcept {
    std::ranges::fill(out, std::byte{0});
    for (std::size_t i = 0; i + 4 <= out.size() && offset % 4 == 0; i += 4) {
      u32 const value = machine.cpu(0).apic().read(static_cast<u32>(offset + i));
      std::memcpy(out.data() + i, &value, 4);
    }
  }
  void write_apic(u64 offset, std::span<std::byte const> in) noexcept {
    for (std::size_t i = 0; i + 4 <= in.size() && offset % 4 == 0; i += 4) {
      u32 value = 0;
      std::memcpy(&value, in.data() + i, 4);
      write_apic(static_cast<u32>(offset + i), value);
    }
  }
  /// The page of the boot processor's APIC. QEMU's does not move.
  Range apic_page() noexcept {
    u64 const base = machine.cpu(0).msrs().apic_base();
    bool const on = (base & arch::kApicBaseEnable) != 0;
    u64 const page = config.profile == Profile::Reference ? align_down(base, kPageSize) : arch::kApicPage;
    return on ? Range{page, kPageSize} : Range{};
  }
  /// Configuration space lies where the ROM's code, tables and stack are: #UD whose handler is not there either.
  bool lost_its_code() const noexcept { return machine.devices().pciexbar().overlaps({platform::kRomWork, kRomBytes}); }
  /// Switches the machine off when an access reset it, or moved configuration space over the normal world's own code.
  bool ends_by(PortEffect effect) noexcept {
    bool const ends = effect == PortEffect::Reset || lost_its_code();
    if (ends) {
      machine.power_off();
    }
    return ends;
  }
  void after_mmi() const {
    if (observer) {
      observer();
    }
  }
  u32 all_cpus() const noexcept { return (1u << machine.cpus()) - 1; }
  /// Whether the normal world sees memory at `address`.
  bool visible(u64 address) const noexcept {
    Range const tseg = machine.devices().tseg();
    bool const locked = machine.devices().tseg_closed() && !machine.defect(supervisor::Check::MmramLock);
    bool const smrr = machine.cpu(0).msrs().smrr().contains({address, 1});
    bool const ecam = machine.devices().pciexbar().contains({address, 1});
    bool const closed = ecam || smrr || (locked && address >= tseg.base && address < tseg.end());
    return !closed && address < machine.ram().size();
  }
  /// A write of the normal world to memory that it sees. In MMRAM that nobody closed it may be to a table, and the
  /// entry code loads CR3: no translation of before outlives it.
  void write_visible(u64 address, std::span<std::byte const> in) noexcept {
    machine.ram().write(PhysAddr{address}, in);
    if (machine.devices().tseg().contains({address, 1})) {
      machine.flush_all();
    }
  }
  /// Above memory and below the 4 GiB that the ROM maps: configuration space, devices of the scenario, or zeros.
  bool is_hole(u64 address) const noexcept { return address >= machine.ram().size() && address >> 32 == 0; }
  /// Calls f(offset, chunk, visible) for the page-wise pieces of an access.
  template <class F>
  void pieces(u64 address, u64 bytes, F&& f) const {
    for (u64 done = 0; done < bytes;) {
      u64 const here = address + done;
      u64 const chunk = std::min(bytes - done, kPageSize - (here & (kPageSize - 1)));
      f(done, chunk, visible(here));
      done += chunk;
    }
  }

  MachineConfig config;
  std::vector<std::byte> mmi_entry;
  SimMachine machine;
  Supervisor core;
  std::function<void()> observer;  ///< called after each MMI of the normal world
  loader::LoadResult placed{};
  /// Lets the program execute an instruction of `bytes` and delivers the MMI that it raises. Under TCG it comes behind
  /// the jump that follows (hal/qemu_rom/Q35.md 5, trap 1), and so behind the loads.
  void raise(u32 mask, u32 bytes, IoInstruction const* io, steps::LaterLoads const& loads = {}) noexcept {
    constexpr u32 kJumpBytes = 2;
    bool const is_late = config.profile == Profile::Q35Tcg;
    u32 const late_bytes = is_late ? kJumpBytes + loads.count() * steps::kLoadBytes : 0;
    NormalCpu& normal = machine.cpu(0).normal();
    u64 const behind = state.program[CpuRegister::Rip] + bytes + late_bytes;
    if (is_late) {
      load(loads);
    }
    normal.assign(state.program);
    normal.rip = behind;
    machine.deliver(mask, io);
    after_mmi();
    normal.store(state.program);
    state.payload.fs_base = state.payload.gs_base = 0;  // its selectors are loaded again
    bool const goes_on = normal.rip == behind;
    state.program[CpuRegister::Rip] = goes_on ? state.program[CpuRegister::Rip] : normal.rip;
    if (goes_on && !is_late) {
      load(loads);
    }
  }
  void load(steps::LaterLoads const& loads) noexcept {
    for (u32 r = 0; r < steps::LaterLoads::kGeneral; ++r) {
      state.program.values[r] = loads.loads(r) ? loads.values[r] : state.program.values[r];
    }
  }

  using CpuRegister = steps::CpuRegister;
  /// Registers of the payload itself that the program has as well.
  struct Payload {
    u64 efer = 0xD00;
    u64 fs_base = 0;
    u64 gs_base = 0;
  };
  /// Everything of the normal world that a snapshot saves.
  struct State {
    steps::CpuState program = steps::initial_cpu_state();
    steps::LaterLoads later;
    Payload payload;
  };
  State state;
  State saved;
  std::vector<std::byte> saved_core;
  struct Said {
    std::vector<Frame> frames;
    u64 bytes = 0;
    u64 dropped_bytes = 0;
  };
  Said said;
};

}  // namespace mm::sim
