// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// q35 registers that the boot code sets (MCH 00:00.0, LPC 00:1f.0), and the local APIC of the BSP.
namespace mm::rom {

/// PMBASE 0x600, ACPI on, PCIEXBAR 256 MiB at 0xB0000000.
void set_up_chipset() noexcept;
/// Bytes of RAM below 4 GiB, by CMOS; TSEG included.
u64 low_ram_bytes() noexcept;
/// Bytes of the extended TSEG; 0 when the chipset has none.
u64 tseg_bytes() noexcept;
/// Turns TSEG into SMRAM and locks it until reset. False when the registers do not read back as locked.
bool lock_tseg() noexcept;
/// SMI on writes to port 0xB2, enabled and locked.
void enable_smi() noexcept;
/// Microseconds of busy waiting, by the PM timer.
void wait_us(u64 us) noexcept;

/// APIC ID of the calling CPU.
u32 own_apic_id() noexcept;
/// INIT, SIPI, SIPI to every CPU but this one.
void start_aps() noexcept;
/// Sends an IPI by the ICR of this CPU; set_ipi_destination() alone only chooses who gets the next one.
void send_ipi(u32 apic_id, u32 command) noexcept;
void set_ipi_destination(u32 apic_id) noexcept;

}  // namespace mm::rom
