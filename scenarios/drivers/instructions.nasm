; SPDX-License-Identifier: BSD-2-Clause-Patent
bits 64
default rel
global instructions_run
section .text

; void (u64 which, u64 registers[4])
instructions_run:
        push    rbx
        push    rdi
        mov     rdi, rdx
        mov     r10, rcx
        mov     eax, [rdi]
        mov     ebx, [rdi + 8]
        mov     ecx, [rdi + 16]
        mov     edx, [rdi + 24]
        cmp     r10, 1
        jb      .cpuid
        je      .icebp
        rdpmc
        jmp     .out
.cpuid:
        cpuid
        jmp     .out
.icebp:
        db      0xF1
.out:
        mov     eax, eax
        mov     ebx, ebx
        mov     ecx, ecx
        mov     edx, edx
        mov     [rdi], rax
        mov     [rdi + 8], rbx
        mov     [rdi + 16], rcx
        mov     [rdi + 24], rdx
        pop     rdi
        pop     rbx
        ret
