// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/linux_world.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace mm::linux_tool {

std::expected<LinuxWorld, std::string> LinuxWorld::open() {
  int const file = ::open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
  if (file < 0) {
    return std::unexpected(fmt::format("/dev/mem: {}; run as root", std::strerror(errno)));
  }
  LinuxWorld world{file};
  if (::iopl(3) != 0) {
    return std::unexpected(fmt::format("iopl(3): {}; run as root, without kernel lockdown", std::strerror(errno)));
  }
  return world;
}

LinuxWorld::LinuxWorld(LinuxWorld&& other) noexcept
    : file_(std::exchange(other.file_, -1)), windows_(std::move(other.windows_)) {}

LinuxWorld::~LinuxWorld() {
  for (Window const& window : windows_) {
    ::munmap(window.host, window.range.size);
  }
  if (file_ >= 0) {
    ::close(file_);
  }
}

std::expected<void, std::string> LinuxWorld::map(u64 address, u64 bytes) {
  u64 const base = address & ~(kPageSize - 1);
  auto const range = Range::make(base, (address - base + bytes + kPageSize - 1) & ~(kPageSize - 1));
  if (!range || range->size < bytes) {
    return std::unexpected(fmt::format("{:#x} bytes at {:#x}: no such memory", bytes, address));
  }
  void* const host = ::mmap(nullptr, range->size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, static_cast<off_t>(base));
  if (host == MAP_FAILED) {
    return std::unexpected(
        fmt::format("physical memory {:#x} to {:#x}: {}; the kernel gives out reserved memory only, with "
                    "iomem=relaxed on its command line",
                    base, range->end(), std::strerror(errno)));
  }
  windows_.push_back({*range, static_cast<std::byte*>(host)});
  return {};
}

std::byte* LinuxWorld::find(PhysAddr at, u64 bytes) const noexcept {
  auto const wanted = Range::make(raw(at), bytes);
  for (Window const& window : windows_) {
    if (wanted && window.range.contains(*wanted)) {
      return window.host + (raw(at) - window.range.base);
    }
  }
  return nullptr;
}

void LinuxWorld::read(PhysAddr at, std::span<std::byte> in) noexcept {
  std::byte const* const from = find(at, in.size());
  std::size_t i = 0;
  for (; from != nullptr && raw(at) % 4 == 0 && in.size() - i >= 4; i += 4) {
    u32 const word = *reinterpret_cast<u32 const volatile*>(from + i);
    std::memcpy(in.data() + i, &word, 4);
  }
  for (; i < in.size(); ++i) {
    in[i] = from == nullptr ? std::byte{0xFF} : static_cast<std::byte>(*reinterpret_cast<u8 const volatile*>(from + i));
  }
}

void LinuxWorld::write(PhysAddr at, std::span<std::byte const> out) noexcept {
  std::byte* const to = find(at, out.size());
  for (std::size_t i = 0; to != nullptr && i < out.size(); ++i) {
    *reinterpret_cast<u8 volatile*>(to + i) = static_cast<u8>(out[i]);
  }
}

u32 LinuxWorld::port_in(u16 port, abi::IoWidth width) noexcept {
  switch (width) {
    case abi::IoWidth::Byte:
      return ::inb(port);
    case abi::IoWidth::Word:
      return ::inw(port);
    case abi::IoWidth::Dword:
      break;
  }
  return ::inl(port);
}

void LinuxWorld::port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
  switch (width) {
    case abi::IoWidth::Byte:
      ::outb(static_cast<u8>(value), port);
      break;
    case abi::IoWidth::Word:
      ::outw(static_cast<u16>(value), port);
      break;
    case abi::IoWidth::Dword:
      ::outl(value, port);
      break;
  }
  asm volatile("jmp 1f\n1:" : : : "memory");  // QEMU takes the SMI at the edge of a block
}

}  // namespace mm::linux_tool
