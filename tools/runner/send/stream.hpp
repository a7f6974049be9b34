// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/messages.hpp"
#include "tools/runner/send/expectation.hpp"

/// Many messages to one machine of the simulator, some at a time: however many there are, neither the steps of the
/// platform nor the memory of this process limits them. Replies are printed as they come.
namespace mm::runner {

/// One line of JSON: the status of a message and its reply. `outcome` is null: the machine stopped before.
std::string reply_line(lab::StepOutcome const* outcome);
/// The reply to a message, without its header.
std::span<std::byte const> reply_of(lab::StepOutcome const& outcome);

/// What a machine did with messages.
struct StreamRun {
  lab::MachineRun run;       ///< its results are those of the steps before the messages
  std::size_t answered = 0;  ///< messages
};

/// Boots `prepared`, sends each message and prints its reply_line() on standard output; for those that the machine did
/// not live to see, too. `expectation` sees each. Error: a sentence, the environment is at fault.
std::expected<StreamRun, std::string> send_stream(lab::Prepared const& prepared, std::span<lab::Message const> messages,
                                                  Expectation& expectation);
/// As lab::where_it_stopped(), of messages that were streamed.
std::string where_it_stopped(StreamRun const& stream, lab::Prepared const& prepared,
                             std::span<lab::Message const> messages);

}  // namespace mm::runner
