// SPDX-License-Identifier: BSD-2-Clause-Patent
// PlatformMp: EFI_MM_MP_PROTOCOL (PI 1.8 vol. 4, 4.5) over MmStartupThisAp, which returns when the procedure has. So
// everything is done when a call comes back, a token is never waited for, and a time-out is not looked at.

#include "scenarios/drivers/platform/guids.hpp"
#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::Status;
using mm::u32;
using mm::u64;
using platform_driver::kMmMp;

using Procedure = Status(MM_EFIAPI*)(void* argument);  ///< EFI_AP_PROCEDURE2

struct MmMp {
  u32 revision = 0;
  u32 attributes = 0;  ///< no time-outs, no tokens that wait
  Status(MM_EFIAPI* number_of_processors)(MmMp const*, u64* count) = nullptr;
  Status(MM_EFIAPI* dispatch)(MmMp const*, Procedure, u64 cpu, u64 timeout, void* argument, u64* token,
                              Status* status) = nullptr;
  Status(MM_EFIAPI* broadcast)(MmMp const*, Procedure, u64 timeout, void* argument, u64* token,
                               Status* statuses) = nullptr;
  Status(MM_EFIAPI* set_startup)(MmMp const*, Procedure, void* argument) = nullptr;
  Status(MM_EFIAPI* check)(MmMp const*, u64 token) = nullptr;
  Status(MM_EFIAPI* wait)(MmMp const*, u64 token) = nullptr;
};

mm::driver::MmSystemTable* g_mmst = nullptr;
u64 g_tokens = 0;  ///< so many were given out, from 1 on

/// What one processor is to do, and what came of it.
struct Work {
  Procedure procedure = nullptr;
  void* argument = nullptr;
  Status status = Status::NotReady;
};

void MM_EFIAPI on_processor(void* work) {
  auto* const w = static_cast<Work*>(work);
  w->status = w->procedure(w->argument);
}

/// The error of the start; `status` gets what the procedure said.
Status run_on(u64 cpu, Procedure procedure, void* argument, Status* status) noexcept {
  Work work{procedure, argument, Status::NotReady};
  Status const started = g_mmst->startup_this_ap(on_processor, cpu, &work);
  if (status != nullptr) {
    *status = started == Status::Success ? work.status : started;
  }
  return started;
}

void give_token(u64* token) noexcept {
  if (token != nullptr) {
    *token = ++g_tokens;
  }
}

Status MM_EFIAPI number_of_processors(MmMp const*, u64* count) {
  if (count == nullptr) {
    return Status::InvalidParameter;
  }
  *count = g_mmst->number_of_cpus;
  return Status::Success;
}

Status MM_EFIAPI dispatch(MmMp const*, Procedure procedure, u64 cpu, u64, void* argument, u64* token, Status* status) {
  if (procedure == nullptr || cpu >= g_mmst->number_of_cpus || cpu == g_mmst->currently_executing_cpu) {
    return Status::InvalidParameter;
  }
  Status const done = run_on(cpu, procedure, argument, status);
  if (done == Status::Success) {
    give_token(token);
  }
  return done;
}

/// One processor after the other. The first error of a start is the answer.
Status MM_EFIAPI broadcast(MmMp const*, Procedure procedure, u64, void* argument, u64* token, Status* statuses) {
  if (procedure == nullptr) {
    return Status::InvalidParameter;
  }
  if (g_mmst->number_of_cpus == 1) {
    return Status::NotStarted;
  }
  Status result = Status::Success;
  for (u64 cpu = 0; cpu < g_mmst->number_of_cpus; ++cpu) {
    if (cpu == g_mmst->currently_executing_cpu) {
      continue;
    }
    Status const done = run_on(cpu, procedure, argument, statuses == nullptr ? nullptr : statuses + cpu);
    result = result == Status::Success ? done : result;
  }
  if (result == Status::Success) {
    give_token(token);
  }
  return result;
}

/// The supervisor runs nothing of ring 3 on a processor that enters MM.
Status MM_EFIAPI set_startup(MmMp const*, Procedure, void*) { return Status::Unsupported; }

Status MM_EFIAPI check(MmMp const*, u64 token) {
  return token != 0 && token <= g_tokens ? Status::Success : Status::InvalidParameter;
}

MmMp g_protocol{0, 0, number_of_processors, dispatch, broadcast, set_startup, check, check};

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  mm::driver::Handle handle = 0;
  return mmst->install_protocol(&handle, &kMmMp, 0, &g_protocol);
}
