// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/fuzzing/finding_file.hpp"
#include "tools/lab/symbols/symbolizer.hpp"

namespace mm::runner {

/// A finding of `mmsim fuzz driver`, replayed and written down.
struct ToldFinding {
  lab::DriverFinding finding;
  std::filesystem::path input;                    ///< for `mmsim repro`
  std::optional<std::filesystem::path> scenario;  ///< for `mmsim run`; none: it can only be replayed by the fuzzer
  std::string place;
  lab::CodeFrame code;                ///< function and line of it, innermost; empty: nothing is known
  std::vector<std::string> messages;  ///< in words
  std::size_t guilty = 0;             ///< message in which it shows, from 1
  std::string made_smaller;
  std::string sim, qemu;  ///< what the replays said
};

/// What the fuzzer said of a finding, in one line: "mm-finding: {...}". Nothing: another line, or a malformed one.
struct FuzzerSaid {
  std::string key, what;
  std::filesystem::path input;
  std::size_t messages = 0, bytes = 0, tries = 0;
};
std::optional<FuzzerSaid> parse_finding(std::string_view line);

/// Replays an input of the fuzzer on the simulator and, unless `no_qemu`, on QEMU, and writes its scenario into
/// `folder`, which has the case. Error: a sentence.
std::expected<ToldFinding, std::string> tell_finding(std::filesystem::path const& folder, FuzzerSaid const& said,
                                                     bool no_qemu);

/// At most ten lines.
std::string finding_text(ToldFinding const& told, std::size_t number);
nlohmann::json finding_json(ToldFinding const& told);

}  // namespace mm::runner
