; SPDX-License-Identifier: BSD-2-Clause-Patent
; Ways out of ring 3 that a compiler does not write, one routine each: rcx = first argument, rdx = second, result in rax.
bits 64
global attack_escape
section .text

; u64 (u64 number, u64 a, u64 b): routine `number` of the table; -1 when there is none. Every register that the caller
; counts on is back, and the stack too: a routine may lose its own, but for rbx.
attack_escape:
        mov     rax, -1
        cmp     rcx, (table_end - table) / 4
        jae     .none
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r15
        lea     rax, [rel table]
        movsxd  r9, dword [rax + rcx * 4]
        add     r9, rax
        mov     rcx, rdx
        mov     rdx, r8
        mov     rbx, rsp
        call    r9
        mov     rsp, rbx
        pop     r15
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
.none:  ret

; Offsets from the table, so that it needs no relocation.
%macro entries 1-*
%rep %0
        dd      %1 - table
%rotate 1
%endrep
%endmacro
align 4
table:
        ; 0: control and debug registers
        entries mov_to_cr0, mov_from_cr2, mov_from_cr3, mov_from_cr4, mov_from_cr8, mov_to_cr8, mov_to_dr0, mov_from_dr6
        ; 8: state of the CPU
        entries xsetbv_0, clac_, stac_, invpcid_, wrmsr_lstar, rdmsr_smbase, monitor_, mwait_
        ; 16: virtualisation and other entries
        entries vmcall_, vmmcall_, vmlaunch_, vmrun_, sysexit_, sysenter_, skinit_, getsec_
        ; 24: ports
        entries rep_insb, rep_outsb, in_eax, popf_iopl_cli, popf_iopl_in, popf_if
        ; 30: transfers: a = selector
        entries far_call, far_jump, far_return, iret_to, load_ss, load_ds, load_es, load_fs, load_gs, load_tr, load_ldt
        ; 41: stacks: a = RSP
        entries rsp_push, rsp_pop, rsp_call, rsp_syscall, rsp_fault, rsp_far_call
        ; 47: flags: a = bits to set
        entries flags_fault, flags_syscall, flags_call
        ; 50: code
        entries own_text, on_stack, in_data, jump_to
        ; 54: the way back
        entries leave_by_gate, syscall_from, sysret_to
        ; 57: x87 and SSE
        entries vector_spoil, vector_report, vector_spoil_fault, nmi_behind_step
table_end:

mov_to_cr0:
        xor     eax, eax
        mov     cr0, rax
        ret
mov_from_cr2:
        mov     rax, cr2
        ret
mov_from_cr3:
        mov     rax, cr3
        ret
mov_from_cr4:
        mov     rax, cr4
        ret
mov_from_cr8:
        mov     rax, cr8
        ret
mov_to_cr8:
        mov     cr8, rcx
        ret
mov_to_dr0:
        mov     dr0, rcx
        ret
mov_from_dr6:
        mov     rax, dr6
        ret

xsetbv_0:
        xor     ecx, ecx
        mov     eax, 1
        xor     edx, edx
        xsetbv
        ret
clac_:  clac
        ret
stac_:  stac
        ret
invpcid_:
        invpcid rcx, [rsp]
        ret
wrmsr_lstar:
        mov     eax, ecx
        mov     ecx, 0C0000082h
        xor     edx, edx
        wrmsr
        ret
rdmsr_smbase:
        mov     ecx, 9Eh
        rdmsr
        ret
monitor_:
        mov     rax, rsp
        xor     ecx, ecx
        xor     edx, edx
        monitor
        ret
mwait_: xor     eax, eax
        xor     ecx, ecx
        mwait
        ret

vmcall_:
        vmcall
        ret
vmmcall_:
        vmmcall
        ret
vmlaunch_:
        vmlaunch
        ret
vmrun_: mov     rax, rcx
        vmrun
        ret
sysexit_:
        mov     rdx, rsp
        o64 sysexit
        ret
sysenter_:
        sysenter
        ret
skinit_:
        mov     eax, ecx
        skinit
        ret
getsec_:
        xor     eax, eax
        getsec
        ret

; Ports: DX = a, memory at b.
rep_insb:
        mov     rdi, rdx
        mov     rdx, rcx
        mov     ecx, 16
        rep insb
        ret
rep_outsb:
        mov     rsi, rdx
        mov     rdx, rcx
        mov     ecx, 16
        rep outsb
        ret
in_eax: mov     rdx, rcx
        in      eax, dx
        ret
; IOPL 3 by POPF, which ring 3 cannot change, then what would need it.
popf_iopl_cli:
        push    3202h
        popfq
        cli
        ret
popf_iopl_in:
        push    3202h
        popfq
        mov     rdx, rcx
        in      al, dx
        ret
