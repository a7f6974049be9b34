// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/msr.hpp"
#include "core/arch/save_state.hpp"
#include "core/policy/policy.hpp"
#include "hal/roles/machine.hpp"

/// The save state of an interrupted CPU, in the AMD64 or the Intel layout: the machine's revision word decides. Who may
/// read what is decided in save_state_reads.hpp.
namespace mm::supervisor {

namespace save_state {

using namespace arch::save_state;

inline constexpr u64 kRegRax = static_cast<u64>(Register::Rax);
inline constexpr u64 kRegIo = static_cast<u64>(Register::Io);
inline constexpr u64 kRegLma = static_cast<u64>(Register::Lma);
inline constexpr u64 kRegProcessorId = static_cast<u64>(Register::ProcessorId);
inline constexpr u64 kIoInfoBytes = 24;

constexpr policy::IoTrap trap_of(IoRecord io) noexcept {
  return !io.valid ? policy::IoTrap::None : io.in ? policy::IoTrap::Read : policy::IoTrap::Write;
}

/// Reads the save state of the CPU with this SMBASE.
template <hal::PhysMemory Mem>
class Reader {
 public:
  Reader(Mem& memory, u64 smbase) noexcept : memory_(memory), base_(smbase + kOffset) {
    layout_ = layout_of(get<u32>(kRevision));
  }
  template <typename T>
  T get(Place at) noexcept {
    return hal::read_object<T>(memory_, PhysAddr{base_ + at.offset});
  }
  IoRecord io() noexcept {
    u32 const word = get<u32>(control(layout_).io);
    return layout_ == Layout::Amd64 ? amd_io(word) : intel_io(word);
  }
  u64 rax() noexcept { return get<u64>(place(Register::Rax, layout_)); }
  bool long_mode() noexcept { return layout_ == Layout::Amd64 || (get<u64>(kIntelControl.efer) & arch::kEferLma) != 0; }
  /// Offset and native bytes; NotFound when the layout does not record the register.
  Expected<Place> find(u64 number) const noexcept {
    Place const found = arch::save_state::find(number, layout_);
    return found.bytes != 0 ? Expected<Place>(found) : std::unexpected(Status::NotFound);
  }

 private:
  Mem& memory_;
  u64 base_;
  Layout layout_{};
};

}  // namespace save_state

}  // namespace mm::supervisor
