// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/request/request.hpp"
#include "core/supervisor/supervisor.hpp"

/// Supervisor channel: ReadyToLock, ExitBootServices and supervisor requests (supervisor.md 3.5, 7, 10).
/// Everything here works on the internal copy of the message, which is supervisor memory of MMRAM.
namespace mm::supervisor {

/// `reply` is the number of message bytes of the reply; it starts as those of the request. NotFound: no handler.
template <hal::Machine M>
Status Supervisor<M>::handle_supervisor_message(Cpu& cpu, u32 index, Message const& message, u64& reply) noexcept {
  if (message.guid == guids::gMmSupervisorRequestHandlerGuid) {
    return handle_request(cpu, index, message.message_bytes, reply);
  }
  if (message.guid == guids::gEfiDxeMmReadyToLockProtocolGuid && !locked_) {
    auto const done = lock(cpu, index, hal::LockEvent::ReadyToLock);
    return done ? Status::Success : done.error();
  }
  if (message.guid == guids::gEfiEventExitBootServicesGuid) {
    runtime_ = true;
    emit(index, hal::TraceKind::Lock, static_cast<u64>(hal::LockEvent::ExitBootServices));
    return Status::Success;
  }
  return Status::NotFound;
}

/// Locks, and records the memory policy. The lock holds even when the snapshot fails.
template <hal::Machine M>
Expected<void> Supervisor<M>::lock(Cpu& cpu, u32 index, hal::LockEvent event) noexcept {
  locked_ = true;
  emit(index, hal::TraceKind::Lock, static_cast<u64>(event));
  return snapshot_.take(tables(cpu), allocator_.span());
}

/// Envelope of a request. InvalidParameter: too short for the envelope or for the request's payload.
template <hal::Machine M>
Status Supervisor<M>::handle_request(Cpu& cpu, u32 index, u64 bytes, u64& reply) noexcept {
  u64 const at = channel(abi::Channel::Supervisor).internal + sizeof(abi::CommunicateHeader);
  if (bytes < sizeof(abi::SupervisorRequestHeader)) {
    return Status::InvalidParameter;
  }
  auto header = hal::read_object<abi::SupervisorRequestHeader>(cpu, PhysAddr{at});
  u64 const room = bytes - sizeof(header);
  Status handler = Status::Success;
  if (auto const envelope = request::check_envelope(header); !envelope) {
    header.result = static_cast<u64>(envelope.error());
  } else if (room < request::payload_minimum(header.request)) {
    header.result = static_cast<u64>(Status::Aborted);
    handler = Status::InvalidParameter;
  } else {
    auto const done = apply_request(cpu, index, header.request, at + sizeof(header), room);
    header.result = static_cast<u64>(done ? Status::Success : done.error());
    if (done && *done != 0) {
      reply = sizeof(header) + *done;
    }
  }
  if (header.result != 0) {
    emit(index, hal::TraceKind::RequestRefused, static_cast<u64>(abi::Channel::Supervisor), header.result);
  }
  hal::write_object(cpu, PhysAddr{at}, header);
  return handler;
}

/// Gives the payload bytes of the reply, 0 for "as long as the request". The error is the Result of the request.
template <hal::Machine M>
Expected<u64> Supervisor<M>::apply_request(Cpu& cpu, u32 index, u32 request, u64 payload, u64 room) noexcept {
  switch (static_cast<abi::SupervisorRequest>(request)) {
    case abi::SupervisorRequest::UnblockMem: {
      auto const params = hal::read_object<abi::UnblockMemoryParams>(cpu, PhysAddr{payload});
      auto const done = unblock(cpu, index, params);
      emit(index, hal::TraceKind::Unblocked, params.descriptor.physical_start, params.descriptor.number_of_pages,
           static_cast<u64>(done ? Status::Success : done.error()));
      MM_TRY(done);
      return 0;
    }
    case abi::SupervisorRequest::FetchPolicy:
      return fetch_policy(cpu, index, payload, room);
    case abi::SupervisorRequest::VersionInfo: {
      MM_TRY_ASSIGN(abi::VersionInfo const info, version_);
      hal::write_object(cpu, PhysAddr{payload}, info);
      return 0;
    }
    case abi::SupervisorRequest::CommUpdate:
      MM_TRY(comm_update(cpu, PhysAddr{payload}));
      return 0;
  }
  return std::unexpected(Status::Unsupported);
}

/// AccessDenied after the lock. InvalidParameter and SecurityViolation of request::unblock_range. SecurityViolation:
/// the range overlaps another region, or is mapped already. OutOfResources: tracker or page tables are full.
template <hal::Machine M>
Expected<void> Supervisor<M>::unblock(Cpu& cpu, u32, abi::UnblockMemoryParams const& params) noexcept {
  if (locked_ && enforced(Check::LockedUnblock)) {
    return std::unexpected(Status::AccessDenied);
  }
  MM_TRY_ASSIGN(Range const range,
                request::unblock_range(params, enforced(Check::UnblockMmram) ? allocator_.span() : Range{}));
  return open_region(cpu, range, (params.descriptor.attribute & abi::kMemorySp) != 0);
}

/// Whether `range` may be opened: no page of it is mapped or tracked, none beyond the CPU's addresses
/// (InvalidParameter). Errors as of unblock().
template <hal::Machine M>
Expected<void> Supervisor<M>::check_closed(Cpu& cpu, Range range) noexcept {
  if (range.base < kPageSize || unblocked_.overlaps(range)) {
    return std::unexpected(Status::SecurityViolation);
  }
  if (range.base >= address_limit_ || range.size > address_limit_ - range.base) {
    return std::unexpected(Status::InvalidParameter);
  }
  // Page by page up to what the pool of table pages could ever map.
  constexpr u64 kLargest = memory::PageAllocator::kTablePages << 21;
  if (range.size > kLargest) {
    return std::unexpected(Status::OutOfResources);
  }
  for (u64 page = range.base; page < range.base + range.size; page += kPageSize) {
    if (tables(cpu).query(page)) {
      return std::unexpected(Status::SecurityViolation);
    }
  }
  return {};
}

/// Maps pages that check_closed() has found absent: all of them or none.
template <hal::Machine M>
Expected<void> Supervisor<M>::map_closed(Cpu& cpu, Range range, memory::PageAttr attr) noexcept {
  auto const mapped = allocator_.protect(cpu, PhysAddr{root_}, range, attr);
  if (!mapped) {
    static_cast<void>(allocator_.protect(cpu, PhysAddr{root_}, range, memory::PageAttr{}));
  }
  return mapped;
}

template <hal::Machine M>
Expected<void> Supervisor<M>::open_region(Cpu& cpu, Range range, bool supervisor) noexcept {
  memory::UnblockTracker::Entry const entry{range, supervisor};
  if (unblocked_.has(entry)) {
    return {};
  }
  MM_TRY(check_closed(cpu, range));
  if (unblocked_.full()) {
    return std::unexpected(Status::OutOfResources);
  }
  MM_TRY(map_closed(cpu, range, supervisor ? memory::kSupervisorData : memory::kUserData));
  return unblocked_.add(entry);
}

/// Pages of the supervisor's mailbox, the user's mailbox, the supervisor's buffer, the user's buffer: the order in
/// which COMM_UPDATE names them.
template <hal::Machine M>
std::array<Range, 4> Supervisor<M>::comm_pages() const noexcept {
  CommChannel const& supervisor = channels_[static_cast<u64>(abi::Channel::Supervisor)];
  CommChannel const& user = channels_[static_cast<u64>(abi::Channel::User)];
  return {Range{align_down(supervisor.mailbox, kPageSize), kPageSize},
          Range{align_down(user.mailbox, kPageSize), kPageSize}, Range{supervisor.external, supervisor.bytes},
          Range{user.external, user.bytes}};
}

/// Both channels move to new buffers and mailboxes, all or nothing; the answer already goes through the new ones.
/// AccessDenied: after the lock, or a second time. Errors of request::comm_update_range() and of unblock().
/// SecurityViolation: two of the four overlap.
template <hal::Machine M>
Expected<void> Supervisor<M>::comm_update(Cpu& cpu, PhysAddr payload) noexcept {
  if (locked_ || comm_updated_) {
    return std::unexpected(Status::AccessDenied);
  }
  auto const wanted = hal::read_object<std::array<abi::UnblockMemoryParams, 4>>(cpu, payload);
  std::array<Range, 4> const old = comm_pages();
  std::array<Range, 4> fresh;
  for (u64 i = 0; i < fresh.size(); ++i) {
    MM_TRY_ASSIGN(fresh[i], request::comm_update_range(wanted[i], old[i].size, allocator_.span()));
    for (u64 j = 0; j < i; ++j) {
      if (fresh[i].overlaps(fresh[j])) {
        return std::unexpected(Status::SecurityViolation);
      }
    }
    MM_TRY(check_closed(cpu, fresh[i]));
  }
  MM_TRY(move_comm_pages(cpu, fresh));
  for (Range const range : old) {
    static_cast<void>(allocator_.protect(cpu, PhysAddr{root_}, range, memory::PageAttr{}));  // its tables exist
  }
  comm_updated_ = true;
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::move_comm_pages(Cpu& cpu, std::array<Range, 4> const& fresh) noexcept {
  for (u64 i = 0; i < fresh.size(); ++i) {
    if (auto const mapped = map_closed(cpu, fresh[i], memory::kSupervisorData); !mapped) {
      while (i-- != 0) {
        static_cast<void>(allocator_.protect(cpu, PhysAddr{root_}, fresh[i], memory::PageAttr{}));
      }
      return mapped;
    }
  }
  CommChannel& supervisor = channel(abi::Channel::Supervisor);
  CommChannel& user = channel(abi::Channel::User);
  supervisor.mailbox = fresh[0].base;
  user.mailbox = fresh[1].base;
  supervisor.external = fresh[2].base;
  user.external = fresh[3].base;
  return {};
}

/// Firmware policy with the memory policy appended; MEM root and Size follow. The first fetch locks. BufferTooSmall:
/// the payload is smaller than the block. NotFound: the blob has no MEM root. SecurityViolation: the tables differ from
/// the snapshot. OutOfResources: too many regions for a snapshot.
template <hal::Machine M>
Expected<u64> Supervisor<M>::fetch_policy(Cpu& cpu, u32 index, u64 payload, u64 room) noexcept {
  if (!locked_) {
    MM_TRY(lock(cpu, index, hal::LockEvent::PolicyFetched));
  }
  if (!snapshot_.taken()) {
    return std::unexpected(Status::OutOfResources);
  }
  u64 const root = policy::find_root(policy_view(), policy::Type::Mem);
  if (root == 0) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY(snapshot_.compare(tables(cpu), allocator_.span()));
  u64 const blob = policy_view().size();
  u64 const total = blob + snapshot_.count() * policy::kMemDescriptorSize;
  if (room < total) {
    return std::unexpected(Status::BufferTooSmall);
  }
  auto const put = [&](u64 offset, auto value) noexcept { hal::write_object(cpu, PhysAddr{payload + offset}, value); };
  cpu.write(PhysAddr{payload}, std::span(policy_).first(blob));
  cpu.write(PhysAddr{payload + blob}, std::as_bytes(snapshot_.descriptors()));
  put(4, static_cast<u32>(total));
  put(root + 0, u32{1});
  put(root + 4, static_cast<u32>(policy::kRootSize));
  put(root + 12, static_cast<u32>(blob));
  put(root + 16, snapshot_.count());
  put(root + 20, static_cast<u8>(policy::AccessAttr::AllowList));
  return total;
}

}  // namespace mm::supervisor
