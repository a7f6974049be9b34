// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/user/ring3.hpp"

namespace mm::user {

/// Pages by system call. Nothing that the supervisor would refuse is asked for.
template <Ring3 R>
Expected<u64> allocate_pages(R& ring3, u64 pages) noexcept {
  constexpr u64 kMostPages = 0x100000;  // 4 GiB: more cannot be in MMRAM
  if (pages == 0 || pages > kMostPages) {
    return std::unexpected(Status::OutOfResources);
  }
  constexpr u64 kAnyPages = 0;
  constexpr u64 kData = 6;  // EfiRuntimeServicesData
  u64 const base = call(ring3, abi::Syscall::AllocPage, kAnyPages, kData, pages);
  if (base == 0 || base % kPageSize != 0 || is_error(Status{base})) {
    return std::unexpected(Status::OutOfResources);
  }
  return base;
}

/// Pool allocator over pages: power-of-two size classes from 64 to 2048 bytes, whole pages above. Every block has a
/// header and lies in a chunk of a sorted registry, so a foreign or stale pointer is refused without being
/// dereferenced. Freed small blocks are filled with 0xAF, freed pages are gone. Blocks are aligned to 16 bytes. A block
/// records its owner (image base; 0 is the core). A driver that writes past its block cannot lead an allocation
/// astray: a free list whose next block is none is given up.
template <Ring3 R>
class Pool {
 public:
  explicit constexpr Pool(R& ring3) noexcept : ring3_(ring3) {}

  /// OutOfResources when `bytes` is absurd or there are no pages. 0 bytes is a valid request.
  Expected<void*> allocate(u64 bytes, u64 owner = 0) noexcept {
    if (bytes > UINT64_MAX - sizeof(Header) - kPageSize) {
      return std::unexpected(Status::OutOfResources);
    }
    u64 const need = bytes + sizeof(Header);
    return need <= kLargestClass ? allocate_small(need, bytes, owner) : allocate_large(need, bytes, owner);
  }

  /// InvalidParameter: null, not from this pool, or freed before.
  Expected<void> free(void* buffer) noexcept {
    u64 const address = address_of(buffer);
    Chunk* const chunk = find_chunk(address);
    if (buffer == nullptr || chunk == nullptr || !is_block(*chunk, address)) {
      return std::unexpected(Status::InvalidParameter);
    }
    auto* const header = at<Header>(address - sizeof(Header));
    if (header->magic != kAllocated) {
      return std::unexpected(Status::InvalidParameter);
    }
    if (chunk->block_bytes == 0) {
      return free_large(*chunk);
    }
    u64 const index = class_of(chunk->block_bytes);
    __builtin_memset(buffer, kPoison, chunk->block_bytes - sizeof(Header));
    *header = Header{kFree, 0, free_lists_[index], 0};
    free_lists_[index] = address_of(header);
    return {};
  }

  /// Who asked for the block at `buffer`; nothing when it is no live block.
  Expected<u64> owner_of(void* buffer) noexcept {
    u64 const address = address_of(buffer);
    Chunk* const chunk = find_chunk(address);
    if (chunk == nullptr || !is_block(*chunk, address) || at<Header>(address - sizeof(Header))->magic != kAllocated) {
      return std::unexpected(Status::NotFound);
    }
    return at<Header>(address - sizeof(Header))->owner_or_next;
  }

  R& ring3() noexcept { return ring3_; }

  static constexpr u8 kPoison = 0xAF;

 private:
  struct Header {
    u64 magic = 0;
    u64 bytes = 0;
    u64 owner_or_next = 0;  ///< allocated: owner; free: next free block
    u64 reserved = 0;
  };
  static_assert(sizeof(Header) == 32);
  struct Chunk {
    u64 base = 0;
    u64 pages = 0;
    u64 block_bytes = 0;  ///< 0: one large block
  };
  static constexpr u64 kAllocated = 0x6C6F6F50'6E696C41;
  static constexpr u64 kFree = 0x6C6F6F50'65657246;
  static constexpr u64 kSmallestClass = 64;
  static constexpr u64 kLargestClass = 2048;
  static constexpr u64 kClasses = 6;

