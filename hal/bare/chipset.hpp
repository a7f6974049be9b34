// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

namespace mm::bare {

/// TSEG by the registers of q35's memory controller and the size of low RAM in CMOS (hal/qemu_rom/Q35.md 3). Empty
/// unless it is closed to the normal world and locked until reset. Leaves the configuration address port as it was.
Range locked_tseg() noexcept;

}  // namespace mm::bare
