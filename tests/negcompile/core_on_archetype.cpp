// SPDX-License-Identifier: BSD-2-Clause-Patent
// The templates of core, instantiated with the least machine that satisfies the roles. Compiled only, never linked.
#include "core/memory/page_tables.hpp"
#include "core/supervisor/supervisor.hpp"
#include "hal/archetype/machine.hpp"

template class mm::memory::PageTables<mm::hal::archetype::Cpu>;
template class mm::supervisor::Supervisor<mm::hal::archetype::Machine>;
