// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>

/// Inputs of fuzzers as files, for the commands that run them again.
namespace mm::runner {

/// The fuzzer that an input is for: `given`, else by the start of the file's name, else by its folder; empty: neither.
std::string fuzz_kind_of(std::filesystem::path const& file, std::string const& given);
/// The folder of the machine for which `mmsim fuzz driver` made the input; empty: none, our Hello is the machine.
std::filesystem::path fuzz_case_of(std::filesystem::path const& file, std::string const& kind);
/// The program that runs inputs of this kind: of this build, else of the sanitizer build. Error: how to build it.
std::expected<std::filesystem::path, std::string> fuzz_program_of(std::string const& kind);

}  // namespace mm::runner
