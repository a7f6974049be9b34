; SPDX-License-Identifier: BSD-2-Clause-Patent
; Entry point of a standard driver: leaves by RET.
bits 64
extern mm_driver_main
global _ModuleEntryPoint
section .text
_ModuleEntryPoint:
        jmp     mm_driver_main
