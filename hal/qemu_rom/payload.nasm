; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Assembly of the ROM's 64-bit payload (System V convention): the exception stubs of the normal world, the two MSR
; instructions whose #GP is survived, the program that raises MMIs, the relocation handler and the embedded MMI entry
; binary.
; -D MMI_ENTRY="file" names the latter.

default rel
bits 64
global rom_exception_stubs
global rom_rdmsr
global rom_wrmsr
global rom_run_program
global rom_program_back
global rom_program_registers
global rom_relocation_handler
global rom_relocation_handler_end
global rom_mmi_entry
global rom_mmi_entry_end
global rom_enter_linux
extern rom_exception

section .text
; u64 rom_rdmsr(u32 msr, u64* value)
rom_rdmsr:
  mov ecx, edi
.instruction:
  rdmsr
  shl rdx, 32
  mov eax, eax
  or rax, rdx
  mov [rsi], rax
  mov eax, 1
  ret
refused:
  xor eax, eax
  ret
; u64 rom_wrmsr(u32 msr, u64 value)
rom_wrmsr:
  mov ecx, edi
  mov rax, rsi
  mov rdx, rsi
  shr rdx, 32
.instruction:
  wrmsr
  mov eax, 1
  ret

; Stack: vector, error code, RIP, ...
exception:
  push rax
  cmp dword [rsp + 8], 13
  jne .fatal
  lea rax, [rom_rdmsr.instruction]
  cmp [rsp + 24], rax
  je .msr
  lea rax, [rom_wrmsr.instruction]
  cmp [rsp + 24], rax
  je .msr
.fatal:
  pop rax
  mov rdi, [rsp]
  mov rsi, [rsp + 8]
  mov rdx, [rsp + 16]
  mov rcx, cr2
  and rsp, -16
  call rom_exception
.stop:
  cli
  hlt
  jmp .stop
.msr:
  lea rax, [refused]
  mov [rsp + 24], rax
  pop rax
  add rsp, 16
  iretq

align 16
rom_exception_stubs:
%assign vector 0
%rep 32
  align 16
  %if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
  push qword 0
  %endif
  push qword vector
  jmp near exception
  %assign vector vector + 1
%endrep

; void rom_run_program(): loads all registers of communication::CpuRegister, jumps to Rip, and takes them over again when
; the code there jumps to rom_program_back. Memory is addressed relative to RIP: no register and no segment is needed.
%macro LOAD_MSR 2
  mov ecx, %1
  mov eax, [rom_program_registers + %2 * 8]
  mov edx, [rom_program_registers + %2 * 8 + 4]
  wrmsr
%endmacro
%macro STORE_MSR 2
  mov ecx, %1
  rdmsr
  mov [rom_program_registers + %2 * 8], eax
  mov [rom_program_registers + %2 * 8 + 4], edx
%endmacro
%macro LOAD_SEGMENT 2
  mov eax, [rom_program_registers + %2 * 8]
  mov %1, eax
%endmacro
%macro STORE_SEGMENT 2
  xor eax, eax
  mov ax, %1
  mov [rom_program_registers + %2 * 8], rax
%endmacro
%macro EACH_GPR 1               ; all but RSP
  %1 rax, 0
  %1 rcx, 1
  %1 rdx, 2
  %1 rbx, 3
  %1 rbp, 5
  %1 rsi, 6
  %1 rdi, 7
  %1 r8, 8
  %1 r9, 9
  %1 r10, 10
  %1 r11, 11
  %1 r12, 12
  %1 r13, 13
  %1 r14, 14
  %1 r15, 15
%endmacro
%macro LOAD_GPR 2
  mov %1, [rom_program_registers + %2 * 8]
%endmacro
%macro STORE_GPR 2
  mov [rom_program_registers + %2 * 8], %1
%endmacro
%define R_RSP 4
%define R_RIP 16
%define R_RFLAGS 17
%define R_CR0 18
%define R_CR2 19
%define R_CR3 20
%define R_CR4 21
%define R_EFER 22
%define MSR_EFER 0xC0000080 ; arch::kMsrEfer
%define MSR_FS_BASE 0xC0000100 ; arch::kMsrFsBase
%define MSR_GS_BASE 0xC0000101 ; arch::kMsrGsBase

