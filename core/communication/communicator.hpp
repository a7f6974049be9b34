// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/communication/answer.hpp"
#include "core/communication/sw_mmi.hpp"

/// Sending a message to MM and taking its answer (core/communication/CLIENT.md 3).
namespace mm::communication {

/// What the mailbox's ReturnStatus holds before the MMI: an MMI that does not answer leaves it.
inline constexpr Status kUntouched = Status::NotStarted;

/// Why communicate() gave no answer.
enum class CommunicateError : u8 {
  CallInProgress,            ///< another call, or an answer that somebody still holds; nothing was touched
  NoCommBuffer,              ///< the configuration has no buffer
  InvalidDataBuffer,         ///< the message is empty
  SwMmiServiceNotAvailable,  ///< there is no executor
  CommBufferNotFound,        ///< no buffer has this id
  CommBufferTooSmall,        ///< header and message do not fit
  CommBufferInitError,       ///< what was written does not read back
  CommBufferBusy,            ///< the mailbox says that a message of somebody else is already on its way
  SwMmiFailed,               ///< the executor failed; the message was withdrawn
  MmDidNotAnswer,            ///< the MMI was raised and MM did not take the message, which was withdrawn
  MmFailed,                  ///< MM answered with an error: Communicator::answer()
  InvalidResponse,           ///< the header or the mailbox is no answer, or the answer's size cannot be
  ReplyTooLong,              ///< the caller's span is shorter than the answer
};

/// The EFI_STATUS that a firmware client would return for `error`; `mm` is what the mailbox says.
constexpr Status efi_status(CommunicateError error, Status mm) noexcept {
  switch (error) {
    case CommunicateError::NoCommBuffer:
    case CommunicateError::CommBufferNotFound:
      return Status::NotFound;
    case CommunicateError::InvalidDataBuffer:
    case CommunicateError::CommBufferBusy:
      return Status::InvalidParameter;
    case CommunicateError::CallInProgress:
    case CommunicateError::SwMmiServiceNotAvailable:
      return Status::NotReady;
    case CommunicateError::CommBufferTooSmall:
      return Status::BadBufferSize;
    case CommunicateError::CommBufferInitError:
      return Status::DeviceError;
    case CommunicateError::SwMmiFailed:
      return Status::Unsupported;
    case CommunicateError::MmDidNotAnswer:
      return kUntouched;
    case CommunicateError::MmFailed:
      return is_error(mm) ? mm : static_cast<Status>(static_cast<u64>(mm) | u64{1} << 63);
    case CommunicateError::InvalidResponse:
      return Status::CompromisedData;
    case CommunicateError::ReplyTooLong:
      return Status::BufferTooSmall;
  }
  return Status::Aborted;
}

/// Runs MM over one prepared buffer. Tests put their own in place of the real one.
template <typename E>
concept MmExecutor = requires(E& e, CommunicateBuffer& buffer) {
  { e.execute_mm(buffer) } noexcept -> std::same_as<Expected<void>>;
};

/// Raises a software MMI with command and data 0, as the reference's launchers do: the mailbox alone says what to do.
template <typename Trigger>
class RealMmExecutor {
 public:
  explicit RealMmExecutor(Trigger& trigger) noexcept : trigger_(trigger) {}
  Expected<void> execute_mm(CommunicateBuffer&) noexcept { return trigger_.trigger(0, 0); }

 private:
  Trigger& trigger_;
};

/// A message for MM. `length` beyond data.size() sends zeros behind the data: room for a longer answer.
struct Message {
  Guid recipient;
  std::span<std::byte const> data;
  u64 length = 0;
  MessageFormat format = MessageFormat::V1;
};

/// Payload of the communicate-buffer-update protocol, 2A22E38F-... (core/communication/CLIENT.md 5).
struct CommBufferUpdate {
  u64 version = 1;
  u64 physical_start = 0;
  u64 number_of_pages = 0;
  u64 status = 0;  ///< address of the mailbox
};
static_assert(sizeof(CommBufferUpdate) == 32);

/// Sends messages one at a time, over one buffer memory for which there is no other communicator. A call that finds
/// another under way - an interrupt, a callback of the executor, another processor - is refused with CallInProgress and
/// changes nothing. A caller that can be interrupted by offer_update() holds it off.
template <NormalWorld N, MmExecutor E, Log L = NullLog>
class MmCommunicator {
 public:
  /// `executor` null: every communicate() is refused with SwMmiServiceNotAvailable.
  MmCommunicator(N& world, CommunicationConfig const& config, E* executor, L log = {}) noexcept
      : world_(world), config_(config), executor_(executor), log_(log) {}

