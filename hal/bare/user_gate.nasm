; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The way into ring 3 and the three ways back (SYSCALL, call gate, IDT), the 256 interrupt stubs, and the two MSR
; instructions whose #GP is survived. Microsoft x64 convention. Offsets of GateBlock: hal/bare/gate_block.hpp.

bits 64
default rel

%define SEL_USER_DATA 0x53
%define SEL_USER_CODE 0x5B

; struct GateBlock
%define RING0_RSP 0x00
%define U_RAX     0x08
%define U_RCX     0x10
%define U_RDX     0x18
%define U_RBX     0x20
%define U_RSP     0x28
%define U_RBP     0x30
%define U_RSI     0x38
%define U_RDI     0x40
%define U_R8      0x48
%define U_R9      0x50
%define U_R10     0x58
%define U_R11     0x60
%define U_R12     0x68
%define U_R13     0x70
%define U_R14     0x78
%define U_R15     0x80
%define U_RIP     0x88
%define U_RFLAGS  0x90
%define X_KIND    0x98
%define X_VECTOR  0xA0
%define X_ERROR   0xA8
%define X_CR2     0xB0

%define KIND_SYSCALL 0
%define KIND_RETURN  1
%define KIND_FAULT   2

%define VECTOR_DB  1
%define VECTOR_NMI 2
%define VECTOR_GP  13
%define RFLAGS_TF  0x100

extern mm_bare_supervisor_fault
global mm_bare_enter_user
global mm_bare_syscall_entry
global mm_bare_return_gate
global mm_bare_interrupt_stubs
global mm_bare_rdmsr
global mm_bare_wrmsr

section .text align=16

%macro SAVE_GPRS_EXCEPT_RSP 0
  mov [gs:U_RAX], rax
  mov [gs:U_RCX], rcx
  mov [gs:U_RDX], rdx
  mov [gs:U_RBX], rbx
  mov [gs:U_RBP], rbp
  mov [gs:U_RSI], rsi
  mov [gs:U_RDI], rdi
  mov [gs:U_R8], r8
  mov [gs:U_R9], r9
  mov [gs:U_R10], r10
  mov [gs:U_R11], r11
  mov [gs:U_R12], r12
  mov [gs:U_R13], r13
  mov [gs:U_R14], r14
  mov [gs:U_R15], r15
%endmacro

; void mm_bare_enter_user(GateBlock* block, u64 by_sysret)
; Runs ring 3 with the context in the block; returns when ring 3 comes back, the block holding context and reason.
mm_bare_enter_user:
  push rbx
  push rbp
  push rsi
  push rdi
  push r12
  push r13
  push r14
  push r15
  mov [rcx + RING0_RSP], rsp
  swapgs                        ; GS base 0 for ring 3, the block in KERNEL_GS_BASE
  test edx, edx
  jnz .load
  mov eax, SEL_USER_DATA
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  push rax                      ; SS
  push qword [rcx + U_RSP]
  push qword [rcx + U_RFLAGS]
  push qword SEL_USER_CODE
  push qword [rcx + U_RIP]
.load:
  mov rax, [rcx + U_RAX]
  mov rbx, [rcx + U_RBX]
  mov rbp, [rcx + U_RBP]
  mov rsi, [rcx + U_RSI]
  mov rdi, [rcx + U_RDI]
  mov r8, [rcx + U_R8]
  mov r9, [rcx + U_R9]
  mov r10, [rcx + U_R10]
  mov r11, [rcx + U_R11]
  mov r12, [rcx + U_R12]
  mov r13, [rcx + U_R13]
  mov r14, [rcx + U_R14]
  mov r15, [rcx + U_R15]
  test edx, edx
  mov rdx, [rcx + U_RDX]
  jz .by_iret
  mov rsp, [rcx + U_RSP]
  mov rcx, [rcx + U_RCX]        ; == U_RIP, and R11 == U_RFLAGS: the caller checked
  o64 sysret
.by_iret:
  mov rcx, [rcx + U_RCX]
  iretq

; LSTAR. FMASK has cleared IF TF DF AC NT RF IOPL.
align 16
mm_bare_syscall_entry:
  swapgs
  mov [gs:U_RSP], rsp
  SAVE_GPRS_EXCEPT_RSP
  mov [gs:U_RIP], rcx
  mov [gs:U_RFLAGS], r11
  mov qword [gs:X_KIND], KIND_SYSCALL
  mov rsp, [gs:RING0_RSP]