rom_run_program:
  push rbx
  push rbp
  push r12
  push r13
  push r14
  push r15
  pushfq
  mov [kept_rsp], rsp
  mov rax, cr0
  mov [kept_cr0], rax
  mov rax, cr3
  mov [kept_cr3], rax
  mov rax, cr4
  mov [kept_cr4], rax
  mov ecx, MSR_EFER
  rdmsr
  mov [kept_efer], eax
  LOAD_MSR MSR_EFER, R_EFER
  LOAD_GPR rax, R_CR4
  mov cr4, rax
  LOAD_GPR rax, R_CR3
  mov cr3, rax
  LOAD_GPR rax, R_CR2
  mov cr2, rax
  LOAD_SEGMENT es, 23
  LOAD_SEGMENT ss, 25
  LOAD_SEGMENT ds, 26
  LOAD_SEGMENT fs, 27
  LOAD_SEGMENT gs, 28
  LOAD_MSR MSR_FS_BASE, 29
  LOAD_MSR MSR_GS_BASE, 30
  LOAD_GPR rax, R_CR0
  mov cr0, rax
  push qword [rom_program_registers + R_RFLAGS * 8]
  popfq
  EACH_GPR LOAD_GPR
  LOAD_GPR rsp, R_RSP
  jmp [rom_program_registers + R_RIP * 8]

rom_program_back:
  EACH_GPR STORE_GPR
  STORE_GPR rsp, R_RSP
  mov rsp, [kept_rsp]
  pushfq
  pop qword [rom_program_registers + R_RFLAGS * 8]
  cld
  STORE_SEGMENT es, 23
  STORE_SEGMENT cs, 24
  STORE_SEGMENT ss, 25
  STORE_SEGMENT ds, 26
  STORE_SEGMENT fs, 27
  STORE_SEGMENT gs, 28
  STORE_MSR MSR_FS_BASE, 29
  STORE_MSR MSR_GS_BASE, 30
  STORE_MSR MSR_EFER, R_EFER
  mov rax, cr0
  STORE_GPR rax, R_CR0
  mov rax, cr2
  STORE_GPR rax, R_CR2
  mov rax, cr3
  STORE_GPR rax, R_CR3
  mov rax, cr4
  STORE_GPR rax, R_CR4
  mov rax, [kept_cr0]
  mov cr0, rax
  mov rax, [kept_cr3]
  mov cr3, rax
  mov rax, [kept_cr4]
  mov cr4, rax
  mov ecx, MSR_EFER
  mov eax, [kept_efer]
  xor edx, edx
  wrmsr
  mov eax, 0x10
  mov es, eax
  mov ss, eax
  mov ds, eax
  mov fs, eax
  mov gs, eax
  popfq
  pop r15
  pop r14
  pop r13
  pop r12
  pop rbp
  pop rbx
  ret

; void rom_enter_linux(u64 entry, u64 boot_params): the registers of the 64-bit boot protocol: CS 0x10, data segments 0x18,
; RSI boot_params, interrupts off.
rom_enter_linux:
  cli
  lgdt [linux_gdt_pointer]
  mov eax, 0x18
  mov ds, eax
  mov es, eax
  mov ss, eax
  push qword 0x10
  push rdi
  o64 retf

; Copied to 0x38000, the MMI entry after reset. Moves this CPU's SMBASE to the u32 at 0x1000 and says so at 0x1004.
bits 16
align 16
rom_relocation_handler:
  mov eax, [dword 0x1000]
  mov [cs:0xFF00], eax
  mov dword [dword 0x1004], 1
  rsm
rom_relocation_handler_end:

section .rodata
align 16
linux_gdt:
  dq 0
  dq 0
  dq 0x00AF9B000000FFFF         ; 0x10 code 64
  dq 0x00CF93000000FFFF         ; 0x18 data
linux_gdt_pointer:
  dw linux_gdt_pointer - linux_gdt - 1
  dq linux_gdt
align 16
rom_mmi_entry:
  incbin MMI_ENTRY
rom_mmi_entry_end:

section .bss
align 8
rom_program_registers: resq 32
kept_rsp:  resq 1
kept_cr0:  resq 1
kept_cr3:  resq 1
kept_cr4:  resq 1
kept_efer: resq 1
