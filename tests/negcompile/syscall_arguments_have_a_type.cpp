// SPDX-License-Identifier: BSD-2-Clause-Patent
// The arguments of one system call are not those of another.
#include "core/abi/syscalls.hpp"

mm::u64 pages_of(mm::abi::call::FreePage const& call);

mm::u64 use(mm::abi::SyscallWords const& words) {
#ifdef MM_MISUSE
  return pages_of(mm::abi::arguments_of<mm::abi::call::AllocPage>(words));
#else
  return pages_of(mm::abi::arguments_of<mm::abi::call::FreePage>(words));
#endif
}
