// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/user/hob_list.hpp"

namespace mm::user {

/// One message as its header has it.
struct Message {
  Guid type;
  u64 header_bytes = 0;
  u64 data_bytes = 0;
};

/// The supervisor's internal copy of the user communicate buffer, which ring 3 reads and answers in place. Knows how
/// much of it may hold what earlier messages left, so that nothing stays behind a message or a reply.
class MessageBuffer {
 public:
  /// The first buffer that the list names; without one range() stays empty.
  void find(u64 hob_list) noexcept {
    for_each_hob(hob_list, [this](u64 hob, abi::HobHeader const&) {
      if (comm_.size == 0 && is_guid_hob(hob, guids::gMmCommBufferHobGuid, sizeof(abi::MmCommBuffer))) {
        auto const buffer = load<abi::MmCommBuffer>(hob + sizeof(abi::HobGuid));
        if (buffer.physical_start != 0 && buffer.number_of_pages <= UINT64_MAX / kPageSize) {
          comm_ = Range{buffer.physical_start, buffer.number_of_pages * kPageSize};
        }
      }
    });
    cleared_to_ = comm_.size;
  }

  Range range() const noexcept { return comm_; }

  /// Reads the header of the internal copy. BadBufferSize: a length that does not fit the buffer or the header.
  Expected<Message> parse() const noexcept {
    if (comm_.size < sizeof(abi::CommunicateHeaderV3)) {
      return std::unexpected(Status::BadBufferSize);
    }
    auto const v1 = load<abi::CommunicateHeader>(comm_.base);
    if (v1.header_guid != guids::gEfiMmCommunicateHeaderV3Guid) {
      if (v1.message_length > comm_.size - sizeof(v1)) {
        return std::unexpected(Status::BadBufferSize);
      }
      return Message{v1.header_guid, sizeof(v1), v1.message_length};
    }
    auto const v3 = load<abi::CommunicateHeaderV3>(comm_.base);
    if (v3.buffer_size < sizeof(v3) || v3.buffer_size > comm_.size) {
      return std::unexpected(Status::BadBufferSize);
    }
    return Message{v3.message_guid, sizeof(v3), v3.buffer_size - sizeof(v3)};
  }

  /// Clears what earlier messages and replies left behind the first `used` bytes; what is zero already is not written
  /// again.
  void clear_tail(u64 used) noexcept {
    if (cleared_to_ > used) {
      __builtin_memset(at<void>(comm_.base + used), 0, cleared_to_ - used);
    }
    cleared_to_ = used;
  }

  /// A handler that did not come back in order may have written anywhere.
  void distrust() noexcept { cleared_to_ = comm_.size; }

 private:
  Range comm_;          ///< empty when there is none
  u64 cleared_to_ = 0;  ///< bytes of it from here on are zero
};

}  // namespace mm::user
