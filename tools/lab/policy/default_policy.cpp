// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {

std::string_view default_policy_xml() {
  return R"(<!-- The default policy: what edk2's stock Standalone MM libraries and the drivers of this tree need, and nothing
     else. A driver that needs more: mmsim policy learn SCENARIO -o policy.xml, then `[policy] xml` of a scenario, or the option policy of `mmsim send`. -->
<SmmIslolationPolicy>
  <SmmCategory name="IO">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry>
      <!-- RTC index and data: PcAtChipset's RealTimeClock, and where a platform keeps its CMOS bytes -->
      <StartAddress Value="0x70"/> <Size Value="0x2"/> <SecurityAttributes Value="Read | Write"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- POST codes: PostCodeLib, PostCodeMap, IoDelay of DebugAgent -->
      <StartAddress Value="0x80"/> <Size Value="0x4"/> <SecurityAttributes Value="Read | Write"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- APM_CNT and APM_STS, to read: which software MMI this is. Writes of APM_CNT are refused by the core -->
      <StartAddress Value="0xB2"/> <Size Value="0x2"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- COM1: SerialPortLib of MdeModulePkg and of OVMF, DebugLibSerialPort -->
      <StartAddress Value="0x3F8"/> <Size Value="0x8"/> <SecurityAttributes Value="Read | Write"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- PM timer, to read: AcpiTimerLib -->
      <StartAddress Value="0x608"/> <Size Value="0x4"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
  </SmmCategory>
  <SmmCategory name="MSR">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry>
      <!-- IA32_PLATFORM_ID, to read: MicrocodeLib, and the port that this tree shows -->
      <StartAddress Value="0x17"/> <Size Value="0x1"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- IA32_APIC_BASE, to read: LocalApicLib, SecPeiDxeTimerLib -->
      <StartAddress Value="0x1B"/> <Size Value="0x1"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- IA32_MTRRCAP, to read: MtrrLib -->
      <StartAddress Value="0xFE"/> <Size Value="0x1"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
  </SmmCategory>
  <SmmCategory name="INSTRUCTION">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry>
      <!-- DisableInterrupts of BaseLib. Interrupts are off in MM: it changes nothing -->
      <Instruction Value="CLI"/> <SecurityAttributes Value="Execute"/>
    </PolicyEntry>
  </SmmCategory>
  <SmmCategory name="SAVESTATE">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry>
      <!-- the byte that an OUT to a trapped port wrote: software MMI dispatchers -->
      <SaveStateField Value="RAX"/> <SecurityAttributes Value="LimitedRead"/> <AccessCondition Value="IOWRITE"/>
    </PolicyEntry>
    <PolicyEntry>
      <!-- which port that was -->
      <SaveStateField Value="IO_TRAP"/> <SecurityAttributes Value="Read"/>
    </PolicyEntry>
  </SmmCategory>
</SmmIslolationPolicy>
)";
}

}  // namespace mm::policy_tools
