// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/guids.hpp"
#include "core/abi/syscalls.hpp"
#include "core/user/mmst.hpp"

/// What a driver of this repository needs: MMST types, the system call, its entry point. The flavour (standard: leaves
/// by RET; supervised: leaves by a far call through R15) is chosen by mm_add_driver, the source is the same.
namespace mm::driver {

using user::ApProcedureFn;
using user::at;
using user::Handle;
using user::MmiHandlerFn;
using user::MmSystemTable;
using user::NotifyFn;

/// Reads or writes an object at any alignment inside a message.
template <typename T>
T get(void const* from, u64 offset = 0) noexcept {
  return user::load<T>(user::address_of(from) + offset);
}
template <typename T>
void put(void* to, u64 offset, T const& value) noexcept {
  user::store(user::address_of(to) + offset, value);
}

/// The HOB list, which is a configuration table; 0: there is none.
inline u64 hob_list(MmSystemTable const& mmst) noexcept {
  for (u64 i = 0; i < mmst.number_of_table_entries; ++i) {
    if (mmst.configuration_table[i].guid == guids::gEfiHobListGuid) {
      return user::address_of(mmst.configuration_table[i].table);
    }
  }
  return 0;
}

}  // namespace mm::driver

extern "C" {
/// The driver's own entry: EFI_STATUS (image handle, MMST). Each driver defines it.
mm::Status mm_driver_main(mm::user::Handle image, mm::user::MmSystemTable* mmst) noexcept;
/// SYSCALL: RAX = index, RDX, R8, R9; returns RAX (sdk/syscall.nasm).
mm::u64 mm_driver_syscall(mm::u64 index, mm::u64 a, mm::u64 b, mm::u64 c) noexcept;
}

namespace mm::driver {
inline u64 syscall(abi::Syscall index, u64 a = 0, u64 b = 0, u64 c = 0) noexcept {
  return mm_driver_syscall(static_cast<u64>(index), a, b, c);
}
}  // namespace mm::driver
