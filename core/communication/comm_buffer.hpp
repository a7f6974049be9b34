// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/communication/normal_world.hpp"

/// One communicate buffer of the normal world, tracked: what was written into it is remembered apart from the shared
/// memory and compared before and after each MMI (core/communication/CLIENT.md 4).
namespace mm::communication {

/// Why an operation on a buffer was refused.
enum class CommBufferError : u8 {
  TooSmallForHeader,
  TooSmallForMessage,  ///< the message passes the end of the buffer, or its length in memory is not the recorded one
  NoBuffer,            ///< null address, or no mailbox where one is needed
  NotAligned,          ///< not on a 4 KiB boundary; the mailbox not on 8 bytes
  AddressValidationFailed,  ///< address and size wrap; the mailbox wraps or lies in the buffer
  InvalidRecipient,         ///< none recorded, or the header in memory names another
};

enum class MessageFormat : u8 {
  V1,  ///< EFI_MM_COMMUNICATE_HEADER, 24 bytes
  V3,  ///< EFI_MM_COMMUNICATE_HEADER_V3, 56 bytes; the user channel only
};
constexpr u64 header_bytes(MessageFormat format) noexcept {
  return format == MessageFormat::V1 ? sizeof(abi::CommunicateHeader) : sizeof(abi::CommunicateHeaderV3);
}

template <typename T>
using CommBufferResult = std::expected<T, CommBufferError>;

/// The private side of one buffer. The shared memory is reached through the NormalWorld that each call is given; the
/// address, size, id and mailbox never change. A copy shares the memory and takes the record along.
class CommunicateBuffer {
 public:
  /// Takes `size` bytes at `address` and fills them with zeros. `mailbox` 0: MM that knows no mailbox.
  /// Errors, in this order: TooSmallForHeader, NoBuffer, NotAligned, AddressValidationFailed.
  template <NormalWorld N>
  static CommBufferResult<CommunicateBuffer> make(N& world, u64 address, u64 size, u8 id, u64 mailbox = 0) noexcept {
    if (size < sizeof(abi::CommunicateHeader)) {
      return std::unexpected(CommBufferError::TooSmallForHeader);
    }
    if (address == 0) {
      return std::unexpected(CommBufferError::NoBuffer);
    }
    if (address % kPageSize != 0 || mailbox % 8 != 0) {
      return std::unexpected(CommBufferError::NotAligned);
    }
    auto const buffer = Range::make(address, size);
    auto const status = Range::make(mailbox, sizeof(abi::CommBufferStatus));
    if (!buffer.has_value() || !status.has_value() || (mailbox != 0 && buffer->overlaps(*status))) {
      return std::unexpected(CommBufferError::AddressValidationFailed);
    }
    CommunicateBuffer made{address, size, id, mailbox};
    made.used_ = size;
    made.reset(world);
    return made;
  }
  /// The buffer of a firmware table: as make(), but an address that wraps is found first.
  template <NormalWorld N>
  static CommBufferResult<CommunicateBuffer> from_firmware_region(N& world, u64 address, u64 size, u8 id,
                                                                  u64 mailbox = 0) noexcept {
    if (!Range::make(address, size).has_value()) {
      return std::unexpected(CommBufferError::AddressValidationFailed);
    }
    return make(world, address, size, id, mailbox);
  }

  u8 id() const noexcept { return id_; }
  PhysAddr address() const noexcept { return PhysAddr{address_}; }
  u64 size() const noexcept { return size_; }
  bool has_mailbox() const noexcept { return mailbox_ != 0; }
  PhysAddr mailbox() const noexcept { return PhysAddr{mailbox_}; }
  u64 message_length() const noexcept { return length_; }
  MessageFormat format() const noexcept { return format_; }
  /// Most message bytes that fit behind a header of this format; 0 when the header itself does not.
  u64 capacity(MessageFormat format) const noexcept {
    return size_ < header_bytes(format) ? 0 : size_ - header_bytes(format);
  }

  /// Zeros in every byte that either side may have used since the last reset; forgets recipient and message.
  template <NormalWorld N>
  void reset(N& world) noexcept {
    std::byte const zeros[kChunk] = {};
    for (u64 done = 0; done < used_;) {
      u64 const n = used_ - done < kChunk ? used_ - done : kChunk;
      world.write(address() + done, std::span{zeros}.first(static_cast<std::size_t>(n)));
      done += n;
    }
    used_ = 0;
    length_ = 0;
    recipient_ = {};
    format_ = MessageFormat::V1;
  }

  /// Records the recipient and writes a header with it and the length recorded so far (0 after a reset).
  /// TooSmallForHeader; and what verify() says.
  template <NormalWorld N>
  CommBufferResult<void> set_message_info(N& world, Guid const& recipient,
                                          MessageFormat format = MessageFormat::V1) noexcept {
    if (size_ < header_bytes(format)) {
      return std::unexpected(CommBufferError::TooSmallForHeader);
    }
    recipient_ = recipient;
    format_ = format;
    write_header(world);
    return verify(world);
  }
  /// Writes header and message; the `length` - bytes.size() bytes behind stay as they are, zero after a reset.
  /// TooSmallForHeader, TooSmallForMessage, InvalidRecipient (none was set); and what verify() says.
  template <NormalWorld N>
  CommBufferResult<void> set_message(N& world, std::span<std::byte const> bytes, u64 length = 0) noexcept {
    u64 const total = length < bytes.size() ? bytes.size() : length;
    if (size_ < header_bytes(format_)) {
      return std::unexpected(CommBufferError::TooSmallForHeader);
    }
    if (total > capacity(format_)) {
      return std::unexpected(CommBufferError::TooSmallForMessage);
    }
    if (recipient_.is_zero()) {
      return std::unexpected(CommBufferError::InvalidRecipient);
    }
    length_ = total;
    write_header(world);
    world.write(message_at(0), bytes);
    note_used(header_bytes(format_) + total);
    return verify(world);
  }

