// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>
#include <optional>

#include "core/abi/heap_guard.hpp"
#include "core/user/hob_list.hpp"
#include "core/user/objects.hpp"

namespace mm::user {

/// Memory of drivers while the heap guard is on (core/abi/heap_guard.hpp): each block of the pool has pages of its own,
/// and lies at their end or at their start in turn. The pages beside them are not present, nor are those of freed
/// blocks, which the supervisor gives out again only when there is no other memory left. New memory holds kUnwritten.
/// Records are in the pool. For the BSP alone.
template <Ring3 R>
class HeapGuard {
 public:
  explicit HeapGuard(Pool<R>& pool) noexcept : pool_(pool) {}

  /// On, when the list says so.
  void find(u64 hob_list) noexcept {
    for_each_hob(hob_list, [this](u64 hob, abi::HobHeader const&) {
      if (is_guid_hob(hob, abi::kHeapGuardHobGuid, sizeof(abi::HeapGuardOptions))) {
        on_ = true;
        messages_ = load<abi::HeapGuardOptions>(hob + sizeof(abi::HobGuid)).message != 0;
      }
    });
  }
  bool on() const noexcept { return on_; }
  /// Whether handlers get a copy of their message.
  bool copies_messages() const noexcept { return on_ && messages_; }

  /// A pool block. OutOfResources.
  Expected<void*> allocate(u64 bytes) noexcept {
    if (bytes > UINT64_MAX - 2 * kPageSize) {
      return std::unexpected(Status::OutOfResources);
    }
    u64 const room = bytes == 0 ? kAlignment : align_up(bytes, kAlignment);  // a block of nothing has a place too
    u64 const pages = pages_for(room);
    MM_TRY_ASSIGN(u64 const base, allocate_pages(pool_.ring3(), pages));
    auto const made = add(base, pages);
    if (!made.has_value()) {
      call(pool_.ring3(), abi::Syscall::FreePage, base, pages);
      return std::unexpected(made.error());
    }
    Block& block = **made;
    at_start_ = !at_start_;
    block.kind = Kind::Pool;
    block.bytes = bytes;
    block.address = at_start_ ? base : base + pages * kPageSize - room;
    return at<void>(block.address);
  }

  /// InvalidParameter, with what is wrong with the call: not a block, or freed before. What was written beside the
  /// block is told as well, and it is freed nevertheless.
  struct Freed {
    Status status = Status::Success;
    std::optional<abi::DriverDefect> defect{};
  };
  Freed free(void* buffer) noexcept {
    u64 const address = address_of(buffer);
    Block* const block = buffer == nullptr ? nullptr : block_at(address);
    if (block == nullptr || block->address != address || block->kind == Kind::Pages) {
      return {Status::InvalidParameter, abi::DriverDefect::InvalidFree};
    }
    if (block->kind == Kind::Freed) {
      return {Status::InvalidParameter, abi::DriverDefect::DoubleFree};
    }
    bool const sound = is_sound(*block);
    block->kind = Kind::Freed;
    call(pool_.ring3(), abi::Syscall::FreePage, block->base, block->pages);
    return {Status::Success, sound ? std::nullopt : std::optional{abi::DriverDefect::Overrun}};
  }

  /// Pages that a driver was given; they hold kUnwritten now.
  void add_pages(u64 base, u64 pages) noexcept {
    if (auto const made = add(base, pages); made.has_value()) {
      (*made)->kind = Kind::Pages;
      (*made)->bytes = pages * kPageSize;
    }
  }
  /// Pages that were freed, all of an allocation or a part; `freed` is whether they were.
  std::optional<abi::DriverDefect> free_pages(u64 base, u64 pages, bool freed) noexcept {
    Block* const block = block_at(base);
    if (!freed) {
      bool const twice = block != nullptr && block->kind == Kind::Freed;
      return twice ? abi::DriverDefect::DoubleFree : abi::DriverDefect::InvalidFree;
    }
    if (block != nullptr && block->base == base && block->pages == pages) {
      block->kind = Kind::Freed;
    } else if (block != nullptr) {
      drop(*block);  // in parts: nothing is known of them any more
    }
    return std::nullopt;
  }

  /// Calls f(address) for each block beside which was written, once for each time.
  template <typename F>
  void for_each_overrun(F&& f) noexcept {
    for (Block& block : blocks_) {
      if (block.kind == Kind::Pool && !is_sound(block)) {
        fill_beside(block);
        f(block.address);
      }
    }
  }

  /// What a faulting address is; nothing: none of the guard's.
  std::optional<abi::DriverDefect> defect_at(u64 address) noexcept {
    if (message_.size != 0 && address - message_.end() < kPageSize) {
      return abi::DriverDefect::BeyondMessage;
    }
    if (Block const* const block = block_at(address)) {
      return block->kind == Kind::Freed ? std::optional{abi::DriverDefect::FreedMemory} : std::nullopt;
    }
    bool const beside = block_at(address - kPageSize) != nullptr || block_at(address + kPageSize) != nullptr;
    return beside ? std::optional{abi::DriverDefect::BesideBlock} : std::nullopt;
  }

