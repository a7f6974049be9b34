// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/lab/scan/code_bytes.hpp"
#include "tools/lab/scan/scan_code.hpp"
#include "tools/lab/scan/scan_state.hpp"

/// The inside of scan_code(), for the files that implement it: scan_code.cpp walks, scan_flow.cpp knows what
/// instructions do to what is known.
namespace mm::lab {

/// Follows the instructions of an image with what is known of its registers. One object a scan, one thread.
class CodeScan {
 public:
  CodeScan(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all);
  void follow(u32 entry, std::vector<u32> const& roots);
  void sweep();
  CodeFacts take();

 private:
  void add(CodeKind kind, std::size_t section, std::size_t at, u32 bytes, std::string text);
  void add_root(u32 rva);
  void walk_root(u32 rva);
  void walk_pending();
  void later(u32 rva, State state);
  void walk(Path& path);
  bool step(Decoded const& d, Path& path);
  void note_installed(Tag table, u32 service, State const& state);
  void note_device(Decoded const& d, State const& state);
  void call(Decoded const& d, State const& state);
  Value note_use(Decoded const& d, std::size_t i, State const& state);
  Value source(Decoded const& d, std::size_t i, State const& state);
  void move(Decoded const& d, State& state);
  void jump_table(Decoded const& d, State const& state);
  bool is_something_else(u32 rva) const;
  void store(Decoded const& d, Value value, State& state);
  struct Touched {
    std::size_t section, offset;
    u8 length;
  };

  CodeBytes bytes_;
  std::vector<std::vector<u8>> visits_, covered_;
  std::vector<std::vector<bool>> asked_;  ///< places that a pointer to was seen
  std::map<u32, Value> globals_;
  std::set<u32> tables_;  ///< of switches that were walked
  std::deque<Path> pending_;
  std::vector<u32> plain_pending_;  ///< paths of which nothing is known
  std::vector<u32> roots_;          ///< where only a pointer leads to: walked when nothing else is pending
  std::vector<Touched> touched_;    ///< instructions of the root that is walked now
  bool sound_ = true;               ///< it looks like code so far
  bool at_start_ = true;            ///< what is walked now can be reached from the entry point without a pointer
  /// What was found already, so that it is told once.
  struct Seen {
    std::set<std::pair<CodeKind, u32>> places;
    std::array<u32, 8> counts{};  ///< by kind
  };
  Seen seen_;
  u64 steps_ = 0;
  CodeFacts facts_;
};

}  // namespace mm::lab
