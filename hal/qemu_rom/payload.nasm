; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; Assembly of the ROM's 64-bit payload (System V convention): the exception stubs of the normal world, the two MSR
; instructions whose #GP is survived, the relocation handler and the embedded MMI entry binary.
; -D MMI_ENTRY="file" names the latter.

default rel
bits 64
global rom_exception_stubs
global rom_rdmsr
global rom_wrmsr
global rom_relocation_handler
global rom_relocation_handler_end
global rom_mmi_entry
global rom_mmi_entry_end
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
rom_mmi_entry:
  incbin MMI_ENTRY
rom_mmi_entry_end:
