// SPDX-License-Identifier: BSD-2-Clause-Patent
// VariableStore: UEFI variables behind the SMM variable protocol. Volatile ones live in pool, non-volatile ones in an
// emulated flash in MMRAM pages. The statuses of each function are those of UEFI 2.10, 8.2; a message that is too short
// for its function is left alone, one whose sizes do not fit gets ACCESS_DENIED, as in edk2.

#include "scenarios/drivers/variable/protocol.hpp"
#include "scenarios/drivers/variable/store.hpp"

namespace {

using namespace mm;
using namespace mm::variable;
using driver::get;
using driver::put;

constexpr u64 kStoreBytes = 64 * 1024;
constexpr u64 kMaximumVariable = 8 * 1024;  ///< header, name and data of one variable
constexpr u64 kMostLocks = 16;
constexpr u32 kKnownAttributes = kNonVolatile | kBootServiceAccess | kRuntimeAccess | kAppendWrite;

struct Lock {
  Guid vendor;
  u64 bytes = 0;
  u8 text[128] = {};
};

struct Variables {
  Store stores[2];  ///< volatile, non-volatile: the order of GetNextVariableName
  Lock locks[kMostLocks];
  u64 lock_count = 0;
  bool end_of_dxe = false;
  bool runtime = false;
};
Variables g;

/// A live variable.
struct Found {
  Store* store = nullptr;
  u64 at = Store::kNone;
  explicit operator bool() const noexcept { return at != Store::kNone; }
  Record record() const noexcept { return store->record(at); }
};

bool visible(Record const& record) noexcept { return !g.runtime || (record.attributes & kRuntimeAccess) != 0; }

Found find(Name const& name) noexcept {
  for (Store& store : g.stores) {
    if (u64 const at = store.find(name); at != Store::kNone) {
      return {&store, at};
    }
  }
  return {};
}

Store& store_of(u32 attributes) noexcept { return g.stores[(attributes & kNonVolatile) != 0 ? 1 : 0]; }

/// A terminated CHAR16 string.
bool well_formed(u8 const* text, u64 bytes) noexcept {
  return bytes >= 2 && bytes % 2 == 0 && get<u16>(text, bytes - 2) == 0;
}

/// A message payload of `size` bytes and its name, whose length stands at `size_at`. False: sizes that do not fit.
bool read_name(u8 const* payload, u64 size, u64 size_at, u64 name_at, Name& name) noexcept {
  name.vendor = get<Guid>(payload, 0);
  name.bytes = get<u64>(payload, size_at);
  name.text = payload + name_at;
  return name.bytes <= size - name_at;
}

Status get_variable(u8* payload, u64 size) noexcept {
  Name name;
  u64 const room = get<u64>(payload, Access::kDataSize);
  if (!read_name(payload, size, Access::kNameSize, Access::kName, name) || room > size - Access::kName - name.bytes ||
      !well_formed(name.text, name.bytes)) {
    return Status::AccessDenied;
  }
  if (name.bytes == 2) {
    return Status::NotFound;
  }
  Found const found = find(name);
  if (!found || !visible(found.record())) {
    return Status::NotFound;
  }
  Record const record = found.record();
  put(payload, Access::kDataSize, u64{record.data_bytes});
  put(payload, Access::kAttributes, record.attributes);
  if (room < record.data_bytes) {
    return Status::BufferTooSmall;
  }
  __builtin_memcpy(payload + Access::kName + name.bytes, found.store->data_of(found.at), record.data_bytes);
  return Status::Success;
}

/// The first visible variable from `from` of store `index` on.
Found next_visible(u64 index, u64 from) noexcept {
  for (; index < 2; ++index, from = 0) {
    Store& store = g.stores[index];
    for (u64 at = store.next_live(from); at != Store::kNone; at = store.next_live(store.after(at))) {
      if (visible(store.record(at))) {
        return {&store, at};
      }
    }
  }
  return {};
}

Status get_next(u8* payload, u64 size) noexcept {
  Name name;
  u64 const room = get<u64>(payload, Next::kNameSize);
  if (!read_name(payload, size, Next::kNameSize, Next::kName, name)) {
    return Status::AccessDenied;
  }
  u64 length = 0;  // of the name itself: the buffer is longer
  while (length + 2 <= room && get<u16>(name.text, length) != 0) {
    length += 2;
  }
  if (length + 2 > room) {
    return Status::InvalidParameter;
  }
  name.bytes = length + 2;
  Found next;
  if (length == 0) {
    next = next_visible(0, 0);
  } else {
    Found const found = find(name);
    if (!found || !visible(found.record())) {
      return Status::InvalidParameter;
    }
    next = next_visible(static_cast<u64>(found.store - g.stores), found.store->after(found.at));
  }
  if (!next) {
    return Status::NotFound;
  }
  Record const record = next.record();
  put(payload, Next::kNameSize, u64{record.name_bytes});
  if (room < record.name_bytes) {
    return Status::BufferTooSmall;
  }
  put(payload, Next::kGuid, record.vendor);
  __builtin_memcpy(payload + Next::kName, next.store->name_of(next.at), record.name_bytes);
  return Status::Success;
}

/// InvalidParameter: a combination that the specification forbids; Unsupported: authenticated variables and others that
/// this store does not have.
Status check_attributes(u32 attributes) noexcept {
  if ((attributes & ~kKnownAttributes) != 0) {
    return Status::Unsupported;
  }
  bool const runtime_only = (attributes & (kRuntimeAccess | kBootServiceAccess)) == kRuntimeAccess;
  return runtime_only ? Status::InvalidParameter : Status::Success;
}

bool locked(Name const& name) noexcept {
  for (u64 i = 0; i < g.lock_count; ++i) {
    Lock const& lock = g.locks[i];
    if (lock.vendor == name.vendor && lock.bytes == name.bytes &&
        __builtin_memcmp(lock.text, name.text, name.bytes) == 0) {
      return g.end_of_dxe;
    }
  }
  return false;
}

Status set_variable(u8 const* payload, u64 size) noexcept {
  Name name;
  u64 const bytes = get<u64>(payload, Access::kDataSize);
  u32 const wanted = get<u32>(payload, Access::kAttributes);
  if (!read_name(payload, size, Access::kNameSize, Access::kName, name) || bytes > size - Access::kName - name.bytes ||
      !well_formed(name.text, name.bytes)) {
    return Status::AccessDenied;
  }
  if (name.bytes == 2) {
    return Status::InvalidParameter;
  }
  if (Status const s = check_attributes(wanted); s != Status::Success) {
    return s;
  }
  bool const append = (wanted & kAppendWrite) != 0;
  u32 const attributes = wanted & ~kAppendWrite;
  bool const removes = (bytes == 0 && !append) || (attributes & (kBootServiceAccess | kRuntimeAccess)) == 0;
  if (g.runtime && !removes && (attributes & (kRuntimeAccess | kNonVolatile)) != (kRuntimeAccess | kNonVolatile)) {
    return Status::InvalidParameter;
  }
  if (locked(name)) {
    return Status::WriteProtected;
  }
  Found const found = find(name);
  if (found) {
    u32 const now = found.record().attributes;
    if (g.runtime && (now & (kRuntimeAccess | kNonVolatile)) != (kRuntimeAccess | kNonVolatile)) {
      return Status::WriteProtected;
    }
    if (attributes != now && !removes) {
      return Status::InvalidParameter;
    }
  }
  if (removes) {
    return found ? found.store->remove(found.at) : Status::NotFound;
  }
  if (bytes == 0 && append) {
    return Status::Success;
  }
  u64 const kept = append && found ? found.record().data_bytes : 0;
  if (sizeof(Record) + name.bytes + bytes > kMaximumVariable ||
      sizeof(Record) + name.bytes + bytes + kept > kMaximumVariable) {
    return append && found ? Status::OutOfResources : Status::InvalidParameter;
  }
  return store_of(attributes).put(name, attributes, name.text + name.bytes, bytes, append);
}

Status query_info(u8* payload) noexcept {
  u32 const attributes = get<u32>(payload, Info::kAttributes);
  if (attributes == 0) {
    return Status::InvalidParameter;
  }
  if (Status const s = check_attributes(attributes); s != Status::Success) {
    return s;
  }
  if (g.runtime && (attributes & kRuntimeAccess) == 0) {
    return Status::InvalidParameter;
  }
  Store const& store = store_of(attributes);
  u64 const remaining = store.remaining();
  put(payload, Info::kMaximumStorage, store.size());
  put(payload, Info::kRemainingStorage, remaining);
  put(payload, Info::kMaximumVariable, remaining < kMaximumVariable ? remaining : kMaximumVariable);
  return Status::Success;
}

/// From EndOfDxe on the variable cannot be written any more.
Status lock_variable(u8 const* payload, u64 size) noexcept {
  Name name;
  if (!read_name(payload, size, Next::kNameSize, Next::kName, name) || !well_formed(name.text, name.bytes)) {
    return Status::AccessDenied;
  }
  if (g.end_of_dxe) {
    return Status::AccessDenied;
  }
  if (name.bytes == 2) {
    return Status::InvalidParameter;
  }
  if (g.lock_count == kMostLocks || name.bytes > sizeof(Lock::text)) {
    return Status::OutOfResources;
  }
  Lock& lock = g.locks[g.lock_count++];
  lock.vendor = name.vendor;
  lock.bytes = name.bytes;
  __builtin_memcpy(lock.text, name.text, name.bytes);
  return Status::Success;
}

Status ready_to_boot() noexcept {
  if (g.runtime) {
    return Status::Unsupported;
  }
  g.stores[1].reclaim();
  return Status::Success;
}

/// Least payload of a function.
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
    case Function::GetPayloadSize:
      return sizeof(u64);
    default:
      return 0;
  }
}

