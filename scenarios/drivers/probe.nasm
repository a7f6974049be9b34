; SPDX-License-Identifier: BSD-2-Clause-Patent
; What no compiler writes, for the driver Probe.
bits 64
global probe_instruction
global probe_registers
global probe_flags
section .text

; void (u64 number): executes instruction `number` of the table; one beyond it does nothing.
probe_instruction:
        cmp     rcx, (table_end - table) / 8
        jae     .done
        lea     rax, [rel table]
        movsxd  rdx, dword [rax + rcx * 8]
        add     rdx, rax
        sub     rsp, 40
        call    rdx
        add     rsp, 40
.done:  ret

; Offsets from the table, so that it needs no relocation; 8 bytes each.
%macro entry 1
        dd      %1 - table
        dd      0
%endmacro
align 8
table:
        entry   i_cli           ; 0
        entry   i_sti           ; 1
        entry   i_hlt           ; 2
        entry   i_in            ; 3
        entry   i_out           ; 4
        entry   i_insb          ; 5
        entry   i_outsb         ; 6
        entry   i_rdmsr         ; 7
        entry   i_wrmsr         ; 8
        entry   i_mov_from_cr0  ; 9
        entry   i_mov_to_cr3    ; 10
        entry   i_mov_to_cr4    ; 11
        entry   i_mov_from_dr7  ; 12
        entry   i_clts          ; 13
        entry   i_lmsw          ; 14
        entry   i_lgdt          ; 15
        entry   i_lidt          ; 16
        entry   i_lldt          ; 17
        entry   i_ltr           ; 18
        entry   i_invd          ; 19
        entry   i_wbinvd        ; 20
        entry   i_invlpg        ; 21
        entry   i_swapgs        ; 22
        entry   i_sysret        ; 23
        entry   i_iret_ring0    ; 24
        entry   i_int80         ; 25
        entry   i_intff         ; 26
        entry   i_int3          ; 27
        entry   i_ud2           ; 28
        entry   i_far_jump      ; 29
        entry   i_load_ss0      ; 30
table_end:

i_cli:  cli
        ret
i_sti:  sti
        ret
i_hlt:  hlt
        ret
i_in:   in      al, 80h
        ret
i_out:  out     80h, al
        ret
i_insb: mov     dx, 80h
        lea     rdi, [rsp + 8]
        insb
        ret
i_outsb:
        mov     dx, 80h
        lea     rsi, [rsp + 8]
        outsb
        ret
i_rdmsr:
        mov     ecx, 1Bh
        rdmsr
        ret
i_wrmsr:
        mov     ecx, 0C0000084h
        xor     eax, eax
        xor     edx, edx
        wrmsr
        ret
i_mov_from_cr0:
        mov     rax, cr0
        ret
i_mov_to_cr3:
        xor     eax, eax
        mov     cr3, rax
        ret
i_mov_to_cr4:
        xor     eax, eax
        mov     cr4, rax
        ret
i_mov_from_dr7:
        mov     rax, dr7
        ret
i_clts: clts
        ret
i_lmsw: xor     eax, eax
        lmsw    ax
        ret
i_lgdt: lgdt    [rsp + 8]
        ret
i_lidt: lidt    [rsp + 8]
        ret
i_lldt: xor     eax, eax
        lldt    ax
        ret
i_ltr:  mov     eax, 70h
        ltr     ax
        ret
i_invd: invd
        ret
i_wbinvd:
        wbinvd
        ret
i_invlpg:
        invlpg  [rsp]
        ret
i_swapgs:
        swapgs
        ret
i_sysret:
        o64 sysret
        ret
; To CS 0x38 of ring 0.
i_iret_ring0:
        mov     rax, rsp
        push    40h
        push    rax
        pushfq
        push    38h
        lea     rax, [rel .there]
        push    rax
        iretq
.there: ret
i_int80:
        int     80h
        ret
i_intff:
        int     0FFh
        ret
i_int3: int3
        ret
i_ud2:  ud2
; Through a far pointer to the code segment of ring 0.
i_far_jump:
        sub     rsp, 24
        lea     rax, [rel .there]
        mov     [rsp], rax
        mov     word [rsp + 8], 38h
        jmp     far [rsp]
.there: add     rsp, 24
        ret
i_load_ss0:
        mov     eax, 40h
        mov     ss, ax
        ret

; u64 (u64 index, u64 a, u64 b, u64 c)
probe_registers:
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r12
        push    r13
        push    r14
        push    r15
        sub     rsp, 0B8h
        movaps  [rsp], xmm6
        movaps  [rsp + 10h], xmm7
        movaps  [rsp + 20h], xmm8
        movaps  [rsp + 30h], xmm9
        movaps  [rsp + 40h], xmm10
        movaps  [rsp + 50h], xmm11
        movaps  [rsp + 60h], xmm12
        movaps  [rsp + 70h], xmm13
        movaps  [rsp + 80h], xmm14
        movaps  [rsp + 90h], xmm15
        mov     rax, rcx
        mov     rbx, 0B1B1B1B1B1B1B1B1h
        lea     rbp, [rbx + 1]
        lea     rsi, [rbx + 2]
        lea     rdi, [rbx + 3]
        lea     r10, [rbx + 4]
        lea     r12, [rbx + 5]
        lea     r13, [rbx + 6]
        lea     r14, [rbx + 7]
        mov     r15, [rsp + 0B8h]       ; the far pointer that ring 3 keeps there
%assign n 0
%rep 16
        movq    xmm %+ n, rbx
%assign n n + 1
%endrep
        syscall
        xor     eax, eax
%macro changed 3                        ; register, expected minus RBX, bit
        lea     rcx, [rbx + %2]
        cmp     %1, rcx
        je      %%same
        bts     rax, %3
%%same:
%endmacro
        mov     rcx, 0B1B1B1B1B1B1B1B1h
        cmp     rbx, rcx
        je      .rbx
        bts     rax, 0
        mov     rbx, rcx
.rbx:   changed rbp, 1, 1
        changed rsi, 2, 2
        changed rdi, 3, 3
        changed r10, 4, 4
        changed r12, 5, 5
        changed r13, 6, 6
        changed r14, 7, 7
        cmp     r15, [rsp + 0B8h]
        je      .r15
        bts     rax, 8
.r15:
%assign n 0
%rep 16
        movq    rcx, xmm %+ n
        cmp     rcx, rbx
        je      .same %+ n
        bts     rax, 16 + n
.same %+ n:
%assign n n + 1
%endrep
        movaps  xmm6, [rsp]
        movaps  xmm7, [rsp + 10h]
        movaps  xmm8, [rsp + 20h]
        movaps  xmm9, [rsp + 30h]
        movaps  xmm10, [rsp + 40h]
        movaps  xmm11, [rsp + 50h]
        movaps  xmm12, [rsp + 60h]
        movaps  xmm13, [rsp + 70h]
        movaps  xmm14, [rsp + 80h]
        movaps  xmm15, [rsp + 90h]
        add     rsp, 0B8h
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        ret

; u64 (u64 flags, u64 index, u64 a, u64 b): the arithmetic flags are left out of the answer.
probe_flags:
        mov     rax, rdx
        mov     rdx, r8
        mov     r8, r9
        xor     r9d, r9d
        pushfq
        or      [rsp], rcx
        popfq
        syscall
        pushfq
        pop     rax
        pushfq
        and     qword [rsp], ~40400h
        popfq
        cld
        and     eax, ~8D5h
        ret
