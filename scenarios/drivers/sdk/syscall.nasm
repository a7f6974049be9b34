; SPDX-License-Identifier: BSD-2-Clause-Patent
; u64 mm_driver_syscall(rcx index, rdx, r8, r9): the ten bytes of every supervised image (core/user/RING3.md 5).
bits 64
global mm_driver_syscall
section .text
mm_driver_syscall:
        push    r11
        mov     rax, rcx
        syscall
        pop     r11
        ret
