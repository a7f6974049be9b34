// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/descriptors.hpp"
#include "core/supervisor/supervisor.hpp"

/// One MMI: rendezvous, then at most one message of one channel (supervisor.md 4.6).
namespace mm::supervisor {

template <hal::Machine M>
void Supervisor<M>::enter(Cpu& cpu, u32 cpu_index, PhysAddr hob_list) noexcept {
  if (cpu_index >= platform::kMaxCpus) {
    halt_init(0, {InitProblem::CpuIndex, cpu_index});
    return;
  }
  CpuSlot& slot = slots_[cpu_index];
  ++slot.mmis;
  emit(cpu_index, hal::TraceKind::MmiEntry, slot.mmis);
  if (load(slot.in_user) != 0) {
    halt(cpu_index, hal::HaltReason::RsmBreach);
    return;
  }
  // Who is the BSP is decided once: the normal world can move the BSP flag afterwards.
  bool const is_bsp = load(init_done_) != 0 ? cpu_index == bsp_index_ : cpu.is_bsp();
  if (is_bsp) {
    enter_bsp(cpu, cpu_index, hob_list);
  } else {
    enter_ap(cpu, cpu_index);
  }
}

template <hal::Machine M>
void Supervisor<M>::supervisor_fault(Cpu& cpu, u64 vector, u64 error, u64 rip, u64 cr2) noexcept {
  u32 index = 0;
  for (u32 i = 0; i < cpu_count_; ++i) {
    if (slots_[i].apic_id == cpu.apic_id()) {
      index = i;
    }
  }
  if (++slots_[index].faults > 1) {
    machine_.halt(hal::HaltReason::SupervisorFault);
    return;
  }
  emit(index, hal::TraceKind::SupervisorFault, vector, error, rip, cr2);
  if (user_page_ != 0) {
    bool const ours = core_.contains({rip, 1});
    abi::TelemetryData data;
    data.exception_type = vector;
    data.driver_id = ours ? guids::gMmSupervisorCoreGuid : Guid{};
    data.exception_rip = data.context.rip = rip;
    data.driver_load_address = ours ? core_.base : rip;
    data.context.exception_data = error;
    data.context.cr2 = cr2;
    data.context.cr3 = root_;
    data.context.cs = arch::kSupervisorCodeSelector;
    write_telemetry(cpu, index, abi::kTelemetryOffset, data);
  }
  halt(index, hal::HaltReason::SupervisorFault, vector, rip);
}

template <hal::Machine M>
void Supervisor<M>::enter_bsp(Cpu& cpu, u32 index, PhysAddr hob_list) noexcept {
  store(bsp_inside_, 1);
  bool const first = load(init_done_) == 0;
  if (first && !first_mmi(cpu, index, hob_list)) {
    return;
  }
  if (!rendezvous(cpu, index)) {
    return;
  }
  if (first) {
    u64 const status = demote(cpu, index, abi::UserCommand::StartUserCore, user_hob_list_.base, 0);
    if (!stopped()) {
      report_memory_map(cpu, index);
      emit(index, hal::TraceKind::MmiExit, static_cast<u64>(abi::Channel::None), status);
    }
  } else {
    serve(cpu, index);
  }
  if (!stopped()) {
    release(cpu, index);
    store(bsp_inside_, 0);
  }
}

/// One event for each run of present pages with equal rights: the whole map of MM, in ascending order.
template <hal::Machine M>
void Supervisor<M>::report_memory_map(Cpu& cpu, u32 index) noexcept {
  if constexpr (M::kTraced) {
    Range run;
    memory::PageAttr attr;
    auto const report = [&]() noexcept {
      if (run.size != 0) {
        emit(index, hal::TraceKind::MemoryMap, run.base, run.size,
             (attr.writable ? 1u : 0u) | (attr.user ? 2u : 0u) | (attr.executable ? 4u : 0u));
      }
    };
    tables(cpu).for_each_leaf([&](Range leaf, memory::PageAttr now) noexcept {
      if (run.end() == leaf.base && now == attr) {
        run.size += leaf.size;
        return;
      }
      report();
      run = leaf;
      attr = now;
    });
    report();
  }
}

/// Supervisor part of the first MMI on the BSP; afterwards the APs may go on. False: the machine was halted.
template <hal::Machine M>
bool Supervisor<M>::first_mmi(Cpu& cpu, u32 index, PhysAddr hob_list) noexcept {
  if (auto const done = initialise(cpu, hob_list); !done) {
    halt_init(index, done.error());
    return false;
  }
  auto const finding = policy::validate(std::span(policy_).first(policy_bytes_));
  if (finding.problem != policy::Problem::None) {
    halt(index, hal::HaltReason::PolicyInvalid, static_cast<u64>(finding.problem), finding.offset);
    return false;
  }
  if (!register_cpu(cpu, index)) {
    return false;
  }
  bsp_index_ = index;
  store(init_done_, 1);
  return true;
}

/// Waits until every CPU is in the holding pen. False: timed out and halted.
template <hal::Machine M>
bool Supervisor<M>::rendezvous(Cpu& cpu, u32 index) noexcept {
  auto const arrivals = [&]() noexcept {
    u32 n = 1;
    for (u32 i = 0; i < cpu_count_; ++i) {
      n += i != index && load(slots_[i].in_pen) != 0 ? 1u : 0u;
    }
    return n;
  };
  u32 arrived = arrivals();
  if (arrived < cpu_count_ && enforced(Check::Rendezvous)) {
    Wait wait(cpu, kRendezvousUs);
    while ((arrived = arrivals()) < cpu_count_ && !stopped() && wait.go_on()) {
    }
  }
  if (stopped()) {
    return false;
  }
  emit(index, hal::TraceKind::Rendezvous, arrived, cpu_count_);
  if (arrived < cpu_count_ && enforced(Check::Rendezvous)) {
    halt(index, hal::HaltReason::RendezvousTimeout, arrived, cpu_count_);
    return false;
  }
  return true;
}

/// Lets the APs go and waits until each has said so.
template <hal::Machine M>
void Supervisor<M>::release(Cpu& cpu, u32 index) noexcept {
  store(released_, 0);
  increment(release_generation_);
  if (cpu_count_ == 1) {
    return;
  }
  Wait wait(cpu, kRendezvousUs);
  while (load(released_) + 1 < cpu_count_ && !stopped()) {
    if (!wait.go_on()) {
      halt(index, hal::HaltReason::RendezvousTimeout, u64{load(released_)} + 1, cpu_count_);
      return;
    }
  }
}

/// Both mailboxes are read once; the user's wins, the other stays pending for the next MMI.
template <hal::Machine M>
void Supervisor<M>::serve(Cpu& cpu, u32 index) noexcept {
  auto const user = hal::read_object<abi::CommBufferStatus>(cpu, PhysAddr{channel(abi::Channel::User).mailbox});
  auto const supervisor =
      hal::read_object<abi::CommBufferStatus>(cpu, PhysAddr{channel(abi::Channel::Supervisor).mailbox});
  if (user.is_comm_buffer_valid != 0) {
    serve_user(cpu, index, user);
  } else if (supervisor.is_comm_buffer_valid != 0) {
    serve_supervisor(cpu, index, supervisor);
  } else {
    serve_asynchronous(cpu, index);
  }
}

/// Fetches the header once, checks it, and copies exactly header and message into the internal buffer.
/// Unsupported: V3 on the supervisor channel. BadBufferSize: header and message do not fit the buffer.
template <hal::Machine M>
auto Supervisor<M>::copy_in(Cpu& cpu, u32 index, abi::Channel which) noexcept -> Expected<Message> {
  CommChannel& ch = channel(which);
  PhysAddr const external{ch.external};
  PhysAddr const internal{ch.internal};
  abi::CommunicateHeaderV3 header;
  auto const bytes = std::as_writable_bytes(std::span(&header, 1));
  cpu.read(external, bytes.first(sizeof(abi::CommunicateHeader)));
  Message m{header.header_guid, sizeof(abi::CommunicateHeader), header.buffer_size, 1};  // buffer_size: MessageLength
  if (header.header_guid == guids::gEfiMmCommunicateHeaderV3Guid) {
    if (which == abi::Channel::Supervisor) {
      return std::unexpected(Status::Unsupported);
    }
    cpu.read(external + sizeof(abi::CommunicateHeader), bytes.subspan(sizeof(abi::CommunicateHeader)));
    m = {header.message_guid, sizeof(abi::CommunicateHeaderV3), header.message_size, 3};
    if (header.buffer_size > ch.bytes || header.buffer_size < sizeof(header) ||
        m.message_bytes > header.buffer_size - sizeof(header)) {
      return std::unexpected(Status::BadBufferSize);
    }
  }
  if (m.message_bytes > ch.bytes - m.header_bytes && enforced(Check::MessageSize)) {
    return std::unexpected(Status::BadBufferSize);
  }
  u64 const total = m.header_bytes + m.message_bytes;
  if (!enforced(Check::HeaderOnce)) {
    cpu.read(external, bytes.first(m.header_bytes));
  }
  {
    hal::UserAccess access(cpu);
    cpu.write(internal, bytes.first(m.header_bytes));
    cpu.copy(internal + m.header_bytes, external + m.header_bytes, m.message_bytes);
    if (ch.high_water > total) {
      cpu.zero(internal + total, ch.high_water - total);
    }
  }
  ch.high_water = total;
  emit(index, hal::TraceKind::CopyIn, static_cast<u64>(which), total);
  if constexpr (M::kTraced) {
    auto const guid = std::bit_cast<std::array<u64, 2>>(m.guid);
    emit(index, hal::TraceKind::RequestDecoded, static_cast<u64>(which), guid[0], guid[1], m.message_bytes, m.version);
  }
  return m;
}

template <hal::Machine M>
u64 Supervisor<M>::hash_of(Cpu& cpu, PhysAddr at, u64 bytes) noexcept {
  std::array<std::byte, 256> chunk;
  u64 hash = kFnvBasis;
  for (u64 done = 0; done < bytes;) {
    u64 const n = bytes - done < chunk.size() ? bytes - done : chunk.size();
    cpu.read(at + done, std::span(chunk).first(n));
    for (u64 i = 0; i < n; ++i) {
      hash = fnv1a(chunk[i], hash);
    }
    done += n;
  }
  return hash;
}

/// Copies the reply, `bytes` <= buffer, to the normal world.
template <hal::Machine M>
void Supervisor<M>::copy_out(Cpu& cpu, u32 index, abi::Channel which, u64 bytes) noexcept {
  CommChannel& ch = channel(which);
  if (bytes > ch.high_water) {
    ch.high_water = bytes;
  }
  hal::UserAccess access(cpu);
  cpu.copy(PhysAddr{ch.external}, PhysAddr{ch.internal}, bytes);
  if constexpr (M::kTraced) {
    emit(index, hal::TraceKind::CopyOut, static_cast<u64>(which), bytes, hash_of(cpu, PhysAddr{ch.internal}, bytes));
  }
}

/// Writes the mailbox of the served channel back; the message is no longer pending.
template <hal::Machine M>
void Supervisor<M>::finish(Cpu& cpu, u32 index, abi::Channel which, abi::CommBufferStatus status) noexcept {
  status.is_comm_buffer_valid = 0;
  hal::write_object(cpu, PhysAddr{channel(which).mailbox}, status);
  emit(index, hal::TraceKind::MmiExit, static_cast<u64>(which), status.return_status, status.return_buffer_size);
}

/// MmEntryContext and a copy of the status block, for UserRequest.
template <hal::Machine M>
void Supervisor<M>::write_user_page(Cpu& cpu, u32 index, abi::CommBufferStatus const& status) noexcept {
  struct {
    abi::MmEntryContext context;
    abi::CommBufferStatus status;
    u64 roots = 0;
  } page;
  static_assert(sizeof(page) == abi::kUserRootsOffset + sizeof(u64));
  page.context.currently_executing_cpu = index;
  page.context.number_of_cpus = cpu_count_;
  page.status = status;
  hal::UserAccess access(cpu);
  hal::write_object(cpu, PhysAddr{user_page_}, page);
}

/// UserRequest: gives the status block that ring 3 left, and learns whether it has root handlers. After a fault that
/// the user core did not complete, both are as before the request.
template <hal::Machine M>
abi::CommBufferStatus Supervisor<M>::request_user(Cpu& cpu, u32 index, abi::CommBufferStatus const& status) noexcept {
  write_user_page(cpu, index, status);
  demote(cpu, index, abi::UserCommand::UserRequest, user_page_, sizeof(abi::MmEntryContext));
  struct {
    abi::CommBufferStatus status;
    u64 roots = 0;
  } reply;
  static_assert(offsetof(decltype(reply), roots) == abi::kUserRootsOffset - abi::kUserStatusOffset);
  hal::UserAccess access(cpu);
  cpu.read(PhysAddr{user_page_ + abi::kUserStatusOffset}, std::as_writable_bytes(std::span(&reply, 1)));
  user_has_roots_ = reply.roots != abi::kNoRootHandlers;
  return reply.status;
}

/// How far ring 3 may have written in its copy: to the end of the page where message and reply end; anywhere when there
/// is no reply, because then it did not come back in order.
template <hal::Machine M>
void Supervisor<M>::expect_writes(CommChannel& ch, u64 reply) noexcept {
  u64 const end = reply > ch.high_water ? reply : ch.high_water;
  bool const in_order = reply != 0 && end <= ch.bytes;
  ch.high_water = in_order ? align_up(end, kPageSize) : ch.bytes;
}

template <hal::Machine M>
void Supervisor<M>::serve_user(Cpu& cpu, u32 index, abi::CommBufferStatus status) noexcept {
  status.return_buffer_size = 0;
  auto const message = copy_in(cpu, index, abi::Channel::User);
  if (!message) {
    emit(index, hal::TraceKind::RequestRefused, static_cast<u64>(abi::Channel::User),
         static_cast<u64>(message.error()));
    status.return_status = static_cast<u64>(message.error());
    finish(cpu, index, abi::Channel::User, status);
    return;
  }
  abi::CommBufferStatus const reply = request_user(cpu, index, status);
  if (stopped()) {
    return;
  }
  expect_writes(channel(abi::Channel::User), reply.return_buffer_size);
  status.return_status = reply.return_status;
  status.return_buffer_size = reply.return_buffer_size;
  if (reply.return_buffer_size > channel(abi::Channel::User).bytes) {
    status.return_status = static_cast<u64>(Status::BadBufferSize);
    status.return_buffer_size = 0;
  }
  if (status.return_buffer_size != 0) {
    copy_out(cpu, index, abi::Channel::User, status.return_buffer_size);
  }
  finish(cpu, index, abi::Channel::User, status);
}

template <hal::Machine M>
void Supervisor<M>::serve_supervisor(Cpu& cpu, u32 index, abi::CommBufferStatus status) noexcept {
  auto const refused = [&](Status why) noexcept {
    emit(index, hal::TraceKind::RequestRefused, static_cast<u64>(abi::Channel::Supervisor), static_cast<u64>(why));
    status.return_status = static_cast<u64>(why);
    status.return_buffer_size = 0;
    finish(cpu, index, abi::Channel::Supervisor, status);
  };
  if (runtime_ && enforced(Check::RuntimeGate)) {
    refused(Status::AccessDenied);
    return;
  }
  auto const message = copy_in(cpu, index, abi::Channel::Supervisor);
  if (!message) {
    refused(message.error());
    return;
  }
  u64 reply = message->message_bytes;
  Status const handled = handle_supervisor_message(cpu, index, *message, reply);
  status.return_status = static_cast<u64>(handled == Status::Success ? Status::Success : Status::NotFound);
  status.return_buffer_size = message->header_bytes + reply;
  copy_out(cpu, index, abi::Channel::Supervisor, status.return_buffer_size);
  finish(cpu, index, abi::Channel::Supervisor, status);
}

/// No mailbox is valid: ring 3, when it has root handlers, gets a chance to serve whatever raised the MMI.
template <hal::Machine M>
void Supervisor<M>::serve_asynchronous(Cpu& cpu, u32 index) noexcept {
  if (user_has_roots_) {
    static_cast<void>(request_user(cpu, index, {}));
  }
  if (!stopped()) {
    emit(index, hal::TraceKind::MmiExit, static_cast<u64>(abi::Channel::None));
  }
}

}  // namespace mm::supervisor
