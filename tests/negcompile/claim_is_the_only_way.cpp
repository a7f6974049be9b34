// SPDX-License-Identifier: BSD-2-Clause-Patent
// Bytes of ring 3 are written only where the address space has said that they are ring 3's.
#include "core/supervisor/address_space.hpp"
#include "hal/archetype/machine.hpp"

using Machine = mm::hal::archetype::Machine;

void use(mm::supervisor::AddressSpace<Machine> const& space, mm::supervisor::Here<Machine> const& here,
         mm::UserAddr given) {
  mm::u64 const value = 7;
  auto const bytes = std::as_bytes(std::span(&value, 1));
#ifdef MM_MISUSE
  mm::supervisor::UserRange const range{mm::Range{mm::raw(given), sizeof(value)}};
  range.write(here.cpu, bytes);
#else
  if (auto const range = space.claim(here, given, sizeof(value), mm::supervisor::Access::Write)) {
    range->write(here.cpu, bytes);
  }
#endif
  static_cast<void>(space);
}