  static constexpr u64 class_of(u64 bytes) noexcept {
    u64 index = 0;
    while ((kSmallestClass << index) < bytes) {
      ++index;
    }
    return index;
  }

  Expected<void*> allocate_small(u64 need, u64 bytes, u64 owner) noexcept {
    u64 const index = class_of(need);
    if (!is_free_block(free_lists_[index], kSmallestClass << index)) {
      free_lists_[index] = 0;
      MM_TRY(refill(index));
    }
    auto* const header = at<Header>(free_lists_[index]);
    free_lists_[index] = header->owner_or_next;
    *header = Header{kAllocated, bytes, owner, 0};
    return header + 1;
  }

  Expected<void> refill(u64 index) noexcept {
    u64 const block = kSmallestClass << index;
    MM_TRY_ASSIGN(u64 const base, allocate_pages(ring3_, 1));
    if (auto added = add_chunk({base, 1, block}); !added.has_value()) {
      call(ring3_, abi::Syscall::FreePage, base, 1);
      return added;
    }
    for (u64 offset = kPageSize; offset != 0; offset -= block) {
      auto* const header = at<Header>(base + offset - block);
      *header = Header{kFree, 0, free_lists_[index], 0};
      free_lists_[index] = address_of(header);
    }
    return {};
  }

  Expected<void*> allocate_large(u64 need, u64 bytes, u64 owner) noexcept {
    u64 const pages = pages_for(need);
    MM_TRY_ASSIGN(u64 const base, allocate_pages(ring3_, pages));
    if (auto added = add_chunk({base, pages, 0}); !added.has_value()) {
      call(ring3_, abi::Syscall::FreePage, base, pages);
      return std::unexpected(added.error());
    }
    auto* const header = at<Header>(base);
    *header = Header{kAllocated, bytes, owner, 0};
    return header + 1;
  }

  Expected<void> free_large(Chunk& chunk) noexcept {
    Chunk const gone = chunk;
    u64 const index = static_cast<u64>(&chunk - chunks_);
    for (u64 i = index + 1; i < chunk_count_; ++i) {
      chunks_[i - 1] = chunks_[i];
    }
    --chunk_count_;
    call(ring3_, abi::Syscall::FreePage, gone.base, gone.pages);
    return {};
  }

  bool is_free_block(u64 header, u64 block_bytes) noexcept {
    Chunk const* const chunk = find_chunk(header);
    return chunk != nullptr && chunk->block_bytes == block_bytes && (header - chunk->base) % block_bytes == 0 &&
           at<Header>(header)->magic == kFree;
  }

  static bool is_block(Chunk const& chunk, u64 address) noexcept {
    u64 const offset = address - chunk.base;
    if (offset < sizeof(Header)) {
      return false;
    }
    return chunk.block_bytes == 0 ? offset == sizeof(Header) : (offset - sizeof(Header)) % chunk.block_bytes == 0;
  }

