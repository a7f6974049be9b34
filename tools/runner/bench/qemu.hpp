// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/runner/bench/machine.hpp"
#include "tools/runner/bench/rows.hpp"

/// The measurements of `mmsim bench` on QEMU: guest instructions of an MMI, which repeat exactly.
namespace mm::runner::bench {

/// So many MMIs is each figure the least of.
inline constexpr u64 kTimedMmis = 2000;

/// One CPU, release build of the supervisor, `-icount shift=0`. Error: a sentence.
Result<std::vector<Row>> qemu_rows(std::filesystem::path const& images);

}  // namespace mm::runner::bench
