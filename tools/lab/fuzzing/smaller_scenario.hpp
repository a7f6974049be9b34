// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "tools/lab/run/machine_run.hpp"

/// A scenario that shows something, made smaller while it shows the same.
namespace mm::lab {

/// What a run shows: an expectation that does not hold; else what a driver does that it must not.
struct Shown {
  std::string problem;  ///< the first one; where it is in the file is no part of it. Empty: the run passes
  std::string place;    ///< oracle, image and offset of what a driver does; empty: nothing, or it does not matter
  friend bool operator==(Shown const&, Shown const&) = default;
};
/// Nothing: the run passes, and no driver does what it must not.
std::optional<Shown> shown_by(Prepared const& prepared, MachineRun const& run);

/// How large a scenario is.
struct ScenarioSize {
  std::size_t steps = 0;
  std::size_t bytes = 0;  ///< of data in its steps
  std::size_t images = 0;
};

/// What a text is while it becomes smaller.
struct SmallerScenario {
  std::string toml;
  ScenarioSize size;
  std::size_t tries = 0;  ///< runs so far
};

/// Offers smaller texts of a scenario and keeps those for which `still` holds, until `over` says that it is enough or
/// nothing can be taken away any more: steps go, images, HOBs and repetitions, expectations of single steps, then bytes
/// of what steps send, at last bytes become zero. `file`: where the scenario is, or would be. Error: "file:line: what".
std::expected<SmallerScenario, std::string> make_smaller(std::string_view toml, std::filesystem::path const& file,
                                                         std::function<bool(std::string const&)> const& still,
                                                         std::function<bool(SmallerScenario const&)> const& over);

}  // namespace mm::lab