  /// Index of the first chunk whose base is above `address`.
  u64 upper_bound(u64 address) const noexcept {
    u64 low = 0;
    u64 high = chunk_count_;
    while (low < high) {
      u64 const middle = (low + high) / 2;
      if (chunks_[middle].base <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  Chunk* find_chunk(u64 address) noexcept {
    u64 const index = upper_bound(address);
    if (index == 0) {
      return nullptr;
    }
    Chunk& chunk = chunks_[index - 1];
    return address - chunk.base < chunk.pages * kPageSize ? &chunk : nullptr;
  }

  Expected<void> add_chunk(Chunk chunk) noexcept {
    if (chunk_count_ == chunk_capacity_) {
      MM_TRY(grow_registry());
    }
    u64 const index = upper_bound(chunk.base);
    for (u64 i = chunk_count_; i > index; --i) {
      chunks_[i] = chunks_[i - 1];
    }
    chunks_[index] = chunk;
    ++chunk_count_;
    return {};
  }

  Expected<void> grow_registry() noexcept {
    u64 const old_pages = registry_pages_;
    u64 const new_pages = old_pages == 0 ? 1 : old_pages * 2;
    MM_TRY_ASSIGN(u64 const base, allocate_pages(ring3_, new_pages));
    auto* const fresh = at<Chunk>(base);
    for (u64 i = 0; i < chunk_count_; ++i) {
      fresh[i] = chunks_[i];
    }
    if (old_pages != 0) {
      call(ring3_, abi::Syscall::FreePage, address_of(chunks_), old_pages);
    }
    chunks_ = fresh;
    registry_pages_ = new_pages;
    chunk_capacity_ = new_pages * kPageSize / sizeof(Chunk);
    return {};
  }

  R& ring3_;
  Chunk* chunks_ = nullptr;  ///< sorted by base
  u64 chunk_count_ = 0;
  u64 chunk_capacity_ = 0;
  u64 registry_pages_ = 0;
  std::array<u64, kClasses> free_lists_{};
};

/// A growing array in pool memory. Elements are trivially copyable and move when it grows: hold indexes, not pointers.
template <typename T, Ring3 R>
class PoolVector {
 public:
  explicit constexpr PoolVector(Pool<R>& pool) noexcept : pool_(pool) {}

  /// Makes room for `count` elements in all, so that adding them cannot fail. OutOfResources.
  Expected<void> reserve(u64 count) noexcept {
    if (count <= capacity_) {
      return {};
    }
    return count > UINT64_MAX / sizeof(T) ? std::unexpected(Status::OutOfResources) : move_to(count);
  }
  Expected<void> push_back(T const& value) noexcept {
    if (count_ == capacity_) {
      MM_TRY(grow());
    }
    items_[count_++] = value;
    return {};
  }
  /// Removes one element; the following ones move down, their order stays.
  void erase(u64 index) noexcept {
    for (u64 i = index + 1; i < count_; ++i) {
      items_[i - 1] = items_[i];
    }
    --count_;
  }
  /// Removes every element for which `predicate(element)` holds; keeps the order of the others.
  template <typename F>
  void erase_if(F&& predicate) noexcept {
    u64 kept = 0;
    for (u64 i = 0; i < count_; ++i) {
      if (!predicate(items_[i])) {
        items_[kept++] = items_[i];
      }
    }
    count_ = kept;
  }
  void clear() noexcept { count_ = 0; }
  u64 size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  T& operator[](u64 index) noexcept { return items_[index]; }
  T const& operator[](u64 index) const noexcept { return items_[index]; }
  T* data() noexcept { return items_; }
  T* begin() noexcept { return items_; }
  T* end() noexcept { return items_ + count_; }
  T const* begin() const noexcept { return items_; }
  T const* end() const noexcept { return items_ + count_; }

 private:
  Expected<void> grow() noexcept { return move_to(capacity_ == 0 ? 8 : capacity_ * 2); }
  Expected<void> move_to(u64 capacity) noexcept {
    MM_TRY_ASSIGN(void* const memory, pool_.allocate(capacity * sizeof(T)));
    auto* const fresh = static_cast<T*>(memory);
    for (u64 i = 0; i < count_; ++i) {
      fresh[i] = items_[i];
    }
    T* const old = items_;
    items_ = fresh;
    capacity_ = capacity;
    if (old != nullptr) {
      (void)pool_.free(old);
    }
    return {};
  }

  Pool<R>& pool_;
  T* items_ = nullptr;
  u64 count_ = 0;
  u64 capacity_ = 0;
};

}  // namespace mm::user
