// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/simulator_impl.hpp"

namespace mm::sim {

void Simulator::read(PhysAddr at, std::span<std::byte> out) noexcept {
  Impl& s = *impl_;
  if (Range const page = s.apic_page(); page.contains({raw(at), out.size()})) {
    return s.read_apic(raw(at) - page.base, out);
  }
  s.pieces(raw(at), out.size(), [&](u64 done, u64 chunk, bool visible) {
    if (visible) {
      std::memcpy(out.data() + done, s.machine.ram().at(raw(at) + done), chunk);
    } else if (s.is_hole(raw(at) + done)) {
      s.machine.devices().read_outside(raw(at) + done, out.subspan(done, chunk));
    } else {
      std::memset(out.data() + done, 0xFF, chunk);
    }
  });
}

void Simulator::write(PhysAddr at, std::span<std::byte const> in) noexcept {
  Impl& s = *impl_;
  if (Range const page = s.apic_page(); page.contains({raw(at), in.size()})) {
    return s.write_apic(raw(at) - page.base, in);
  }
  s.pieces(raw(at), in.size(), [&](u64 done, u64 chunk, bool visible) {
    if (visible) {
      s.write_visible(raw(at) + done, in.subspan(done, chunk));
    } else if (s.is_hole(raw(at) + done)) {
      s.machine.devices().write_outside(raw(at) + done, in.subspan(done, chunk));
    }
  });
  s.ends_by(PortEffect::None);
}

u32 Simulator::port_in(u16 port, abi::IoWidth width) noexcept {
  return impl_->machine.devices().in(port, width, impl_->machine.time_ns());
}

void Simulator::port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
  Impl& s = *impl_;
  PortEffect const effect = s.machine.devices().out(port, width, value);
  if (s.ends_by(effect)) {
    return;
  }
  bool const raises = effect == PortEffect::SoftwareMmi;
  if (port != platform::kPortApmCnt) {
    return;
  }
  s.state.program = steps::with_command(s.state.program, static_cast<u8>(value));
  if (raises) {
    auto const form = static_cast<steps::OutForm>(s.state.program[steps::CpuRegister::Form]);
    u32 const bytes = steps::out_code(form, 0).instruction;
    u16 const bits = form == steps::OutForm::Immediate ? steps::TrappedForm::kImmediate : u16{0};
    IoInstruction const io{port, static_cast<u32>(abi::bytes_of(width)), bits, bytes};
    s.raise(s.all_cpus(), bytes, &io, s.state.later);
    if (s.machine.cpu(0).take_io_restart()) {
      s.machine.devices().out(port, width, static_cast<u32>(s.state.program[steps::CpuRegister::Rax]));
    }
  }
}

steps::CpuState Simulator::cpu_state() const noexcept { return impl_->state.program; }
void Simulator::set_cpu_state(steps::CpuState const& state) noexcept { impl_->state.program = state; }
void Simulator::set_later_loads(steps::LaterLoads const& later) noexcept { impl_->state.later = later; }

void Simulator::raise_with_nmi(u8 command) noexcept {
  impl_->machine.cpu(0).pend_nmi(true);
  port_out(platform::kPortApmCnt, abi::IoWidth::Byte, command);
  impl_->machine.cpu(0).pend_nmi(false);  // what is left is the normal world's
}

Expected<void> Simulator::park(u32 cpu, u16 port, abi::IoWidth width, u16 form, u64 rsi) noexcept {
  Impl& s = *impl_;
  if (s.config.profile != Profile::Reference) {
    return std::unexpected(Status::Unsupported);
  }
  if (cpu == 0 || cpu >= s.machine.cpus()) {
    return std::unexpected(Status::InvalidParameter);
  }
  s.machine.cpu(cpu).normal().park({port, static_cast<u32>(abi::bytes_of(width)), form, 1}, rsi);
  return {};
}

