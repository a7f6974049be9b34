// SPDX-License-Identifier: BSD-2-Clause-Patent
// PlatformClient (GUID ..0203): asks the platform protocols for what a message says, and keeps a log of the functions
// that were called. The message is an array of Operation; each gets its results. The reply is the message.

#include "scenarios/drivers/platform/guids.hpp"
#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using namespace platform_driver;
using mm::Guid;
using mm::Status;
using mm::u32;
using mm::u64;
using mm::u8;
using mm::driver::Handle;

constexpr Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0203", 36);

enum class What : u64 {
  Log = 0,             ///< a: which call: b becomes who was called (the What), c what it was told; result: calls so far
  Sw = 1,              ///< registers value a; a becomes the value, b the handle
  SwRemove = 2,        ///< a: handle
  Sx = 3,              ///< registers type a, phase b
  Timer = 4,           ///< registers period a, interval b
  Interval = 5,        ///< the interval number a, longest first
  Power = 6,           ///< registers phase a
  Standby = 7,         ///< registers phase a
  Processors = 8,      ///< a becomes their number
  Broadcast = 9,       ///< a becomes the sum of what each processor added to 0
  Dispatch = 10,       ///< CPU a; b becomes what its procedure returned, c the answer about its token
  FvbAddress = 11,     ///< a becomes it
  FvbAttributes = 12,  ///< a becomes them
  FvbBlock = 13,       ///< block a: b becomes its size, c the number of blocks from there
  FvbRead = 14,        ///< block a, offset b: 8 bytes, into c
  FvbWrite = 15,       ///< block a, offset b: 8 bytes, c
  FvbErase = 16,       ///< b blocks from a on
  SwOnce = 17,         ///< as Sw; the function unregisters itself when it is called
};

struct Operation {
  u64 what = 0;
  u64 a = 0, b = 0, c = 0;
  u64 result = 0;
};
constexpr u64 kOperationBytes = 40;
static_assert(sizeof(Operation) == kOperationBytes);

struct Call {
  u64 who = 0;
  u64 what = 0;
};
constexpr u64 kMostCalls = 32;

mm::driver::MmSystemTable* g_mmst = nullptr;
Call g_calls[kMostCalls];
u64 g_call_count = 0;

/// A function of a protocol: its number in the table of pointers, which all of these protocols are.
template <typename F>
F function(void* protocol, u64 number) noexcept {
  return reinterpret_cast<F>(mm::driver::get<u64>(protocol, 8 * number));
}
void* find(Guid const& protocol) noexcept {
  void* found = nullptr;
  g_mmst->locate_protocol(&protocol, nullptr, &found);
  return found;
}
u64 raw(Status status) noexcept { return static_cast<u64>(status); }

void note(What who, u64 what) noexcept {
  if (g_call_count < kMostCalls) {
    g_calls[g_call_count++] = {static_cast<u64>(who), what};
  }
}

/// EFI_MM_SW_CONTEXT: CPU, command, data.
Status MM_EFIAPI on_sw(Handle, void const*, void* context, u64*) {
  note(What::Sw, mm::driver::get<u8>(context, 8) | u64{mm::driver::get<u8>(context, 9)} << 8);
  return Status::Success;
}
Status MM_EFIAPI on_sw_once(Handle dispatch, void const* registered, void*, u64*) {
  using Remove = Status(MM_EFIAPI*)(void*, Handle);
  void* const sw = find(kSwDispatch);
  u64 const value = mm::driver::get<u64>(registered);
  function<Remove>(sw, 1)(sw, dispatch);
  note(What::SwOnce, value);
  return Status::Success;
}
Status MM_EFIAPI on_sx(Handle, void const* registered, void*, u64*) {
  note(What::Sx, mm::driver::get<u64>(registered));
  return Status::Success;
}
Status MM_EFIAPI on_timer(Handle, void const*, void* context, u64*) {
  note(What::Timer, mm::driver::get<u64>(context));
  return Status::Success;
}
Status MM_EFIAPI on_power(Handle, void const* registered, void*, u64*) {
  note(What::Power, mm::driver::get<u32>(registered));
  return Status::Success;
}
Status MM_EFIAPI on_standby(Handle, void const* registered, void*, u64*) {
  note(What::Standby, mm::driver::get<u32>(registered));
  return Status::Success;
}

using Called = Status(MM_EFIAPI*)(Handle, void const*, void*, u64*);
using Register = Status(MM_EFIAPI*)(void*, Called, void*, Handle*);

u64 add(Guid const& protocol, Called called, void* context, Handle* handle) noexcept {
  void* const interface = find(protocol);
  return interface == nullptr ? raw(Status::NotFound)
                              : raw(function<Register>(interface, 0)(interface, called, context, handle));
}

u64 interval(u64 index) noexcept {
  using Next = Status(MM_EFIAPI*)(void*, u64**);
  void* const timer = find(kTimerDispatch);
  u64* at = nullptr;
  for (u64 i = 0; i <= index; ++i) {
    if (function<Next>(timer, 2)(timer, &at) != Status::Success) {
      return ~u64{0};
    }
  }
  return *at;
}

