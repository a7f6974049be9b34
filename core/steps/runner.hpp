// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>
#include <span>

#include "core/abi/console.hpp"
#include "core/steps/client.hpp"
#include "core/steps/program.hpp"
#include "core/steps/world.hpp"

namespace mm::steps {

/// Runs steps one at a time and reports each. One object a run; holds the only buffer (one frame).
template <StepWorld N>
class StepRunner {
 public:
  explicit StepRunner(N& nw) noexcept : nw_(nw) {}

  /// Runs every step of `program`; stops when the machine halted. Returns the number of steps that were run.
  u32 run(std::span<std::byte const> program) noexcept {
    StepProgramHeader head;
    if (!take(program, head) || head.magic != kStepMagic || head.version != kStepVersion || head.count > kMaxSteps ||
        head.total_bytes < sizeof head || head.total_bytes - sizeof head > program.size()) {
      malformed(0);
      return 0;
    }
    program = program.first(head.total_bytes - sizeof head);
    for (u32 i = 0; i < head.count; ++i) {
      Step step;
      if (!take(program, step) || align_up(u64{step.data_bytes}, 8) > program.size()) {
        malformed(i);
        return i;
      }
      auto const data = program.first(step.data_bytes);
      program = program.subspan(static_cast<std::size_t>(align_up(u64{step.data_bytes}, 8)));
      result_ = StepResult{.index = i, .op = step.op};
      run_one(step, data);
      if (stopped()) {
        return i + 1;  // as on hardware: a halted machine reports nothing
      }
    }
    return head.count;
  }

 private:
  template <typename T>
  static bool take(std::span<std::byte const>& from, T& value) noexcept {
    if (from.size() < sizeof(T)) {
      return false;
    }
    copy(std::as_writable_bytes(std::span<T, 1>{&value, 1}), from.first(sizeof(T)));
    from = from.subspan(sizeof(T));
    return true;
  }
  static void copy(std::span<std::byte> to, std::span<std::byte const> from) noexcept {
    for (std::size_t i = 0; i < from.size() && i < to.size(); ++i) {
      to[i] = from[i];
    }
  }
  bool stopped() noexcept {
    if constexpr (requires { nw_.stopped(); }) {
      return nw_.stopped();
    } else {
      return false;
    }
  }

  void malformed(u32 index) noexcept {
    result_ = StepResult{.index = index};
    refuse();
  }
  void refuse() noexcept {
    result_.status = static_cast<u64>(Status::InvalidParameter);
    result_.detail = 1;
    emit_plain();
  }

  void run_one(Step const& step, std::span<std::byte const> data) noexcept {
    if (!is_acceptable(step)) {
      return refuse();
    }
    switch (static_cast<StepOp>(step.op)) {
      case StepOp::Invalid:
        return;
      case StepOp::Communicate:
        return communicate(step, data);
      case StepOp::Call:
        return call(step, data);
      case StepOp::Mailbox:
        nw_.write(mailboxes_[step.a], data);
        return emit_plain();
      case StepOp::RawMmi:
        return raw_mmi(step);
      case StepOp::SmiTo:
        nw_.send_ipi(static_cast<u32>(step.a), arch::ipi_command(arch::DeliveryMode::Smi));
        return emit_plain();
      case StepOp::Ipi:
        nw_.send_ipi(static_cast<u32>(step.b), static_cast<u32>(step.a));
        return emit_plain();
      case StepOp::UseBuffers:
        buffers_[step.a] = PhysAddr{step.b};
        mailboxes_[step.a] = PhysAddr{step.c};
        client_.reset();
        return emit_plain();
      case StepOp::Read:
        return emit_memory(PhysAddr{step.a}, step.b);
      case StepOp::Write:
        nw_.write(PhysAddr{step.a}, data);
        return emit_plain();
      case StepOp::Fill:
        return fill(step);
      case StepOp::PortIn:
        result_.value = nw_.port_in(static_cast<u16>(step.a), static_cast<abi::IoWidth>(step.b));
        return emit_plain();
      case StepOp::PortOut:
        nw_.port_out(static_cast<u16>(step.a), static_cast<abi::IoWidth>(step.b), static_cast<u32>(step.c));
        return emit_plain();
      case StepOp::ReadMsr:
        return read_msr(step);
      case StepOp::WriteMsr:
        result_.status = status_of(nw_.write_msr(static_cast<u32>(step.a), step.b));
        return emit_plain();
      case StepOp::TimedMmi:
        return timed(step, data);
      case StepOp::Cpu:
        return cpu(step, data);
      case StepOp::TrappedIo:
        return trapped_io(step);
      case StepOp::Later:
        return later(step, data);
      case StepOp::Park:
        return park(step);
    }
  }

