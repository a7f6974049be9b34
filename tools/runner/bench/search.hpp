// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/base/types.hpp"

/// What `mmsim fuzz driver` finds, and after how much: the drivers with a planted mistake, and those without.
namespace mm::runner::bench {

struct SearchOptions {
  u32 seconds = 50;  ///< for each mistake
  u32 jobs = 2;
  u32 seed = 1;
  bool fast = false;
};

/// One mistake: the driver that makes it, and the sound one with the same effort.
struct Searched {
  std::string mistake;
  std::string oracle;                   ///< by which it was found; empty: it was not
  double seconds = 0;                   ///< until it was
  u64 executions = 0;                   ///< until then
  std::size_t messages = 0, bytes = 0;  ///< of the finding, made smaller
  bool sim = false, qemu = false;       ///< that show it
  std::string qemu_said;                ///< when it does not
  u64 sound_executions = 0;
  std::string sound;  ///< what was found in the sound driver; empty: nothing
  std::string error;  ///< why there is nothing of this

  bool good() const { return error.empty() && !oracle.empty() && sim && sound.empty(); }
};

/// Searches each pair Weak*.efi and Sound*.efi of the images, from an empty corpus; `told` is called with each.
std::vector<Searched> search(SearchOptions const& options, void (*told)(Searched const&));
/// One line of the table, and the line above it.
std::string search_head();
std::string search_line(Searched const& one);
/// One sentence about all of them.
std::string search_summary(std::vector<Searched> const& all);
nlohmann::json to_json(Searched const& one);

}  // namespace mm::runner::bench
