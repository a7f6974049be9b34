// SPDX-License-Identifier: BSD-2-Clause-Patent
// ApUser (GUID ..0020): starts a procedure on each other CPU. Reply, 24 bytes: u64 procedures that ran, u64 CPUs of the
// machine, u64 first error status of MmStartupThisAp (0: none). A message of 40 bytes or more gets two more: u64 status
// of MmAllocatePool called by an AP procedure, u64 the same called by the BSP afterwards.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::u64;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0020", 36);
constexpr u64 kReplyBytes = 24;
constexpr u64 kSpins = 2'000'000;

mm::driver::MmSystemTable* g_mmst = nullptr;
u64 g_counter = 0;

void MM_EFIAPI count(void* argument) { __atomic_fetch_add(static_cast<u64*>(argument), 1, __ATOMIC_SEQ_CST); }

u64 g_from_ap = 0;
u64 allocate() noexcept {
  void* block = nullptr;
  auto const status = g_mmst->allocate_pool(mm::user::kRuntimeServicesData, 64, &block);
  return static_cast<u64>(status == mm::Status::Success ? g_mmst->free_pool(block) : status);
}
void MM_EFIAPI allocate_on_ap(void* result) { *static_cast<u64*>(result) = allocate(); }

/// Waits until `wanted` procedures have run, in case the service does not wait itself.
u64 settle(u64 wanted) noexcept {
  u64 done = 0;
  for (u64 i = 0; i < kSpins && done < wanted; ++i) {
    done = __atomic_load_n(&g_counter, __ATOMIC_SEQ_CST);
    __builtin_ia32_pause();
  }
  return __atomic_load_n(&g_counter, __ATOMIC_SEQ_CST);
}

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < kReplyBytes) {
    return mm::Status::InvalidParameter;
  }
  u64 error = 0;
  u64 started = 0;
  __atomic_store_n(&g_counter, 0, __ATOMIC_SEQ_CST);
  for (u64 cpu = 0; cpu < g_mmst->number_of_cpus; ++cpu) {
    if (cpu == g_mmst->currently_executing_cpu) {
      continue;
    }
    auto const status = g_mmst->startup_this_ap(count, cpu, &g_counter);
    started += status == mm::Status::Success ? 1u : 0u;
    error = error == 0 ? static_cast<u64>(status) : error;
  }
  mm::driver::put(buffer, 0, settle(started));
  mm::driver::put(buffer, 8, g_mmst->number_of_cpus);
  mm::driver::put(buffer, 16, error);
  if (*size < kReplyBytes + 16) {
    *size = kReplyBytes;
    return mm::Status::Success;
  }
  auto const ap = g_mmst->currently_executing_cpu == 0 ? u64{1} : u64{0};
  (void)g_mmst->startup_this_ap(allocate_on_ap, ap, &g_from_ap);
  mm::driver::put(buffer, 24, g_from_ap);
  mm::driver::put(buffer, 32, allocate());
  *size = kReplyBytes + 16;
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