  /// Sends `message` through the buffer `id`; copies the answer's message to the start of `reply`. Returns its bytes.
  /// The errors are looked for in the order of CommunicateError; before the MMI nothing but the buffer was touched.
  std::expected<u64, CommunicateError> communicate(u8 id, Message const& message, std::span<std::byte> reply) noexcept {
    MM_TRY_ASSIGN(Answer<N> const& answer, communicate_in_place(id, message));
    if (answer.bytes() > reply.size()) {
      return refuse(CommunicateError::ReplyTooLong, answer.bytes());
    }
    if (!answer.read(0, reply.first(static_cast<std::size_t>(answer.bytes()))).has_value()) {
      return refuse(CommunicateError::InvalidResponse, answer.bytes());
    }
    return answer.bytes();
  }

  /// The same, but the answer stays in the buffer, and the buffer belongs to whoever holds the answer.
  std::expected<Answer<N>, CommunicateError> communicate_in_place(u8 id, Message const& message) noexcept {
    Turn turn{in_progress_};
    if (!turn.is_mine()) {
      return refuse(CommunicateError::CallInProgress, id);
    }
    answer_ = {};
    apply_pending();
    MM_TRY_ASSIGN(CommunicateBuffer* const buffer, prepare(id, message));
    if (buffer->has_mailbox()) {
      abi::CommBufferStatus mailbox;
      mailbox.is_comm_buffer_valid = 1;
      mailbox.return_status = static_cast<u64>(kUntouched);
      (void)buffer->write_mailbox(world_, mailbox);
    } else {
      log_.log(LogTarget::MmComm, LogLevel::Warning, "no mailbox, buffer", id);
    }
    if (auto const done = executor_->execute_mm(*buffer); !done.has_value()) {
      withdraw(*buffer);
      return refuse(CommunicateError::SwMmiFailed, static_cast<u64>(done.error()));
    }
    MM_TRY_ASSIGN(u64 const bytes, take_answer(*buffer));
    return Answer<N>{static_cast<Turn&&>(turn), world_, *buffer, bytes};
  }

  /// What the mailbox said after the last MMI of communicate(); all zero when there was none.
  abi::CommBufferStatus const& answer() const noexcept { return answer_; }

  /// Keeps the buffer that an update protocol names until the next communicate(); a newer one replaces it.
  /// Unsupported: updates are not enabled. IncompatibleVersion. InvalidParameter: no or unaligned address, no page, no
  /// mailbox, a range that wraps, or a mailbox in the buffer.
  Expected<void> offer_update(CommBufferUpdate const& update) noexcept {
    if (!config_.enable_comm_buffer_updates || !config_.updatable_buffer_id.has_value()) {
      return std::unexpected(Status::Unsupported);
    }
    if (update.version != 1) {
      return std::unexpected(Status::IncompatibleVersion);
    }
    auto const bytes = checked_mul(update.number_of_pages, kPageSize);
    auto const mailbox = Range::make(update.status, sizeof(abi::CommBufferStatus));
    if (update.physical_start == 0 || update.physical_start % kPageSize != 0 || update.number_of_pages == 0 ||
        update.status == 0 || update.status % 8 != 0 || !bytes.has_value() || !mailbox.has_value()) {
      return std::unexpected(Status::InvalidParameter);
    }
    auto const buffer = Range::make(update.physical_start, *bytes);
    if (!buffer.has_value() || buffer->overlaps(*mailbox)) {
      return std::unexpected(Status::InvalidParameter);
    }
    pending_ = update;
    return {};
  }
  /// Puts the pending buffer in the place of the one with the updatable id. False: none is pending, or a call is under
  /// way, and the next one does it.
  bool apply_update() noexcept {
    Turn const turn{in_progress_};
    return turn.is_mine() && apply_pending();
  }

  /// The buffer with this id, or null.
  CommunicateBuffer* find(u8 id) noexcept {
    for (auto& slot : config_.comm_buffers) {
      if (slot.has_value() && slot->id() == id) {
        return &*slot;
      }
    }
    return nullptr;
  }

