// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/sim_cpu.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/arch/descriptors.hpp"
#include "core/arch/msr.hpp"
#include "core/memory/page_tables.hpp"
#include "sim/engine/cpuid.hpp"
#include "sim/machine/sim_machine.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;

constexpr u64 kNsPerBlock = 5;        ///< of virtual time for a block of ring 3
constexpr u64 kNsPerClockRead = 100;  ///< so that a loop over the clock alone ends
constexpr u64 kVectorNmi = 2;
constexpr u64 kVectorMachineCheck = 18;

/// Registers that an SMI leaves as they are and that the bare machine exchanges at the border (hal/bare/border.hpp):
/// IA32_STAR, CSTAR, FMASK, KERNEL_GS_BASE, SYSENTER_CS, ESP and EIP, PAT; LSTAR besides, which is the address of code.
struct BorderMsr {
  u32 msr;
  u64 inside;
};
constexpr std::array kBorder{BorderMsr{arch::kMsrStar, arch::kStarSelectors},
                             BorderMsr{arch::kMsrCstar, 0},
                             BorderMsr{arch::kMsrFmask, 0x0000'0000'0005'7700},
                             BorderMsr{arch::kMsrKernelGsBase, 0},
                             BorderMsr{arch::kMsrSysenterCs, 0},
                             BorderMsr{arch::kMsrSysenterEsp, 0},
                             BorderMsr{arch::kMsrSysenterEip, 0},
                             BorderMsr{arch::kMsrPat, arch::kPatOfReset},
                             BorderMsr{arch::kMsrLstar, 0}};

}  // namespace

SimCpu::SimCpu(SimMachine& machine, u32 index, std::unique_ptr<Engine> engine) noexcept
    : machine_(machine),
      index_(index),
      engine_(std::move(engine)),
      state_{.msrs = MsrFile(machine.config_.profile, index == 0),
             .normal = index == 0 ? NormalCpu::boot_processor() : NormalCpu::waiting(index),
             .apic = LocalApic(index)},
      saved_(state_) {}

u64 SimCpu::read_cr3() noexcept { return machine_.placement_.cr3; }

void SimCpu::flush_tlb() noexcept {
  flushed_at_ = machine_.table_edits_;
  machine_.flush_all();
}

void SimCpu::set_write_protect(bool on) noexcept {
  machine_.table_edits_ += on && !windows_.write_protect ? 1u : 0u;
  windows_.write_protect = on;
}

void SimCpu::set_user_access(bool on) noexcept {
  windows_.user_access = on && !machine_.defect(supervisor::Check::UserAccessWindow);
}

void SimCpu::forget_translations() noexcept {
  engine_->flush_tlb();
  if (translated_) {
    translations_.fill({});
    translated_ = false;
  }
}

void SimCpu::save() noexcept {
  saved_ = state_;
  engine_->save_state();
}

/// `again`: what the CPU was doing is not gone on with.
void SimCpu::go_back(bool again, bool code_changed) noexcept {
  state_ = saved_;
  engine_->restore_state();
  if (again || run_ != Run::Idle) {
    restart();
  }
  if (code_changed) {
    engine_->flush_code();
  }
}

