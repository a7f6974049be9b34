// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/pe_headers.hpp"
#include "core/policy/memory_policy.hpp"
#include "core/request/request.hpp"
#include "core/supervisor/address_space.hpp"
#include "core/supervisor/channels.hpp"
#include "core/supervisor/gate.hpp"

namespace mm::supervisor {

/// What the supervisor itself answers: ReadyToLock, ExitBootServices and the supervisor requests (core/abi/ABI.md 4,
/// core/ARCHITECTURE.md 10), with the stages that they bring about. Messages are read from the copy in MMRAM.
template <hal::Machine M>
class Requests {
 public:
  using Cpu = typename M::Cpu;

  /// VERSION_INFO comes from the PE32+ header of the supervisor image (core/abi/ABI.md 4); an image without one has no
  /// version.
  void read_version(Cpu& cpu, Range image) noexcept;

  /// After ExitBootServices.
  bool is_runtime() const noexcept { return runtime_; }

  /// `reply` is the number of message bytes of the reply; it starts as those of the request. NotFound: no handler.
  Status handle(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space, Gate<M> const& gate,
                Message const& message, u64& reply) noexcept;

 private:
  /// The payload of a request in the copy of the message.
  struct Payload {
    u64 at = 0;
    u64 room = 0;
  };
  Expected<void> lock(Here<M> const& here, AddressSpace<M> const& space, hal::LockEvent event) noexcept;
  Status handle_request(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space, Gate<M> const& gate,
                        u64 bytes, u64& reply) noexcept;
  Expected<u64> apply(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space, Gate<M> const& gate,
                      u32 request, Payload payload) noexcept;
  Expected<void> unblock(Here<M> const& here, AddressSpace<M>& space,
                         abi::UnblockMemoryParams const& params) const noexcept;
  Expected<void> comm_update(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space,
                             PhysAddr payload) noexcept;
  static Expected<void> map_all(Cpu& cpu, AddressSpace<M>& space, CommPages const& fresh) noexcept;
  Expected<u64> fetch_policy(Here<M> const& here, AddressSpace<M> const& space, Gate<M> const& gate,
                             Payload payload) noexcept;

