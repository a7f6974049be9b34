// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <vector>

#include "sim/devices/window.hpp"

namespace mm::sim {

/// One register of a RegisterWindow.
struct RegisterSpec {
  u64 at = 0;     ///< offset in the window
  u32 width = 4;  ///< 1, 2, 4 or 8 bytes
  u64 value = 0;  ///< at reset, for one that keeps what is written
  /// What reads give, one after the other; the last one stays. Empty: what was written last.
  std::vector<u64> reads;
  u64 clears = 0;  ///< bits that are cleared by writing 1 to them, and set by nobody
};

/// What a RegisterWindow is made of.
struct RegisterWindowSpec {
  u64 bytes = 0;
  u8 fill = 0;                          ///< every byte that belongs to no register and to no stream
  std::vector<RegisterSpec> registers;  ///< none overlaps another; in any order
  std::vector<std::byte> stream;        ///< what reads beside the registers give, one byte after the other, then `fill`
};

/// One access to a RegisterWindow.
struct DeviceAccess {
  bool write = false;
  u32 bytes = 0;
  u64 offset = 0;
  u64 value = 0;
};

/// A device of which only the answers are known: registers that keep, count through a table, or are cleared by ones. It
/// keeps a log of what was asked, the first kMostAccesses.
class RegisterWindow final : public Window {
 public:
  static constexpr std::size_t kMostAccesses = 1u << 16;

  explicit RegisterWindow(RegisterWindowSpec spec);

  u32 read(u64 offset, u32 bytes) noexcept override;
  void write(u64 offset, u32 bytes, u32 value) noexcept override;
  void snapshot() override { saved_ = state_; }
  void reset() noexcept override;

  std::vector<DeviceAccess> const& accesses() const noexcept { return accesses_; }
  u64 dropped_accesses() const noexcept { return dropped_; }

 private:
  /// What changes.
  struct Register {
    u64 value = 0;
    std::size_t next = 0;  ///< of its reads
  };
  struct State {
    std::vector<Register> registers;
    std::size_t streamed = 0;
  };
  /// The register that has this byte; registers.size(): none has.
  std::size_t find(u64 offset) const noexcept;
  u64 take(std::size_t index) noexcept;
  u8 stream_byte() noexcept;
  void note(DeviceAccess const& access) noexcept;

  RegisterWindowSpec spec_;
  State state_;
  State saved_;
  std::vector<DeviceAccess> accesses_;
  u64 dropped_ = 0;
};

}  // namespace mm::sim
