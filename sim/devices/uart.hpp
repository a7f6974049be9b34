// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>

#include "core/base/types.hpp"

namespace mm::sim {

/// The 16550A of COM1 as QEMU has it, with nobody who sends to it: what is transmitted is out at once, and no interrupt
/// reaches a CPU. Part of a snapshot.
class Uart {
 public:
  /// Register 0 to 7. Reading takes received bytes, and the cause that register 2 reports.
  u8 in(u16 offset) noexcept;
  /// The byte that leaves the machine, if one does.
  std::optional<u8> out(u16 offset, u8 value) noexcept;

 private:
  bool divisor_latch() const noexcept { return (line_control_ & 0x80) != 0; }
  bool loopback() const noexcept { return (modem_control_ & 0x10) != 0; }
  bool fifo() const noexcept { return (fifo_control_ & 1) != 0; }

  u8 take_received() noexcept;
  u8 take_line_status() noexcept;
  u8 take_cause() noexcept;
  u8 modem_status() const noexcept;
  std::optional<u8> transmit(u8 value) noexcept;
  void receive(u8 value) noexcept;
  void set_interrupts(u8 value) noexcept;
  void set_fifo_control(u8 value) noexcept;
  bool enough_received() const noexcept;
  u8 cause() const noexcept;

  u16 divisor_ = 0x000C;  ///< 9600 baud
  u8 interrupts_ = 0;
  u8 fifo_control_ = 0;
  u8 line_control_ = 0;
  u8 modem_control_ = 0x08;
  u8 scratch_ = 0;
  u8 holding_ = 0;  ///< the last byte received without FIFO
  u8 received_count_ = 0;
  std::array<u8, 16> received_{};  ///< the FIFO, oldest first
  bool data_ready_ = false;
  bool overrun_ = false;
  bool transmitter_pending_ = false;  ///< "transmitter empty" was not reported yet
};

}  // namespace mm::sim
