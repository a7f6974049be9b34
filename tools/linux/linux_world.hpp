// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "core/communication/normal_world.hpp"

namespace mm::linux_tool {

/// communication::NormalWorld of a process under Linux that runs as root: physical memory through /dev/mem, ports after
/// iopl(3). The kernel allows memory that is no RAM of its own; where it has IO_STRICT_DEVMEM, with iomem=relaxed.
class LinuxWorld {
 public:
  /// Error, a sentence with what to do: /dev/mem cannot be opened, ports are refused.
  static std::expected<LinuxWorld, std::string> open();
  LinuxWorld(LinuxWorld&& other) noexcept;
  LinuxWorld(LinuxWorld const&) = delete;
  LinuxWorld& operator=(LinuxWorld const&) = delete;
  ~LinuxWorld();

  /// Makes the pages of [address, address + bytes) reachable. Error: the kernel refuses, and why.
  std::expected<void, std::string> map(u64 address, u64 bytes);

  /// By accesses of at most 4 bytes, as chipsets answer them for locked MMRAM. FF where nothing is mapped.
  void read(PhysAddr at, std::span<std::byte> in) noexcept;
  /// Dropped where nothing is mapped.
  void write(PhysAddr at, std::span<std::byte const> out) noexcept;
  u32 port_in(u16 port, abi::IoWidth width) noexcept;
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept;

 private:
  struct Window {
    Range range;
    std::byte* host = nullptr;
  };
  explicit LinuxWorld(int file) noexcept : file_(file) {}
  /// Where [at, at + bytes) is mapped; null when it is not.
  std::byte* find(PhysAddr at, u64 bytes) const noexcept;

  int file_;
  std::vector<Window> windows_;
};
static_assert(communication::NormalWorld<LinuxWorld>);

}  // namespace mm::linux_tool
