// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>
#include <span>

#include "core/abi/console.hpp"
#include "core/communication/normal_world.hpp"

namespace mm::steps {

/// What a step program needs besides: a normal world that owns the machine.
/// Optional: cpu_state(), set_cpu_state() and set_later_loads() (cpu_state.hpp), trapped_io(port, width, value, form),
/// park(cpu, port, width, form, rsi), timed_out().
template <typename N>
concept StepWorld = communication::NormalWorld<N> &&
                    requires(N& n, std::span<std::byte const> out, u32 v, u32 msr, u64 value, abi::FrameKind kind) {
                      { n.read_msr(msr) } noexcept -> std::same_as<Expected<u64>>;
                      { n.write_msr(msr, value) } noexcept -> std::same_as<Expected<void>>;
                      /// IPI by the boot processor's APIC: destination, ICR low half (ipi.hpp). After an SMI returns
                      /// when it was served.
                      { n.send_ipi(v, v) } noexcept;
                      { n.emit(kind, out) } noexcept;  ///< one frame to the runner
                    };

}  // namespace mm::steps
