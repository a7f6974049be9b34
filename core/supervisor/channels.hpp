// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/abi/comm.hpp"
#include "core/supervisor/copied.hpp"
#include "core/supervisor/here.hpp"
#include "core/supervisor/preconditions.hpp"

namespace mm::supervisor {

/// One channel: external buffer and mailbox in the normal world, copy in MMRAM.
struct CommChannel {
  u64 external = 0;
  u64 internal = 0;
  u64 bytes = 0;       ///< of either buffer
  u64 mailbox = 0;     ///< external status block
  u64 high_water = 0;  ///< bytes of `internal` that may not be zero
};

/// The pages of both channels in the normal world, in the order in which COMM_UPDATE names them: mailbox of the
/// supervisor, mailbox of the user, buffer of the supervisor, buffer of the user.
using CommPages = std::array<Range, 4>;

/// The two ways by which a message comes in (core/ARCHITECTURE.md 5). A message is copied into MMRAM before anything
/// but its header is looked at, and the reply goes back as one copy: this part is the only one that touches the buffers
/// and mailboxes of the normal world.
template <hal::Machine M>
class Channels {
 public:
  void adopt(abi::Channel which, CommChannel const& channel) noexcept { at(which) = channel; }

  /// Address of the copy in MMRAM.
  u64 internal(abi::Channel which) const noexcept { return at(which).internal; }
  /// The copy in MMRAM.
  Range copy_of(abi::Channel which) const noexcept { return {at(which).internal, at(which).bytes}; }

  /// The status block of a channel, fetched once.
  Copied<abi::CommBufferStatus> mailbox(Here<M> const& here, abi::Channel which) const noexcept {
    return Copied<abi::CommBufferStatus>::from(here.cpu, PhysAddr{at(which).mailbox});
  }
  /// Fetches the header once, checks it, and copies exactly header and message into the internal buffer.
  /// Unsupported: V3 on the supervisor channel. BadBufferSize: header and message do not fit the buffer.
  Expected<Message> copy_in(Here<M> const& here, abi::Channel which) noexcept;
  /// Copies the reply, `bytes` <= buffer, to the normal world.
  void copy_out(Here<M> const& here, abi::Channel which, u64 bytes) noexcept;
  /// Writes the mailbox of the served channel back; the message is no longer pending.
  void finish(Here<M> const& here, abi::Channel which, abi::CommBufferStatus status) const noexcept {
    status.is_comm_buffer_valid = 0;
    hal::write_object(here.cpu, PhysAddr{at(which).mailbox}, status);
    here.emit(hal::event::MmiExit{which, status.return_status, status.return_buffer_size});
  }
  /// A message or request that was not served.
  void refuse(Here<M> const& here, abi::Channel which, Status why, abi::CommBufferStatus status) const noexcept {
    here.emit(hal::event::RequestRefused{which, why});
    status.return_status = static_cast<u64>(why);
    status.return_buffer_size = 0;
    finish(here, which, status);
  }

  /// How far ring 3 may have written in its copy: to the end of the page where message and reply end; anywhere when
  /// there is no reply, because then it did not come back in order.
  void expect_user_writes(u64 reply) noexcept {
    CommChannel& ch = at(abi::Channel::User);
    u64 const end = reply > ch.high_water ? reply : ch.high_water;
    bool const in_order = reply != 0 && end <= ch.bytes;
    ch.high_water = in_order ? align_up(end, kPageSize) : ch.bytes;
  }

  CommPages pages() const noexcept {
    CommChannel const& supervisor = at(abi::Channel::Supervisor);
    CommChannel const& user = at(abi::Channel::User);
    return {Range{align_down(supervisor.mailbox, kPageSize), kPageSize},
            Range{align_down(user.mailbox, kPageSize), kPageSize}, Range{supervisor.external, supervisor.bytes},
            Range{user.external, user.bytes}};
  }
  /// Both channels are at `fresh` from now on. The pages are mapped already.
  void move(CommPages const& fresh) noexcept {
    at(abi::Channel::Supervisor).mailbox = fresh[0].base;
    at(abi::Channel::User).mailbox = fresh[1].base;
    at(abi::Channel::Supervisor).external = fresh[2].base;
    at(abi::Channel::User).external = fresh[3].base;
  }

 private:
  CommChannel& at(abi::Channel which) noexcept { return channels_[static_cast<u64>(which) & 1]; }
  CommChannel const& at(abi::Channel which) const noexcept { return channels_[static_cast<u64>(which) & 1]; }
  static u64 hash_of(Here<M> const& here, PhysAddr at, u64 bytes) noexcept;

  std::array<CommChannel, 2> channels_{};  ///< by abi::Channel
};

template <hal::Machine M>
Expected<Message> Channels<M>::copy_in(Here<M> const& here, abi::Channel which) noexcept {
  CommChannel& ch = at(which);
  auto& cpu = here.cpu;
  PhysAddr const external{ch.external};
  PhysAddr const internal{ch.internal};
  auto header = Copied<abi::CommunicateHeaderV3>::first(cpu, external, sizeof(abi::CommunicateHeader));
  if (precondition::is_v3(*header)) {
    if (which == abi::Channel::Supervisor) {
      return std::unexpected(Status::Unsupported);
    }
    header.fetch_rest(cpu, external, sizeof(abi::CommunicateHeader));
  }
  MM_TRY_ASSIGN(Message const m, precondition::message_of(*header, ch.bytes, here.enforced(Check::MessageSize)));
  u64 const total = m.header_bytes + m.message_bytes;
  if (!here.enforced(Check::HeaderOnce)) {
    header = Copied<abi::CommunicateHeaderV3>::first(cpu, external, m.header_bytes);
  }
  {
    hal::UserAccess access(cpu);
    cpu.write(internal, header.bytes().first(m.header_bytes));
    cpu.copy(internal + m.header_bytes, external + m.header_bytes, m.message_bytes);
    if (ch.high_water > total) {
      cpu.zero(internal + total, ch.high_water - total);
    }
  }
  ch.high_water = total;
  here.emit(hal::event::CopyIn{which, total});
  here.emit(hal::event::RequestDecoded{which, m.guid, m.message_bytes, m.version});
  return m;
}

template <hal::Machine M>
u64 Channels<M>::hash_of(Here<M> const& here, PhysAddr at, u64 bytes) noexcept {
  std::array<std::byte, 256> chunk;
  u64 hash = kFnvBasis;
  for (u64 done = 0; done < bytes;) {
    u64 const n = bytes - done < chunk.size() ? bytes - done : chunk.size();
    here.cpu.read(at + done, std::span(chunk).first(n));
    for (u64 i = 0; i < n; ++i) {
      hash = fnv1a(chunk[i], hash);
    }
    done += n;
  }
  return hash;
}

template <hal::Machine M>
void Channels<M>::copy_out(Here<M> const& here, abi::Channel which, u64 bytes) noexcept {
  CommChannel& ch = at(which);
  if (bytes > ch.high_water) {
    ch.high_water = bytes;
  }
  hal::UserAccess access(here.cpu);
  here.cpu.copy(PhysAddr{ch.external}, PhysAddr{ch.internal}, bytes);
  if constexpr (M::kTraced) {
    here.emit(hal::event::CopyOut{which, bytes, hash_of(here, PhysAddr{ch.internal}, bytes)});
  }
}

}  // namespace mm::supervisor
