// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tools/lab/symbols/debug_file.hpp"
#include "tools/lab/symbols/link_map.hpp"
#include "tools/lab/symbols/symbolizer_process.hpp"

namespace mm::lab {

/// A function, and a line of it.
struct CodeFrame {
  std::string function;  ///< readable; empty: unknown
  std::string file;      ///< empty: unknown
  u32 line = 0;          ///< 0: unknown
  u64 start = 0;         ///< offset in the image of the function that holds the code; 0: unknown
  u32 start_line = 0;    ///< where the function begins in its file; 0: unknown
};

/// What code is called: function, file and line of offsets in images, by llvm-symbolizer from DWARF or a PDB
/// (find_debug_file), else by the linker's map, else nothing. One process of llvm-symbolizer whatever is asked; without
/// it - not there, ended, silent - there are maps alone, and trouble() says so. Any thread may call.
class Symbolizer {
 public:
  /// `program` as in SymbolizerProcess.
  Symbolizer(std::string program, std::chrono::milliseconds patience) : process_(std::move(program), patience) {}

  /// The code at each offset: innermost function first, then those into which it was inlined, the last one being the
  /// function of the image. Where a line is 0 it is that of the nearest code before, else behind it, in the same
  /// function. Empty: nothing is known.
  std::vector<std::vector<CodeFrame>> frames(ImageFile const& image, std::span<u64 const> offsets);
  std::vector<CodeFrame> frames(ImageFile const& image, u64 offset) {
    return std::move(frames(image, std::span{&offset, 1}).front());
  }

  /// Files whose name begins with `from` are told as beginning with `to`; the first that fits counts.
  void map_sources(std::string from, std::string to);
  /// Why only maps are used, a sentence; empty: there was no trouble.
  std::string trouble() const;

 private:
  using Frames = std::vector<CodeFrame>;
  struct Known {
    std::optional<DebugFile> debug;
    LinkMap map;
    std::map<u64, Frames> frames;
  };
  Known& known(ImageFile const& image);
  std::vector<Frames> ask(DebugFile const& debug, std::span<u64 const> offsets);
  void mend_line(DebugFile const& debug, u64 offset, Frames& frames);
  Frames by_map(Known const& image, u64 offset) const;
  std::string told(std::string file) const;

  mutable std::mutex mutex_;
  SymbolizerProcess process_;
  std::string trouble_;
  std::map<std::pair<std::filesystem::path, u64>, Known> images_;  ///< with the hash of the content, 0: the file's
  std::vector<std::pair<std::string, std::string>> sources_;
};

/// The one of this program: llvm-symbolizer-19, or what MM_SYMBOLIZER names.
Symbolizer& symbolizer();

/// "on_message at hello.cpp:37, inlined in main at hello.cpp:12"; empty for no frames. Without a line: the function
/// and how far behind its start `offset` is.
std::string frames_text(std::span<CodeFrame const> frames, u64 offset);

}  // namespace mm::lab
