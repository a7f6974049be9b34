; SPDX-License-Identifier: BSD-2-Clause-Patent
bits 64
global leave_mm
section .text
leave_mm:
        rsm
        ret
