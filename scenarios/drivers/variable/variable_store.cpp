// SPDX-License-Identifier: BSD-2-Clause-Patent
// VariableStore: UEFI variables behind the SMM variable protocol. Volatile ones live in pool, non-volatile ones in an
// emulated flash in MMRAM pages, which has a handler of its own. A message that is too short for its function is left
// alone, one whose sizes do not fit gets ACCESS_DENIED, as in edk2.

#include "scenarios/drivers/variable/variables.hpp"

namespace {

using namespace mm;
using namespace mm::variable;

constexpr u64 kStoreBytes = 64 * 1024;
constexpr u64 kStatisticsBytes = 8 * 1024;
/// The largest payload: GetVariable of the largest variable.
constexpr u64 kMostPayload = Variables::kMaximumVariable + Access::kName - sizeof(Record);

Variables g;

/// Which variable, and where in the message its data is or goes.
struct Accessed {
  Name name;
  u8* data = nullptr;
  u64 bytes = 0;
};

/// AccessDenied: what the sizes of the message claim is not in it.
Status read_access(Payload payload, Accessed& out) noexcept {
  u64 const name_room = payload.get<u64>(Access::kNameSize);
  out.bytes = payload.get<u64>(Access::kDataSize);
  if (read_name(payload, Access::kNameSize, Access::kName, out.name) != Status::Success ||
      out.bytes > payload.bytes - Access::kName - name_room) {
    return Status::AccessDenied;
  }
  out.data = payload.at + Access::kName + name_room;
  return Status::Success;
}

Status get_variable(Payload payload) noexcept {
  Accessed asked;
  if (read_access(payload, asked) != Status::Success) {
    return Status::AccessDenied;
  }
  Variables::Value value;
  Status const status = g.get(asked.name, asked.bytes, value);
  if (status == Status::NotFound) {
    return status;
  }
  payload.put(Access::kDataSize, value.bytes);
  payload.put(Access::kAttributes, value.attributes);
  if (status == Status::Success) {
    __builtin_memcpy(asked.data, value.data, value.bytes);
  }
  return status;
}

Status get_next(Payload payload) noexcept {
  u64 const room = payload.get<u64>(Next::kNameSize);
  u64 const text_bytes = payload.bytes - Next::kName;
  u8 const* const text = payload.at + Next::kName;
  if (room > text_bytes || text_bytes < 2 || driver::get<u16>(text, align_down(text_bytes, 2) - 2) != 0) {
    return Status::AccessDenied;
  }
  Name const name{payload.get<Guid>(0), text, string_bytes(text, room)};
  if (name.bytes == 0) {
    return Status::InvalidParameter;
  }
  Name next;
  Status const status = g.next(name, next);
  if (status != Status::Success) {
    return status;
  }
  payload.put(Next::kNameSize, next.bytes);
  if (room < next.bytes) {
    return Status::BufferTooSmall;
  }
  payload.put(Next::kGuid, next.vendor);
  __builtin_memcpy(payload.at + Next::kName, next.text, next.bytes);
  return Status::Success;
}

Status set_variable(Payload payload) noexcept {
  Accessed given;
  if (read_access(payload, given) != Status::Success) {
    return Status::AccessDenied;
  }
  return g.set(given.name, payload.get<u32>(Access::kAttributes), given.data, given.bytes);
}

Status query_info(Payload payload) noexcept {
  Variables::Space space;
  Status const status = g.query(payload.get<u32>(Info::kAttributes), space);
  if (status == Status::Success) {
    payload.put(Info::kMaximumStorage, space.storage);
    payload.put(Info::kRemainingStorage, space.remaining);
    payload.put(Info::kMaximumVariable, space.variable);
  }
  return status;
}

/// From EndOfDxe on the variable cannot be written any more.
Status lock_variable(Payload payload) noexcept {
  Name name;
  Status const status = g.end_of_dxe() ? Status::AccessDenied : read_name(payload, Next::kNameSize, Next::kName, name);
  return status == Status::Success ? g.properties().lock(name) : status;
}

Status set_property(Payload payload) noexcept {
  Name name;
  Status const status =
      g.end_of_dxe() ? Status::AccessDenied : read_name(payload, Check::kNameSize, Check::kName, name);
  return status == Status::Success ? g.properties().set(name, payload.get<Property>(Check::kProperty)) : status;
}

Status get_property(Payload payload) noexcept {
  Name name;
  Property property;
  Status status = read_name(payload, Check::kNameSize, Check::kName, name);
  if (status == Status::Success) {
    status = g.properties().get(name, property);
  }
  if (status == Status::Success) {
    payload.put(Check::kProperty, property);
  }
  return status;
}

Status cache_info(Payload payload) noexcept {
  payload.put(CacheInfo::kHobStorage, u64{0});
  payload.put(CacheInfo::kNonVolatileStorage, g.non_volatile().bank_bytes());
  payload.put(CacheInfo::kVolatileStorage, g.volatile_().bank_bytes());
  payload.put(CacheInfo::kAuthenticated, u8{0});
  return Status::Success;
}

/// Least payload of a function; InitRuntimeVariableCacheContext says itself that it is too short.
u64 least_payload(Function function) noexcept {
  switch (function) {
    case Function::GetVariable:
    case Function::SetVariable:
      return Access::kName;
    case Function::GetNextVariableName:
    case Function::LockVariable:
      return Next::kName;
    case Function::QueryVariableInfo:
      return Info::kBytes;
    case Function::VarCheckVariablePropertySet:
    case Function::VarCheckVariablePropertyGet:
      return Check::kName;
    case Function::GetPayloadSize:
      return sizeof(u64);
    case Function::GetRuntimeCacheInfo:
      return CacheInfo::kBytes;
    default:
      return 0;
  }
}

Status serve(Function function, Payload payload, u64& size) noexcept {
  switch (function) {
    case Function::GetVariable:
      return get_variable(payload);
    case Function::GetNextVariableName:
      return get_next(payload);
    case Function::SetVariable:
      return set_variable(payload);
    case Function::QueryVariableInfo:
      return query_info(payload);
    case Function::ReadyToBoot:
      return g.ready_to_boot();
    case Function::ExitBootService:
      g.exit_boot_services();
      return Status::Success;
    case Function::GetStatistics:
      return g.statistics().next(payload, size);
    case Function::LockVariable:
      return lock_variable(payload);
    case Function::VarCheckVariablePropertySet:
      return set_property(payload);
    case Function::VarCheckVariablePropertyGet:
      return get_property(payload);
    case Function::GetPayloadSize:
      payload.put(0, kMostPayload);
      return Status::Success;
    case Function::InitRuntimeVariableCacheContext:
      return payload.bytes < sizeof(CacheContext) ? Status::AccessDenied : g.init_cache(payload.get<CacheContext>(0));
    case Function::SyncRuntimeCache:
      return g.sync_cache();
    case Function::GetRuntimeCacheInfo:
      return cache_info(payload);
  }
  return Status::Unsupported;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < kHeaderBytes) {
    return Status::Success;
  }
  auto const function = Function{driver::get<u64>(buffer, 0)};
  Payload const payload{static_cast<u8*>(buffer) + kHeaderBytes, *size - kHeaderBytes};
  if (payload.bytes < least_payload(function) || payload.bytes > kMostPayload) {
    return Status::Success;
  }
  u64 answer = payload.bytes;
  Status const status = serve(function, payload, answer);
  driver::put(buffer, 8, static_cast<u64>(status));
  *size = kHeaderBytes + answer;
  return Status::Success;
}

