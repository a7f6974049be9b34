// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <initializer_list>
#include <vector>

#include "core/policy/policy.hpp"

namespace mm::test {

/// Little-endian writer of policy blobs, independent of the reader under test.
class Blob {
 public:
  struct Root {
    u32 type;
    u8 attr;
    std::vector<std::vector<u8>> descriptors;
  };
  static std::vector<u8> bytes(std::initializer_list<std::pair<u64, int>> fields) {
    std::vector<u8> out;
    for (auto const& [value, size] : fields) {
      for (int i = 0; i < size; ++i) {
        out.push_back(static_cast<u8>(value >> (8 * i)));
      }
    }
    return out;
  }
  static std::vector<u8> mem(u64 base, u64 size, u32 attr, u32 reserved = 0) {
    return bytes({{base, 8}, {size, 8}, {attr, 4}, {reserved, 4}});
  }
  static std::vector<u8> io(u16 port, u16 size, u16 attr, u16 reserved = 0) {
    return bytes({{port, 2}, {size, 2}, {attr, 2}, {reserved, 2}});
  }
  static std::vector<u8> msr(u32 base, u16 size, u16 attr) { return bytes({{base, 4}, {size, 2}, {attr, 2}}); }
  static std::vector<u8> instruction(u16 index, u16 attr, u32 reserved = 0) {
    return bytes({{index, 2}, {attr, 2}, {reserved, 4}});
  }
  static std::vector<u8> save_state(u32 field, u32 attr, u32 condition, u32 reserved = 0) {
    return bytes({{field, 4}, {attr, 4}, {condition, 4}, {reserved, 4}});
  }

  static std::vector<u8> make(std::vector<Root> const& roots) {
    u64 offset = 40 + 24 * roots.size();
    std::vector<u8> body;
    std::vector<u8> table;
    for (auto const& r : roots) {
      append(table, bytes({{1, 4},
                           {24, 4},
                           {r.type, 4},
                           {offset + body.size(), 4},
                           {r.descriptors.size(), 4},
                           {r.attr, 1},
                           {0, 3}}));
      for (auto const& d : r.descriptors) {
        append(body, d);
      }
    }
    auto out = bytes({{0x10000, 4}, {offset + body.size(), 4}, {0, 8}, {0, 8}, {0, 8}, {40, 4}, {roots.size(), 4}});
    append(out, table);
    append(out, body);
    return out;
  }
  /// The policy that the field publishes (core/policy/FORMAT.md 7).
  static std::vector<u8> example() {
    return make({{2, 1, {io(0xCF8, 4, 0xA), io(0xCFC, 4, 2)}},
                 {3,
                  1,
                  {msr(0xC0000080, 1, 7), msr(0xC0000081, 4, 7), msr(0xC0010010, 1, 7), msr(0xC0010111, 1, 7),
                   msr(0x1D9, 1, 7), msr(0xDA0, 1, 7), msr(0x6A0, 1, 7), msr(0x6A2, 1, 7), msr(0x6A4, 5, 7),
                   msr(0xC0011010, 1, 7), msr(0xC0011024, 1, 7), msr(0xC0011018, 1, 7), msr(0xC0000101, 2, 7)}},
                 {4, 0, {instruction(0, 4), instruction(1, 4), instruction(2, 4)}},
                 {5, 0, {save_state(0, 0x10, 2), save_state(1, 1, 0)}},
                 {1, 1, {}}});
  }

 private:
  static void append(std::vector<u8>& to, std::vector<u8> const& from) {
    to.insert(to.end(), from.begin(), from.end());
  }
};

}  // namespace mm::test