  template <typename T>
  static u64 status_of(Expected<T> const& done) noexcept {
    return static_cast<u64>(done.has_value() ? Status::Success : done.error());
  }

  void raw_mmi(Step const& step) noexcept {
    auto const command = static_cast<u8>(step.a);
    auto const data = static_cast<u8>(step.b);
    if constexpr (requires { nw_.raise_with_nmi(u8{}); }) {
      if (step.c == 1) {
        nw_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, data);
        nw_.raise_with_nmi(command);
        return emit_plain();
      }
    }
    trigger(command, data);
    emit_plain();
  }

  void read_msr(Step const& step) noexcept {
    Expected<u64> const got = nw_.read_msr(static_cast<u32>(step.a));
    result_.value = got.value_or(0);
    result_.status = status_of(got);
    emit_plain();
  }

  void timed(Step const& step, std::span<std::byte const> data) noexcept {
    result_.status = static_cast<u64>(Status::Unsupported);
    if constexpr (requires { nw_.timed_out(u16{}, u8{}); }) {
      result_.status = static_cast<u64>(Status::Success);
      measure(step, data);
    }
    emit_plain();
  }
  void measure(Step const& step, std::span<std::byte const> data) noexcept {
    auto const channel = step.c != 0 ? abi::Channel::Supervisor : abi::Channel::User;
    u64 sum = 0;
    result_.value = ~u64{0};
    for (u64 i = 0; i < step.a && !stopped(); ++i) {
      abi::CommBufferStatus mailbox;
      mailbox.return_status = static_cast<u64>(communication::kUntouched);
      if (!data.empty()) {
        mailbox.is_comm_buffer_valid = 1;
        nw_.write(comm_buffer(channel), data);
      }
      auto const raw_mailbox = std::as_writable_bytes(std::span<abi::CommBufferStatus, 1>{&mailbox, 1});
      nw_.write(comm_mailbox(channel), raw_mailbox);
      u64 const ticks = nw_.timed_out(static_cast<u16>(step.b), u8{0});
      sum += ticks;
      result_.value = ticks < result_.value ? ticks : result_.value;
      nw_.read(comm_mailbox(channel), raw_mailbox);
      if (mailbox.is_comm_buffer_valid != 0) {  // MM did not take it: nobody else's MMI may serve it later
        mailbox.is_comm_buffer_valid = 0;
        nw_.write(comm_mailbox(channel), raw_mailbox);
      }
      if (step.b == platform::kPortApmCnt && !data.empty() && mailbox.return_status != 0) {
        result_.status = mailbox.return_status;
      }
    }
    result_.detail = sum / step.a;
  }

