// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>

#include "core/abi/platform.hpp"
#include "core/supervisor/cpu_protection.hpp"
#include "core/supervisor/here.hpp"
#include "core/supervisor/wait.hpp"

namespace mm::supervisor {

/// What becomes of a procedure that the BSP asks an AP to run.
enum class ApCall : u8 {
  Ended,
  Faulted,   ///< and was contained: the fault is in the AP's slot
  TimedOut,  ///< it runs on; nothing can stop ring 3 on another CPU
  Busy,      ///< nothing was asked: the mailbox is in use
};

/// Every CPU of the machine: who it is, whether it is inside, and how they wait for each other (core/ARCHITECTURE.md
/// 4).
///
/// Each CPU writes its own slot. The words by which they meet are shared, and accessed through hal::Cpu only: `ready_`
/// publishes all that the BSP's first MMI has set up, a mailbox what stands in its slot.
template <hal::Machine M>
class Processors {
 public:
  using Cpu = typename M::Cpu;

  /// Takes over the CPUs that the hand-over names. `mmram` is what each of them protects, `mseg` the base of MSEG or 0,
  /// `initialised` the address of a byte for each CPU that tells the loader that its first MMI is done.
  void adopt(std::span<u32 const> apic_ids, std::span<u64 const> smbase, Range mmram, u64 mseg,
             u64 initialised) noexcept {
    count_ = static_cast<u32>(apic_ids.size());
    for (u32 i = 0; i < count_; ++i) {
      slots_[i].apic_id = apic_ids[i];
      slots_[i].smbase = smbase[i];
    }
    mmram_ = mmram;
    mseg_ = mseg;
    initialised_ = initialised;
  }

  /// `index` is below platform::kMaxCpus.
  Here<M> here(M& machine, Cpu& cpu, u32 index) noexcept { return {machine, cpu, index, slots_[index], stopped_}; }
  u32 count() const noexcept { return count_; }
  CpuSlot const& slot(u32 index) const noexcept { return slots_[index]; }
  /// The index of a CPU by its APIC ID; 0 when it has none.
  u32 index_of(Cpu& cpu) const noexcept {
    u32 index = 0;
    for (u32 i = 0; i < count_; ++i) {
      index = slots_[i].apic_id == cpu.apic_id() ? i : index;
    }
    return index;
  }

  /// Whether the first MMI of the BSP is done.
  bool is_ready(Here<M> const& here) const noexcept { return here.load(ready_) != 0; }
  /// Who is the BSP is decided once: the normal world can move the BSP flag afterwards.
  bool is_bsp(Here<M> const& here) const noexcept { return is_ready(here) ? here.index == bsp_ : here.cpu.is_bsp(); }
  /// From now on the caller is the BSP, and the APs may go on.
  void open(Here<M> const& here) noexcept {
    bsp_ = here.index;
    here.store(ready_, 1);
  }

  /// The calling CPU joins and protects MMRAM. False: its index is beyond the MP information or belongs to another CPU,
  /// or the CPU refuses a protection that it reports; the machine was halted.
  bool join(Here<M> const& here) noexcept;

  /// The BSP is inside; the APs that wait do not lose patience until it leaves.
  void begin(Here<M> const& here) noexcept { here.store(bsp_inside_, 1); }
  void end(Here<M> const& here) noexcept { here.store(bsp_inside_, 0); }
  /// Waits until every CPU is in the holding pen. False: timed out and halted, or stopped.
  bool gather(Here<M> const& here) noexcept;
  /// Lets the APs go and waits until each has said so.
  void release(Here<M> const& here) noexcept {
    here.store(released_, 0);
    here.increment(release_generation_);
    if (count_ != 1) {
      await_release(here);
    }
  }

  /// Waits in the pen until released. `run(procedure, argument)` is called for each procedure that the BSP asks for and
  /// says whether it ended. An MMI that the BSP does not join within the rendezvous time stops the machine.
  template <typename Run>
  void wait_in_pen(Here<M> const& here, Run&& run) noexcept;

  /// The BSP has a procedure run by CPU `target`, another one that is in the pen, and waits for its end.
  ApCall call(Here<M> const& here, u32 target, u64 procedure, u64 argument) noexcept;

 private:
  /// CPUs that are inside: the BSP, which asks and is never in the pen, and the others that are in it.
  u32 inside(Here<M> const& here) const noexcept {
    u32 n = 1;
    for (u32 i = 0; i < count_; ++i) {
      n += here.load(slots_[i].in_pen) != 0 ? 1u : 0u;
    }
    return n;
  }
  void await_release(Here<M> const& here) noexcept;
  /// The word of a mailbox, as a Mailbox.
  static Mailbox state(Here<M> const& here, CpuSlot const& slot) noexcept {
    return static_cast<Mailbox>(here.load(slot.mailbox));
  }
  static void set(Here<M> const& here, CpuSlot& slot, Mailbox state) noexcept {
    here.store(slot.mailbox, static_cast<u32>(state));
  }

