// SPDX-License-Identifier: BSD-2-Clause-Patent
// What decides on data of the normal world takes a copy that was fetched, not an object from anywhere.
#include "core/abi/comm.hpp"
#include "core/supervisor/copied.hpp"
#include "hal/archetype/machine.hpp"

bool is_valid(mm::supervisor::Copied<mm::abi::CommBufferStatus> const& status) {
  return status->is_comm_buffer_valid != 0;
}

bool use(mm::hal::archetype::Cpu& cpu, mm::PhysAddr mailbox) {
#ifdef MM_MISUSE
  return is_valid(mm::hal::read_object<mm::abi::CommBufferStatus>(cpu, mailbox));
#else
  return is_valid(mm::supervisor::Copied<mm::abi::CommBufferStatus>::from(cpu, mailbox));
#endif
}