Expected<u32> Simulator::trapped_io(u16 port, abi::IoWidth width, u32 value, u16 form) noexcept {
  using steps::CpuRegister;
  using steps::TrappedForm;
  Impl& s = *impl_;
  if (s.config.profile != Profile::Reference || s.machine.halted().has_value()) {
    return std::unexpected(Status::Unsupported);
  }
  bool const is_in = (form & TrappedForm::kIn) != 0;
  bool const immediate = (form & TrappedForm::kImmediate) != 0;
  u32 const bytes = static_cast<u32>(abi::bytes_of(width));
  u64 const mask = (u64{1} << (8 * bytes)) - 1;
  u32 const prefix = width == abi::IoWidth::Word ? 1 : 0;
  u64& rax = s.state.program[CpuRegister::Rax];
  rax = is_in ? rax : (rax & ~mask) | (value & mask);
  if (!immediate) {
    s.state.program[CpuRegister::Rdx] = (s.state.program[CpuRegister::Rdx] & ~u64{0xFFFF}) | port;
  }
  IoInstruction const io{port, bytes, form, prefix + (immediate ? 2u : 1u)};
  s.raise(s.all_cpus(), io.instruction, &io);
  if (s.machine.cpu(0).take_io_restart()) {
    if (is_in) {
      rax = (rax & ~mask) | s.machine.devices().in(port, width, s.machine.time_ns());
    } else {
      s.machine.devices().out(port, width, static_cast<u32>(rax));
    }
  }
  return static_cast<u32>(rax & mask);
}

/// The three registers that RSM brings back are not MM's, which are in the file, but those of the payload.
u64* Simulator::Impl::payload_msr(u32 msr) noexcept {
  return msr == arch::kMsrEfer     ? &state.payload.efer
         : msr == arch::kMsrFsBase ? &state.payload.fs_base
         : msr == arch::kMsrGsBase ? &state.payload.gs_base
                                   : nullptr;
}

Expected<u64> Simulator::read_msr(u32 msr) noexcept {
  u64 const* const own = impl_->payload_msr(msr);
  return own != nullptr ? *own : impl_->machine.cpu(0).normal_read_msr(msr);
}
Expected<void> Simulator::write_msr(u32 msr, u64 value) noexcept {
  u64* const own = impl_->payload_msr(msr);
  if (own == nullptr) {
    return impl_->machine.cpu(0).normal_write_msr(msr, value);
  }
  constexpr u64 kFree = 0x801;  // of EFER, while paging is on
  u64 const changed = *own ^ value;
  if (msr == arch::kMsrEfer && (changed & ~kFree) != 0) {
    if (impl_->config.profile == Profile::Reference) {
      return std::unexpected(Status::Unsupported);
    }
    value = *own ^ (changed & kFree);
  }
  *own = value;
  return {};
}

void Simulator::send_ipi(u32 destination, u32 command) noexcept {
  impl_->write_apic(arch::kApicIcrHigh, destination << 24);
  impl_->write_apic(arch::kApicIcrLow, command);
}

/// A dword of the boot processor's APIC; a write may send an IPI.
void Simulator::Impl::write_apic(u32 offset, u32 value) noexcept {
  Ipi ipi;
  if (!machine.cpu(0).apic().write(offset, value, ipi)) {
    return;
  }
  u32 const smi = machine.send(0, ipi);
  if ((smi & 1) != 0) {
    raise(smi, steps::icr_code(ipi.command, 0).instruction, nullptr);
  } else if (smi != 0) {
    machine.deliver(smi);
    after_mmi();
  }
}

void Simulator::emit(abi::FrameKind kind, std::span<std::byte const> payload) noexcept {
  if (impl_->said.bytes + payload.size() > impl_->config.most_frame_bytes) {
    impl_->said.dropped_bytes += payload.size();
    return;
  }
  impl_->said.bytes += payload.size();
  impl_->said.frames.push_back({kind, {payload.begin(), payload.end()}, impl_->machine.events().size()});
}

}  // namespace mm::sim