leave_user:
  pop r15
  pop r14
  pop r13
  pop r12
  pop rdi
  pop rsi
  pop rbp
  pop rbx
  ret

; Target of the call gate in GDT slot 0x60. Stack: TSS.RSP0 with RIP CS RSP SS. Flags are still those of ring 3.
align 16
mm_bare_return_gate:
  swapgs
  SAVE_GPRS_EXCEPT_RSP
  pushfq
  pop qword [gs:U_RFLAGS]
  push qword 2
  popfq
  mov rax, [rsp]
  mov [gs:U_RIP], rax
  mov rax, [rsp + 16]
  mov [gs:U_RSP], rax
  mov qword [gs:X_KIND], KIND_RETURN
  mov rsp, [gs:RING0_RSP]
  jmp leave_user

; Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
align 16
interrupt:
  cmp dword [rsp], VECTOR_NMI   ; the normal world's business: not served in MM, and no reason to stop
  je .resume
  test byte [rsp + 24], 3
  jz .from_ring0
  swapgs
  SAVE_GPRS_EXCEPT_RSP
  push qword 2
  popfq
  mov rax, [rsp]
  mov [gs:X_VECTOR], rax
  mov rax, [rsp + 8]
  mov [gs:X_ERROR], rax
  mov rax, cr2
  mov [gs:X_CR2], rax
  mov rax, [rsp + 16]
  mov [gs:U_RIP], rax
  mov rax, [rsp + 32]
  mov [gs:U_RFLAGS], rax
  mov rax, [rsp + 40]
  mov [gs:U_RSP], rax
  mov qword [gs:X_KIND], KIND_FAULT
  mov rsp, [gs:RING0_RSP]
  jmp leave_user

.from_ring0:
  push rax
  cmp dword [rsp + 8], VECTOR_GP
  je .general_protection
  cmp dword [rsp + 8], VECTOR_DB
  jne .fatal
  ; Ring 3 may single-step over its way out: the trap then comes on our first instruction. Go on without it.
  lea rax, [mm_bare_return_gate]
  cmp [rsp + 24], rax
  je .step_off
  lea rax, [mm_bare_syscall_entry]
  cmp [rsp + 24], rax
  jne .fatal
.step_off:
  and dword [rsp + 40], ~RFLAGS_TF
  pop rax
.resume:
  add rsp, 16
  iretq

.general_protection:
  lea rax, [mm_bare_rdmsr.instruction]
  cmp [rsp + 24], rax
  je .refused
  lea rax, [mm_bare_wrmsr.instruction]
  cmp [rsp + 24], rax
  jne .fatal
.refused:
  lea rax, [msr_refused]
  mov [rsp + 24], rax
  pop rax
  jmp .resume

.fatal:
  pop rax
  push qword 2
  popfq
  mov rcx, [rsp]
  mov rdx, [rsp + 8]
  mov r8, [rsp + 16]
  mov r9, cr2
  and rsp, -16
  sub rsp, 32
  call mm_bare_supervisor_fault
.stop:
  cli
  hlt
  jmp .stop

; u64 mm_bare_rdmsr(u32 msr, u64* value): 1, or 0 when the CPU refused
align 16
mm_bare_rdmsr:
  mov r8, rdx
.instruction:
  rdmsr
  shl rdx, 32
  mov eax, eax
  or rax, rdx
  mov [r8], rax
  mov eax, 1
  ret
msr_refused:
  xor eax, eax
  ret

; u64 mm_bare_wrmsr(u32 msr, u64 value): 1, or 0 when the CPU refused
align 16
mm_bare_wrmsr:
  mov rax, rdx
  shr rdx, 32
.instruction:
  wrmsr
  mov eax, 1
  ret

; 256 stubs of 16 bytes: a zero where the CPU pushes no error code, then the vector.
align 16
mm_bare_interrupt_stubs:
%assign vector 0
%rep 256
  align 16
  %if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && vector != 29 && vector != 30
  push qword 0
  %endif
  push qword vector
  jmp near interrupt
  %assign vector vector + 1
%endrep
  align 16
