// SPDX-License-Identifier: BSD-2-Clause-Patent
// Instructions: executes one instruction that CPUs and their models differ in. Message, 32 bytes or more: u64 which at
// 0, u64 EAX and ECX before it at 8 and 16. Reply: u64 EAX, EBX, ECX, EDX after it.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" {
/// The sequence numbered `which`, with `registers` as EAX, EBX, ECX, EDX before and after it.
void instructions_run(mm::u64 which, mm::u64* registers) noexcept;
}

namespace {

using mm::u64;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00F0", 36);
constexpr u64 kInstructions = 3;  ///< 0 CPUID, 1 ICEBP, 2 RDPMC

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  u64 registers[4] = {};
  if (buffer == nullptr || size == nullptr || *size < sizeof(registers)) {
    return mm::Status::InvalidParameter;
  }
  u64 const which = mm::driver::get<u64>(buffer);
  if (which >= kInstructions) {
    return mm::Status::Unsupported;
  }
  registers[0] = mm::driver::get<u64>(buffer, 8);
  registers[2] = mm::driver::get<u64>(buffer, 16);
  instructions_run(which, registers);
  for (u64 i = 0; i < 4; ++i) {
    mm::driver::put(buffer, i * sizeof(u64), registers[i]);
  }
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
