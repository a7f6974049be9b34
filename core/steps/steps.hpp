// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>

#include "core/abi/comm.hpp"
#include "core/abi/console.hpp"
#include "core/abi/platform.hpp"
#include "core/arch/ipi.hpp"
#include "core/communication/communicator.hpp"
#include "core/steps/cpu_state.hpp"

/// The binary step program: what the normal world does in one run, encoded by the runner, decoded and run by the same
/// source in the simulator and in the ROM payload. Little-endian; every record is a multiple of 8 bytes.
namespace mm::communication {

inline constexpr u32 kStepMagic = 0x5053'4D4D;  // 'MMSP'
inline constexpr u32 kStepVersion = 1;
/// More steps than this are refused.
inline constexpr u32 kMaxSteps = 65536;
/// More repetitions of one TimedMmi step than this are refused.
inline constexpr u64 kMaxTimedRepetitions = 1'000'000;
/// Longest run of bytes that one step writes, reads or sends.
inline constexpr u64 kMaxStepBytes = platform::kCommPages * kPageSize;
/// Data bytes in one StepResult frame; longer data comes in several frames, see StepResult::data_offset.
inline constexpr u32 kResultChunk = 4096;

/// First 16 bytes of a step program; `count` Step records follow.
struct StepProgramHeader {
  u32 magic = kStepMagic;
  u32 version = kStepVersion;
  u32 count = 0;
  u32 total_bytes = 0;  ///< of the program, this header included
};
static_assert(sizeof(StepProgramHeader) == 16);

enum class StepOp : u16 {
  Invalid = 0,  ///< only in results: the program itself is malformed
  Communicate =
      1,  ///< a = abi::Channel, b = mailbox valid byte, c = most reply bytes to fetch; data = whole buffer content
  Mailbox = 2,    ///< a = abi::Channel; data = up to 24 raw bytes for the start of the mailbox
  RawMmi = 3,     ///< a = value for port 0xB2, b = value for port 0xB3 (written first), c = 1: with an NMI pending
  SmiTo = 4,      ///< a = APIC ID: an SMI IPI
  Read = 5,       ///< a = address, b = bytes -> data
  Write = 6,      ///< a = address; data
  Fill = 7,       ///< a = address, b = bytes, c = byte value
  PortIn = 8,     ///< a = port, b = abi::IoWidth -> value
  PortOut = 9,    ///< a = port, b = abi::IoWidth, c = value
  ReadMsr = 10,   ///< a = MSR -> status, value
  WriteMsr = 11,  ///< a = MSR, b = value -> status
  /// a = repetitions, b = port (0xB2, or another to see the cost of the instruction alone), data = user-channel buffer,
  /// made valid before each repetition and withdrawn when MM does not take it (none: no message) -> value = least,
  /// detail = mean ticks of the OUT; status Unsupported where the normal world has no clock.
  TimedMmi = 12,
  /// Through MmCommunicator: a = abi::Channel, b = 1 for a V3 header, c = most reply bytes to fetch; data = GUID of the
  /// recipient and the message. In the result, byte 1 of detail is 0 or 1 + CommunicateError; status is that error's
  /// efi_status() unless it is MM's own.
  Call = 13,
  UseBuffers = 14,  ///< a = abi::Channel, b = buffer, c = mailbox: where later steps of the channel communicate
  /// The registers of the program that raises MMIs: a = mask of those to set (bit = CpuRegister), data = CpuState
  /// (none: a is 0) -> data = CpuState; status InvalidParameter: the payload cannot run with them, none was set.
  Cpu = 20,
  /// An I/O instruction that the chipset turns into an MMI: a = port, b = abi::IoWidth, c = value, `form` of the step
  /// = TrappedForm bits -> value = what IN gave; status Unsupported where the chipset has no I/O trap.
  TrappedIo = 21,
  Ipi = 22,  ///< a = ICR low half, b = destination; refused: is_sendable() says no
  /// What the program loads behind its OUT from now on: a = LaterLoads::mask, data = CpuState.
  Later = 23,
  /// A CPU other than the boot processor executes an I/O instruction over and over: every MMI finds it there.
  /// a = CPU, b = port, bits 16 and 17 abi::IoWidth, c = its RSI, `form` = TrappedForm bits -> status Unsupported where
  /// the save state records no I/O, InvalidParameter: no such CPU.
  Park = 24,
};

/// Bits of Step::form.
struct TrappedForm {
  static constexpr u16 kIn = 1;
  static constexpr u16 kString = 2;     ///< OUTS, INS
  static constexpr u16 kImmediate = 8;  ///< the port is in the instruction, not in DX
};

/// One step; `data_bytes` bytes follow, padded with zeros to a multiple of 8.
struct Step {
  u16 op = 0;    ///< StepOp
  u16 form = 0;  ///< TrappedIo, Park
  u32 data_bytes = 0;
  u64 a = 0, b = 0, c = 0;
};
static_assert(sizeof(Step) == 32);

/// What one step gave; `data` follows. Data longer than kResultChunk comes in several frames with the same header but
/// for data_offset. A step refused by the decoder has status InvalidParameter and detail 1.
struct StepResult {
  u32 index = 0;
  u32 op = 0;           ///< StepOp
  u64 status = 0;       ///< Communicate: mailbox ReturnStatus; else EFI_STATUS of the access
  u64 value = 0;        ///< Communicate: mailbox ReturnBufferSize; PortIn, ReadMsr: what was read
  u64 detail = 0;       ///< Communicate, Call: mailbox valid byte after the MMI; see StepOp::Call for byte 1
  u32 data_bytes = 0;   ///< of the whole step
  u32 data_offset = 0;  ///< of this frame's data
};
static_assert(sizeof(StepResult) == 40);

constexpr PhysAddr comm_buffer(abi::Channel channel) noexcept {
  return PhysAddr{channel == abi::Channel::Supervisor ? platform::kSupervisorCommBuffer : platform::kUserCommBuffer};
}
constexpr PhysAddr comm_mailbox(abi::Channel channel) noexcept {
  return PhysAddr{channel == abi::Channel::Supervisor ? platform::kSupervisorCommStatus : platform::kUserCommStatus};
}

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
    switch (static_cast<StepOp>(step.op)) {
      case StepOp::Communicate:
        return communicate(step, data);
      case StepOp::Call:
        return call(step, data);
      case StepOp::Mailbox:
        if (!is_channel(step.a) || data.size() > sizeof(abi::CommBufferStatus)) {
          return refuse();
        }
        nw_.write(mailboxes_[step.a], data);
        return emit_plain();
      case StepOp::RawMmi:
        if (step.a > 0xFF || step.b > 0xFF || step.c > 1) {
          return refuse();
        }
        if constexpr (requires { nw_.raise_with_nmi(u8{}); }) {
          if (step.c == 1) {
            nw_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, static_cast<u32>(step.b));
            nw_.raise_with_nmi(static_cast<u8>(step.a));
            return emit_plain();
          }
        }
        trigger(static_cast<u8>(step.a), static_cast<u8>(step.b));
        return emit_plain();
      case StepOp::SmiTo:
        if (step.a > 0xFF) {
          return refuse();
        }
        nw_.send_ipi(static_cast<u32>(step.a), ipi_command(DeliveryMode::Smi));
        return emit_plain();
      case StepOp::Ipi:
        if (step.a > UINT32_MAX || step.b > kBroadcast ||
            !is_sendable(static_cast<u32>(step.a), static_cast<u32>(step.b))) {
          return refuse();
        }
        nw_.send_ipi(static_cast<u32>(step.b), static_cast<u32>(step.a));
        return emit_plain();
      case StepOp::UseBuffers:
        if (!is_channel(step.a) || !in_memory(step.b, kMaxStepBytes) ||
            !in_memory(step.c, sizeof(abi::CommBufferStatus))) {
          return refuse();
        }
        buffers_[step.a] = PhysAddr{step.b};
        mailboxes_[step.a] = PhysAddr{step.c};
        client_.reset();
        return emit_plain();
      default:
        return run_access(step, data);
    }
  }

  void run_access(Step const& step, std::span<std::byte const> data) noexcept {
    switch (static_cast<StepOp>(step.op)) {
      case StepOp::Read:
        return in_memory(step.a, step.b) ? emit_memory(PhysAddr{step.a}, step.b) : refuse();
      case StepOp::Write:
        if (!in_memory(step.a, data.size())) {
          return refuse();
        }
        nw_.write(PhysAddr{step.a}, data);
        return emit_plain();
      case StepOp::Fill:
        return in_memory(step.a, step.b) && step.c <= 0xFF ? fill(step) : refuse();
      case StepOp::PortIn:
      case StepOp::PortOut:
        return step.a <= 0xFFFF && step.b <= 2 && step.c <= 0xFFFF'FFFF ? port(step) : refuse();
      case StepOp::ReadMsr:
      case StepOp::WriteMsr:
        return step.a <= 0xFFFF'FFFF ? msr(step) : refuse();
      case StepOp::TimedMmi:
        return timed(step, data);
      case StepOp::Cpu:
        return cpu(step, data);
      case StepOp::TrappedIo:
        return step.a <= 0xFFFF && step.b <= 2 && step.c <= 0xFFFF'FFFF ? trapped_io(step) : refuse();
      case StepOp::Later:
        return later(step, data);
      case StepOp::Park:
        return step.a < platform::kMaxCpus && step.b >> 16 <= 2 ? park(step) : refuse();
      default:
        return refuse();
    }
  }

  static bool is_channel(u64 value) noexcept { return value <= static_cast<u64>(abi::Channel::User); }
  void timed(Step const& step, std::span<std::byte const> data) noexcept {
    if (step.a == 0 || step.a > kMaxTimedRepetitions || step.b > 0xFFFF || data.size() > kMaxStepBytes) {
      return refuse();
    }
    result_.status = static_cast<u64>(Status::Unsupported);
    if constexpr (requires { nw_.timed_out(u16{}, u8{}); }) {
      result_.status = static_cast<u64>(Status::Success);
      measure(step, data);
    }
    emit_plain();
  }
  void measure(Step const& step, std::span<std::byte const> data) noexcept {
    u64 sum = 0;
    result_.value = ~u64{0};
    for (u64 i = 0; i < step.a && !stopped(); ++i) {
      abi::CommBufferStatus mailbox;
      mailbox.return_status = static_cast<u64>(kUntouched);
      if (!data.empty()) {
        mailbox.is_comm_buffer_valid = 1;
        nw_.write(comm_buffer(abi::Channel::User), data);
      }
      auto const raw_mailbox = std::as_writable_bytes(std::span<abi::CommBufferStatus, 1>{&mailbox, 1});
      nw_.write(comm_mailbox(abi::Channel::User), raw_mailbox);
      u64 const ticks = nw_.timed_out(static_cast<u16>(step.b), u8{0});
      sum += ticks;
      result_.value = ticks < result_.value ? ticks : result_.value;
      nw_.read(comm_mailbox(abi::Channel::User), raw_mailbox);
      if (mailbox.is_comm_buffer_valid != 0) {  // MM did not take it: nobody else's MMI may serve it later
        mailbox.is_comm_buffer_valid = 0;
        nw_.write(comm_mailbox(abi::Channel::User), raw_mailbox);
      }
      if (step.b == platform::kPortApmCnt && !data.empty() && mailbox.return_status != 0) {
        result_.status = mailbox.return_status;
      }
    }
    result_.detail = sum / step.a;
  }

  /// The first 4 GiB only: what the ROM payload maps.
  static bool in_memory(u64 addr, u64 bytes) noexcept {
    constexpr u64 kTop = u64{1} << 32;
    return bytes <= kMaxStepBytes && addr < kTop && bytes <= kTop - addr;
  }
  /// A raw MMI: any command, whatever state the chipset is in.
  void trigger(u8 command, u8 data) noexcept {
    nw_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, data);
    nw_.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, command);
  }

  void communicate(Step const& step, std::span<std::byte const> data) noexcept {
    if (!is_channel(step.a) || step.b > 0xFF || data.size() > kMaxStepBytes) {
      return refuse();
    }
    PhysAddr const buffer = buffers_[step.a];
    PhysAddr const at_mailbox = mailboxes_[step.a];
    nw_.write(buffer, data);
    abi::CommBufferStatus mailbox;
    mailbox.is_comm_buffer_valid = static_cast<u8>(step.b);
    mailbox.return_status = static_cast<u64>(kUntouched);
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

  /// The client that well-formed messages go through, made when the first one comes: taking the buffers clears them.
  struct Client {
    using Trigger = SwMmiTrigger<N>;
    using Executor = RealMmExecutor<Trigger>;

    Client(N& world, std::array<PhysAddr, 2> const& buffers, std::array<PhysAddr, 2> const& mailboxes) noexcept
        : trigger(world, AcpiBase::io(platform::kPmBase), MmiPort::smi(platform::kPortApmCnt),
                  MmiPort::smi(platform::kPortApmSts)),
          executor(trigger),
          communicator(world, config(world, buffers, mailboxes), &executor) {}
    Client(Client const&) = delete;
    Client& operator=(Client const&) = delete;

    static CommunicationConfig config(N& world, std::array<PhysAddr, 2> const& buffers,
                                      std::array<PhysAddr, 2> const& mailboxes) noexcept {
      CommunicationConfig made;
      for (auto const channel : {abi::Channel::Supervisor, abi::Channel::User}) {
        auto const id = static_cast<u8>(channel);
        auto const buffer =
            CommunicateBuffer::from_firmware_region(world, raw(buffers[id]), kMaxStepBytes, id, raw(mailboxes[id]));
        if (buffer.has_value()) {
          made.comm_buffers[id] = *buffer;
        }
      }
      return made;
    }

    Trigger trigger;
    Executor executor;
    MmCommunicator<N, Executor> communicator;
  };

  void call(Step const& step, std::span<std::byte const> data) noexcept {
    Message message;
    if (!is_channel(step.a) || step.b > 1 || !take(data, message.recipient)) {
      return refuse();
    }
    if (!client_.has_value()) {
      client_.emplace(nw_, buffers_, mailboxes_);
    }
    message.data = data;
    message.format = step.b == 1 ? MessageFormat::V3 : MessageFormat::V1;
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
      bool const unanswered = done.error() == CommunicateError::SwMmiFailed;
      result_.status = static_cast<u64>(
          unanswered ? kUntouched : efi_status(done.error(), static_cast<Status>(answer.return_status)));
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

  void port(Step const& step) noexcept {
    auto const at = static_cast<u16>(step.a);
    auto const width = static_cast<abi::IoWidth>(step.b);
    if (static_cast<StepOp>(step.op) == StepOp::PortIn) {
      result_.value = nw_.port_in(at, width);
    } else {
      nw_.port_out(at, width, static_cast<u32>(step.c));
    }
    emit_plain();
  }

  void msr(Step const& step) noexcept {
    auto const number = static_cast<u32>(step.a);
    if (static_cast<StepOp>(step.op) == StepOp::ReadMsr) {
      Expected<u64> const got = nw_.read_msr(number);
      result_.value = got.has_value() ? *got : 0;
      result_.status = static_cast<u64>(got.has_value() ? Status::Success : got.error());
    } else {
      Expected<void> const done = nw_.write_msr(number, step.b);
      result_.status = static_cast<u64>(done.has_value() ? Status::Success : done.error());
    }
    emit_plain();
  }

  void cpu(Step const& step, std::span<std::byte const> data) noexcept {
    if (data.size() != (step.a == 0 ? 0 : sizeof(CpuState)) || step.a >> kCpuRegisters != 0) {
      return refuse();
    }
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
      result_.status = static_cast<u64>(got.has_value() ? Status::Success : got.error());
      result_.value = got.value_or(0);
    }
    emit_plain();
  }

  void later(Step const& step, std::span<std::byte const> data) noexcept {
    LaterLoads const asked{.mask = static_cast<u32>(step.a)};
    CpuState values;
    if (step.a > UINT32_MAX || !asked.is_loadable() || data.size() != sizeof values) {
      return refuse();
    }
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
      result_.status = static_cast<u64>(done.has_value() ? Status::Success : done.error());
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
  std::optional<Client> client_;
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

}  // namespace mm::communication