  /// Address of a copy of a message of at most `most` bytes that ends where memory ends; 0: no memory for it.
  u64 copy_message(u64 from, u64 bytes, u64 most) noexcept {
    if (message_.size == 0) {
      auto const base = allocate_pages(pool_.ring3(), pages_for(most));
      if (!base.has_value()) {
        return 0;
      }
      message_ = {*base, pages_for(most) * kPageSize};
    }
    u64 const to = message_.end() - bytes;
    __builtin_memcpy(at<void>(to), at<void const>(from), bytes);
    return to;
  }
  /// What is in a message may come back.
  void see_message(u64 from, u64 bytes) noexcept { told_ = told_ || find_unwritten(from, bytes) != bytes; }

  /// Where a reply has bytes of kUnwritten that nobody sent; nothing: nowhere.
  std::optional<u64> unwritten_in(u64 from, u64 bytes) const noexcept {
    u64 const found = told_ ? bytes : find_unwritten(from, bytes);
    return found != bytes ? std::optional{found} : std::nullopt;
  }

  /// Fills the stack below the caller, which handlers are about to use.
  [[gnu::noinline]] static void fill_stack() noexcept {
    constexpr u64 kBytes = 4096;
    u32 volatile words[kBytes / sizeof(u32)];
    for (auto& word : words) {
      word = kWord;
    }
  }

 private:
  enum class Kind : u8 { Pool, Pages, Freed };
  struct Block {
    TreeHook hook;
    u64 base = 0;
    u64 pages = 0;
    u64 address = 0;  ///< that the driver has
    u64 bytes = 0;
    Kind kind = Kind::Pages;
  };
  struct BaseOf {
    using type = u64;
    u64 operator()(Block const& block) const noexcept { return block.base; }
  };
  static constexpr u64 kAlignment = 16;
  static constexpr u64 kLooked = 256;  ///< bytes beside a block that are looked at
  static constexpr auto kWord = std::bit_cast<u32>(abi::kUnwritten);

  Expected<Block*> add(u64 base, u64 pages) noexcept {
    forget_freed({base, pages * kPageSize});
    MM_TRY_ASSIGN(Block* const block, make<Block>(pool_));
    block->base = base;
    block->pages = pages;
    block->address = base;
    blocks_.insert(*block);
    fill(base, pages * kPageSize);
    return block;
  }
  void drop(Block& block) noexcept {
    blocks_.erase(blocks_.iterator_to(block));
    discard(pool_, &block);
  }
  /// Memory that came again, because there was no other.
  void forget_freed(Range range) noexcept {
    for (auto it = blocks_.lower_bound(range.base); it != blocks_.end() && it->base < range.end();) {
      Block& gone = *it++;
      drop(gone);
    }
    if (Block* const before = block_at(range.base)) {
      drop(*before);
    }
  }
  Block* block_at(u64 address) noexcept {
    auto above = blocks_.upper_bound(address);
    if (above == blocks_.begin()) {
      return nullptr;
    }
    Block& block = *--above;
    return address - block.base < block.pages * kPageSize ? &block : nullptr;
  }

  static u8 unwritten_at(u64 address) noexcept { return abi::kUnwritten[address % abi::kUnwritten.size()]; }
  static void fill(u64 address, u64 bytes) noexcept {
    for (u64 i = 0; i < bytes; i += sizeof kWord) {
      store(address + i, kWord);
    }
  }
  /// Calls f(address) for each byte beside a block that is looked at.
  template <typename F>
  static void beside(Block const& block, F&& f) noexcept {
    u64 const end = block.base + block.pages * kPageSize;
    u64 const behind = block.address + block.bytes;
    for (u64 at = block.address - block.base < kLooked ? block.base : block.address - kLooked; at < block.address;
         ++at) {
      f(at);
    }
    for (u64 at = behind; at < end && at < behind + kLooked; ++at) {
      f(at);
    }
  }
  static bool is_sound(Block const& block) noexcept {
    bool sound = true;
    beside(block, [&sound](u64 address) { sound = sound && load<u8>(address) == unwritten_at(address); });
    return sound;
  }
  static void fill_beside(Block const& block) noexcept {
    beside(block, [](u64 address) { store(address, unwritten_at(address)); });
  }

  /// Offset of four bytes that follow each other in kUnwritten; `bytes`: there are none.
  static u64 find_unwritten(u64 from, u64 bytes) noexcept {
    u64 run = 0;
    u8 last = 0;
    for (u64 i = 0; i < bytes; ++i) {
      u8 const now = load<u8>(from + i);
      run = run != 0 && now == after(last) ? run + 1 : is_unwritten(now) ? 1 : 0;
      if (run == abi::kUnwritten.size()) {
        return i + 1 - run;
      }
      last = now;
    }
    return bytes;
  }
  static bool is_unwritten(u8 value) noexcept {
    return value == abi::kUnwritten[0] || value == abi::kUnwritten[1] || value == abi::kUnwritten[2] ||
           value == abi::kUnwritten[3];
  }
  static u8 after(u8 value) noexcept {
    for (u64 i = 0; i < abi::kUnwritten.size(); ++i) {
      if (abi::kUnwritten[i] == value) {
        return abi::kUnwritten[(i + 1) % abi::kUnwritten.size()];
      }
    }
    return 0;
  }

  Pool<R>& pool_;
  Tree<Block, &Block::hook, BaseOf> blocks_;
  Range message_;  ///< where copies of messages end; empty: none was needed
  bool on_ = false;
  bool messages_ = false;
  bool at_start_ = true;
  bool told_ = false;  ///< a message had bytes of kUnwritten: replies prove nothing any more
};

}  // namespace mm::user
