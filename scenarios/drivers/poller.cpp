// SPDX-License-Identifier: BSD-2-Clause-Patent
// Poller (GUID ..0095): waits for a device as drivers do, by system calls until a port gives what was asked for. The
// message is a Request; the reply has the number of reads that it took.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::u64;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0095", 36);

struct Request {
  u64 port = 0;
  u64 mask = 0;
  u64 wanted = 0;  ///< of the bits in `mask`
  u64 most = 0;    ///< reads; 0: for ever
  u64 reads = 0;   ///< out
};

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(Request)) {
    return mm::Status::InvalidParameter;
  }
  auto& request = *static_cast<Request*>(buffer);
  constexpr auto kByte = static_cast<u64>(mm::abi::IoWidth::Byte);
  request.reads = 0;
  while (request.most == 0 || request.reads < request.most) {
    ++request.reads;
    u64 const value = mm::driver::syscall(mm::abi::Syscall::IoRead, request.port, kByte);
    if ((value & request.mask) == request.wanted) {
      return mm::Status::Success;
    }
  }
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
