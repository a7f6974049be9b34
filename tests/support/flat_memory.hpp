// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "hal/roles/machine.hpp"

namespace mm::test {

/// Physical memory [base, base + bytes) in a vector; an access outside of it terminates the test (noexcept + throw).
class FlatMemory {
 public:
  FlatMemory(u64 base, u64 bytes, std::byte fill = std::byte{0}) : base_(base), bytes_(bytes, fill) {}

  void read(PhysAddr at, std::span<std::byte> in) noexcept {
    if (!in.empty()) {
      std::memcpy(in.data(), host(raw(at), in.size()), in.size());
    }
  }
  void write(PhysAddr at, std::span<std::byte const> out) noexcept {
    ++writes;
    if (!out.empty()) {
      std::memcpy(host(raw(at), out.size()), out.data(), out.size());
    }
  }
  void copy(PhysAddr to, PhysAddr from, u64 n) noexcept { std::memcpy(host(raw(to), n), host(raw(from), n), n); }
  void zero(PhysAddr at, u64 n) noexcept { std::memset(host(raw(at), n), 0, n); }

  template <typename T>
  T get(u64 at) noexcept {
    return hal::read_object<T>(*this, PhysAddr{at});
  }
  template <typename T>
  void put(u64 at, T const& v) noexcept {
    hal::write_object(*this, PhysAddr{at}, v);
  }
  std::span<std::byte const> view(u64 at, u64 n) { return {host(at, n), n}; }

  u64 writes = 0;  ///< calls of write()

 private:
  std::byte* host(u64 at, u64 n) {
    if (at < base_ || n > bytes_.size() || at - base_ > bytes_.size() - n) {
      throw std::out_of_range("FlatMemory");
    }
    return bytes_.data() + (at - base_);
  }
  u64 base_;
  std::vector<std::byte> bytes_;
};
static_assert(hal::PhysMemory<FlatMemory>);

}  // namespace mm::test
