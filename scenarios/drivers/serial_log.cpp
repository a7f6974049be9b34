// SPDX-License-Identifier: BSD-2-Clause-Patent
// SerialLog: writes the message to the serial port and replies with the APIC base. Everything goes through system
// calls, so a policy has to allow port 0x3F8 to be written, port 0x3FD to be read and MSR 0x1B to be read.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::u64;
using mm::abi::IoWidth;
using mm::abi::Syscall;
using mm::driver::syscall;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00F1", 36);
constexpr u64 kData = 0x3F8;
constexpr u64 kLineStatus = 0x3FD;
constexpr u64 kTransmitterEmpty = 0x20;
constexpr u64 kApicBase = 0x1B;
constexpr u64 kPatience = 1000;

void print(char c) noexcept {
  for (u64 i = 0; i < kPatience; ++i) {
    if ((syscall(Syscall::IoRead, kLineStatus, static_cast<u64>(IoWidth::Byte)) & kTransmitterEmpty) != 0) {
      break;
    }
  }
  syscall(Syscall::IoWrite, kData, static_cast<u64>(IoWidth::Byte), static_cast<mm::u8>(c));
}

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(u64)) {
    return mm::Status::InvalidParameter;
  }
  for (u64 i = 0; i < *size; ++i) {
    print(static_cast<char const*>(buffer)[i]);
  }
  mm::driver::put(buffer, 0, syscall(Syscall::RdMsr, kApicBase));
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
