; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; MmiEntry.bin: the first code of every MMI. The loader copies it to SMBASE + 0x8000 of each CPU and fills in the
; trailer (PER_CORE_MMI_ENTRY_STRUCT_HDR, version 5) at its end. Starts in the 16-bit mode in which a CPU enters MM,
; ends in 64-bit mode with a call of FixUp64[2](RCX = CpuIndex, RDX = HOB list), then RSM.
;
; All labels are offsets from SMBASE (org 0x8000); RDI = SMBASE from the second instruction to the call.

%define SEL_CODE32 0x08
%define SEL_DATA32 0x20
%define SEL_CODE64 0x38 ; arch::kSupervisorCodeSelector
%define SEL_DATA64 0x40 ; arch::kSupervisorDataSelector
%define SEL_TSS    0x70 ; arch::kTssSelector

%define CR4_WANTED 0x100E28 ; arch::kCr4OfEntry
%define CR4_SMEP   0x100000 ; arch::kCr4Smep
%define CR4_SMAP   0x200000 ; arch::kCr4Smap
%define CR4_UMIP   0x800 ; arch::kCr4Umip
%define CR4_LA57   0x1000 ; arch::kCr4La57
%define MSR_EFER   0xC0000080 ; arch::kMsrEfer
%define MSR_MISC_ENABLE 0x1A0 ; arch::kMsrMiscEnable

org 0x8000

; ---- 16-bit: CS base = SMBASE, the other segments are flat ----------------------------------------------------------
bits 16
mmi_start:
  mov edi, [cs:fixup32.smbase]
  mov ebx, [cs:fixup32.gdtr]
  o32 lgdt [dword ebx]
  ; A write to code that runs costs a serialisation (and an emulator its translation), so who places this copy relocates
  ; the far jump: FixUpStruct names its operand, which holds the target for SMBASE 0. A loader that fills nothing but the
  ; other three arrays finds it written here in the first MMI, the offset last: half a jump is never taken for a whole
  ; one. Nobody else writes this copy: it is this CPU's, and read-only once MM runs.
  lea eax, [edi + protected_mode]
  cmp [cs:far_jump.offset], eax
  je .jump_is_written
  mov word [cs:far_jump.selector], SEL_CODE32
  mov [cs:far_jump.offset], eax
.jump_is_written:
  mov eax, cr0
  and eax, 0x9FFAFFF3           ; clear CD NW AM WP EM TS
  or eax, 0x23                  ; NE MP PE
  mov cr0, eax
  db 0x66, 0xEA                 ; jmp far ptr16:32
far_jump:
.offset:
  dd protected_mode
.selector:
  dw SEL_CODE32

; ---- 32-bit, paging off: what must be written in read-only pages is written here ------------------------------------
bits 32
protected_mode:
  mov ax, SEL_DATA32
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ss, ax
  mov esp, [edi + fixup32.stack]
  mov eax, [edi + fixup32.cr3]
  mov cr3, eax

  ; CR4: the wanted protections that this CPU has.
  mov esi, CR4_WANTED & ~(CR4_SMEP | CR4_UMIP)
  xor eax, eax
  cpuid
  cmp eax, 7
  jb .cr4_known
  mov eax, 7
  xor ecx, ecx
  cpuid
  test ebx, 1 << 7
  jz .no_smep
  or esi, CR4_SMEP
.no_smep:
  test ecx, 1 << 2
  jz .no_umip
  or esi, CR4_UMIP
.no_umip:
  cmp byte [edi + fixup8.smap], 0
  je .cr4_known
  test ebx, 1 << 20
  jz .cr4_known
  or esi, CR4_SMAP
.cr4_known:
  cmp byte [edi + fixup8.la57], 0
  je .no_la57
  or esi, CR4_LA57
.no_la57:
  mov cr4, esi

  ; TR: LTR marks the descriptor busy, so clear that first. Both writes must come before the GDT is a read-only page.
  mov ebx, [edi + fixup32.gdtr]
  mov ebx, [ebx + 2]
  mov byte [ebx + SEL_TSS + 5], 0x89
  mov eax, SEL_TSS
  ltr ax

  ; IA32_MISC_ENABLE.XD_DISABLE off; its old high half is kept in the slot below the CpuIndex.
  push dword 0
  push dword 0
  cmp byte [edi + fixup8.misc_enable], 0
  je .xd_done
  mov ecx, MSR_MISC_ENABLE
  rdmsr
  mov [esp], edx
  test edx, 4
  jz .xd_done
  and edx, ~4
  wrmsr
.xd_done:
  mov ecx, MSR_EFER
  rdmsr
  or eax, 0x901                 ; NXE LME SCE; RSM brings the old ones back
  wrmsr
  mov eax, cr0
  or eax, 0x80010023            ; PG WP NE MP PE
  mov cr0, eax
  push dword SEL_CODE64
  lea eax, [edi + long_mode]
  push eax
  retf

; ---- 64-bit ---------------------------------------------------------------------------------------------------------
bits 64
default abs
long_mode:
  mov edi, edi
  mov esp, esp
  mov rax, [rdi + fixup64.idtr]
  lidt [rax]
  ; CR4.MCE stays clear: the supervisor sets it when the gates and stacks of its IDT are there.
  mov eax, SEL_DATA64
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax

  mov rcx, [rsp + 8]            ; CpuIndex, stored at the stack top by the loader
  mov rdx, [rdi + fixup64.hob_start]
  mov rax, [rdi + fixup64.rendezvous]
  mov rbx, rdi                  ; kept by the callee
  sub rsp, 512
  fxsave64 [rsp]                ; the supervisor cleans it for ring 3
  sub rsp, 32
  call rax
  add rsp, 32
  fxrstor64 [rsp]
  add rsp, 512
  cmp byte [rbx + fixup8.misc_enable], 0
  je .leave
  test dword [rsp], 4
  jz .leave
  mov ecx, MSR_MISC_ENABLE
  rdmsr
  or edx, 4
  wrmsr
.leave:
  rsm

; ---- trailer: unpadded, unaligned; size S = 130, then the size word -------------------------------------------------
trailer:
  dd 5                          ; HeaderVersion
  db fixup_struct - trailer, 4
  db fixup64 - trailer, 7
  db fixup32 - trailer, 7
  db fixup8 - trailer, 8
  dw 0x0200                     ; BinaryVersion
  dd 1                          ; SPL
  dd 0
fixup_struct:
  dw 6, far_jump - mmi_start
  dw 0, 0
  dw 0, 0
  dw 0, 0
fixup64:
.debug_entry:   dq 0
.debug_exit:    dq 0
.rendezvous:    dq 0
.xd_flag:       dq 0
.cet_flag:      dq 0
.idtr:          dq 0
.hob_start:     dq 0
fixup32:
.cet_ssp:       dd 0
.gdtr:          dd 0
.cr3:           dd 0
.cet_int_ssp:   dd 0
.int_ssp_table: dd 0
.stack:         dd 0
.smbase:        dd 0
fixup8:
.xd_supported:  db 0
.misc_enable:   db 0
.la57:          db 0
.cet_supported: db 0
.smap:          db 0
                db 0, 0, 0
trailer_end:
%if trailer_end - trailer != 130
  %error "the trailer must be 130 bytes"
%endif
  dd trailer_end - trailer