Status serve(Function function, u8* payload, u64 size) noexcept {
  switch (function) {
    case Function::GetVariable:
      return get_variable(payload, size);
    case Function::GetNextVariableName:
      return get_next(payload, size);
    case Function::SetVariable:
      return set_variable(payload, size);
    case Function::QueryVariableInfo:
      return query_info(payload);
    case Function::ReadyToBoot:
      return ready_to_boot();
    case Function::ExitBootService:
      g.runtime = true;
      return Status::Success;
    case Function::LockVariable:
      return lock_variable(payload, size);
    case Function::GetPayloadSize:
      put(payload, 0, kMaximumVariable + Access::kName - sizeof(Record));
      return Status::Success;
  }
  return Status::Unsupported;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < kHeaderBytes) {
    return Status::Success;
  }
  auto const function = Function{get<u64>(buffer, 0)};
  u64 const payload = *size - kHeaderBytes;
  if (payload < least_payload(function)) {
    return Status::Success;
  }
  Status const status = serve(function, static_cast<u8*>(buffer) + kHeaderBytes, payload);
  put(buffer, 8, static_cast<u64>(status));
  return Status::Success;
}

Status MM_EFIAPI on_end_of_dxe(Guid const*, void*, driver::Handle) {
  g.end_of_dxe = true;
  return Status::Success;
}
Status MM_EFIAPI on_exit_boot_services(Guid const*, void*, driver::Handle) {
  g.runtime = true;
  return Status::Success;
}

