; SPDX-License-Identifier: BSD-2-Clause-Patent
; A sled of code whose bytes tests/scenario/streams_test.py replaces, and the registers before and after it.
bits 64
default rel
global stream_run
section .bss
alignb 16
fx:     resb    512
stack:  resq    1
after:  resq    1               ; RSP behind the sled
section .rodata
mxcsr:  dd      0x1F80          ; as at the entry of a driver
section .text

; void (Registers*): loads them, runs the sled and stores what it left.
stream_run:
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r12
        push    r13
        push    r14
        push    r15
        push    rcx
        mov     [stack], rsp
        fninit
        ldmxcsr [mxcsr]
        movdqu  xmm0, [rcx + 96]
        movdqu  xmm1, [rcx + 112]
        movdqu  xmm2, [rcx + 128]
        movdqu  xmm3, [rcx + 144]
        mov     rax, [rcx]
        mov     rdx, [rcx + 16]
        mov     rbx, [rcx + 24]
        mov     rsi, [rcx + 32]
        mov     rdi, [rcx + 40]
        mov     r8, [rcx + 48]
        mov     r9, [rcx + 56]
        mov     r10, [rcx + 64]
        mov     r11, [rcx + 72]
        mov     rcx, [rcx + 8]
        mov     rbp, rbx        ; and not into the user core, which is ring 3, too
        xor     r12d, r12d
        xor     r13d, r13d
        xor     r14d, r14d
        xor     r15d, r15d
        jmp     sled

        times 128 ud2
        db      "<stream of code>"
sled:   times 32 ud2
        jmp     done
        ud2
        db      "<end of stream.>"
        times 128 ud2

done:   mov     [after], rsp
        mov     rsp, [stack]
        pushfq
        cld
        push    2
        popfq
        push    rcx
        mov     rcx, [rsp + 16]
        mov     [rcx], rax
        pop     rax
        mov     [rcx + 8], rax
        mov     [rcx + 16], rdx
        mov     [rcx + 24], rbx
        mov     [rcx + 32], rsi
        mov     [rcx + 40], rdi
        mov     [rcx + 48], r8
        mov     [rcx + 56], r9
        mov     [rcx + 64], r10
        mov     [rcx + 72], r11
        pop     rax
        and     eax, 0xCD5      ; CF PF AF ZF SF DF OF
        mov     [rcx + 80], rax
        mov     rax, [after]
        sub     rax, rsp
        mov     [rcx + 88], rax
        movdqu  [rcx + 96], xmm0
        movdqu  [rcx + 112], xmm1
        movdqu  [rcx + 128], xmm2
        movdqu  [rcx + 144], xmm3
        fxsave  [fx]
        mov     eax, [fx]       ; FCW and FSW, but for the flags of exceptions: the simulator keeps them otherwise
        and     eax, 0x7F00FFFF
        mov     [rcx + 160], eax
        mov     eax, [fx + 24]  ; MXCSR
        and     eax, 0xFFC0
        mov     [rcx + 164], eax
        movdqa  xmm0, [fx + 32] ; ST0
        movdqu  [rcx + 168], xmm0
        fninit
        ldmxcsr [mxcsr]
        pop     rcx
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        ret
