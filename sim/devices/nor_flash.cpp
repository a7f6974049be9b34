// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/nor_flash.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mm::sim {
namespace {

enum Command : u8 {
  ReadArray = 0x00,
  ProgramAlternative = 0x10,
  Erase = 0x20,
  Program = 0x40,
  ClearStatus = 0x50,
  Lock = 0x60,
  ReadStatus = 0x70,
  ReadId = 0x90,
  Query = 0x98,
  Confirm = 0xD0,
  WriteBuffer = 0xE8,
  Reset = 0xFF,
};
constexpr u8 kSetLock = 0x01;
constexpr u8 kProgramError = 0x10;  ///< of the status

/// The CFI query table from 0x10 on, as QEMU 7.2 has it for blocks of 4 KiB; three bytes of it depend on the size.
constexpr u8 kQuery[] = {'Q',  'R',  'Y',  0x01, 0x00, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x45,
                         0x55, 0x00, 0x00, 0x07, 0x07, 0x0A, 0x00, 0x04, 0x04, 0x04, 0x00, 0x00,
                         0x02, 0x00, 0x08, 0x00, 0x01, 0x00, 0x00, 0x10, 0x00, 'P',  'R',  'I',
                         '1',  '0',  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

u8 query(u64 at, u64 bytes) noexcept {
  constexpr u64 kTable = 0x10;
  u64 const blocks = bytes / NorFlash::kBlockBytes - 1;
  switch (at) {
    case 0x27:
      return static_cast<u8>(std::countr_zero(bytes));
    case 0x2D:
      return static_cast<u8>(blocks);
    case 0x2E:
      return static_cast<u8>(blocks >> 8);
    default:
      return at >= kTable && at - kTable < sizeof kQuery ? kQuery[at - kTable] : u8{0};
  }
}

}  // namespace

NorFlash::NorFlash(std::span<std::byte const> content, u64 bytes)
    : array_(bytes, std::byte{0xFF}), changed_(bytes / kBlockBytes) {
  std::ranges::copy(content.first(std::min<u64>(content.size(), bytes)), array_.begin());
}

u32 NorFlash::array(u64 offset, u32 bytes) const noexcept {
  u32 value = 0;
  if (offset < array_.size()) {
    std::memcpy(&value, array_.data() + offset, std::min<u64>(bytes, array_.size() - offset));
  }
  return value;
}

u32 NorFlash::read(u64 offset, u32 bytes) noexcept {
  switch (state_.command) {
    case ReadArray:
      return array(offset, bytes);
    case ReadId:
      return 0;
    case Query:
      return query(offset & 0xFF, array_.size());
    default:
      return bytes > 2 ? u32{state_.status} << 16 | state_.status : state_.status;
  }
}

void NorFlash::write(u64 offset, u32 bytes, u32 value) noexcept {
  auto const low = static_cast<u8>(value);
  switch (state_.cycle) {
    case Cycle::Command:
      return take_command(offset, low);
    case Cycle::Data:
      return take_data(offset, bytes, value);
    case Cycle::Count:
      return open_buffer(offset, low);
    case Cycle::Buffer:
      return buffer(offset, bytes, value);
    case Cycle::Confirm:
      return flush(low);
  }
}

void NorFlash::take_command(u64 offset, u8 command) noexcept {
  state_.command = command;
  switch (command) {
    case Erase:
      erase(offset);
      state_.status |= 0x80;
      state_.cycle = Cycle::Data;
      return;
    case Program:
    case ProgramAlternative:
    case Lock:
    case Query:
      state_.cycle = Cycle::Data;
      return;
    case WriteBuffer:
      state_.status |= 0x80;
      state_.cycle = Cycle::Count;
      return;
    case ReadStatus:
    case ReadId:
      return;
    case ClearStatus:
      state_.status = 0;
      return read_array();
    default:
      return read_array();
  }
}

/// The second write of a command of two.
void NorFlash::take_data(u64 offset, u32 bytes, u32 value) noexcept {
  switch (state_.command) {
    case Erase:
      return confirm(static_cast<u8>(value));
    case Lock:
      return static_cast<u8>(value) == kSetLock ? ready() : confirm(static_cast<u8>(value));
    case Query:  // only this one leads out
      return static_cast<u8>(value) == Reset ? read_array() : void();
    default:
      program(offset, bytes, value);
      return ready();
  }
}

void NorFlash::confirm(u8 value) noexcept { value == Confirm ? ready() : read_array(); }

/// The buffer is the 256 bytes around the place where the count is written. (QEMU 9 takes the place of the first byte.)
void NorFlash::open_buffer(u64 offset, u8 count) noexcept {
  Buffer& b = state_.buffer;
  b.left = count;
  b.base = align_down(std::min<u64>(offset, array_.size() - 1), Buffer::kBytes);
  std::memcpy(b.data.data(), array_.data() + b.base, Buffer::kBytes);
  state_.cycle = Cycle::Buffer;
}

void NorFlash::buffer(u64 offset, u32 bytes, u32 value) noexcept {
  Buffer& b = state_.buffer;
  bool const inside = Range{b.base, Buffer::kBytes}.contains({offset, bytes});
  if (inside) {
    std::memcpy(b.data.data() + (offset - b.base), &value, bytes);
  }
  state_.status |= static_cast<u8>(inside ? 0x80 : 0x80 | kProgramError);
  state_.cycle = b.left == 0 ? Cycle::Confirm : Cycle::Buffer;
  --b.left;
}

/// With an error nothing is programmed, also when it is an earlier one that nobody cleared.
void NorFlash::flush(u8 value) noexcept {
  Buffer const& b = state_.buffer;
  if (value != Command::Confirm || (state_.status & kProgramError) != 0) {
    return read_array();
  }
  touch(b.base);
  std::memcpy(array_.data() + b.base, b.data.data(), Buffer::kBytes);
  ready();
}

void NorFlash::program(u64 offset, u32 bytes, u32 value) noexcept {
  if (offset >= array_.size()) {
    return;
  }
  touch(offset);
  touch(std::min<u64>(offset + bytes, array_.size()) - 1);
  std::memcpy(array_.data() + offset, &value, std::min<u64>(bytes, array_.size() - offset));
}

void NorFlash::erase(u64 offset) noexcept {
  if (offset < array_.size()) {
    touch(offset);
    std::memset(array_.data() + align_down(offset, kBlockBytes), 0xFF, kBlockBytes);
  }
}

void NorFlash::touch(u64 offset) noexcept {
  u64 const block = offset / kBlockBytes;
  if (changed_[block] == 0 && !saved_.empty()) {
    changed_[block] = 1;
    changed_blocks_.push_back(block);
  }
}

void NorFlash::snapshot() {
  saved_ = array_;
  saved_state_ = state_;
  std::ranges::fill(changed_, u8{0});
  changed_blocks_.clear();
  changed_blocks_.reserve(changed_.size());
}

void NorFlash::reset() noexcept {
  for (u64 const block : changed_blocks_) {
    std::memcpy(array_.data() + block * kBlockBytes, saved_.data() + block * kBlockBytes, kBlockBytes);
    changed_[block] = 0;
  }
  changed_blocks_.clear();
  state_ = saved_state_;
}

}  // namespace mm::sim