; The flags after setting all that POPF takes, IF and IOPL last of all.
popf_if:
        push    3002h
        popfq
        pushfq
        pop     rax
        ret

; a = selector, b = offset.
far_call:
        push    rcx
        push    rdx
        o64 call far [rsp]
        ret
far_jump:
        push    rcx
        push    rdx
        o64 jmp far [rsp]
far_return:
        push    rcx
        push    rdx
        o64 retf
; a = CS, b = SS
iret_to:
        mov     rax, rsp
        push    rdx
        push    rax
        pushfq
        push    rcx
        lea     rax, [rel .there]
        push    rax
        iretq
.there: mov     eax, cs
        ret
load_ss:
        mov     ss, cx
        ret
load_ds:
        mov     ds, cx
        ret
load_es:
        mov     es, cx
        ret
load_fs:
        mov     fs, cx
        ret
load_gs:
        mov     gs, cx
        ret
load_tr:
        ltr     cx
        ret
load_ldt:
        lldt    cx
        ret

; a = RSP
rsp_push:
        mov     rsp, rcx
        push    rax
        jmp     back
rsp_pop:
        mov     rsp, rcx
        pop     rax
        jmp     back
rsp_call:
        mov     rsp, rcx
        call    back
; b = number of a system call, which gets 0, 0, 0
rsp_syscall:
        mov     rsp, rcx
        mov     rax, rdx
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        syscall
        jmp     back
rsp_fault:
        mov     rsp, rcx
        ud2
; Through the gate.
rsp_far_call:
        push    60h
        push    0
        mov     rdx, rsp
        mov     rsp, rcx
        o64 call far [rdx]
        jmp     back
; To the caller of the routine, on its own stack.
back:   lea     rsp, [rbx - 8]
        ret

; a = flags, b = number of a system call
flags_fault:
        pushfq
        or      [rsp], rcx
        popfq
        ud2
flags_syscall:
        mov     rax, rdx
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        pushfq
        or      [rsp], rcx
        popfq
        syscall
        push    2
        popfq
        ret
; Through the gate.
flags_call:
        push    60h
        push    0
        pushfq
        or      [rsp], rcx
        popfq
        o64 call far [rsp]
        ret

own_text:
        lea     rax, [rel .here]
        mov     byte [rax], 90h
.here:  ret
on_stack:
        push    0C3h
        jmp     rsp
in_data:
        lea     rax, [rel data_ret]
        jmp     rax
jump_to:
        jmp     rcx

; Ends the MMI behind the back of the user core: a = RAX, b = offset in the far pointer, which nobody looks at.
leave_by_gate:
        mov     rax, rcx
        push    60h
        push    rdx
        o64 call far [rsp]
        ret
; SYSCALL with RCX and R11, which it replaces, and R10 to R15 of the attacker's: a = number.
syscall_from:
        mov     rax, rcx
        mov     rcx, 8000000000000000h
        mov     r11, -1
        mov     r15, rcx
        mov     rbp, rcx
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        syscall
        ret
; SYSRET of ring 3's own to ring 3.
sysret_to:
        lea     rcx, [rel .there]
        mov     r11, 2
        o64 sysret
.there: ret

; Leaves what an x87 and SSE program leaves: a full stack, another control word and MXCSR, XMM15.
vector_spoil:
        fld1
        fld1
        push    0x0C3F
        fldcw   [rsp]
        mov     dword [rsp], 0x5F80
        ldmxcsr [rsp]
        pop     rax
        movq    xmm15, rbx
        xor     eax, eax
        ret
vector_spoil_fault:
        call    vector_spoil
        ud2
; Control word in bits 15:0, tag word (0: empty) in 23:16, bit 24 when XMM15 or ST0 is not zero, MXCSR in 63:32.
vector_report:
        sub     rsp, 520
        and     rsp, -16
        fxsave64 [rsp]
        movzx   eax, word [rsp]
        movzx   edx, byte [rsp + 4]
        shl     edx, 16
        or      eax, edx
        mov     rdx, [rsp + 32]         ; ST0
        or      rdx, [rsp + 160 + 15 * 16]
        jz      .clean
        or      eax, 1 << 24
.clean: mov     edx, [rsp + 24]
        shl     rdx, 32
        or      rax, rdx
        mov     rsp, rbx
        sub     rsp, 8                  ; the return address that attack_escape pushed
        ret

; The timer of the local APIC, whose page is at a, as an NMI b ticks from now; a single step meanwhile.
nmi_behind_step:
        mov     dword [rcx + 3E0h], 0Bh ; a tick is a tick
        mov     dword [rcx + 320h], 400h
        lea     r8, [rcx + 380h]
        pushfq
        or      byte [rsp + 1], 1       ; TF
        mov     [r8], edx
        popfq
        nop
        xor     eax, eax
        ret

section .data
data_ret:
        ret
