// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>
#include <string>

#include "core/image/pe.hpp"

/// What is said to a user about the inside of an image.
namespace mm::lab {

/// "x86-64", "AArch64", ...; "machine 0x1234" when unknown.
std::string machine_name(u16 machine);

/// Name in the section header at offset `header` of `file`; what is not printable ASCII becomes '?'.
std::string section_name(std::span<std::byte const> file, u64 header);

/// What is wrong with `file`, with the value or the section it is about and, where a build option mends it, that
/// option.
std::string describe_problem(std::span<std::byte const> file, image::PeError const& error);

/// One instruction in words, and whether ring 3 may not execute it.
struct Instruction {
  std::string text;
  bool privileged = false;
};
/// The instruction at `rva` of the image `file`; nothing where there is none.
std::optional<Instruction> instruction_at(std::span<std::byte const> file, u64 rva);

}  // namespace mm::lab
