// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/base/types.hpp"

namespace mm::sim {

/// Whether this build has a second mapping of RAM for whoever is not the HAL.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kGuardedRam = true;
#elif defined(__has_feature)
inline constexpr bool kGuardedRam = __has_feature(address_sanitizer);
#else
inline constexpr bool kGuardedRam = false;
#endif

/// Makes sure that nothing of the host ever lies at the addresses that guest memory has: an access by a guest address
/// taken for a pointer is a crash at that line. Once a process; best effort.
void reserve_guest_addresses() noexcept;

/// Low RAM of the machine from address 0, with a record of which pages the host changed. Satisfies hal::PhysMemory as
/// plain, unguarded memory: the loader's view. Accesses outside read FF and write nothing.
class Ram {
 public:
  explicit Ram(u64 bytes);
  ~Ram();
  Ram(Ram const&) = delete;
  Ram& operator=(Ram const&) = delete;

  /// Whether the host gave the memory.
  bool valid() const noexcept { return data_ != nullptr; }
  u64 size() const noexcept { return size_; }
  std::span<std::byte> bytes() noexcept { return {data_, size_}; }
  std::byte* at(u64 address) noexcept { return data_ + address; }
  std::byte const* at(u64 address) const noexcept { return data_ + address; }
  bool holds(u64 address, u64 n) const noexcept { return address <= size_ && n <= size_ - address; }

  /// Plain host memory for native code that takes spans: readable as long as the object lives, and not one byte beyond
  /// the range. Afterwards a build with sanitizers crashes at each use; other builds hand out RAM itself.
  class Exposed {
   public:
    /// `range` is in RAM.
    Exposed(Ram& ram, Range range) noexcept;
    ~Exposed();
    Exposed(Exposed const&) = delete;
    Exposed& operator=(Exposed const&) = delete;
    std::span<std::byte const> bytes() const noexcept { return {data_, size_}; }

   private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::byte* pages_ = nullptr;
    std::size_t pages_bytes_ = 0;
  };

  void read(PhysAddr at, std::span<std::byte> out) const noexcept;
  void write(PhysAddr at, std::span<std::byte const> in) noexcept;
  void copy(PhysAddr to, PhysAddr from, u64 n) noexcept;
  void zero(PhysAddr at, u64 n) noexcept;

  /// The page of `address` is about to change.
  void mark(u64 address) noexcept {
    u64 const page = address >> kPageShift;
    if (dirty_[page] == 0) {
      dirty_[page] = 1;
      dirty_pages_.push_back(page);
    }
  }
  std::vector<u64> const& dirty_pages() const noexcept { return dirty_pages_; }

  /// Remembers all pages that were ever marked, and `more`; then no page is dirty.
  void snapshot(std::span<u64 const> more);
  /// What snapshot() remembered; 0 for pages that it had no reason to.
  std::byte const* saved(u64 address) const noexcept { return copy_ + address; }
  /// Brings back one page by its number.
  void restore_page(u64 page) noexcept;
  /// Brings back all dirty pages; then no page is dirty.
  void restore_dirty() noexcept;

 private:
  std::byte* data_ = nullptr;   ///< the HAL's and the engines'
  std::byte* guard_ = nullptr;  ///< the same memory for Exposed, without access otherwise; null: not guarded
  std::byte* copy_ = nullptr;
  u64 size_ = 0;
  std::vector<u8> dirty_;
  std::vector<u8> touched_;
  std::vector<u64> dirty_pages_;
};

}  // namespace mm::sim
