// SPDX-License-Identifier: BSD-2-Clause-Patent
// StatusCodeMemory (GUID ..0061): keeps the status codes that the router passes on. Message: u64 command at 0, room for
// the reply behind. Reply: u64 status at 0, u64 codes seen so far at 8, then the last ones, oldest first, 16 bytes
// each: u32 type, u32 value, u32 instance, u32 status of a report from inside the callback (low half).

#include "scenarios/drivers/status_code/status_code.hpp"

namespace {

using namespace mm;
using namespace mm::status_code;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0061"_guid;
enum class Command : u64 { Read = 0, RegisterAgain = 1, RegisterNull = 2, Unregister = 3, UnregisterNull = 4 };

struct Code {
  u32 type = 0, value = 0, instance = 0, nested = 0;
};
constexpr u64 kKept = 8;
Code g_codes[kKept];
u64 g_seen = 0;
RscHandlerProtocol const* g_router = nullptr;
StatusCodeProtocol const* g_status_code = nullptr;

Status MM_EFIAPI on_code(u32 type, u32 value, u32 instance, Guid const*, void const*) {
  auto const nested = g_status_code->report_status_code(g_status_code, type, value, instance, nullptr, nullptr);
  g_codes[g_seen++ % kKept] = {type, value, instance, static_cast<u32>(static_cast<u64>(nested))};
  return Status::Success;
}

Status obey(Command command) noexcept {
  switch (command) {
    case Command::Read:
      return Status::Success;
    case Command::RegisterAgain:
      return g_router->register_callback(on_code);
    case Command::RegisterNull:
      return g_router->register_callback(nullptr);
    case Command::Unregister:
      return g_router->unregister_callback(on_code);
    case Command::UnregisterNull:
      return g_router->unregister_callback(nullptr);
  }
  return Status::Unsupported;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 16) {
    return Status::InvalidParameter;
  }
  driver::put(buffer, 0, static_cast<u64>(obey(Command{driver::get<u64>(buffer)})));
  driver::put(buffer, 8, g_seen);
  u64 at = 16;
  for (u64 i = g_seen < kKept ? 0 : g_seen - kKept; i < g_seen && at + sizeof(Code) <= *size; ++i, at += sizeof(Code)) {
    driver::put(buffer, at, g_codes[i % kKept]);
  }
  *size = at;
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  void* router = nullptr;
  void* status_code = nullptr;
  if (mmst->locate_protocol(&kRscHandlerProtocol, nullptr, &router) != Status::Success ||
      mmst->locate_protocol(&kStatusCodeProtocol, nullptr, &status_code) != Status::Success) {
    return Status::NotFound;
  }
  g_router = static_cast<RscHandlerProtocol const*>(router);
  g_status_code = static_cast<StatusCodeProtocol const*>(status_code);
  driver::Handle dispatch = 0;
  Status const status = g_router->register_callback(on_code);
  return status == Status::Success ? mmst->mmi_handler_register(on_message, &kHandler, &dispatch) : status;
}
