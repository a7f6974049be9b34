; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; The whole ROM: the 64-bit payload at its start, the reset code in its last 4 KiB (linear 0xFFFFF000, alias 0xFF000).
; -D PAYLOAD="file" names the payload, a flat binary linked at ROM_PAYLOAD.

%include "hal/qemu_rom/layout.inc"

%define ROM_BYTES  0x40000
%define ROM_BASE   (0x100000000 - ROM_BYTES)
%define PAGE_BASE  0xFFFFF000
%define SEL_CODE32 0x08
%define SEL_DATA   0x10
%define SEL_CODE64 0x18
%define MSR_EFER   0xC0000080 ; arch::kMsrEfer

section payload start=0
payload:
  incbin PAYLOAD
payload_end:
%define PAYLOAD_BYTES (payload_end - payload)

section reset start=(ROM_BYTES - 0x1000) vstart=0
; ---- an AP after SIPI: CS = 0xFF00, IP = 0 --------------------------------------------------------------------------
bits 16
ap_start:
  cli
  o32 lgdt [cs:gdt_pointer]
  mov eax, 0x11
  mov cr0, eax
  jmp dword SEL_CODE32:(PAGE_BASE + ap_flat)

; ---- the BSP, and any CPU that was reset later ----------------------------------------------------------------------
reset_start:
  cli
  mov ecx, 0x1B                 ; an AP that comes here waits as after a SIPI
  rdmsr
  test ah, 1
  jz ap_reset
  o32 lgdt [cs:gdt_pointer + 0xF000]
  mov eax, 0x11
  mov cr0, eax
  jmp dword SEL_CODE32:(PAGE_BASE + bsp_flat)
ap_reset:
  o32 lgdt [cs:gdt_pointer + 0xF000]
  mov eax, 0x11
  mov cr0, eax
  jmp dword SEL_CODE32:(PAGE_BASE + ap_flat)

bits 32
ap_flat:
  mov ax, SEL_DATA
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, 1
  cpuid
  shr ebx, 24
  mov esi, ebx
  cmp esi, ROM_AP_MAX
  jae ap_stop
  xor eax, eax
  xor ebx, ebx
  xor ecx, ecx
  xor edx, edx
  jmp ap_park
ap_stop:
  hlt
  jmp ap_stop

bsp_flat:
  mov ax, SEL_DATA
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ss, ax
  mov esp, ROM_STACK_TOP
  cld
  ; Everything of ours is zero first: tables, AP slots, the payload's .bss, the stack.
  mov edi, ROM_WORK
  mov ecx, (ROM_STACK_TOP - ROM_WORK) / 4
  xor eax, eax
  rep stosd
  mov esi, ROM_BASE
  mov edi, ROM_PAYLOAD
  mov ecx, (PAYLOAD_BYTES + 3) / 4
  rep movsd
  ; Identity map of 4 GiB by 2 MiB pages.
  mov dword [ROM_PML4], ROM_PDPT + 3
  mov edi, ROM_PDPT
  mov eax, ROM_PD + 3
  mov ecx, 4
.directory:
  mov [edi], eax
  add eax, 0x1000
  add edi, 8
  loop .directory
  mov edi, ROM_PD
  mov eax, 0x83
  mov ecx, 2048
.page:
  mov [edi], eax
  add eax, 0x200000
  add edi, 8
  loop .page
  mov eax, ROM_PML4
  mov cr3, eax
  mov eax, 0x620                ; PAE OSFXSR OSXMMEXCPT
  mov cr4, eax
  mov ecx, MSR_EFER
  rdmsr
  or eax, 0x900                 ; NXE LME
  wrmsr
  mov eax, 0x80010033           ; PG WP NE ET MP PE
  mov cr0, eax
  jmp SEL_CODE64:(PAGE_BASE + bsp_long)

bits 64
bsp_long:
  mov eax, ROM_PAYLOAD
  call rax
.stop:
  cli
  hlt
  jmp .stop

; An AP waits in ROM and flat: nothing that the payload can overwrite. Its registers are the same whenever it waits: 0,
; but for ESI, its APIC ID. It counts how often it came here.
bits 32
times 0xE00 - ($ - $$) db 0xF4
ap_halt:
  xor eax, eax                  ; and the flags
  hlt                           ; the address behind it is platform::kRomApWaits
ap_park:
  lock inc dword [ROM_AP_WAKES + esi * 4]
  jmp ap_halt

times 0xF00 - ($ - $$) db 0xF4
gdt:                            ; platform::kRomGdt
  dq 0
  dq 0x00CF9B000000FFFF         ; 0x08 code 32
  dq 0x00CF93000000FFFF         ; 0x10 data
  dq 0x00AF9B000000FFFF         ; 0x18 code 64
gdt_pointer:
  dw gdt_pointer - gdt - 1
  dd PAGE_BASE + gdt

times 0xFF0 - ($ - $$) db 0xF4
bits 16
  jmp near reset_start
times 0x1000 - ($ - $$) db 0
