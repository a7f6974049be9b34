; SPDX-License-Identifier: BSD-2-Clause-Patent
; What no compiler writes: privileged instructions and a stack that never ends.
bits 64
global attack_in
global attack_out
global attack_rdmsr
global attack_cli
global attack_hlt
global attack_loop
global attack_stack
section .text

attack_in:                              ; u64 (u64 port)
        mov     edx, ecx
        xor     eax, eax
        in      al, dx
        ret
attack_out:                             ; void (u64 port)
        mov     edx, ecx
        xor     eax, eax
        out     dx, al
        ret
attack_rdmsr:                           ; u64 (u64 msr)
        rdmsr
        shl     rdx, 32
        or      rax, rdx
        ret
attack_cli:
        cli
        ret
attack_hlt:
        hlt
        ret
attack_loop:
        jmp     attack_loop
attack_stack:
        push    rax
        jmp     attack_stack
