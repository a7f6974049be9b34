; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The way into ring 3 and the three ways back (SYSCALL, call gate, IDT), the 256 interrupt stubs, and the two MSR
; instructions whose #GP is survived. Microsoft x64 convention. Offsets of GateBlock: hal/bare/gate_block.hpp.

bits 64
default rel

%define SEL_USER_DATA 0x53 ; arch::kUserDataSelector
%define SEL_USER_CODE 0x5B ; arch::kUserCodeSelector

; struct GateBlock
%define RING0_RSP 0x00
%define USER      0x08
%define SCRATCH   0x10
%define X_KIND    0x18
%define X_VECTOR  0x20
%define X_ERROR   0x28
%define X_CR2     0x30

; struct UserContext
%define U_RAX     0x00
%define U_RCX     0x08
%define U_RDX     0x10
%define U_RBX     0x18
%define U_RSP     0x20
%define U_RBP     0x28
%define U_RSI     0x30
%define U_RDI     0x38
%define U_R8      0x40
%define U_R9      0x48
%define U_R10     0x50
%define U_R11     0x58
%define U_R12     0x60
%define U_R13     0x68
%define U_R14     0x70
%define U_R15     0x78
%define U_RIP     0x80
%define U_RFLAGS  0x88

%define KIND_SYSCALL 0
%define KIND_RETURN  1
%define KIND_FAULT   2

%define VECTOR_DB  1
%define VECTOR_NMI 2
%define VECTOR_GP  13
%define RFLAGS_TF  0x100 ; arch::kFlagTrap

%define GDT_TSS    0x70 ; arch::kTssSelector
%define TSS_IST1   36 ; arch::kTssIst1

extern mm_bare_supervisor_fault
global mm_bare_enter_user
global mm_bare_syscall_entry
global mm_bare_return_gate
global mm_bare_interrupt_stubs
global mm_bare_rdmsr
global mm_bare_wrmsr

section .text align=16

; The general registers of ring 3, RSP excepted, into its context. Leaves RBX = UserContext and changes no other.
%macro SAVE_GPRS_EXCEPT_RSP 0
  mov [gs:SCRATCH], rbx
  mov rbx, [gs:USER]
  mov [rbx + U_RAX], rax
  mov [rbx + U_RCX], rcx
  mov [rbx + U_RDX], rdx
  mov [rbx + U_RBP], rbp
  mov [rbx + U_RSI], rsi
  mov [rbx + U_RDI], rdi
  mov [rbx + U_R8], r8
  mov [rbx + U_R9], r9
  mov [rbx + U_R10], r10
  mov [rbx + U_R11], r11
  mov [rbx + U_R12], r12
  mov [rbx + U_R13], r13
  mov [rbx + U_R14], r14
  mov [rbx + U_R15], r15
  mov rax, [gs:SCRATCH]
  mov [rbx + U_RBX], rax
%endmacro

; void mm_bare_enter_user(GateBlock* block, UserContext* user, u64 by_sysret)
; Runs ring 3 with the context; returns when ring 3 comes back, with the context updated and the reason in the block.
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
  mov [rcx + USER], rdx
  swapgs                        ; GS base 0 for ring 3, the block in KERNEL_GS_BASE
  test r8d, r8d                 ; nothing up to the choice of the way out changes the flags
  jnz .load
  mov eax, SEL_USER_DATA
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  push rax                      ; SS
  push qword [rdx + U_RSP]
  push qword [rdx + U_RFLAGS]
  push qword SEL_USER_CODE
  push qword [rdx + U_RIP]
.load:
  mov rax, [rdx + U_RAX]
  mov rcx, [rdx + U_RCX]
  mov rbx, [rdx + U_RBX]
  mov rbp, [rdx + U_RBP]
  mov rsi, [rdx + U_RSI]
  mov rdi, [rdx + U_RDI]
  mov r8, [rdx + U_R8]
  mov r9, [rdx + U_R9]
  mov r10, [rdx + U_R10]
  mov r11, [rdx + U_R11]
  mov r12, [rdx + U_R12]
  mov r13, [rdx + U_R13]
  mov r14, [rdx + U_R14]
  mov r15, [rdx + U_R15]
  jz .by_iret
  mov rsp, [rdx + U_RSP]
  mov rdx, [rdx + U_RDX]
  o64 sysret                    ; RCX == RIP and R11 == RFLAGS: the caller checked
.by_iret:
  mov rdx, [rdx + U_RDX]
  iretq

; LSTAR. FMASK has cleared IF TF DF AC NT RF IOPL.
align 16
mm_bare_syscall_entry:
  swapgs
  SAVE_GPRS_EXCEPT_RSP
  mov [rbx + U_RSP], rsp
  mov [rbx + U_RIP], rcx
  mov [rbx + U_RFLAGS], r11
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
  pop qword [rbx + U_RFLAGS]
  push qword 2
  popfq
  mov rax, [rsp]
  mov [rbx + U_RIP], rax
  mov rax, [rsp + 16]
  mov [rbx + U_RSP], rax
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
  mov [rbx + U_RIP], rax
  mov rax, [rsp + 32]
  mov [rbx + U_RFLAGS], rax
  mov rax, [rsp + 40]
  mov [rbx + U_RSP], rax
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
  ; The stacks of #DB, NMI and #MC hold one frame: go on upon IST1 of this CPU's TSS. Nothing returns from here.
  sub rsp, 16
  sgdt [rsp + 6]
  mov rbx, [rsp + 8]
  mov eax, [rbx + GDT_TSS + 2]
  and eax, 0x00FFFFFF
  movzx esi, byte [rbx + GDT_TSS + 7]
  shl esi, 24
  or eax, esi
  mov esi, [rbx + GDT_TSS + 8]
  shl rsi, 32
  or rax, rsi
  mov rax, [rax + TSS_IST1]
  test rax, rax
  cmovnz rsp, rax
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
