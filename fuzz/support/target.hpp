// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

/// What a fuzz target is: fuzz/<target>.cpp defines run() and kDefects; fuzz/support/entry.cpp does the rest.
namespace mm::fuzz {

/// One input. Aborts when something that must hold does not.
void run(std::span<std::byte const> input);

/// Names of the defects that can be planted, one at a time, to show that the fuzzer finds it. Defined by the target.
std::span<std::string_view const> defects();

/// The planted defect, from the environment variable MM_FUZZ_DEFECT; empty: none. It is one of defects().
std::string_view planted_defect();
/// Inputs that have run, this one included.
unsigned long long executions();
inline bool planted(std::string_view name) { return planted_defect() == name; }

}  // namespace mm::fuzz
