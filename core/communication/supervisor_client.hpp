// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/communication/communicator.hpp"

/// Asking the supervisor (core/abi/ABI.md 4, core/communication/CLIENT.md 6). The one place in the normal
/// world that knows the envelope; the scenario runner encodes its requests with it too.
namespace mm::communication {

/// A request without payload.
constexpr abi::SupervisorRequestHeader request_header(abi::SupervisorRequest request) noexcept {
  return {abi::kRequestSignature, 1, static_cast<u32>(request), 0, 0};
}
/// Header and payload, as they stand in the message.
template <typename Payload>
struct SupervisorMessage {
  abi::SupervisorRequestHeader header;
  Payload payload;
};
using UnblockMessage = SupervisorMessage<abi::UnblockMemoryParams>;
using VersionMessage = SupervisorMessage<abi::VersionInfo>;
/// Payload of COMM_UPDATE: index 0 supervisor, 1 user.
struct CommUpdateParams {
  std::array<abi::UnblockMemoryParams, 2> status;
  std::array<abi::UnblockMemoryParams, 2> buffers;
};
using CommUpdateMessage = SupervisorMessage<CommUpdateParams>;
static_assert(sizeof(UnblockMessage) == 80 && sizeof(VersionMessage) == 40 && sizeof(CommUpdateMessage) == 248);

inline constexpr u32 kRuntimeServicesData = 6;  ///< EfiRuntimeServicesData

constexpr UnblockMessage unblock_message(abi::UnblockMemoryParams const& params) noexcept {
  return {request_header(abi::SupervisorRequest::UnblockMem), params};
}

/// Requests on the supervisor channel, one MMI each. Errors of every call: efi_status() of the communicator's error,
/// CompromisedData when the answer has another envelope, else the Result that the supervisor wrote.
template <typename Communicator, NormalWorld N>
class SupervisorClient {
 public:
  /// `buffer`: id of the supervisor channel's buffer. The client keeps the reference.
  SupervisorClient(Communicator& communicator, u8 buffer) noexcept : communicator_(communicator), buffer_(buffer) {}

  /// SecurityViolation: the supervisor says version 0, as the launchers of the reference see it.
  Expected<abi::VersionInfo> version() noexcept {
    VersionMessage message{request_header(abi::SupervisorRequest::VersionInfo), {}};
    MM_TRY(exchange(message));
    if (message.payload.version == 0) {
      return std::unexpected(Status::SecurityViolation);
    }
    return message.payload;
  }
  Expected<void> unblock(abi::UnblockMemoryParams const& params) noexcept {
    UnblockMessage message = unblock_message(params);
    return exchange(message);
  }
  Expected<void> comm_update(CommUpdateParams const& params) noexcept {
    CommUpdateMessage message{request_header(abi::SupervisorRequest::CommUpdate), params};
    return exchange(message);
  }
  /// Fetches the policy, which locks MM. Copies the blob to the start of `into` and returns its bytes. BufferTooSmall:
  /// it does not fit, and MM is locked nonetheless. Offers the supervisor the whole buffer, since only it knows the
  /// size.
  Expected<u64> fetch_policy(std::span<std::byte> into) noexcept {
    abi::SupervisorRequestHeader header = request_header(abi::SupervisorRequest::FetchPolicy);
    CommunicateBuffer const* const buffer = communicator_.find(buffer_);
    u64 const room = buffer == nullptr ? 0 : buffer->capacity(MessageFormat::V1);
    MM_TRY_ASSIGN(Reply const& reply, send(object_bytes(header), room));
    MM_TRY(check(reply, header, sizeof header));
    u64 const bytes = reply.bytes() - sizeof header;
    if (bytes > into.size()) {
      return std::unexpected(Status::BufferTooSmall);
    }
    MM_TRY(read(reply, sizeof header, into.first(static_cast<std::size_t>(bytes))));
    return bytes;
  }

  /// Tells an event: a message of one zero byte to its GUID (core/user/RING3.md 3.1). Also through a user
  /// buffer, when the client was made for that. NotFound: nobody listens.
  Expected<void> notify(Guid const& event) noexcept {
    std::byte const none[1] = {};
    auto const done = communicator_.communicate_in_place(buffer_, {event, none});
    return done.has_value() ? Expected<void>{} : std::unexpected(status_of(done.error()));
  }

 private:
  using Reply = Answer<N>;

  template <typename T>
  static std::span<std::byte const> object_bytes(T const& object) noexcept {
    return std::as_bytes(std::span<T const, 1>{&object, 1});
  }
  Status status_of(CommunicateError error) const noexcept {
    return efi_status(error, static_cast<Status>(communicator_.answer().return_status));
  }
  Expected<Reply> send(std::span<std::byte const> data, u64 length = 0) noexcept {
    auto done = communicator_.communicate_in_place(buffer_, {guids::gMmSupervisorRequestHandlerGuid, data, length});
    if (!done.has_value()) {
      return std::unexpected(status_of(done.error()));
    }
    return static_cast<Reply&&>(*done);
  }
  /// Checks that the answer has at least `least` bytes and the envelope of what was sent.
  static Expected<void> check(Reply const& reply, abi::SupervisorRequestHeader const& sent, u64 least) noexcept {
    abi::SupervisorRequestHeader got;
    if (reply.bytes() < least) {
      return std::unexpected(Status::CompromisedData);
    }
    MM_TRY(read(reply, 0, std::as_writable_bytes(std::span<abi::SupervisorRequestHeader, 1>{&got, 1})));
    if (got.signature != sent.signature || got.revision != sent.revision || got.request != sent.request) {
      return std::unexpected(Status::CompromisedData);
    }
    if (got.result != static_cast<u64>(Status::Success)) {
      return std::unexpected(static_cast<Status>(got.result));
    }
    return {};
  }
  static Expected<void> read(Reply const& reply, u64 offset, std::span<std::byte> into) noexcept {
    return reply.read(offset, into).has_value() ? Expected<void>{} : std::unexpected(Status::CompromisedData);
  }
  /// Sends `message`, checks the answer and takes its payload.
  template <typename Payload>
  Expected<void> exchange(SupervisorMessage<Payload>& message) noexcept {
    MM_TRY_ASSIGN(Reply const& reply, send(object_bytes(message)));
    u64 const least = sizeof message.header;
    MM_TRY(check(reply, message.header, least));
    u64 const rest = reply.bytes() - least;
    u64 const payload = rest < sizeof message.payload ? rest : sizeof message.payload;
    auto const into = std::as_writable_bytes(std::span<Payload, 1>{&message.payload, 1});
    return read(reply, least, into.first(static_cast<std::size_t>(payload)));
  }

  Communicator& communicator_;
  u8 buffer_;
};

}  // namespace mm::communication
