// SPDX-License-Identifier: BSD-2-Clause-Patent
// Stream (GUID ..00E8): runs a sled of code that a test has written into the image; see stream.nasm. The message and
// the reply are Registers. In the message RBX, RSI and RDI are offsets into a scratch area; the reply tells its sum.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::u64;

struct Registers {
  u64 rax = 0, rcx = 0, rdx = 0, rbx = 0, rsi = 0, rdi = 0, r8 = 0, r9 = 0, r10 = 0, r11 = 0;
  u64 rflags = 0;   ///< the status flags and DF; not loaded
  u64 rsp = 0;      ///< how far the sled moved it; not loaded
  u64 xmm[8] = {};  ///< XMM0 to XMM3
  u64 control = 0;  ///< FCW, FSW and MXCSR; not loaded
  u64 st0[2] = {};  ///< not loaded
  u64 scratch = 0;  ///< sum of the scratch area; not loaded
};
static_assert(sizeof(Registers) == 192);

}  // namespace

extern "C" {
/// Loads the registers, runs the sled, and stores what it left.
void stream_run(Registers* registers) noexcept;
}

namespace {

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00E8", 36);
constexpr u64 kWords = 2 * mm::kPageSize / sizeof(u64);
constexpr u64 kPattern = 0x9E37'79B9'7F4A'7C15;
constexpr u64 kOffsetMask = 0xFF8;

alignas(mm::kPageSize) u64 g_scratch[kWords];

void fill() noexcept {
  for (u64 i = 0; i < kWords; ++i) {
    g_scratch[i] = i * kPattern;
  }
}

u64 sum() noexcept {
  u64 out = 0;
  for (u64 i = 0; i < kWords; ++i) {
    out = out * kPattern + g_scratch[i];
  }
  return out;
}

/// An address in the middle of the scratch area, so that displacements of a byte stay in it.
u64 scratch_at(u64 offset) noexcept {
  return mm::user::address_of(g_scratch) + mm::kPageSize / 2 + (offset & kOffsetMask);
}

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size != sizeof(Registers)) {
    return mm::Status::InvalidParameter;
  }
  auto registers = mm::driver::get<Registers>(buffer);
  registers.rbx = scratch_at(registers.rbx);
  registers.rsi = scratch_at(registers.rsi);
  registers.rdi = scratch_at(registers.rdi);
  fill();
  stream_run(&registers);
  registers.scratch = sum();
  mm::driver::put(buffer, 0, registers);
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
