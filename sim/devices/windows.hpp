// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sim/devices/nor_flash.hpp"
#include "sim/devices/register_window.hpp"

namespace mm::sim {

struct FlashSpec {
  u64 bytes = 0;                   ///< a multiple of NorFlash::kBlockBytes
  std::vector<std::byte> content;  ///< its first bytes; the rest is erased
};

/// A device that a scenario brings, and where it lies.
struct WindowSpec {
  std::string name;
  bool ports = false;  ///< `base` is a port, else a physical address
  u64 base = 0;
  std::variant<FlashSpec, RegisterWindowSpec> device;

  u64 bytes() const noexcept {
    return std::visit([](auto const& spec) { return spec.bytes; }, device);
  }
  Range range() const noexcept { return {base, bytes()}; }
};

/// What was asked of one device.
struct DeviceLog {
  std::string name;
  std::vector<DeviceAccess> accesses;
  u64 dropped = 0;
};

/// The devices of a scenario: who answers at an address or port. They do not overlap.
class Windows {
 public:
  explicit Windows(std::span<WindowSpec const> specs);

  bool empty() const noexcept { return windows_.empty(); }
  /// Who makes an access, as the chipset sees it.
  enum class From : u8 { Mm, Outside };
  /// 1, 2, 4 or 8 bytes at a physical address; zeros where no device is.
  u64 read(u64 address, u32 bytes, From from) noexcept;
  void write(u64 address, u32 bytes, u64 value, From from) noexcept;
  /// The device with all of these ports; null: none.
  Window* at_port(u16 port, u32 bytes, u64& offset) noexcept { return find(true, {port, bytes}, offset); }

  void snapshot();
  void reset() noexcept;
  /// Of the devices that keep a log, in order.
  std::vector<DeviceLog> logs() const;

 private:
  struct Placed {
    std::string name;
    bool ports = false;
    Range range;
    std::unique_ptr<Window> device;
  };
  Window* find(bool ports, Range range, u64& offset) noexcept;

  std::vector<Placed> windows_;
};

}  // namespace mm::sim
