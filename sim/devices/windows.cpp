// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/windows.hpp"

namespace mm::sim {
namespace {

constexpr u32 kWidest = 4;  ///< what a device takes at once

std::unique_ptr<Window> make(FlashSpec const& spec) { return std::make_unique<NorFlash>(spec.content, spec.bytes); }
std::unique_ptr<Window> make(RegisterWindowSpec const& spec) { return std::make_unique<RegisterWindow>(spec); }

}  // namespace

Windows::Windows(std::span<WindowSpec const> specs) {
  for (auto const& spec : specs) {
    windows_.push_back({spec.name, spec.ports, spec.range(),
                        std::visit([](auto const& device) { return make(device); }, spec.device)});
  }
}

Window* Windows::find(bool ports, Range range, u64& offset) noexcept {
  for (auto const& one : windows_) {
    if (one.ports == ports && one.range.contains(range)) {
      offset = range.base - one.range.base;
      return one.device.get();
    }
  }
  return nullptr;
}

u64 Windows::read(u64 address, u32 bytes, From from) noexcept {
  if (bytes > kWidest) {
    return read(address, kWidest, from) | read(address + kWidest, bytes - kWidest, from) << (8 * kWidest);
  }
  u64 offset = 0;
  Window* const device = find(false, {address, bytes}, offset);
  if (device == nullptr) {
    return 0;
  }
  return from == From::Mm ? device->read(offset, bytes) : device->read_outside_mm(offset, bytes);
}

void Windows::write(u64 address, u32 bytes, u64 value, From from) noexcept {
  if (bytes > kWidest) {
    write(address, kWidest, value & 0xFFFF'FFFF, from);
    return write(address + kWidest, bytes - kWidest, value >> (8 * kWidest), from);
  }
  u64 offset = 0;
  Window* const device = find(false, {address, bytes}, offset);
  if (device == nullptr) {
    return;
  }
  if (from == From::Mm) {
    device->write(offset, bytes, static_cast<u32>(value));
  } else {
    device->write_outside_mm(offset, bytes, static_cast<u32>(value));
  }
}

void Windows::snapshot() {
  for (auto const& one : windows_) {
    one.device->snapshot();
  }
}

void Windows::reset() noexcept {
  for (auto const& one : windows_) {
    one.device->reset();
  }
}

std::vector<DeviceLog> Windows::logs() const {
  std::vector<DeviceLog> out;
  for (auto const& one : windows_) {
    if (auto const* device = dynamic_cast<RegisterWindow const*>(one.device.get())) {
      out.push_back({one.name, device->accesses(), device->dropped_accesses()});
    }
  }
  return out;
}

}  // namespace mm::sim