std::span<u8> pool_bytes(driver::MmSystemTable* mmst) noexcept {
  void* memory = nullptr;
  return mmst->allocate_pool(user::kRuntimeServicesData, kStoreBytes, &memory) == Status::Success
             ? std::span<u8>{static_cast<u8*>(memory), kStoreBytes}
             : std::span<u8>{};
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* mmst) noexcept {
  auto const volatile_memory = pool_bytes(mmst);
  auto const scratch = pool_bytes(mmst);
  u64 flash = 0;
  if (volatile_memory.empty() || scratch.empty() ||
      mmst->allocate_pages(user::kAllocateAnyPages, user::kRuntimeServicesData, kStoreBytes / kPageSize, &flash) !=
          Status::Success) {
    return Status::OutOfResources;
  }
  g.stores[0].open(Flash{volatile_memory}, scratch);
  g.stores[1].open(Flash{std::span<u8>{driver::at<u8>(flash), kStoreBytes}}, scratch);
  void* registration = nullptr;
  driver::Handle handle = 0;
  driver::Handle dispatch = 0;
  Status status = mmst->register_protocol_notify(&guids::gEfiMmEndOfDxeProtocolGuid, on_end_of_dxe, &registration);
  if (status == Status::Success) {
    status =
        mmst->register_protocol_notify(&guids::gEfiEventExitBootServicesGuid, on_exit_boot_services, &registration);
  }
  if (status == Status::Success) {
    status = mmst->mmi_handler_register(on_message, &kProtocol, &dispatch);
  }
  if (status == Status::Success) {
    status = mmst->install_protocol(&handle, &kProtocol, 0, nullptr);
  }
  return status == Status::Success ? mmst->install_protocol(&handle, &kWriteReady, 0, nullptr) : status;
}
