// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <string_view>

#include "hal/roles/trace.hpp"

namespace mm::sim {

/// What a known difference does to the transcript: the two events are of `kind` and equal but for `fields`.
struct TranscriptPattern {
  hal::TraceKind kind{};
  std::string_view fields;  ///< letters of hal::TraceEvent, a to f
  std::string_view when;    ///< what `holds` tests, for the reader
  bool (*holds)(hal::TraceEvent const& simulator, hal::TraceEvent const& machine) noexcept = nullptr;
};

/// One known difference between the simulator and a machine. `id` is stable.
struct FidelityGap {
  std::string_view id;
  std::string_view text;
  std::array<TranscriptPattern, 3> transcript{};  ///< a pattern without fields: none
};

/// Everything known to differ at CPL 3, in devices and in timing.
inline constexpr std::array kFidelityGaps = {
    FidelityGap{"alignment-check",
                "RFLAGS.AC does not raise #AC, and an SSE instruction with a misaligned operand runs"},
    FidelityGap{
        "lock-prefix",
        "LOCK before register forms of XADD, XCHG and MOV and before SSE instructions runs instead of raising #UD"},
    FidelityGap{"lock-bit-test",
                "LOCK BT, BTS, BTR, BTC with a register operand is #UD by hiding the prefix byte from the fetch"},
    FidelityGap{"icebp", "ICEBP raises #UD instead of #DB; QEMU does the same"},
    FidelityGap{"sse-exceptions", "an unmasked SSE exception is not raised"},
    FidelityGap{
        "exception-flags",
        "SSE instructions set no exception flag of MXCSR, and x87 instructions not each one of the status word"},
    FidelityGap{"vex", "a VEX prefix before another opcode than VZEROUPPER's is taken for its SSE form instead of #UD"},
    FidelityGap{
        "undefined-forms",
        "C6 and C7 /1 to /7, EMMS behind 66, F2 or F3, MOVNTQ and MOVNTDQ of registers raise #UD; QEMU 7.2 runs them"},
    FidelityGap{
        "operand-size-jump",
        "66 before a relative jump or call cuts RIP to 16 bits, as AMD has it; QEMU 7.2 ignores it, as Intel has it"},
    FidelityGap{
        "sse-compare",
        "CMPPS, CMPPD, CMPSS and CMPSD with a predicate above 7 raise #UD instead of leaving the upper bits out"},
    FidelityGap{"rex-lahf", "LAHF and SAHF behind a REX prefix take SPL instead of AH"},
    FidelityGap{"rex-not-last",
                "a REX prefix before another prefix counts for nothing, as on a CPU; QEMU 7.2 obeys it"},
    FidelityGap{"iret-vm86",
                "IRET with a 32-bit operand and RFLAGS.VM on the stack enters virtual-8086 mode and the machine halts; "
                "QEMU does the same, a CPU ignores the flag"},
    FidelityGap{"non-canonical-jump",
                "#GP of a jump to a non-canonical address reports the target as RIP; QEMU does the same"},
    FidelityGap{"int-n",
                "INT n and INT3 raise #GP(n*8+2), as the manuals have it; QEMU 7.2 gives n*16+2. Prefixed forms report "
                "RIP one byte late"},
    FidelityGap{
        "bus-hole",
        "an access of ring 0 to a mapped address without memory is vector 18 and stops the machine; ring 3 reads "
        "zeros there, also where q35 has a device that no scenario names (HPET, IOAPIC, APIC, ROM)"},
    FidelityGap{
        "pciexbar",
        "RAM under PCIEXBAR reads ones and takes no write, and stays memory to ring 3; q35 has the registers of the "
        "functions there, as it has here above RAM"},
    FidelityGap{
        "devices",
        "PIC, PIT, RTC, IOAPIC, HPET, the keyboard controller but for its reset, fw_cfg, the TCO timer and what "
        "is behind the SATA and SMBus functions are not there: their ports read ones"},
    FidelityGap{"tseg-qword", "an 8-byte normal-world read of locked TSEG gives FF; q35 gives 0"},
    FidelityGap{"rsm-checks", "RSM loads whatever the save state holds; a CPU shuts down on values that contradict"},
    FidelityGap{"io-restart", "an I/O instruction that RSM restarts does not raise another MMI"},
    FidelityGap{"smbase", "a CPU whose SMBASE was moved away from its entry code does not come to the next MMI"},
    FidelityGap{"ap-code",
                "outside MM an application processor only waits in the ROM's code; INIT and SIPI lead there"},
    FidelityGap{"apic-timer", "the APIC timer does not count, and no interrupt is taken from IRR"},
    FidelityGap{"nmi",
                "an NMI that is pending at the entry of MM comes when ring 3 is entered, and is resumed natively"},
    FidelityGap{"apic-in-mm",
                "the APIC page is not there for accesses from MM, nor over RAM when IA32_APIC_BASE moves it there"},
    FidelityGap{"pended-mmi", "an MMI raised by a write to 0xB2 inside MM is lost"},
    FidelityGap{"time", "time is virtual: it advances by blocks of ring 3 and by scheduling points"},
};

}  // namespace mm::sim
