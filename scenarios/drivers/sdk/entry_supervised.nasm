; SPDX-License-Identifier: BSD-2-Clause-Patent
; Entry point of a supervised driver, the 20 bytes that every one has (core/user/RING3.md 2.2): leaves by a far call through R15.
bits 64
extern mm_driver_main
global _ModuleEntryPoint
section .text
_ModuleEntryPoint:
        sub     rsp, 28h
        call    mm_driver_main
        add     rsp, 28h
        push    r15
        db      0FFh, 1Ch, 24h          ; call far [rsp], m16:32
        jmp     $