u32 SimCpu::physical_address_bits() noexcept { return cpuid(0x8000'0008, 0, machine_.cpus(), index_).eax & 0xFF; }

u64 SimCpu::now_us() noexcept {
  machine_.state_.time_ns += kNsPerClockRead;
  return machine_.state_.time_ns / 1000;
}

void SimCpu::body(void* self) {
  auto& cpu = *static_cast<SimCpu*>(self);
  auto const& handler = cpu.machine_.handler_;
  for (;;) {
    cpu.set_border();
    handler.serve(handler.self, cpu, cpu.index_);
    cpu.give_border_back();
    cpu.leave_mm();
    cpu.run_ = Run::Idle;
    cpu.fiber_.suspend();
  }
}

bool SimCpu::restart() noexcept {
  run_ = Run::Idle;
  windows_ = {};
  nmi_pending_ = false;
  return fiber_.start(&SimCpu::body, this);
}

void SimCpu::yield() noexcept {
  machine_.state_.time_ns += kNsPerStep;
  if ((machine_.runnable_ & ~(1u << index_)) != 0) {
    fiber_.suspend();
  }
}

void SimCpu::hlt() noexcept {
  if (index_ == 0) {
    machine_.state_.in_hlt = true;
    machine_.abandon();
  }
  run_ = Run::Left;
  for (;;) {
    fiber_.suspend();
  }
}

/// Entry of the leaf that maps `address`, its rights the conjunction over all levels; 0 when not present.
u64 SimCpu::walk(u64 address) const noexcept {
  if (address >= memory::kAddressLimit) {
    return 0;
  }
  auto const leaf = memory::find_leaf([this](u64 at) noexcept { return machine_.user_pages_.table_entry(at); },
                                      machine_.placement_.cr3, address);
  if (!leaf) {
    return 0;
  }
  u64 const page = leaf->target() + (align_down(address, kPageSize) - leaf->linear);
  return page | (leaf->rights & pte::kFullRights) | pte::kPresent;
}

void SimCpu::fault(u64 address, u64 error, u64 vector) noexcept {
  auto const& handler = machine_.handler_;
  if (!windows_.faulting) {
    windows_.faulting = true;
    handler.fault(handler.self, *this, vector, error, 0, address);
  }
  machine_.halt(hal::HaltReason::SupervisorFault);
}

/// The host's view of the bytes from `address` to the end of its page, when ring 0 may access them; else a ring-0 page
/// fault, which does not return in management mode.
std::byte* SimCpu::access(u64 address, bool write) noexcept {
  u64 const page = address & ~(kPageSize - 1);
  Translation& cached = translations_[address >> kPageShift & (translations_.size() - 1)];
  if (cached.page != page) {
    u64 const entry = walk(address);
    if (entry == 0) {
      fault(address, write ? 2 : 0);
      return nullptr;
    }
    cached = {page, entry};
    translated_ = true;
  }
  u64 const entry = cached.entry;
  bool const smap = machine_.config_.boot.smap != 0 && (entry & pte::kUser) != 0 && !windows_.user_access;
  if (smap || (write && windows_.write_protect && (entry & pte::kWritable) == 0)) {
    fault(address, write ? 3 : 1);
    return nullptr;
  }
  u64 const physical = (entry & pte::kAddress) + (address & (kPageSize - 1));
  if (machine_.under_pciexbar(physical)) {
    return nullptr;
  }
  if (!machine_.ram_.holds(physical, 1)) {
    fault(address, 0, kVectorMachineCheck);  // ring 0 has no business where there is no memory
    return nullptr;
  }
  if (write) {
    machine_.ram_.mark(physical);
    machine_.seen_.protected_writes += (entry & pte::kWritable) == 0 ? 1u : 0u;
  }
  return machine_.ram_.at(physical);
}

/// The map of ring 0 is an identity: the address is the physical one. MMRAM is everything in TSEG.
void SimCpu::note_fetch(u64 address, u64 bytes) noexcept {
  if (!machine_.devices_.tseg().contains({address, bytes})) {
    if (machine_.current_ == this) {
      yield();  // shared with whoever can write it: another CPU may come first
    }
    machine_.fetch_log_.fetched({address, bytes}, index_);
  }
}

void SimCpu::read(PhysAddr at, std::span<std::byte> out) noexcept {
  for (u64 address = raw(at); !out.empty();) {
    u64 const chunk = std::min<u64>(out.size(), kPageSize - (address & (kPageSize - 1)));
    if (std::byte const* from = access(address, false); from != nullptr) {
      note_fetch(address, chunk);
      std::memcpy(out.data(), from, chunk);
    } else {
      std::memset(out.data(), 0xFF, chunk);
    }
    out = out.subspan(chunk);
    address += chunk;
  }
}

void SimCpu::write(PhysAddr at, std::span<std::byte const> in) noexcept {
  for (u64 address = raw(at); !in.empty();) {
    u64 const chunk = std::min<u64>(in.size(), kPageSize - (address & (kPageSize - 1)));
    if (std::byte* to = access(address, true); to != nullptr) {
      std::memcpy(to, in.data(), chunk);
    }
    in = in.subspan(chunk);
    address += chunk;
  }
}

void SimCpu::copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept {
  for (u64 d = raw(to), s = raw(from); bytes != 0;) {
    u64 const room = kPageSize - std::max(d & (kPageSize - 1), s & (kPageSize - 1));
    u64 const chunk = std::min(bytes, room);
    std::byte const* source = access(s, false);
    std::byte* target = access(d, true);
    if (source != nullptr) {
      note_fetch(s, chunk);
    }
    if (target != nullptr) {
      if (source != nullptr) {
        std::memmove(target, source, chunk);
      } else {
        std::memset(target, 0xFF, chunk);
      }
    }
    d += chunk;
    s += chunk;
    bytes -= chunk;
  }
}

void SimCpu::zero(PhysAddr at, u64 bytes) noexcept {
  for (u64 address = raw(at); bytes != 0;) {
    u64 const chunk = std::min<u64>(bytes, kPageSize - (address & (kPageSize - 1)));
    if (std::byte* to = access(address, true); to != nullptr) {
      std::memset(to, 0, chunk);
    }
    address += chunk;
    bytes -= chunk;
  }
}

Expected<u64> SimCpu::read_msr(u32 msr) noexcept {
  return msr == arch::kMsrTsc ? machine_.state_.time_ns : state_.msrs.read(msr, CpuWorld::Mm);
}
Expected<u64> SimCpu::normal_read_msr(u32 msr) noexcept {
  return msr == arch::kMsrTsc ? machine_.state_.time_ns : state_.msrs.read(msr, CpuWorld::Normal);
}
Expected<void> SimCpu::normal_write_msr(u32 msr, u64 value) noexcept {
  return state_.msrs.write(msr, value, CpuWorld::Normal);
}

u32 SimCpu::port_in(u16 port, abi::IoWidth width) noexcept {
  return machine_.devices_.in(port, width, machine_.state_.time_ns);
}

void SimCpu::port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
  // An MMI raised in MM would be pended: not modelled.
  if (machine_.devices_.out(port, width, value) == PortEffect::Reset) {
    machine_.power_off();
  }
}

hal::UserExit SimCpu::run_user(hal::UserContext& user) noexcept {
  yield();
  if (flushed_at_ != machine_.table_edits_) {
    machine_.seen_.stale.push_back("CPU " + std::to_string(index_) + " enters ring 3 and has not flushed " +
                                   "its TLB since the tables were last edited");
    flushed_at_ = machine_.table_edits_;
  }
  engine_->set_sysenter_cs(state_.msrs.value(arch::kMsrSysenterCs));
  engine_->set_code_range(state_.msrs.code_check() ? state_.msrs.smrr() : Range{});
  if (std::exchange(nmi_pending_, false) && machine_.defect(supervisor::Check::NmiResume)) {
    return {.kind = hal::UserExitKind::Fault, .vector = kVectorNmi};
  }
  for (;;) {
    u64 const before = engine_->blocks();
    EngineExit const exit = engine_->run(user);
    machine_.state_.time_ns += (engine_->blocks() - before) * kNsPerBlock;
    switch (exit.stop) {
      case EngineStop::Syscall:
        return {.kind = hal::UserExitKind::Syscall};
      case EngineStop::Return:
        return {.kind = hal::UserExitKind::Return};
      case EngineStop::Budget:
        return {.kind = hal::UserExitKind::Budget};
      case EngineStop::Fault:
        return {hal::UserExitKind::Fault, exit.vector, exit.error_code, exit.cr2};
      case EngineStop::Ring0:
        machine_.reached_ring0(index_, user.rip);
        break;
      case EngineStop::Slice:
        yield();
        break;
      case EngineStop::Rsm:
        // The CPU is back in the normal world; what ring 0 was doing is never resumed, and nothing that it exchanged
        // is given back.
        leave_mm();
        run_ = Run::Left;
        for (;;) {
          fiber_.suspend();
        }
    }
  }
}

/// The save state of this CPU; null when there is no memory at its SMBASE.
std::byte* SimCpu::save_state() noexcept {
  u64 const at = u64{state_.normal.smbase} + arch::save_state::kOffset;
  return machine_.ram_.holds(at, arch::save_state::kBytes) ? machine_.ram_.at(at) : nullptr;
}

/// INIT: everything but SMBASE; then the CPU waits for a startup IPI.
void SimCpu::init() noexcept {
  u32 const smbase = state_.normal.smbase;
  state_.normal = NormalCpu::after_init();
  state_.normal.smbase = smbase;
  state_.normal.waits_for_startup = true;
  state_.apic.init();
}

/// Startup IPI to the ROM's page. True: an MMI that was held back comes now.
bool SimCpu::start() noexcept {
  if (!state_.normal.waits_for_startup) {
    return false;
  }
  state_.normal.waits_for_startup = false;
  state_.normal.settle(index_);
  return std::exchange(state_.normal.mmi_held_back, false);
}

/// While it waits for a startup IPI a CPU holds MMIs back.
bool SimCpu::takes_mmi() noexcept {
  state_.normal.mmi_held_back = state_.normal.waits_for_startup;
  return !state_.normal.waits_for_startup;
}

void SimCpu::enter_mm(IoInstruction const* io) noexcept {
  state_.msrs.count_smi();
  io_restart_ = false;
  // The entry code loads CR3, which empties the TLB. It stays when nobody can have edited a table: ring 0 does so in
  // windows that are counted, ring 3 where the protection of pages is a planted defect.
  if (flushed_at_ != machine_.table_edits_ || machine_.defect(supervisor::Check::PageAttributes)) {
    flush_tlb();
  }
  if (std::byte* const area = save_state(); area != nullptr) {
    u64 const at = u64{state_.normal.smbase} + arch::save_state::kOffset;
    machine_.ram_.mark(at);
    machine_.ram_.mark(at + arch::save_state::kBytes - 1);
    IoInstruction const* const last = io == nullptr && state_.normal.parked ? &*state_.normal.parked : io;
    write_save_state(SaveStateArea{area, arch::save_state::kBytes}, state_.normal, last, machine_.save_state_format());
  }
  // Where no entry code of ours is, a CPU runs who knows what: it never comes.
  u64 const placed = machine_.placement_.smbase[index_];
  run_ = placed == 0 || placed == state_.normal.smbase ? Run::Running : Run::Left;
}

void SimCpu::set_border() noexcept {
  static_assert(kBorder.size() == kBorderMsrs);
  for (std::size_t i = 0; i < kBorder.size(); ++i) {
    auto const& [msr, inside] = kBorder[i];
    outside_[i] = state_.msrs.value(msr);
    state_.msrs.set(msr, msr == arch::kMsrLstar ? machine_.placement_.supervisor_entry : inside);
  }
}

void SimCpu::give_border_back() noexcept {
  for (std::size_t i = 0; i < kBorder.size(); ++i) {
    state_.msrs.set(kBorder[i].msr, outside_[i]);
  }
}

/// RSM.
void SimCpu::leave_mm() noexcept {
  if (std::byte* const area = save_state(); area != nullptr) {
    io_restart_ =
        read_save_state(SaveStateArea{area, arch::save_state::kBytes}, state_.normal, machine_.save_state_format());
  }
  state_.msrs.set_smbase(state_.normal.smbase);
  if (index_ != 0) {
    state_.normal.settle(index_);
  }
}

/// As the ROM does it: one MMI at the reset-time SMBASE, whose handler changes the field in the save state.
void SimCpu::relocate(u32 smbase) noexcept {
  enter_mm(nullptr);
  if (std::byte* const area = save_state(); area != nullptr) {
    set_smbase(SaveStateArea{area, arch::save_state::kBytes}, smbase, machine_.save_state_format());
  }
  leave_mm();
  run_ = Run::Idle;
}

}  // namespace mm::sim
