; SPDX-License-Identifier: BSD-2-Clause-Patent
; The bytes of RSM, 0F AA, as part of another instruction: harmless, refused by a strict loader only.
bits 64
global leave_mm
section .text
leave_mm:
        mov     eax, 0AA0Fh
        ret