Status MM_EFIAPI on_bench(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 2 * sizeof(u64)) {
    return Status::InvalidParameter;
  }
  auto const operation = Bench{driver::get<u64>(buffer, 0)};
  Status status = Status::Success;
  if (operation == Bench::FailAfter) {
    g.non_volatile().flash().fail_after(driver::get<u64>(buffer, 8));
  } else if (operation == Bench::PowerOn) {
    status = g.power_on();
  } else if (operation > Bench::PowerOn) {
    return Status::Unsupported;
  }
  Flash const& flash = operation == Bench::VolatileWear ? g.volatile_().flash() : g.non_volatile().flash();
  driver::put(buffer, 0, flash.programmed());
  driver::put(buffer, 8, flash.erases());
  return status;
}

Status MM_EFIAPI on_end_of_dxe(Guid const*, void*, driver::Handle) {
  g.leave_dxe();
  return Status::Success;
}
Status MM_EFIAPI on_exit_boot_services(Guid const*, void*, driver::Handle) {
  g.exit_boot_services();
  return Status::Success;
}

std::span<u8> pool_bytes(driver::MmSystemTable* mmst, u64 bytes) noexcept {
  void* memory = nullptr;
  return mmst->allocate_pool(user::kRuntimeServicesData, bytes, &memory) == Status::Success
             ? std::span<u8>{static_cast<u8*>(memory), bytes}
             : std::span<u8>{};
}

Status open_stores(driver::MmSystemTable* mmst) noexcept {
  auto const volatile_memory = pool_bytes(mmst, 2 * kStoreBytes);
  auto const statistics = pool_bytes(mmst, kStatisticsBytes);
  u64 flash = 0;
  if (volatile_memory.empty() || statistics.empty() ||
      mmst->allocate_pages(user::kAllocateAnyPages, user::kRuntimeServicesData, 2 * kStoreBytes / kPageSize, &flash) !=
          Status::Success) {
    return Status::OutOfResources;
  }
  return g.open(volatile_memory, {driver::at<u8>(flash), 2 * kStoreBytes}, statistics);
}

Status register_handlers(driver::MmSystemTable* mmst) noexcept {
  driver::Handle dispatch = 0;
  void* registration = nullptr;
  Status status = mmst->register_protocol_notify(&guids::gEfiMmEndOfDxeProtocolGuid, on_end_of_dxe, &registration);
  if (status == Status::Success) {
    status =
        mmst->register_protocol_notify(&guids::gEfiEventExitBootServicesGuid, on_exit_boot_services, &registration);
  }
  if (status == Status::Success) {
    status = mmst->mmi_handler_register(on_bench, &kFlashBench, &dispatch);
  }
  return status == Status::Success ? mmst->mmi_handler_register(on_message, &kProtocol, &dispatch) : status;
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* mmst) noexcept {
  driver::Handle handle = 0;
  Status status = open_stores(mmst);
  if (status == Status::Success) {
    status = register_handlers(mmst);
  }
  if (status == Status::Success) {
    status = mmst->install_protocol(&handle, &kProtocol, 0, nullptr);
  }
  return status == Status::Success ? mmst->install_protocol(&handle, &kWriteReady, 0, nullptr) : status;
}