 private:
  bool apply_pending() noexcept {
    if (!pending_.has_value()) {
      return false;
    }
    CommBufferUpdate const update = *pending_;
    pending_.reset();
    auto const fresh = CommunicateBuffer::from_firmware_region(
        world_, update.physical_start, update.number_of_pages * kPageSize, *config_.updatable_buffer_id, update.status);
    std::optional<CommunicateBuffer>* const slot = slot_for_update();
    if (!fresh.has_value() || slot == nullptr) {
      log_.log(LogTarget::MmComm, LogLevel::Error, "buffer update dropped, address", update.physical_start);
      return false;
    }
    *slot = *fresh;
    log_.log(LogTarget::MmComm, LogLevel::Info, "buffer replaced, now at", update.physical_start);
    return true;
  }

  std::unexpected<CommunicateError> refuse(CommunicateError error, u64 value) noexcept {
    log_.log(LogTarget::MmComm, LogLevel::Error, "communicate failed", value);
    return std::unexpected(error);
  }
  bool any_buffer() const noexcept {
    for (auto const& slot : config_.comm_buffers) {
      if (slot.has_value()) {
        return true;
      }
    }
    return false;
  }
  std::optional<CommunicateBuffer>* slot_for_update() noexcept {
    std::optional<CommunicateBuffer>* free = nullptr;
    for (auto& slot : config_.comm_buffers) {
      if (slot.has_value() && slot->id() == *config_.updatable_buffer_id) {
        return &slot;
      }
      free = free == nullptr && !slot.has_value() ? &slot : free;
    }
    return free;
  }

  /// The checks of core/communication/CLIENT.md 3, then header and message.
  std::expected<CommunicateBuffer*, CommunicateError> prepare(u8 id, Message const& message) noexcept {
    u64 const length = message.length < message.data.size() ? message.data.size() : message.length;
    if (!any_buffer()) {
      return refuse(CommunicateError::NoCommBuffer, id);
    }
    if (length == 0) {
      return refuse(CommunicateError::InvalidDataBuffer, id);
    }
    if (executor_ == nullptr) {
      return refuse(CommunicateError::SwMmiServiceNotAvailable, id);
    }
    CommunicateBuffer* const buffer = find(id);
    if (buffer == nullptr) {
      return refuse(CommunicateError::CommBufferNotFound, id);
    }
    if (length > buffer->capacity(message.format)) {
      return refuse(CommunicateError::CommBufferTooSmall, length);
    }
    if (auto const mailbox = buffer->read_mailbox(world_); mailbox.has_value() && mailbox->is_comm_buffer_valid != 0) {
      return refuse(CommunicateError::CommBufferBusy, id);
    }
    buffer->reset(world_);
    if (!buffer->set_message_info(world_, message.recipient, message.format).has_value() ||
        !buffer->set_message(world_, message.data, length).has_value()) {
      return refuse(CommunicateError::CommBufferInitError, id);
    }
    return buffer;
  }

  /// Takes back a message whose sender is told that nobody served it: the MMI of somebody else must not serve it later.
  void withdraw(CommunicateBuffer& buffer) noexcept {
    answer_ = {};
    answer_.return_status = static_cast<u64>(kUntouched);
    (void)buffer.write_mailbox(world_, answer_);
    buffer.reset(world_);
  }

  /// Steps 10 and 11: the mailbox, then the header against the record. Without a mailbox the answer is as long as the
  /// message was.
  std::expected<u64, CommunicateError> take_answer(CommunicateBuffer& buffer) noexcept {
    u64 total = header_bytes(buffer.format()) + buffer.message_length();
    if (auto const mailbox = buffer.read_mailbox(world_); mailbox.has_value()) {
      answer_ = *mailbox;
      total = answer_.return_buffer_size;
      buffer.note_used(total);
      if (answer_.is_comm_buffer_valid != 0) {
        bool const touched = answer_.return_status != static_cast<u64>(kUntouched);
        withdraw(buffer);
        return refuse(touched ? CommunicateError::InvalidResponse : CommunicateError::MmDidNotAnswer,
                      answer_.return_status);
      }
      if (answer_.return_status != static_cast<u64>(Status::Success)) {
        return refuse(CommunicateError::MmFailed, answer_.return_status);
      }
    }
    if (!buffer.verify(world_).has_value() || total < header_bytes(buffer.format()) || total > buffer.size()) {
      return refuse(CommunicateError::InvalidResponse, total);
    }
    return total - header_bytes(buffer.format());
  }

  N& world_;
  CommunicationConfig config_;
  E* executor_;
  [[no_unique_address]] L log_;
  abi::CommBufferStatus answer_;
  std::optional<CommBufferUpdate> pending_;
  std::atomic<bool> in_progress_{false};
};

}  // namespace mm::communication
