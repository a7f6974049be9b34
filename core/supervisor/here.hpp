// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/checks.hpp"
#include "core/supervisor/init_problem.hpp"
#include "core/supervisor/types.hpp"
#include "hal/roles/machine.hpp"

namespace mm::supervisor {

/// The CPU that executes, with its slot, and what every part may say to the machine: an event, the end, the question
/// which checks are in force. Made anew for each MMI of each CPU and handed from call to call; parts do not keep it.
template <hal::Machine M>
class Here {
 public:
  using Cpu = typename M::Cpu;

  /// `stopped`: the word that CPUs share, 0 until the machine has stopped.
  constexpr Here(M& machine, Cpu& its_cpu, u32 its_index, CpuSlot& its_slot, u32& stopped) noexcept
      : cpu(its_cpu), slot(its_slot), index(its_index), stopped_(stopped), machine_(machine) {}

  Cpu& cpu;
  CpuSlot& slot;
  u32 index;  ///< dense CpuIndex

  /// Words that CPUs share.
  u32 load(u32 const& word) const noexcept { return cpu.load_shared(word); }
  void store(u32& word, u32 value) const noexcept { cpu.store_shared(word, value); }
  void increment(u32& word) const noexcept { cpu.increment_shared(word); }

  /// Nothing is left of it on a machine that is not traced, if only `event` is made without effects.
  template <hal::Event E>
  void emit([[maybe_unused]] E const& event) const noexcept {
    if constexpr (M::kTraced) {
      machine_.trace(hal::pack(event, index, slot.mmis));
    }
  }
  /// Whether somebody reads the notes of ring 3: on a machine that is traced, unless it says otherwise.
  bool hears_notes() const noexcept {
    if constexpr (requires { machine_.hears_notes(); }) {
      return machine_.hears_notes();
    } else {
      return M::kTraced;
    }
  }
  /// Stops every CPU for ever. Returns on a fake machine only; stopped() is true then.
  void halt(hal::HaltReason why, u64 first = 0, u64 second = 0, u64 third = 0) const noexcept {
    emit(hal::event::Halt{why, first, second, third});
    machine_.halt(why);
    store(stopped_, 1);  // not before: a CPU that saw it would leave MM
  }
  void halt(InitError why) const noexcept {
    halt(hal::HaltReason::InitFailed, static_cast<u64>(status_of(why.problem)), static_cast<u64>(why.problem), why.at);
  }
  /// Stops without an event: there is nothing left to say.
  void halt_at_once(hal::HaltReason why) const noexcept { machine_.halt(why); }
  bool stopped() const noexcept { return load(stopped_) != 0; }

  /// Whether `check` is in force: always, except on a machine with switchable defects (checks.hpp).
  bool enforced([[maybe_unused]] Check check) const noexcept {
    if constexpr (requires { M::kHasDefects; }) {
      return !machine_.defect(check);
    } else {
      return true;
    }
  }

 private:
  u32& stopped_;
  M& machine_;
};

}  // namespace mm::supervisor