  /// Copies `into.size()` bytes of the message from `offset`. TooSmallForMessage: they pass the end of the buffer;
  /// and what verify() says.
  template <NormalWorld N>
  CommBufferResult<void> get_message(N& world, u64 offset, std::span<std::byte> into) const noexcept {
    MM_TRY(verify(world));
    u64 const room = capacity(format_);
    if (offset > room || into.size() > room - offset) {
      return std::unexpected(CommBufferError::TooSmallForMessage);
    }
    world.read(message_at(offset), into);
    return {};
  }

  /// Compares the header in memory with the record. TooSmallForHeader; InvalidRecipient: another GUID (any but zero
  /// when none is recorded), or a V3 header that changed; TooSmallForMessage: another length.
  template <NormalWorld N>
  CommBufferResult<void> verify(N& world) const noexcept {
    if (size_ < header_bytes(format_)) {
      return std::unexpected(CommBufferError::TooSmallForHeader);
    }
    return format_ == MessageFormat::V1 ? verify_v1(world) : verify_v3(world);
  }

  /// The mailbox as it is now. NoBuffer: this buffer has none.
  template <NormalWorld N>
  CommBufferResult<abi::CommBufferStatus> read_mailbox(N& world) const noexcept {
    if (!has_mailbox()) {
      return std::unexpected(CommBufferError::NoBuffer);
    }
    abi::CommBufferStatus status;
    world.read(mailbox(), std::as_writable_bytes(std::span<abi::CommBufferStatus, 1>{&status, 1}));
    return status;
  }
  /// NoBuffer: this buffer has no mailbox.
  template <NormalWorld N>
  CommBufferResult<void> write_mailbox(N& world, abi::CommBufferStatus const& status) const noexcept {
    if (!has_mailbox()) {
      return std::unexpected(CommBufferError::NoBuffer);
    }
    world.write(mailbox(), std::as_bytes(std::span<abi::CommBufferStatus const, 1>{&status, 1}));
    return {};
  }
  /// MM answered with `bytes` of header and message: the next reset clears them too.
  void note_used(u64 bytes) noexcept {
    bytes = bytes < size_ ? bytes : size_;
    used_ = used_ < bytes ? bytes : used_;
  }

 private:
  static constexpr u64 kChunk = 512;

  CommunicateBuffer(u64 address, u64 size, u8 id, u64 mailbox) noexcept
      : address_(address), size_(size), mailbox_(mailbox), id_(id) {}
  PhysAddr message_at(u64 offset) const noexcept { return address() + header_bytes(format_) + offset; }

  template <NormalWorld N>
  void write_header(N& world) noexcept {
    if (format_ == MessageFormat::V1) {
      abi::CommunicateHeader const header{recipient_, length_};
      world.write(address(), std::as_bytes(std::span<abi::CommunicateHeader const, 1>{&header, 1}));
    } else {
      abi::CommunicateHeaderV3 const header = header_v3();
      world.write(address(), std::as_bytes(std::span<abi::CommunicateHeaderV3 const, 1>{&header, 1}));
    }
    note_used(header_bytes(format_));
  }
  abi::CommunicateHeaderV3 header_v3() const noexcept {
    return {guids::gEfiMmCommunicateHeaderV3Guid, sizeof(abi::CommunicateHeaderV3) + length_, 0, recipient_, length_};
  }
  template <NormalWorld N>
  CommBufferResult<void> verify_v1(N& world) const noexcept {
    abi::CommunicateHeader found;
    world.read(address(), std::as_writable_bytes(std::span<abi::CommunicateHeader, 1>{&found, 1}));
    if (!(found.header_guid == recipient_)) {
      return std::unexpected(CommBufferError::InvalidRecipient);
    }
    if (found.message_length != length_) {
      return std::unexpected(CommBufferError::TooSmallForMessage);
    }
    return {};
  }
  template <NormalWorld N>
  CommBufferResult<void> verify_v3(N& world) const noexcept {
    abi::CommunicateHeaderV3 found;
    world.read(address(), std::as_writable_bytes(std::span<abi::CommunicateHeaderV3, 1>{&found, 1}));
    abi::CommunicateHeaderV3 const wanted = header_v3();
    if (!(found.header_guid == wanted.header_guid) || !(found.message_guid == wanted.message_guid)) {
      return std::unexpected(CommBufferError::InvalidRecipient);
    }
    if (found.message_size != wanted.message_size || found.buffer_size != wanted.buffer_size) {
      return std::unexpected(CommBufferError::TooSmallForMessage);
    }
    return {};
  }

  u64 address_;
  u64 size_;
  u64 mailbox_;
  u64 used_ = 0;    ///< bytes from the start that may not be zero
  u64 length_ = 0;  ///< of the recorded message
  Guid recipient_;  ///< zero: none
  MessageFormat format_ = MessageFormat::V1;
  u8 id_;
};

}  // namespace mm::communication
