// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "sim/devices/window.hpp"

namespace mm::sim {

/// A NOR flash with Intel's command set (CFI 01), eight bits wide, as QEMU's cfi.pflash01 is on q35: blocks of 4 KiB,
/// nothing takes time, a byte that is programmed is replaced. CPUs outside MM read the array and write nothing
/// (`secure=on`). Accesses beyond the end read zeros.
class NorFlash final : public Window {
 public:
  static constexpr u64 kBlockBytes = 0x1000;

  /// `bytes` is a multiple of kBlockBytes and as large as the window. What `content` does not reach is erased.
  NorFlash(std::span<std::byte const> content, u64 bytes);

  u32 read(u64 offset, u32 bytes) noexcept override;
  void write(u64 offset, u32 bytes, u32 value) noexcept override;
  u32 read_outside_mm(u64 offset, u32 bytes) noexcept override { return array(offset, bytes); }
  void write_outside_mm(u64, u32, u32) noexcept override {}
  void snapshot() override;
  void reset() noexcept override;

 private:
  /// What the next write is.
  enum class Cycle : u8 { Command, Data, Count, Buffer, Confirm };
  /// Of a buffered write: what the confirmation programs.
  struct Buffer {
    static constexpr u64 kBytes = 0x100;
    u64 base = 0;
    u32 left = 0;  ///< writes behind the next one
    std::array<std::byte, kBytes> data{};
  };
  struct State {
    u8 command = 0;  ///< 0: reads give the array
    u8 status = 0x80;
    Cycle cycle = Cycle::Command;
    Buffer buffer;
  };

  void take_command(u64 offset, u8 command) noexcept;
  void take_data(u64 offset, u32 bytes, u32 value) noexcept;
  void confirm(u8 value) noexcept;
  void open_buffer(u64 offset, u8 count) noexcept;
  void buffer(u64 offset, u32 bytes, u32 value) noexcept;
  void flush(u8 value) noexcept;
  void read_array() noexcept { state_.command = 0, state_.cycle = Cycle::Command; }
  void ready() noexcept { state_.status |= 0x80, state_.cycle = Cycle::Command; }
  void program(u64 offset, u32 bytes, u32 value) noexcept;
  void erase(u64 offset) noexcept;
  void touch(u64 offset) noexcept;
  u32 array(u64 offset, u32 bytes) const noexcept;

  std::vector<std::byte> array_;
  std::vector<std::byte> saved_;
  std::vector<u8> changed_;          ///< per block: not as in saved_
  std::vector<u64> changed_blocks_;  ///< their numbers
  State state_;
  State saved_state_;
};

}  // namespace mm::sim
