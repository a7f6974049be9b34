// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/supervisor.hpp"
#include "hal/archetype/machine.hpp"

// The supervisor needs no more of a machine than the roles say. Compile-only.
template class mm::supervisor::Supervisor<mm::hal::archetype::Machine>;
