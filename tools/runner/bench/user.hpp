// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/runner/bench/rows.hpp"

/// The measurements of `mmsim bench` of whole commands, as a user starts them: by the clock, process start included.
namespace mm::runner::bench {

/// `mmsim send` and `mmsim run`. What cannot be measured here is told in `notes`.
std::vector<Row> command_rows(std::filesystem::path const& images, std::vector<std::string>& notes);
/// The fuzzer of communicate buffers, in executions a second of CPU time, all that libFuzzer does included: with the
/// committed seeds, and with what it has learnt from them. A program that is not built is told in `notes`.
std::vector<Row> fuzz_rows(std::vector<std::string>& notes);

}  // namespace mm::runner::bench
