// SPDX-License-Identifier: BSD-2-Clause-Patent
// Hello and HelloSupervised: the reply is the message with the case of each ASCII letter flipped (XOR 0x20), same
// length. HelloSyscalls does the same after three system calls that the example policy allows.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

constexpr mm::Guid handler_guid() {
  mm::Guid guid = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0000", 36);
  guid.data4[7] = MM_HELLO_NUMBER;
  return guid;
}
constexpr mm::Guid kHandler = handler_guid();

/// RDMSR IA32_APIC_BASE, IN 0xB3, OUT 0x80.
[[maybe_unused]] void system_calls() {
  constexpr mm::u64 kApicBase = 0x1B;
  constexpr mm::u64 kApmData = 0xB3;
  constexpr mm::u64 kPostCode = 0x80;
  constexpr auto kByte = static_cast<mm::u64>(mm::abi::IoWidth::Byte);
  mm::driver::syscall(mm::abi::Syscall::RdMsr, kApicBase);
  mm::u64 const value = mm::driver::syscall(mm::abi::Syscall::IoRead, kApmData, kByte);
  mm::driver::syscall(mm::abi::Syscall::IoWrite, kPostCode, kByte, value);
}

constexpr bool is_letter(mm::u8 c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, mm::u64* size) {
  if (buffer == nullptr || size == nullptr) {
    return mm::Status::InvalidParameter;
  }
  if constexpr (MM_HELLO_SYSCALLS != 0) {
    system_calls();
  }
  auto* const bytes = static_cast<mm::u8*>(buffer);
  for (mm::u64 i = 0; i < *size; ++i) {
    if (is_letter(bytes[i])) {
      bytes[i] = static_cast<mm::u8>(bytes[i] ^ 0x20);
    }
  }
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