Status MM_EFIAPI add_one(void* sum) {
  *static_cast<u64 volatile*>(sum) += 1;
  return Status::WarnInterruptSourcePending;  // a status that nobody makes up
}

u64 processors(Operation& o) noexcept {
  using Count = Status(MM_EFIAPI*)(void*, u64*);
  void* const mp = find(kMmMp);
  return raw(function<Count>(mp, 1)(mp, &o.a));
}
u64 broadcast(Operation& o) noexcept {
  using Broadcast = Status(MM_EFIAPI*)(void*, Status(MM_EFIAPI*)(void*), u64, void*, u64*, Status*);
  void* const mp = find(kMmMp);
  u64 sum = 0;
  u64 const status = raw(function<Broadcast>(mp, 3)(mp, add_one, 0, &sum, nullptr, nullptr));
  o.a = sum;
  return status;
}
u64 dispatch(Operation& o) noexcept {
  using Dispatch = Status(MM_EFIAPI*)(void*, Status(MM_EFIAPI*)(void*), u64, u64, void*, u64*, Status*);
  using Check = Status(MM_EFIAPI*)(void*, u64);
  void* const mp = find(kMmMp);
  u64 sum = 0;
  u64 token = 0;
  Status of_procedure = Status::Success;
  u64 const status = raw(function<Dispatch>(mp, 2)(mp, add_one, o.a, 0, &sum, &token, &of_procedure));
  o.b = raw(of_procedure);
  o.c = raw(function<Check>(mp, 5)(mp, token));
  return status;
}

using Get = Status(MM_EFIAPI*)(void*, u64*);
using Block = Status(MM_EFIAPI*)(void*, u64, u64*, u64*);
using Transfer = Status(MM_EFIAPI*)(void*, u64, u64, u64*, void*);
using Erase = Status(MM_EFIAPI*)(void*, ...);

u64 volume(What what, Operation& o) noexcept {
  void* const fvb = find(kFvb);
  u64 bytes = sizeof o.c;
  if (fvb == nullptr) {
    return raw(Status::NotFound);
  }
  if (what == What::FvbAddress || what == What::FvbAttributes) {
    o.a = 0;
    return raw(function<Get>(fvb, what == What::FvbAddress ? 2 : 0)(fvb, &o.a));
  }
  if (what == What::FvbBlock) {
    return raw(function<Block>(fvb, 3)(fvb, o.a, &o.b, &o.c));
  }
  if (what == What::FvbErase) {
    return raw(function<Erase>(fvb, 6)(fvb, o.a, o.b, ~u64{0}));
  }
  return raw(function<Transfer>(fvb, what == What::FvbRead ? 4 : 5)(fvb, o.a, o.b, &bytes, &o.c));
}

u64 log(Operation& o) noexcept {
  if (o.a < g_call_count) {
    o.b = g_calls[o.a].who;
    o.c = g_calls[o.a].what;
  }
  return g_call_count;
}

u64 perform(Operation& o) noexcept {
  auto const what = static_cast<What>(o.what);
  Handle handle = 0;
  u64 context[2] = {o.a, o.b};
  switch (what) {
    case What::Log:
      return log(o);
    case What::Sw:
    case What::SwOnce: {
      u64 const status = add(kSwDispatch, what == What::Sw ? on_sw : on_sw_once, context, &handle);
      o.a = context[0];
      o.b = handle;
      return status;
    }
    case What::SwRemove: {
      void* const sw = find(kSwDispatch);
      return raw(function<Status(MM_EFIAPI*)(void*, Handle)>(sw, 1)(sw, o.a));
    }
    case What::Sx:
      context[0] = o.a | o.b << 32;
      return add(kSxDispatch, on_sx, context, &handle);
    case What::Timer:
      return add(kTimerDispatch, on_timer, context, &handle);
    case What::Interval:
      return interval(o.a);
    case What::Power:
      return add(kPowerButton, on_power, context, &handle);
    case What::Standby:
      return add(kStandbyButton, on_standby, context, &handle);
    case What::Processors:
      return processors(o);
    case What::Broadcast:
      return broadcast(o);
    case What::Dispatch:
      return dispatch(o);
    case What::FvbAddress:
    case What::FvbAttributes:
    case What::FvbBlock:
    case What::FvbRead:
    case What::FvbWrite:
    case What::FvbErase:
      return volume(what, o);
  }
  return raw(Status::Unsupported);
}

Status MM_EFIAPI on_message(Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr) {
    return Status::InvalidParameter;
  }
  for (u64 i = 0; i < *size / kOperationBytes; ++i) {
    auto o = mm::driver::get<Operation>(buffer, i * kOperationBytes);
    o.result = perform(o);
    mm::driver::put(buffer, i * kOperationBytes, o);
  }
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  Handle handle = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &handle);
}
