; SPDX-License-Identifier: BSD-2-Clause-Patent
; RSM, 0F AA, inside another instruction that is jumped into: no sweep over instructions sees it.
bits 64
global leave_mm
section .text
leave_mm:
        jmp     hiding + 1
hiding: mov     eax, 0AA0Fh
        ret
