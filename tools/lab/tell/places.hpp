// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/symbols/debug_file.hpp"

namespace mm::lab {

/// An image that was loaded in a run, the cores included.
struct PlacedImage {
  std::string name;
  Range where;
  ImageFile file;
  bool user = false;  ///< of ring 3
  bool core = false;  ///< not one of the scenario's drivers
};

/// Where code of a run is: image and offset, function and line of addresses, and who called whom at a fault. Points
/// into what it was made of.
class CodePlaces {
 public:
  CodePlaces(Prepared const& prepared, std::vector<hal::TraceEvent> const& trace);

  /// The image at this address; null: none.
  PlacedImage const* image_at(u64 address) const;
  std::vector<PlacedImage> const& images() const noexcept { return images_; }
  /// "on_message at hello.cpp:37, inlined in ..."; empty: nothing is known.
  std::string names(u64 address) const;
  /// The calls that led to event `at` of the run, a fault or a refused system call, one a line, the innermost caller
  /// first: "called from main at a.c:12 (Hello+0x1040)". Empty: the machine did not tell its stack.
  std::vector<std::string> callers(MachineRun const& run, std::size_t at) const;
  /// Who asked for the system call of event `at`, which was refused: "called from main at a.c:12 (Hello+0x1040)", or
  /// where ring 3 was. Empty: the machine did not tell.
  std::string asker(MachineRun const& run, std::size_t at) const;

 private:
  std::string caller(u64 back, bool guess) const;

  std::vector<PlacedImage> images_;
};

}  // namespace mm::lab