  abi::VersionInfo version_;
  bool has_version_ = false;   ///< the image told it
  bool locked_ = false;        ///< ReadyToLock, or the policy was fetched
  bool runtime_ = false;       ///< ExitBootServices
  bool comm_updated_ = false;  ///< COMM_UPDATE is served once
  policy::MemorySnapshot snapshot_;
};

template <hal::Machine M>
void Requests<M>::read_version(Cpu& cpu, Range image) noexcept {
  constexpr u64 kLeastImage = 0x400, kLeastHeaders = 0x100;
  if (image.size < kLeastImage || hal::read_object<u16>(cpu, PhysAddr{image.base}) != image::kDosMagic) {
    return;
  }
  u64 const at = hal::read_object<u32>(cpu, PhysAddr{image.base + image::kPeOffsetAt});
  if (at > image.size - kLeastHeaders || hal::read_object<u32>(cpu, PhysAddr{image.base + at}) != image::kPeMagic) {
    return;
  }
  auto const header =
      hal::read_object<image::PeOptionalHeader>(cpu, PhysAddr{image.base + at + sizeof(image::PeFileHeader)});
  if (header.magic != image::kPe32Plus) {
    return;
  }
  abi::VersionInfo info;
  info.patch_level = u32{header.image_major} << 16 | header.image_minor;
  info.version = u32{header.subsystem_major} << 16 | header.subsystem_minor;
  version_ = info;
  has_version_ = true;
}

template <hal::Machine M>
Status Requests<M>::handle(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space, Gate<M> const& gate,
                           Message const& message, u64& reply) noexcept {
  if (message.guid == guids::gMmSupervisorRequestHandlerGuid) {
    return handle_request(here, channels, space, gate, message.message_bytes, reply);
  }
  if (message.guid == guids::gEfiDxeMmReadyToLockProtocolGuid && !locked_) {
    auto const done = lock(here, space, hal::LockEvent::ReadyToLock);
    return done ? Status::Success : done.error();
  }
  if (message.guid == guids::gEfiEventExitBootServicesGuid) {
    runtime_ = true;
    here.emit(hal::event::Lock{hal::LockEvent::ExitBootServices});
    return Status::Success;
  }
  return Status::NotFound;
}

/// Locks, and records the memory policy. The lock holds even when the snapshot fails.
template <hal::Machine M>
Expected<void> Requests<M>::lock(Here<M> const& here, AddressSpace<M> const& space, hal::LockEvent event) noexcept {
  locked_ = true;
  here.emit(hal::event::Lock{event});
  return snapshot_.take(space.tables(here.cpu), space.mmram());
}

/// Envelope of a request. InvalidParameter: too short for the envelope or for the request's payload.
template <hal::Machine M>
Status Requests<M>::handle_request(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space,
                                   Gate<M> const& gate, u64 bytes, u64& reply) noexcept {
  u64 const at = channels.internal(abi::Channel::Supervisor) + sizeof(abi::CommunicateHeader);
  if (bytes < sizeof(abi::SupervisorRequestHeader)) {
    return Status::InvalidParameter;
  }
  auto header = hal::read_object<abi::SupervisorRequestHeader>(here.cpu, PhysAddr{at});
  u64 const room = bytes - sizeof(header);
  Status handler = Status::Success;
  if (auto const envelope = request::check_envelope(header); !envelope) {
    header.result = static_cast<u64>(envelope.error());
  } else if (room < request::payload_minimum(header.request)) {
    header.result = static_cast<u64>(Status::Aborted);
    handler = Status::InvalidParameter;
  } else {
    auto const done = apply(here, channels, space, gate, header.request, {at + sizeof(header), room});
    header.result = static_cast<u64>(done ? Status::Success : done.error());
    if (done && *done != 0) {
      reply = sizeof(header) + *done;
    }
  }
  if (header.result != 0) {
    here.emit(hal::event::RequestRefused{abi::Channel::Supervisor, static_cast<Status>(header.result)});
  }
  hal::write_object(here.cpu, PhysAddr{at}, header);
  return handler;
}

/// Gives the payload bytes of the reply, 0 for "as long as the request". The error is the Result of the request.
template <hal::Machine M>
Expected<u64> Requests<M>::apply(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space,
                                 Gate<M> const& gate, u32 request, Payload payload) noexcept {
  switch (static_cast<abi::SupervisorRequest>(request)) {
    case abi::SupervisorRequest::UnblockMem: {
      auto const params = hal::read_object<abi::UnblockMemoryParams>(here.cpu, PhysAddr{payload.at});
      auto const done = unblock(here, space, params);
      here.emit(hal::event::Unblocked{params.descriptor.physical_start, params.descriptor.number_of_pages,
                                      done ? Status::Success : done.error()});
      MM_TRY(done);
      return 0;
    }
    case abi::SupervisorRequest::FetchPolicy:
      return fetch_policy(here, space, gate, payload);
    case abi::SupervisorRequest::VersionInfo:
      if (!has_version_) {
        return std::unexpected(Status::CompromisedData);
      }
      hal::write_object(here.cpu, PhysAddr{payload.at}, version_);
      return 0;
    case abi::SupervisorRequest::CommUpdate:
      MM_TRY(comm_update(here, channels, space, PhysAddr{payload.at}));
      return 0;
  }
  return std::unexpected(Status::Unsupported);
}

/// AccessDenied after the lock. InvalidParameter and SecurityViolation of request::unblock_range. SecurityViolation:
/// the range overlaps another region, or is mapped already. OutOfResources: tracker or page tables are full.
template <hal::Machine M>
Expected<void> Requests<M>::unblock(Here<M> const& here, AddressSpace<M>& space,
                                    abi::UnblockMemoryParams const& params) const noexcept {
  MM_TRY(precondition::unblock(locked_ && here.enforced(Check::LockedUnblock)));
  Range const closed = here.enforced(Check::UnblockMmram) ? space.mmram() : Range{};
  MM_TRY_ASSIGN(Range const range, request::unblock_range(params, closed));
  return space.open(here.cpu, range, (params.descriptor.attribute & abi::kMemorySp) != 0);
}

/// Both channels move to new buffers and mailboxes, all or nothing; the answer already goes through the new ones.
/// AccessDenied: after the lock, or a second time. Errors of request::comm_update_range() and of unblock().
/// SecurityViolation: two of the four overlap.
template <hal::Machine M>
Expected<void> Requests<M>::comm_update(Here<M> const& here, Channels<M>& channels, AddressSpace<M>& space,
                                        PhysAddr payload) noexcept {
  MM_TRY(precondition::comm_update(locked_, comm_updated_));
  auto const wanted = hal::read_object<std::array<abi::UnblockMemoryParams, 4>>(here.cpu, payload);
  CommPages const old = channels.pages();
  CommPages fresh;
  for (u64 i = 0; i < fresh.size(); ++i) {
    MM_TRY_ASSIGN(fresh[i], request::comm_update_range(wanted[i], old[i].size, space.mmram()));
    MM_TRY(precondition::are_apart(fresh[i], std::span(fresh).first(i)));
    MM_TRY(space.check_closed(here.cpu, fresh[i]));
  }
  MM_TRY(map_all(here.cpu, space, fresh));
  channels.move(fresh);
  for (Range const range : old) {
    space.close(here.cpu, range);
  }
  comm_updated_ = true;
  return {};
}

template <hal::Machine M>
Expected<void> Requests<M>::map_all(Cpu& cpu, AddressSpace<M>& space, CommPages const& fresh) noexcept {
  for (u64 i = 0; i < fresh.size(); ++i) {
    if (auto const mapped = space.map_closed(cpu, fresh[i], memory::kSupervisorData); !mapped) {
      while (i-- != 0) {
        space.close(cpu, fresh[i]);
      }
      return mapped;
    }
  }
  return {};
}

/// Firmware policy with the memory policy appended; MEM root and Size follow. The first fetch locks. BufferTooSmall:
/// the payload is smaller than the block. NotFound: the blob has no MEM root. SecurityViolation: the tables differ from
/// the snapshot. OutOfResources: too many regions for a snapshot.
template <hal::Machine M>
Expected<u64> Requests<M>::fetch_policy(Here<M> const& here, AddressSpace<M> const& space, Gate<M> const& gate,
                                        Payload payload) noexcept {
  if (!locked_) {
    MM_TRY(lock(here, space, hal::LockEvent::PolicyFetched));
  }
  if (!snapshot_.taken()) {
    return std::unexpected(Status::OutOfResources);
  }
  u64 const root = policy::find_root(gate.view(), policy::Type::Mem);
  if (root == 0) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY(snapshot_.compare(space.tables(here.cpu), space.mmram()));
  u64 const blob = gate.view().size();
  u64 const total = blob + snapshot_.count() * policy::kMemDescriptorSize;
  if (payload.room < total) {
    return std::unexpected(Status::BufferTooSmall);
  }
  policy::Header head = gate.view().header();
  head.size = static_cast<u32>(total);
  auto memory = gate.view().template get<policy::Root>(root);
  memory.version = 1;
  memory.bytes = static_cast<u32>(policy::kRootSize);
  memory.offset = static_cast<u32>(blob);
  memory.count = snapshot_.count();
  memory.access_attr = static_cast<u8>(policy::AccessAttr::AllowList);
  here.cpu.write(PhysAddr{payload.at}, gate.blob().first(blob));
  here.cpu.write(PhysAddr{payload.at + blob}, std::as_bytes(snapshot_.descriptors()));
  hal::write_object(here.cpu, PhysAddr{payload.at}, head);
  hal::write_object(here.cpu, PhysAddr{payload.at + root}, memory);
  return total;
}

}  // namespace mm::supervisor
