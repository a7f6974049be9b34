// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>

#include "tools/lab/claims/claim.hpp"
#include "tools/lab/fuzzing/finding_file.hpp"

/// Whether a run shows what a claim says.
namespace mm::lab {

enum class Verdict : u8 {
  Confirmed,
  Refuted,
  NotExpressible  ///< these machines cannot tell
};
/// "CONFIRMED", "REFUTED", "NOT EXPRESSIBLE".
std::string_view verdict_name(Verdict verdict);

struct Judgement {
  Verdict verdict = Verdict::Refuted;
  std::string reason;                    ///< a sentence
  std::size_t message = 0;               ///< in which it happened, from 1; 0: none
  std::optional<DriverFinding> finding;  ///< what shows it; of an escape or a leak of given bytes there is none
};

/// Why the claim cannot be tried on a machine, which ran to its end without the messages and was audited
/// (Prepared::audit): a sentence; nothing: it can.
std::optional<std::string> not_expressible(Claim const& claim, Prepared const& prepared, MachineRun const& run);
/// What a run of the same machine with the claim's messages behind its steps says.
Judgement judge_claim(Claim const& claim, Prepared const& prepared, MachineRun const& run);

}  // namespace mm::lab
