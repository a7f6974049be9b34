// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/ram.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define MM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MM_ASAN 1
#endif
#endif
#ifdef MM_ASAN
#include <sanitizer/asan_interface.h>
#define MM_POISON(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#define MM_UNPOISON(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#else
#define MM_POISON(at, bytes) static_cast<void>(0)
#define MM_UNPOISON(at, bytes) static_cast<void>(0)
#endif

namespace mm::sim {
namespace {
constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

std::byte* map_memory(u64 bytes) noexcept {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kPrivate, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

[[maybe_unused]] std::byte* map_file(int file, u64 bytes, int protection) noexcept {
  void* p = mmap(nullptr, bytes, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}
}  // namespace

void reserve_guest_addresses() noexcept {
  constexpr u64 kLowest = 0x1'0000;  // the kernel keeps what is below
  constexpr u64 kMostRam = u64{2} << 30;
  static bool const once = [] {
    // One piece after the other: where a program is not relocatable its own pages are among them.
    constexpr u64 kPiece = u64{1} << 20;
    for (u64 at = kLowest; at < kMostRam; at += kPiece - at % kPiece) {
      void* const wish = reinterpret_cast<void*>(at);
      mmap(wish, kPiece - at % kPiece, PROT_NONE, kPrivate | MAP_FIXED_NOREPLACE, -1, 0);
    }
    return true;
  }();
  static_cast<void>(once);
}

Ram::Ram(u64 bytes) : size_(bytes), dirty_(bytes >> kPageShift), touched_(bytes >> kPageShift) {
  dirty_pages_.reserve(1024);
  if constexpr (kGuardedRam) {
    reserve_guest_addresses();
    int const file = memfd_create("guest RAM", MFD_CLOEXEC);
    if (file >= 0 && ftruncate(file, static_cast<off_t>(bytes)) == 0) {
      data_ = map_file(file, bytes, PROT_READ | PROT_WRITE);
      guard_ = data_ == nullptr ? nullptr : map_file(file, bytes, PROT_NONE);
    }
    if (file >= 0) {
      close(file);
    }
  }
  if (data_ == nullptr) {
    data_ = map_memory(bytes);
  }
}

Ram::~Ram() {
  for (std::byte* mapping : {data_, guard_, copy_}) {
    if (mapping != nullptr) {
      munmap(mapping, size_);
    }
  }
}

Ram::Exposed::Exposed(Ram& ram, Range range) noexcept : size_(range.size) {
  if (ram.guard_ == nullptr || range.size == 0) {
    data_ = ram.data_ + range.base;
    return;
  }
  u64 const first = align_down(range.base, kPageSize);
  data_ = ram.guard_ + range.base;
  pages_ = ram.guard_ + first;
  pages_bytes_ = align_up(range.end(), kPageSize) - first;
  mprotect(pages_, pages_bytes_, PROT_READ);
  MM_POISON(pages_, range.base - first);
  MM_POISON(data_ + size_, pages_bytes_ - (range.base - first) - size_);
}

Ram::Exposed::~Exposed() {
  if (pages_ != nullptr) {
    MM_UNPOISON(pages_, pages_bytes_);
    mprotect(pages_, pages_bytes_, PROT_NONE);
  }
}

void Ram::read(PhysAddr at, std::span<std::byte> out) const noexcept {
  if (holds(raw(at), out.size())) {
    std::memcpy(out.data(), data_ + raw(at), out.size());
  } else {
    std::ranges::fill(out, std::byte{0xFF});
  }
}

void Ram::write(PhysAddr at, std::span<std::byte const> in) noexcept {
  if (in.empty() || !holds(raw(at), in.size())) {
    return;
  }
  for (u64 page = align_down(raw(at), kPageSize); page < raw(at) + in.size(); page += kPageSize) {
    mark(page);
  }
  std::memcpy(data_ + raw(at), in.data(), in.size());
}

void Ram::copy(PhysAddr to, PhysAddr from, u64 n) noexcept {
  if (holds(raw(from), n)) {
    write(to, {data_ + raw(from), n});
  }
}

void Ram::zero(PhysAddr at, u64 n) noexcept {
  if (n == 0 || !holds(raw(at), n)) {
    return;
  }
  for (u64 page = align_down(raw(at), kPageSize); page < raw(at) + n; page += kPageSize) {
    mark(page);
  }
  std::memset(data_ + raw(at), 0, n);
}

void Ram::snapshot(std::span<u64 const> more) {
  if (copy_ == nullptr) {
    copy_ = map_memory(size_);
    if (copy_ == nullptr) {
      return;
    }
  }
  for (u64 page : dirty_pages_) {
    touched_[page] = 1;
    dirty_[page] = 0;
  }
  dirty_pages_.clear();
  for (u64 page : more) {
    touched_[page] = 1;
  }
  for (u64 page = 0; page < touched_.size(); ++page) {
    if (touched_[page] != 0) {
      std::memcpy(copy_ + (page << kPageShift), data_ + (page << kPageShift), kPageSize);
    }
  }
}

void Ram::restore_page(u64 page) noexcept {
  if (copy_ != nullptr) {
    std::memcpy(data_ + (page << kPageShift), copy_ + (page << kPageShift), kPageSize);
  }
}

void Ram::restore_dirty() noexcept {
  for (u64 page : dirty_pages_) {
    restore_page(page);
    dirty_[page] = 0;
  }
  dirty_pages_.clear();
}

}  // namespace mm::sim
