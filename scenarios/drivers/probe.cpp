// SPDX-License-Identifier: BSD-2-Clause-Patent
// Probe (GUID ..0070): does a list of operations, for scenarios that look at one service at a time. The message is an
// array of Operation; each gets its result. The reply is the message.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" {
/// Executes one instruction that ring 3 must not have; see probe.nasm for the numbers.
void probe_instruction(mm::u64 number) noexcept;
/// System call with a pattern in every register; a bit for each of RBX RBP RSI RDI R10 R12-R15, XMM0-XMM15 that
/// changed.
mm::u64 probe_registers(mm::u64 index, mm::u64 a, mm::u64 b, mm::u64 c) noexcept;
/// Sets bits of RFLAGS, makes the system call and gives the RFLAGS after it; DF and AC are cleared again.
mm::u64 probe_flags(mm::u64 flags, mm::u64 index, mm::u64 a, mm::u64 b) noexcept;
}

namespace {

using mm::u64;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0070", 36);
constexpr mm::Guid kSecondHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0071", 36);

enum class What : u64 {
  Syscall = 0,      ///< number(a, b, c)
  Read = 1,         ///< u64 at `number`
  Write = 2,        ///< u64 a at `number`
  Instruction = 3,  ///< `number` of probe.nasm
  Registers = 4,    ///< probe_registers(number, a, b, c)
  Flags = 5,        ///< probe_flags(number, a, b, c)
  ReplySize = 6,    ///< the reply has `number` bytes
  Allocate = 7,     ///< MmAllocatePages(type number, memory type a, b pages); result 0 or the status
  FreePages = 8,    ///< MmFreePages(number, a pages)
  Pool = 9,         ///< MmAllocatePool(6, number) and MmFreePool of it
  Register = 10,    ///< registers a second handler; result is its handle
  Unregister = 11,  ///< MmiHandlerUnRegister(number)
  UnregisterMe = 12,
  Manage = 13,       ///< MmiManage for the handler itself, until the depth `number`; result is what came back
  SaveState = 14,    ///< EFI_MM_CPU_PROTOCOL.ReadSaveState(width a, register number, CPU b) into the scratch
  StartCpu = 15,     ///< MmStartupThisAp(number, CPU a, argument b)
  FreePool = 16,     ///< MmFreePool(number)
  ReplyByte = 17,    ///< byte `number` of the buffer, counted from the message
  ScratchBase = 18,  ///< address of the scratch
  Put = 19,          ///< writes the complement of u64 a at byte `number` of the buffer: what it writes is in no message
  Fail = 20,         ///< the handler returns the status `number`, when the operations are done
  Load = 21,         ///< b bytes (1, 2, 4, 8) at `number`, in one instruction
  Store = 22,        ///< a, in b bytes, to `number`
};
/// Bits of Operation::what above the code: the argument is an offset in the scratch, two pages of the driver.
constexpr u64 kScratchNumber = 0x100;
constexpr u64 kScratchA = 0x200;
constexpr u64 kScratchB = 0x400;
constexpr u64 kScratchC = 0x800;
constexpr u64 kWhatMask = 0xFF;

struct Operation {
  u64 what = 0;
  u64 number = 0;
  u64 a = 0, b = 0, c = 0;
  u64 result = 0;
};
constexpr u64 kOperationBytes = 48;
static_assert(sizeof(Operation) == kOperationBytes);

alignas(mm::kPageSize) mm::u8 g_scratch[2 * mm::kPageSize];
mm::driver::MmSystemTable* g_mmst = nullptr;
mm::driver::Handle g_self = 0;
u64 g_depth = 0;
mm::Status g_status = mm::Status::Success;

u64 raw_status(mm::Status status) noexcept { return static_cast<u64>(status); }

mm::Status MM_EFIAPI on_second(mm::driver::Handle, void const*, void*, u64*) { return mm::Status::Success; }

u64 manage(u64 depth) noexcept {
  if (g_depth >= depth) {
    return 0;
  }
  ++g_depth;
  Operation nested{static_cast<u64>(What::Manage), depth};
  u64 size = sizeof nested;
  u64 const status = raw_status(g_mmst->mmi_manage(&kHandler, nullptr, &nested, &size));
  --g_depth;
  return status;
}

u64 save_state(Operation const& o) noexcept {
  mm::user::MmCpuProtocol* cpu = nullptr;
  auto const found =
      g_mmst->locate_protocol(&mm::guids::gEfiMmCpuProtocolGuid, nullptr, reinterpret_cast<void**>(&cpu));
  if (found != mm::Status::Success) {
    return raw_status(found);
  }
  return raw_status(cpu->read_save_state(cpu, o.a, static_cast<mm::u32>(o.number), o.b, g_scratch));
}

u64 pool(u64 bytes) noexcept {
  void* at = nullptr;
  auto const status = g_mmst->allocate_pool(6, bytes, &at);
  return raw_status(status == mm::Status::Success ? g_mmst->free_pool(at) : status);
}

/// Services of the system table.
u64 service(What what, Operation const& o) noexcept {
  u64 address = 0;
  mm::driver::Handle handle = 0;
  switch (what) {
    case What::Allocate:
      return raw_status(
          g_mmst->allocate_pages(static_cast<mm::u32>(o.number), static_cast<mm::u32>(o.a), o.b, &address));
    case What::FreePages:
      return raw_status(g_mmst->free_pages(o.number, o.a));
    case What::Pool:
      return pool(o.number);
    case What::FreePool:
      return raw_status(g_mmst->free_pool(mm::driver::at<void>(o.number)));
    case What::Register:
      return mm::is_error(g_mmst->mmi_handler_register(on_second, &kSecondHandler, &handle)) ? 0 : handle;
    case What::Unregister:
      return raw_status(g_mmst->mmi_handler_unregister(o.number));
    case What::UnregisterMe:
      return raw_status(g_mmst->mmi_handler_unregister(g_self));
    case What::Manage:
      return manage(o.number);
    case What::SaveState:
      return save_state(o);
    case What::StartCpu:
      return raw_status(
          g_mmst->startup_this_ap(mm::driver::at<void MM_EFIAPI(void*)>(o.number), o.a, mm::driver::at<void>(o.b)));
    default:
      return raw_status(mm::Status::Unsupported);
  }
}

u64 load(u64 at, u64 bytes) noexcept {
  switch (bytes) {
    case 1:
      return *mm::driver::at<mm::u8 const volatile>(at);
    case 2:
      return *mm::driver::at<mm::u16 const volatile>(at);
    case 4:
      return *mm::driver::at<mm::u32 const volatile>(at);
    default:
      return *mm::driver::at<u64 const volatile>(at);
  }
}

void store(u64 at, u64 value, u64 bytes) noexcept {
  switch (bytes) {
    case 1:
      *mm::driver::at<mm::u8 volatile>(at) = static_cast<mm::u8>(value);
      return;
    case 2:
      *mm::driver::at<mm::u16 volatile>(at) = static_cast<mm::u16>(value);
      return;
    case 4:
      *mm::driver::at<mm::u32 volatile>(at) = static_cast<mm::u32>(value);
      return;
    default:
      *mm::driver::at<u64 volatile>(at) = value;
  }
}

u64 perform(Operation const& o, mm::u8* buffer, u64* size) noexcept {
  auto const what = static_cast<What>(o.what & kWhatMask);
  switch (what) {
    case What::Syscall:
      return mm_driver_syscall(o.number, o.a, o.b, o.c);
    case What::Read:
      return *mm::driver::at<u64 const volatile>(o.number);
    case What::Write:
      *mm::driver::at<u64 volatile>(o.number) = o.a;
      return 0;
    case What::Instruction:
      probe_instruction(o.number);
      return 0;
    case What::Registers:
      return probe_registers(o.number, o.a, o.b, o.c);
    case What::Flags:
      return probe_flags(o.number, o.a, o.b, o.c);
    case What::ReplySize:
      *size = o.number;
      return 0;
    case What::ReplyByte:
      return buffer[o.number];
    case What::Load:
      return load(o.number, o.b);
    case What::Store:
      store(o.number, o.a, o.b);
      return 0;
    case What::ScratchBase:
      return mm::user::address_of(g_scratch);
    case What::Put:
      mm::driver::put(buffer, o.number, ~o.a);
      return 0;
    case What::Fail:
      g_status = mm::Status{o.number};
      return 0;
    default:
      return service(what, o);
  }
}

mm::Status MM_EFIAPI on_message(mm::driver::Handle dispatch, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr) {
    return mm::Status::InvalidParameter;
  }
  g_self = dispatch;
  g_status = mm::Status::Success;
  u64 const scratch = mm::user::address_of(g_scratch);
  u64 const count = *size / kOperationBytes;
  for (u64 i = 0; i < count; ++i) {
    auto o = mm::driver::get<Operation>(buffer, i * kOperationBytes);
    o.number += (o.what & kScratchNumber) != 0 ? scratch : 0;
    o.a += (o.what & kScratchA) != 0 ? scratch : 0;
    o.b += (o.what & kScratchB) != 0 ? scratch : 0;
    o.c += (o.what & kScratchC) != 0 ? scratch : 0;
    u64 const result = perform(o, static_cast<mm::u8*>(buffer), size);
    mm::driver::put(buffer, i * kOperationBytes + 40, result);
  }
  return g_status;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  return mmst->mmi_handler_register(on_message, &kHandler, &g_self);
}
