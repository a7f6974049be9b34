; SPDX-License-Identifier: BSD-2-Clause-Patent
; Entry shim of MmUserCore.efi, the system call and the call into driver images.
; Source: core/user/RING3.md 2.2 and 5.

bits 64
default rel

extern user_core_main
global _ModuleEntryPoint
global mm_user_syscall
global mm_user_call_driver

section .text

; In: rcx, rdx, r8 = command and arguments, r15 = far pointer of the call gate. Out: leaves ring 3 with rax.
_ModuleEntryPoint:
        sub     rsp, 28h
        call    user_core_main
        add     rsp, 28h
        push    r15
        db      0FFh, 1Ch, 24h          ; call far [rsp], m16:32
        jmp     $

; u64 mm_user_syscall(rcx index, rdx, r8, r9)
mm_user_syscall:
        push    r11
        mov     rax, rcx
        syscall
        pop     r11
        ret

; u64 mm_user_call_driver(rcx entry, rdx image handle, r8 mmst)
mm_user_call_driver:
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r12
        push    r13
        push    r14
        push    r15
        sub     rsp, 28h
        mov     rax, rcx
        mov     rcx, rdx
        mov     rdx, r8
        lea     r8, [driver_trampoline]
        mov     r15, 5B00000000h        ; selector of ring-3 code
        or      r15, r8
        call    rax
        add     rsp, 28h
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        ret

; Where the far call of a supervised driver lands: drops its frame (8) and the pushed r15 (8), then returns for it.
driver_trampoline:
        add     rsp, 16
        ret
