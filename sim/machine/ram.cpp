// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/ram.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace mm::sim {
namespace {
std::byte* map_memory(u64 bytes) noexcept {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}
}  // namespace

Ram::Ram(u64 bytes)
    : data_(map_memory(bytes)), size_(bytes), dirty_(bytes >> kPageShift), touched_(bytes >> kPageShift) {
  dirty_pages_.reserve(1024);
}

Ram::~Ram() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
  if (copy_ != nullptr) {
    munmap(copy_, size_);
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
