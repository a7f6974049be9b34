// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// Linux on top of the locked machine: kernel, initial RAM disk and command line as `qemu -kernel -initrd -append`
/// hands them over, entered by the 64-bit boot protocol (Linux Documentation/arch/x86/boot.rst).
namespace mm::rom {

/// True when QEMU was given a kernel.
bool has_linux() noexcept;
/// Starts the kernel on this CPU; the others wait in the ROM. Its command line is the one given and, behind it, the
/// communicate buffers: `mm_comm.user=ADDRESS,PAGES,MAILBOX mm_comm.supervisor=...`. `ram_bytes` and `tseg_bytes` as in
/// abi::BootConfig. Returns only when it cannot, with the reason.
char const* boot_linux(u64 ram_bytes, u64 tseg_bytes) noexcept;

}  // namespace mm::rom
