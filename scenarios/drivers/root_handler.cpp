// SPDX-License-Identifier: BSD-2-Clause-Patent
// RootHandler: a root handler that counts its calls. The first byte of a message takes it away (1) or registers it
// again (2); the reply is the count as u64. A message itself is an MMI, so the root handler runs after it too.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::u64;
using mm::u8;
using mm::driver::Handle;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00B2", 36);
enum class Order : u8 { Report = 0, Remove = 1, Register = 2 };

struct State {
  mm::driver::MmSystemTable* mmst = nullptr;
  Handle root = 0;
  u64 calls = 0;
};
constinit State state;

mm::Status MM_EFIAPI on_any_mmi(Handle, void const*, void*, u64*) {
  ++state.calls;
  return mm::Status::Success;
}

mm::Status obey(Order order) {
  switch (order) {
    case Order::Report:
      return mm::Status::Success;
    case Order::Remove:
      return state.mmst->mmi_handler_unregister(state.root);
    case Order::Register:
      return state.mmst->mmi_handler_register(on_any_mmi, nullptr, &state.root);
  }
  return mm::Status::InvalidParameter;
}

mm::Status MM_EFIAPI on_message(Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(u64)) {
    return mm::Status::InvalidParameter;
  }
  mm::Status const status = obey(mm::driver::get<Order>(buffer));
  mm::driver::put(buffer, 0, state.calls);
  *size = sizeof(u64);
  return status;
}

}  // namespace

mm::Status mm_driver_main(Handle, mm::driver::MmSystemTable* mmst) noexcept {
  state.mmst = mmst;
  Handle dispatch = 0;
  mm::Status const status = mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
  return status == mm::Status::Success ? obey(Order::Register) : status;
}
