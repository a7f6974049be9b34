// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>

#include "core/base/types.hpp"

/// Why ring 3 was stopped, in words.
namespace mm::lab {

/// "#PF", or the number of a vector that has no name.
std::string vector_text(u64 vector);

/// "RDMSR", or the number of a system call that has no name.
std::string syscall_text(u64 number);

/// The first two arguments of a system call: "0x61, 1 byte" of IO_READ and IO_WRITE, whose second one is a width.
std::string arguments_text(u64 number, std::string const& first, u64 second);

/// The access or the system call that was refused, from vector, error code and CR2 of a record; `address`: CR2 as the
/// reader shall see it.
std::string cause_text(u64 vector, u64 error, u64 cr2, std::string const& address);

}  // namespace mm::lab
