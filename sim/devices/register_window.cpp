// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/register_window.hpp"

#include <algorithm>
#include <utility>

namespace mm::sim {
namespace {

bool has(RegisterSpec const& r, u64 at) noexcept { return at >= r.at && at - r.at < r.width; }

}  // namespace

RegisterWindow::RegisterWindow(RegisterWindowSpec spec) : spec_(std::move(spec)) {
  std::ranges::sort(spec_.registers, {}, &RegisterSpec::at);
  for (auto const& r : spec_.registers) {
    state_.registers.push_back({r.value, 0});
  }
  saved_ = state_;
}

std::size_t RegisterWindow::find(u64 offset) const noexcept {
  auto const& all = spec_.registers;
  auto const behind = std::ranges::upper_bound(all, offset, {}, &RegisterSpec::at);
  bool const there = behind != all.begin() && has(behind[-1], offset);
  return there ? static_cast<std::size_t>(behind - all.begin()) - 1 : all.size();
}

/// The value of a register for one access, however many of its bytes are read.
u64 RegisterWindow::take(std::size_t index) noexcept {
  auto const& reads = spec_.registers[index].reads;
  Register& now = state_.registers[index];
  if (reads.empty()) {
    return now.value;
  }
  u64 const value = reads[now.next];
  now.next += now.next + 1 < reads.size() ? 1 : 0;
  return value;
}

u8 RegisterWindow::stream_byte() noexcept {
  return state_.streamed < spec_.stream.size() ? static_cast<u8>(spec_.stream[state_.streamed++]) : spec_.fill;
}

u32 RegisterWindow::read(u64 offset, u32 bytes) noexcept {
  u32 value = 0;
  for (u32 i = 0; i < bytes;) {
    std::size_t const index = find(offset + i);
    if (index == spec_.registers.size()) {
      value |= u32{stream_byte()} << (8 * i++);
      continue;
    }
    auto const& r = spec_.registers[index];
    u64 const all = take(index);
    for (; i < bytes && has(r, offset + i); ++i) {
      value |= static_cast<u32>(all >> (8 * (offset + i - r.at)) & 0xFF) << (8 * i);
    }
  }
  note({false, bytes, offset, value});
  return value;
}

void RegisterWindow::write(u64 offset, u32 bytes, u32 value) noexcept {
  note({true, bytes, offset, value});
  for (u32 i = 0; i < bytes; ++i) {
    std::size_t const index = find(offset + i);
    if (index == spec_.registers.size()) {
      continue;
    }
    auto const& r = spec_.registers[index];
    u64& now = state_.registers[index].value;
    u32 const shift = 8 * static_cast<u32>(offset + i - r.at);
    u64 const byte = u64{value >> (8 * i) & 0xFF} << shift;
    u64 const kept = now & r.clears & ~byte;
    u64 const written = byte & ~r.clears;
    now = (now & ~(u64{0xFF} << shift)) | ((kept | written) & u64{0xFF} << shift);
  }
}

void RegisterWindow::note(DeviceAccess const& access) noexcept {
  if (accesses_.size() < kMostAccesses) {
    accesses_.push_back(access);
  } else {
    ++dropped_;
  }
}

void RegisterWindow::reset() noexcept {
  state_ = saved_;
  accesses_.clear();
  dropped_ = 0;
}

}  // namespace mm::sim
