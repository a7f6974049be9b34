// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <set>
#include <unordered_map>
#include <vector>

#include "core/steps/runner.hpp"
#include "sim/machine/machine.hpp"
#include "tools/lab/fuzzing/sequence.hpp"

namespace mm::fuzz {

/// A booted machine under observation. It sends messages as the normal world does, and aborts when something that must
/// hold after every MMI does not (fuzz/COMMUNICATE.md lists it).
class Watch {
 public:
  /// `machine` has booted; what it is now is what reset() brings back.
  explicit Watch(sim::Simulator& machine);

  /// Back to the start. One input in kFullCheck also compares all of MMRAM with what it was.
  void reset();
  void send(lab::SequenceMessage const& message);
  /// What came of the messages since reset(): replies, mailboxes, halt, work done. The same input gives the same.
  u64 outcome() const noexcept { return outcome_; }
  /// What the last message was answered, without its header; empty: nothing.
  std::span<std::byte const> reply() const noexcept;

  static constexpr u64 kFullCheck = 4096;

 private:
  struct Channel {
    u64 buffer = 0;
    u64 mailbox = 0;
    abi::CommBufferStatus status;                                       ///< what the mailbox holds
    std::array<std::byte, platform::kCommPages * kPageSize> content{};  ///< what the buffer holds
    u64 touched = 0;                                                    ///< bytes of `content` that may not be zero
  };

  void plant_poison();
  void put_message(Channel& ch, lab::SequenceMessage const& message);
  void check_channel(Channel& ch, bool served);
  void check_reply(Channel const& ch, u64 bytes) const;
  void check_normal_world() const;
  void check_pages();
  u8 rights_before(u64 page) const noexcept;
  void check_mmram() const;
  void check_against_start() const;
  std::vector<std::byte> read_mmram() const;
  Channel& channel(abi::Channel which) noexcept { return channels_[static_cast<u64>(which)]; }
  void fold(std::span<std::byte const> bytes) noexcept;

  sim::Simulator& machine_;
  Range mmram_;
  std::array<Channel, 2> channels_;           ///< by abi::Channel
  std::vector<u8> rights_;                    ///< by page number, at the start; 0: not present
  std::unordered_map<u64, u8> rights_above_;  ///< the same above RAM: devices
  std::vector<sim::PageInfo> pages_;          ///< of check_pages(), kept for its memory
  std::set<u64> tables_;                      ///< physical addresses of the page tables at the start
  std::vector<std::byte> mmram_bytes_;        ///< at the start
  u64 fixed_ = 0;                             ///< pages that are present at the start and can never be given back
  u64 audited_ = 0;                           ///< protected_writes() at the last audit of the page tables
  u64 start_blocks_ = 0;
  u64 resets_ = 0;
  std::span<std::byte const> reply_;  ///< in the content of a channel
  u64 outcome_ = 0;
};

}  // namespace mm::fuzz
