// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// The two communicate channels of a hand-over: buffer and mailbox, all outside MMRAM.
namespace mm::supervisor::handover {

inline constexpr u64 kMaxCommPages = 0x1000;

/// The buffer and its mailbox must be entirely outside MMRAM.
template <hal::PhysMemory Mem>
Checked<void> read_channel(Reading<Mem>& r, abi::Channel which, PhysAddr hob, u64 start, u64 pages,
                           u64 mailbox) noexcept {
  ChannelFacts& channel = r.out.channels[static_cast<u64>(which)];
  if (channel.found) {
    return init_error(InitProblem::BufferTwice, raw(hob));
  }
  if (pages == 0 || pages > kMaxCommPages) {
    return init_error(InitProblem::BufferPages, pages);
  }
  Range const buffer = pages_at(start, pages);
  if (buffer.size == 0) {
    return init_error(InitProblem::BufferAddress, start);
  }
  if (buffer.overlaps(r.ground.mmram)) {
    return init_error(InitProblem::BufferInMmram, start);
  }
  if (mailbox < kPageSize || mailbox % 8 != 0 || mailbox > memory::kAddressLimit - kPageSize) {
    return init_error(InitProblem::MailboxAddress, mailbox);
  }
  if (r.ground.mmram.overlaps({mailbox, sizeof(abi::CommBufferStatus)})) {
    return init_error(InitProblem::MailboxInMmram, mailbox);
  }
  channel = {buffer, mailbox, true};
  return {};
}

/// Two mailboxes may share a page; nothing else is shared.
template <hal::PhysMemory Mem>
Checked<void> check_channels(Reading<Mem>& r) noexcept {
  std::array<Range, 4> parts;
  for (u64 i = 0; i < 2; ++i) {
    parts[i] = r.out.channels[i].buffer;
    parts[2 + i] = {r.out.channels[i].mailbox, sizeof(abi::CommBufferStatus)};
  }
  for (u64 i = 0; i < parts.size(); ++i) {
    for (u64 j = 0; j < i; ++j) {
      if (parts[i].overlaps(parts[j])) {
        return init_error(InitProblem::BufferOverlap, parts[i].base);
      }
    }
  }
  return {};
}

/// The supervisor's channel.
template <hal::PhysMemory Mem>
Checked<void> read_common_region(Reading<Mem>& r, Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::MmCommonRegion)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const region = get<abi::MmCommonRegion>(r, hob.payload());
  if (region.type != 0) {
    return init_error(InitProblem::BufferType, raw(hob.at));
  }
  return read_channel(r, abi::Channel::Supervisor, hob.at, region.addr, region.number_of_pages,
                      region.status_region_addr);
}

/// The user channel.
template <hal::PhysMemory Mem>
Checked<void> read_comm_buffer(Reading<Mem>& r, Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::MmCommBuffer)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const region = get<abi::MmCommBuffer>(r, hob.payload());
  r.out.user_region_offset = raw(hob.payload()) - raw(r.list);
  return read_channel(r, abi::Channel::User, hob.at, region.physical_start, region.number_of_pages, region.status);
}

/// Both are supervisor data while no message is under way.
template <hal::PhysMemory Mem>
Checked<void> check_channel_pages(Reading<Mem>& r) noexcept {
  for (auto const& channel : r.out.channels) {
    if (!r.mapped_as(channel.buffer, memory::kSupervisorData)) {
      return init_error(InitProblem::BufferPagesOpen, channel.buffer.base);
    }
    if (!r.mapped_as({channel.mailbox, sizeof(abi::CommBufferStatus)}, memory::kSupervisorData)) {
      return init_error(InitProblem::MailboxPagesOpen, channel.mailbox);
    }
  }
  return {};
}

}  // namespace mm::supervisor::handover
