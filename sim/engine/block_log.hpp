// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "core/base/types.hpp"

namespace mm::sim {

/// A basic block of ring 3 as the engine ran it. Blocks may overlap: one begins wherever it was jumped to.
struct BlockCount {
  u64 address = 0;
  u32 bytes = 0;
  u64 count = 0;
  friend bool operator==(BlockCount const&, BlockCount const&) = default;
};

/// Counts the blocks of ring 3 that run. Whoever wants it hands one in (MachineConfig::block_log); one machine at a
/// time.
class BlockLog {
 public:
  /// The block that begins at `address` is about to run.
  void ran(u64 address, u32 bytes) noexcept {
    auto& block = blocks_[address];
    block.bytes = std::max(block.bytes, bytes);
    ++block.count;
  }
  /// Ascending.
  std::vector<BlockCount> blocks() const {
    std::vector<BlockCount> out;
    out.reserve(blocks_.size());
    for (auto const& [address, block] : blocks_) {
      out.push_back({address, block.bytes, block.count});
    }
    std::ranges::sort(out, {}, &BlockCount::address);
    return out;
  }

 private:
  struct Block {
    u32 bytes = 0;
    u64 count = 0;
  };
  std::unordered_map<u64, Block> blocks_;
};

}  // namespace mm::sim
