; SPDX-License-Identifier: BSD-2-Clause-Patent
;
; A bzImage of 2 KiB that says on the serial port how it was entered, then switches the machine off: what a loader by the
; 64-bit boot protocol has to give a kernel (Linux Documentation/arch/x86/boot.rst).

bits 16
times 0x1F1 db 0
  db 1                          ; 0x1F1 setup_sects
  dw 0
  dd SIZE_16                    ; 0x1F4 syssize
  dw 0, 0, 0
  dw 0xAA55                     ; 0x1FE
  db 0xEB, header_end - $ - 1   ; 0x200 jump: the header ends there
  db "HdrS"                     ; 0x202
  dw 0x020F                     ; version
  dd 0
  dw 0, 0
  db 0                          ; 0x210 type_of_loader
  db 1                          ; 0x211 loadflags: LOADED_HIGH
  dw 0
  dd 0x100000                   ; 0x214 code32_start
  dd 0, 0                       ; 0x218 ramdisk
  dd 0
  dw 0
  db 0, 0
  dd 0                          ; 0x228 cmd_line_ptr
  dd 0x7FFFFFFF                 ; 0x22C initrd_addr_max
  dd 0x200000                   ; 0x230 kernel_alignment
  db 1, 21                      ; 0x234 relocatable_kernel, min_alignment
  dw 1                          ; 0x236 xloadflags: XLF_KERNEL_64
  dd 2047                       ; 0x238 cmdline_size
  dd 0
  dq 0
  dd 0, 0
  dq 0
  dq 0x1000000                  ; 0x258 pref_address
  dd 0x100000                   ; 0x260 init_size
  dd 0
  dd 0                          ; 0x268
header_end:
times 0x400 - ($ - $$) db 0

; The protected-mode part; its 64-bit entry is 0x200 bytes in. RSI: boot_params.
code:
times 0x200 db 0xCC
bits 64
default rel
entry64:
  lea rsp, [stack_top]
  mov r15, rsi
  mov r14d, cs
  mov r13d, ds
  lea rsi, [said_cs]
  call text
  mov eax, r14d
  call number
  lea rsi, [said_ds]
  call text
  mov eax, r13d
  call number
  pushfq
  pop rax
  shr eax, 9
  and eax, 1
  lea rsi, [said_interrupts]
  call text
  call number
  call line
  lea rsi, [said_command_line]
  call text
  mov esi, [r15 + 0x228]
  call text
  call line
  lea rsi, [said_ramdisk]       ; its first eight bytes
  call text
  mov eax, [r15 + 0x218]
  mov rax, [rax]
  call number
  call line
  movzx r12d, byte [r15 + 0x1E8]
  lea rbx, [r15 + 0x2D0]
.map:
  lea rsi, [said_memory]
  call text
  mov rax, [rbx]
  call number
  lea rsi, [said_bytes]
  call text
  mov rax, [rbx + 8]
  call number
  lea rsi, [said_type]
  call text
  mov eax, [rbx + 16]
  call number
  call line
  add rbx, 20
  dec r12d
  jnz .map
  mov rbx, [r15 + 0x70]
  lea rsi, [said_rsdp]
  call text
  mov rax, [rbx]
  call number
  mov ecx, 20                   ; ACPI 1.0 part
  xor eax, eax
.sum:
  add al, [rbx + rcx - 1]
  loop .sum
  lea rsi, [said_sum]
  call text
  call number
  mov ebx, [rbx + 16]
  lea rsi, [said_rsdt]
  call text
  mov eax, [rbx]
  call number
  mov ecx, [rbx + 4]
  xor eax, eax
.sum_rsdt:
  add al, [rbx + rcx - 1]
  loop .sum_rsdt
  lea rsi, [said_sum]
  call text
  call number
  call line
  mov dx, 0x604                 ; PM1a_CNT of q35: S5
  mov ax, 0x2000
  out dx, ax
.stop:
  hlt
  jmp .stop

; RSI: text that ends in a zero.
text:
  mov dx, 0x3F8
.next:
  lodsb
  test al, al
  jz .done
  out dx, al
  jmp .next
.done:
  ret
line:
  mov al, 10
  mov dx, 0x3F8
  out dx, al
  ret
; RAX in hexadecimal, 16 digits.
number:
  mov r8, rax
  mov ecx, 16
  mov dx, 0x3F8
.digit:
  rol r8, 4
  mov eax, r8d
  and eax, 15
  cmp al, 10
  jb .small
  add al, 'a' - '0' - 10
.small:
  add al, '0'
  out dx, al
  loop .digit
  ret

said_cs: db "cs ", 0
said_ds: db " ds ", 0
said_interrupts: db " if ", 0
said_command_line: db "command line: ", 0
said_ramdisk: db "ramdisk ", 0
said_memory: db "memory ", 0
said_bytes: db " bytes ", 0
said_type: db " type ", 0
said_rsdp: db "rsdp ", 0
said_sum: db " sum ", 0
said_rsdt: db " rsdt ", 0
align 16
times 256 db 0
stack_top:
SIZE_16 equ ($ - code) / 16
times 0xA00 - ($ - code) db 0
