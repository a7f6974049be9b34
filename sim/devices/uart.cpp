// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/uart.hpp"

#include <algorithm>

namespace mm::sim {
namespace {

enum Register : u16 {
  Data,
  InterruptEnable,
  InterruptCause,
  LineControl,
  ModemControl,
  LineStatus,
  ModemStatus,
  Scratch
};

constexpr u8 kReceivedInterrupt = 0x01;
constexpr u8 kTransmitterInterrupt = 0x02;
constexpr u8 kLineInterrupt = 0x04;
constexpr u8 kOverrun = 0x02;

}  // namespace

u8 Uart::in(u16 offset) noexcept {
  switch (offset) {
    case Data:
      return divisor_latch() ? static_cast<u8>(divisor_) : take_received();
    case InterruptEnable:
      return divisor_latch() ? static_cast<u8>(divisor_ >> 8) : interrupts_;
    case InterruptCause:
      return take_cause();
    case LineControl:
      return line_control_;
    case ModemControl:
      return modem_control_;
    case LineStatus:
      return take_line_status();
    case ModemStatus:
      return modem_status();
    default:
      return scratch_;
  }
}

std::optional<u8> Uart::out(u16 offset, u8 value) noexcept {
  switch (offset) {
    case Data:
      if (!divisor_latch()) {
        return transmit(value);
      }
      divisor_ = static_cast<u16>((divisor_ & 0xFF00) | value);
      break;
    case InterruptEnable:
      if (divisor_latch()) {
        divisor_ = static_cast<u16>((divisor_ & 0x00FF) | value << 8);
      } else {
        set_interrupts(value & 0x0F);
      }
      break;
    case InterruptCause:
      set_fifo_control(value);
      break;
    case LineControl:
      line_control_ = value;
      break;
    case ModemControl:
      modem_control_ = value & 0x1F;
      break;
    case Scratch:
      scratch_ = value;
      break;
    default:
      break;
  }
  return {};
}

u8 Uart::take_received() noexcept {
  if (!fifo()) {
    data_ready_ = false;
    return holding_;
  }
  if (received_count_ == 0) {
    return 0;
  }
  u8 const value = received_[0];
  std::shift_left(received_.begin(), received_.begin() + received_count_, 1);
  --received_count_;
  data_ready_ = received_count_ != 0;
  return value;
}

u8 Uart::take_line_status() noexcept {
  constexpr u8 kTransmitterEmpty = 0x60;
  u8 const value = static_cast<u8>(kTransmitterEmpty | (overrun_ ? kOverrun : 0) | (data_ready_ ? 1 : 0));
  overrun_ = false;
  return value;
}

/// With FIFO the trigger level counts. The interrupt for fewer bytes, after a time without more, does not come.
bool Uart::enough_received() const noexcept {
  constexpr u8 kTriggerLevels[] = {1, 4, 8, 14};
  return fifo() ? received_count_ >= kTriggerLevels[fifo_control_ >> 6] : data_ready_;
}

u8 Uart::cause() const noexcept {
  u8 const fifo_bits = fifo() ? 0xC0 : 0;
  if ((interrupts_ & kLineInterrupt) != 0 && overrun_) {
    return fifo_bits | 0x06;
  }
  if ((interrupts_ & kReceivedInterrupt) != 0 && enough_received()) {
    return fifo_bits | 0x04;
  }
  return fifo_bits | ((interrupts_ & kTransmitterInterrupt) != 0 && transmitter_pending_ ? 0x02 : 0x01);
}

u8 Uart::take_cause() noexcept {
  u8 const value = cause();
  transmitter_pending_ = transmitter_pending_ && (value & 0x07) != 0x02;
  return value;
}

/// In loopback the outputs of the modem are its inputs; else carrier, data set ready and clear to send are there.
u8 Uart::modem_status() const noexcept {
  u8 const m = modem_control_;
  return loopback() ? static_cast<u8>((m & 0x0C) << 4 | (m & 0x02) << 3 | (m & 0x01) << 5) : u8{0xB0};
}

std::optional<u8> Uart::transmit(u8 value) noexcept {
  transmitter_pending_ = true;
  if (!loopback()) {
    return value;
  }
  receive(value);
  return {};
}

void Uart::receive(u8 value) noexcept {
  if (!fifo()) {
    overrun_ = overrun_ || data_ready_;
    holding_ = value;
  } else if (received_count_ == received_.size()) {
    overrun_ = true;
  } else {
    received_[received_count_++] = value;
  }
  data_ready_ = true;
}

void Uart::set_interrupts(u8 value) noexcept {
  bool const switched_on = (value & ~interrupts_ & kTransmitterInterrupt) != 0;
  transmitter_pending_ = transmitter_pending_ || switched_on;
  interrupts_ = value;
}

void Uart::set_fifo_control(u8 value) noexcept {
  constexpr u8 kResetReceiver = 0x02;
  constexpr u8 kResetTransmitter = 0x04;
  bool const switched = ((value ^ fifo_control_) & 1) != 0;
  if (switched || (value & kResetReceiver) != 0) {
    received_count_ = 0;
    data_ready_ = false;
  }
  transmitter_pending_ = transmitter_pending_ || switched || (value & kResetTransmitter) != 0;
  fifo_control_ = value;
}

}  // namespace mm::sim
