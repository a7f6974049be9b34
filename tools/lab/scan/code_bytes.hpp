// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <Zydis/Zydis.h>

#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "tools/lab/scan/scan_code.hpp"
#include "tools/lab/scan/scan_state.hpp"

namespace mm::lab {

/// Zeros, or INS and OUTS without REP, which are the letters l to o.
bool looks_like_data(Decoded const& d, std::span<std::byte const> bytes);

/// The sections of an image as a decoder sees them, and guesses at what is code there. Holds references to the
/// sections; one thread at a time.
class CodeBytes {
 public:
  /// `all` has the data too, where the tables of switches are.
  CodeBytes(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all);

  std::vector<CodeSection> const& sections() const noexcept { return code_; }
  /// Section and offset in it of a place in code; nothing when `rva` is not in code.
  std::optional<std::pair<std::size_t, std::size_t>> place(u32 rva) const;
  /// Decodes one instruction. False: there is none, status() says why.
  bool decode(std::size_t section, std::size_t at, Decoded& d);
  ZyanStatus status() const noexcept { return last_status_; }
  /// Four bytes of code or data; nothing outside of both.
  std::optional<u32> word_at(u64 rva) const;
  /// Whether what is at `rva` decodes to the end of a function, and is neither text nor data.
  bool plausible(u32 rva);
  /// Whether the table of a switch is at `rva`, to which the same instructions point as to a function.
  bool is_table_of_code(u32 rva) const;
  /// Whether an instruction names `rva`: something begins there.
  bool is_start(u32 rva) const { return starts_.contains(rva); }

 private:
  void collect_starts();

  std::vector<CodeSection> const& code_;
  std::vector<CodeSection> const& all_;
  ZydisDecoder decoder_{};
  ZyanStatus last_status_ = 0;
  std::set<u32> starts_;
};

}  // namespace mm::lab
