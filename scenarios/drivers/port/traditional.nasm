; SPDX-License-Identifier: BSD-2-Clause-Patent
; What BaseLib and IoLib do in a traditional MM driver.
bits 64
global read_msr
global write_port
section .text

read_msr:                               ; u64 (u64 msr)
        rdmsr
        shl     rdx, 32
        or      rax, rdx
        ret
write_port:                             ; void (u64 port, u64 value)
        mov     rax, rdx
        mov     rdx, rcx
        out     dx, al
        ret
