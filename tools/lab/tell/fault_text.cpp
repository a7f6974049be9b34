// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/fault_text.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "core/abi/syscalls.hpp"
#include "core/supervisor/types.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::lab {
namespace {

constexpr std::array<std::string_view, 22> kVectors{"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
                                                    "#DF", "",    "#TS", "#NP", "#SS", "#GP", "#PF", "",
                                                    "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};
constexpr u64 kPageFault = 14;

std::string page_fault_text(u64 error, std::string const& address) {
  constexpr u64 kPresent = 1, kWrite = 2, kFetch = 0x10;
  std::string_view const access = (error & kFetch) != 0 ? "fetch from" : (error & kWrite) != 0 ? "write to" : "read of";
  return fmt::format("#PF, {} {}, {}", access, address, (error & kPresent) != 0 ? "no right" : "not present");
}

}  // namespace

std::string vector_text(u64 vector) {
  return vector < kVectors.size() && !kVectors[vector].empty() ? std::string{kVectors[vector]}
                                                               : fmt::format("vector {}", vector);
}

std::string syscall_text(u64 number) {
  char const* const name = abi::name_of(static_cast<abi::Syscall>(number));
  return name != nullptr ? std::string{name} : hex_number(number);
}

std::string arguments_text(u64 number, std::string const& first, u64 second) {
  auto const call = static_cast<abi::Syscall>(number);
  bool const port = call == abi::Syscall::IoRead || call == abi::Syscall::IoWrite;
  if (!port || second > static_cast<u64>(abi::IoWidth::Dword)) {
    return fmt::format("{}, {}", first, hex_number(second));
  }
  u64 const bytes = abi::bytes_of(static_cast<abi::IoWidth>(second));
  return fmt::format("{}, {} byte{}", first, bytes, bytes == 1 ? "" : "s");
}

std::string cause_text(u64 vector, u64 error, u64 cr2, std::string const& address) {
  if (vector == supervisor::kVectorRefusedSyscall) {
    return fmt::format("system call {} refused: {}", syscall_text(error), efi_status_name(cr2));
  }
  if (vector == supervisor::kVectorBudget) {
    return "it ran longer than its budget";
  }
  return vector == kPageFault ? page_fault_text(error, address)
                              : fmt::format("{}, error {:#x}", vector_text(vector), error);
}

}  // namespace mm::lab