  std::array<CpuSlot, platform::kMaxCpus> slots_{};
  u32 stopped_ = 0;
  u32 ready_ = 0;
  u32 bsp_inside_ = 0;
  u32 release_generation_ = 0;
  u32 released_ = 0;  ///< APs that acknowledged the last release
  u32 count_ = 0;
  u32 bsp_ = 0;
  Range mmram_;
  u64 mseg_ = 0;         ///< 0: none
  u64 initialised_ = 0;  ///< address of one byte a CPU
};

template <hal::Machine M>
bool Processors<M>::join(Here<M> const& here) noexcept {
  if (here.index >= count_ || here.slot.apic_id != here.cpu.apic_id()) {
    here.halt({InitProblem::CpuIndex, here.cpu.apic_id()});
    return false;
  }
  Range const covered = here.enforced(Check::Smrr) ? mmram_ : Range{};
  if (has_smrr(here.cpu) && covered.size != 0 && !is_smrr_block(covered)) {
    here.halt({InitProblem::SmrrRange, covered.size});
    return false;
  }
  if (!protect_mmram(here.cpu, covered, mseg_)) {
    here.halt({InitProblem::CpuProtection, here.cpu.apic_id()});
    return false;
  }
  here.slot.initialised = 1;
  hal::write_object(here.cpu, PhysAddr{initialised_ + here.index}, u8{1});
  here.emit(hal::event::CpuInitialised{});
  return true;
}

template <hal::Machine M>
bool Processors<M>::gather(Here<M> const& here) noexcept {
  bool const all = here.enforced(Check::Rendezvous);
  u32 arrived = inside(here);
  if (arrived < count_ && all) {
    Wait wait(here.cpu, kRendezvousUs);
    while ((arrived = inside(here)) < count_ && !here.stopped() && wait.go_on()) {
    }
  }
  if (here.stopped()) {
    return false;
  }
  here.emit(hal::event::Rendezvous{arrived, count_});
  if (arrived < count_ && all) {
    here.halt(hal::HaltReason::RendezvousTimeout, arrived, count_);
    return false;
  }
  return true;
}

template <hal::Machine M>
void Processors<M>::await_release(Here<M> const& here) noexcept {
  Wait wait(here.cpu, kRendezvousUs);
  while (here.load(released_) + 1 < count_ && !here.stopped()) {
    if (!wait.go_on()) {
      here.halt(hal::HaltReason::RendezvousTimeout, u64{here.load(released_)} + 1, count_);
      return;
    }
  }
}

template <hal::Machine M>
template <typename Run>
void Processors<M>::wait_in_pen(Here<M> const& here, Run&& run) noexcept {
  CpuSlot& slot = here.slot;
  u32 const generation = here.load(release_generation_);
  Wait wait(here.cpu, kRendezvousUs);
  while (here.load(release_generation_) == generation && !here.stopped()) {
    if (is_ready(here)) {
      if (slot.initialised == 0 && !join(here)) {
        return;
      }
      here.store(slot.in_pen, 1);
      if (state(here, slot) == Mailbox::Pending) {
        bool const ended = run(slot.procedure, slot.argument);
        if (!here.stopped()) {
          set(here, slot, ended ? Mailbox::Done : Mailbox::Faulted);
        }
        continue;
      }
    }
    if (here.load(bsp_inside_) != 0) {
      wait.restart();
      here.cpu.pause();
    } else if (!wait.go_on()) {
      here.halt(hal::HaltReason::RendezvousTimeout, 1, count_);
      return;
    }
  }
  here.store(slot.in_pen, 0);
  here.increment(released_);
}

template <hal::Machine M>
ApCall Processors<M>::call(Here<M> const& here, u32 target, u64 procedure, u64 argument) noexcept {
  CpuSlot& slot = slots_[target];
  if (state(here, slot) != Mailbox::Empty) {
    return ApCall::Busy;
  }
  slot.procedure = procedure;
  slot.argument = argument;
  slot.caller = here.index;
  set(here, slot, Mailbox::Pending);
  Wait wait(here.cpu, kApProcedureUs);
  while (state(here, slot) == Mailbox::Pending && !here.stopped()) {
    if (!wait.go_on()) {
      return ApCall::TimedOut;
    }
  }
  bool const faulted = state(here, slot) == Mailbox::Faulted;
  set(here, slot, Mailbox::Empty);
  return faulted ? ApCall::Faulted : ApCall::Ended;
}

}  // namespace mm::supervisor
