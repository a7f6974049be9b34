// SPDX-License-Identifier: BSD-2-Clause-Patent
// GateAtEntry: ends the MMI in its entry point, through the call gate: the user core never gets it back.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" mm::u64 attack_escape(mm::u64 number, mm::u64 a, mm::u64 b) noexcept;

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable*) noexcept {
  constexpr mm::u64 kLeaveByGate = 54;
  return mm::Status{attack_escape(kLeaveByGate, 0, 0)};
}