  /// A raw MMI: any command, whatever state the chipset is in.
  void trigger(u8 command, u8 data) noexcept {
    nw_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, data);
    nw_.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, command);
  }

  void communicate(Step const& step, std::span<std::byte const> data) noexcept {
    PhysAddr const buffer = buffers_[step.a];
    PhysAddr const at_mailbox = mailboxes_[step.a];
    nw_.write(buffer, data);
    abi::CommBufferStatus mailbox;
    mailbox.is_comm_buffer_valid = static_cast<u8>(step.b);
    mailbox.return_status = static_cast<u64>(communication::kUntouched);
    nw_.write(at_mailbox, std::as_bytes(std::span<abi::CommBufferStatus, 1>{&mailbox, 1}));
    trigger(0, 0);
    if (stopped()) {
      return;
    }
    nw_.read(at_mailbox, std::as_writable_bytes(std::span<abi::CommBufferStatus, 1>{&mailbox, 1}));
    result_.status = mailbox.return_status;
    result_.value = mailbox.return_buffer_size;
    result_.detail = mailbox.is_comm_buffer_valid;
    u64 bytes = mailbox.return_buffer_size < step.c ? mailbox.return_buffer_size : step.c;
    bytes = bytes < kMaxStepBytes ? bytes : kMaxStepBytes;
    emit_memory(buffer, bytes);
  }

  void call(Step const& step, std::span<std::byte const> data) noexcept {
    communication::Message message;
    static_cast<void>(take(data, message.recipient));
    if (!client_.has_value()) {
      client_.emplace(nw_, buffers_, mailboxes_);
    }
    message.data = data;
    message.format = step.b == 1 ? communication::MessageFormat::V3 : communication::MessageFormat::V1;
    if (auto const ready = client_->trigger.start(); !ready.has_value()) {
      result_.status = static_cast<u64>(ready.error());
      return emit_plain();
    }
    auto& communicator = client_->communicator;
    auto const done = communicator.communicate_in_place(static_cast<u8>(step.a), message);
    if (stopped()) {
      return;
    }
    abi::CommBufferStatus const answer = communicator.answer();
    result_.status = answer.return_status;
    result_.value = answer.return_buffer_size;
    result_.detail = answer.is_comm_buffer_valid;
    if (!done.has_value()) {
      result_.detail |= (1 + static_cast<u64>(done.error())) << 8;
      bool const unanswered = done.error() == communication::CommunicateError::SwMmiFailed;
      result_.status = static_cast<u64>(
          unanswered ? communication::kUntouched
                     : communication::efi_status(done.error(), static_cast<Status>(answer.return_status)));
    }
    u64 const bytes = answer.return_buffer_size < step.c ? answer.return_buffer_size : step.c;
    emit_memory(buffers_[step.a], bytes < kMaxStepBytes ? bytes : kMaxStepBytes);
  }

  void fill(Step const& step) noexcept {
    for (auto& b : frame_) {
      b = static_cast<std::byte>(step.c);
    }
    for (u64 done = 0; done < step.b;) {
      u64 const n = step.b - done < frame_.size() ? step.b - done : frame_.size();
      nw_.write(PhysAddr{step.a + done}, std::span<std::byte const>{frame_.data(), static_cast<std::size_t>(n)});
      done += n;
    }
    emit_plain();
  }

  void cpu(Step const& step, std::span<std::byte const> data) noexcept {
    result_.status = static_cast<u64>(Status::Unsupported);
    CpuState state;
    if constexpr (requires { nw_.set_cpu_state(state); }) {
      result_.status = static_cast<u64>(Status::Success);
      CpuState wanted;
      copy(std::as_writable_bytes(std::span<CpuState, 1>{&wanted, 1}), data);
      state = nw_.cpu_state();
      for (u32 i = 0; i < kCpuRegisters; ++i) {
        state.values[i] = (step.a >> i & 1) != 0 ? wanted.values[i] : state.values[i];
      }
      if (is_runnable(state)) {
        nw_.set_cpu_state(state);
      } else if (step.a != 0) {
        result_.status = static_cast<u64>(Status::InvalidParameter);
      }
      state = nw_.cpu_state();
    }
    emit_bytes(std::as_bytes(std::span<CpuState, 1>{&state, 1}));
  }
  void trapped_io(Step const& step) noexcept {
    result_.status = static_cast<u64>(Status::Unsupported);
    if constexpr (requires { nw_.trapped_io(u16{}, abi::IoWidth{}, u32{}, u16{}); }) {
      Expected<u32> const got = nw_.trapped_io(static_cast<u16>(step.a), static_cast<abi::IoWidth>(step.b),
                                               static_cast<u32>(step.c), step.form);
      result_.status = status_of(got);
      result_.value = got.value_or(0);
    }
    emit_plain();
  }

  void later(Step const& step, std::span<std::byte const> data) noexcept {
    LaterLoads const asked{.mask = static_cast<u32>(step.a)};
    CpuState values;
    copy(std::as_writable_bytes(std::span<CpuState, 1>{&values, 1}), data);
    result_.status = static_cast<u64>(Status::Unsupported);
    if constexpr (requires { nw_.set_later_loads(asked); }) {
      LaterLoads loads = asked;
      copy_values(loads, values);
      nw_.set_later_loads(loads);
      result_.status = static_cast<u64>(Status::Success);
    }
    emit_plain();
  }
  static void copy_values(LaterLoads& to, CpuState const& from) noexcept {
    for (u32 r = 0; r < LaterLoads::kGeneral; ++r) {
      to.values[r] = from.values[r];
    }
  }
  void park(Step const& step) noexcept {
    result_.status = static_cast<u64>(Status::Unsupported);
    if constexpr (requires { nw_.park(u32{}, u16{}, abi::IoWidth{}, u16{}, u64{}); }) {
      Expected<void> const done = nw_.park(static_cast<u32>(step.a), static_cast<u16>(step.b),
                                           static_cast<abi::IoWidth>(step.b >> 16), step.form, step.c);
      result_.status = status_of(done);
    }
    emit_plain();
  }

  void emit_plain() noexcept { emit_bytes({}); }
  /// One result with `data`, which fits one frame.
  void emit_bytes(std::span<std::byte const> data) noexcept {
    if (stopped()) {
      return;
    }
    result_.data_bytes = static_cast<u32>(data.size());
    std::span<std::byte> const frame{frame_};
    copy(frame, std::as_bytes(std::span<StepResult, 1>{&result_, 1}));
    copy(frame.subspan(sizeof result_), data);
    nw_.emit(abi::FrameKind::StepResult, frame.first(sizeof result_ + data.size()));
  }

  /// One result, with `bytes` of memory at `from` as its data, in as many frames as it takes.
  void emit_memory(PhysAddr from, u64 bytes) noexcept {
    if (stopped()) {
      return;
    }
    result_.data_bytes = static_cast<u32>(bytes);
    u64 offset = 0;
    do {
      u64 const n = bytes - offset < kResultChunk ? bytes - offset : kResultChunk;
      result_.data_offset = static_cast<u32>(offset);
      std::span<std::byte> const frame{frame_};
      copy(frame, std::as_bytes(std::span<StepResult, 1>{&result_, 1}));
      nw_.read(from + offset, frame.subspan(sizeof result_, static_cast<std::size_t>(n)));
      nw_.emit(abi::FrameKind::StepResult, frame.first(sizeof result_ + static_cast<std::size_t>(n)));
      offset += n;
    } while (offset < bytes);
  }

  N& nw_;
  std::optional<StepClient<N>> client_;
  StepResult result_;
  std::array<PhysAddr, 2> buffers_{comm_buffer(abi::Channel::Supervisor), comm_buffer(abi::Channel::User)};
  std::array<PhysAddr, 2> mailboxes_{comm_mailbox(abi::Channel::Supervisor), comm_mailbox(abi::Channel::User)};
  std::array<std::byte, sizeof(StepResult) + kResultChunk> frame_{};
};

/// Decodes and runs `program` on `nw`; emits the StepResult frames of each step, in order. Returns the number of steps
/// that were run. A malformed program gives one result with op Invalid and status InvalidParameter, and ends the run.
template <StepWorld N>
u32 run_steps(N& nw, std::span<std::byte const> program) noexcept {
  StepRunner<N> runner{nw};
  return runner.run(program);
}

}  // namespace mm::steps
