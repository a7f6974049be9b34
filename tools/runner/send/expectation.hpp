// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "tools/lab/run/machine_run.hpp"

namespace mm::runner {

/// The status that every message of `mmsim send` is to be answered with (--expect), and the answers that were others.
class Expectation {
 public:
  Expectation() = default;
  /// "Success", "NOT_FOUND", "EFI_NOT_FOUND", 14, 0x800000000000000E; "": none. Error: a sentence.
  static std::expected<Expectation, std::string> parse(std::string const& text);

  /// The answers come in the order of the messages. `outcome` is null: the machine stopped before.
  void see(lab::StepOutcome const* outcome);
  /// "message 3 of 5: NOT_FOUND, expected SUCCESS"; nothing: all answers are as expected, or none is.
  std::optional<std::string> disappointment() const;

 private:
  std::optional<u64> wanted_;
  u64 seen_ = 0;
  u64 others_ = 0;
  std::string first_;
  u64 first_at_ = 0;  ///< from 1
};

}  // namespace mm::runner
