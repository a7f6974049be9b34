// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <atomic>

#include "core/communication/comm_buffer.hpp"

/// Whose turn it is at the communicate buffers. Between two messages lies one answer that must be read before the next
/// message overwrites it; so the turn ends with the answer and not with the MMI.
namespace mm::communication {

/// One turn, taken when nobody has it and given back at the end of the object's life. Never waits: who interrupts the
/// owner would wait for ever.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& taken) noexcept
      : taken_(taken.exchange(true, std::memory_order_acquire) ? nullptr : &taken) {}
  Turn(Turn&& other) noexcept : taken_(other.taken_) { other.taken_ = nullptr; }
  Turn(Turn const&) = delete;
  Turn& operator=(Turn const&) = delete;
  ~Turn() {
    if (taken_ != nullptr) {
      taken_->store(false, std::memory_order_release);
    }
  }
  bool is_mine() const noexcept { return taken_ != nullptr; }

 private:
  std::atomic<bool>* taken_;  ///< null: not mine
};

/// The answer to one message, in its buffer. As long as it lives, every other call of the communicator is refused.
template <NormalWorld N>
class Answer {
 public:
  Answer(Turn turn, N& world, CommunicateBuffer const& buffer, u64 bytes) noexcept
      : turn_(static_cast<Turn&&>(turn)), world_(world), buffer_(buffer), bytes_(bytes) {}

  /// Bytes of the answer's message.
  u64 bytes() const noexcept { return bytes_; }
  /// Copies `into.size()` bytes of the message from `offset`; errors as CommunicateBuffer::get_message().
  CommBufferResult<void> read(u64 offset, std::span<std::byte> into) const noexcept {
    return buffer_.get_message(world_, offset, into);
  }

 private:
  Turn turn_;
  N& world_;
  CommunicateBuffer const& buffer_;
  u64 bytes_;
};

}  // namespace mm::communication
