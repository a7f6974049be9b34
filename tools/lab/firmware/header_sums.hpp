// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/image/fv.hpp"

namespace mm::lab {

/// Sums of 16-bit words over ranges of one file. The first are added up as they are asked for; when many were, by
/// tables of the size of twice the file: a file full of what looks like volume headers takes time in proportion to its
/// size.
class HeaderSums {
 public:
  explicit HeaderSums(std::span<std::byte const> file) : file_(file), direct_left_(4 * file.size()) {}

  /// Sum of the `words` words from `at` on, which are inside the file.
  u16 sum(u64 at, u64 words) {
    if (2 * words <= direct_left_) {
      direct_left_ -= 2 * words;
      return image::sum16(image::slice(file_, at, 2 * words), words);
    }
    if (tables_[0].empty()) {
      make_tables();
    }
    auto const& table = tables_[at % 2];
    return static_cast<u16>(table[at / 2 + words] - table[at / 2]);
  }

 private:
  void make_tables() {
    for (u64 odd : {u64{0}, u64{1}}) {
      auto& table = tables_[odd];
      table.reserve(file_.size() / 2 + 2);
      table.push_back(0);
      for (u64 at = odd; at + 2 <= file_.size(); at += 2) {
        table.push_back(static_cast<u16>(table.back() + image::load_le<u16>(file_, at)));
      }
    }
  }

  std::span<std::byte const> file_;
  u64 direct_left_;
  std::array<std::vector<u16>, 2> tables_;
};

}  // namespace mm::lab
