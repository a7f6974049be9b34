// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/communication/supervisor_client.hpp"
#include "core/steps/world.hpp"

namespace mm::communication {

/// A normal world of bytes and ports; what MM does at a write to the command port is the test's.
struct FakeWorld {
  static constexpr u16 kCommandPort = 0xB2;

  std::map<u64, std::byte> memory;
  std::map<u16, u32> ports;
  std::vector<std::pair<u16, u32>> writes;
  std::function<void(FakeWorld&)> mm;
  /// Called with each write to memory; false drops it.
  std::function<bool(u64)> accepts;

  void read(PhysAddr at, std::span<std::byte> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
      auto const found = memory.find(raw(at) + i);
      out[i] = found == memory.end() ? std::byte{0} : found->second;
    }
  }
  void write(PhysAddr at, std::span<std::byte const> in) noexcept {
    if (accepts && !accepts(raw(at))) {
      return;
    }
    for (std::size_t i = 0; i < in.size(); ++i) {
      memory[raw(at) + i] = in[i];
    }
  }
  u32 port_in(u16 port, abi::IoWidth) noexcept { return ports[port]; }
  void port_out(u16 port, abi::IoWidth, u32 value) noexcept {
    writes.emplace_back(port, value);
    ports[port] = value;
    if (port == kCommandPort && mm) {
      mm(*this);
    }
  }
  Expected<u64> read_msr(u32) noexcept { return std::unexpected(Status::Unsupported); }
  Expected<void> write_msr(u32, u64) noexcept { return {}; }
  void send_ipi(u32, u32) noexcept {}
  void emit(abi::FrameKind, std::span<std::byte const>) noexcept {}

  template <typename T>
  T get(u64 at) {
    T value;
    read(PhysAddr{at}, std::as_writable_bytes(std::span<T, 1>{&value, 1}));
    return value;
  }
  template <typename T>
  void put(u64 at, T const& value) {
    write(PhysAddr{at}, std::as_bytes(std::span<T const, 1>{&value, 1}));
  }
  std::string text(u64 at, std::size_t bytes) {
    std::string out(bytes, '\0');
    read(PhysAddr{at}, std::as_writable_bytes(std::span{out}));
    return out;
  }
};
static_assert(steps::StepWorld<FakeWorld>);

inline constexpr u64 kBuffer = 0x10'0000;
inline constexpr u64 kMailbox = 0x20'0000;
inline constexpr Guid kEcho = "12345678-1234-5678-1234-567890ABCDEF"_guid;

inline std::span<std::byte const> bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }

/// What MM does with one message: reads the mailbox, answers with `status` and `message` bytes.
inline void answer(FakeWorld& world, u64 status, u64 message_bytes, u64 mailbox = kMailbox) {
  world.put(mailbox, abi::CommBufferStatus{0, {}, status, sizeof(abi::CommunicateHeader) + message_bytes});
}

}  // namespace mm::communication
