// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string_view>

/// The policy that the field publishes as an example (core/policy/FORMAT.md 7): two deny lists and two allow lists. It
/// was the default here until it turned out that a deny list leaves IA32_SYSENTER_* to ring 3.
namespace mm::test {

inline constexpr std::string_view kExamplePolicy = R"(<SmmIslolationPolicy>
  <SmmCategory name="IO">
    <PolicyAccessAttribute Value="Deny"/>
    <PolicyEntry><StartAddress Value="0xCF8"/><Size Value="0x4"/><SecurityAttributes Value="Write | StrictWidth"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xCFC"/><Size Value="0x4"/><SecurityAttributes Value="Write"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="MSR">
    <PolicyAccessAttribute Value="Deny"/>
    <PolicyEntry><StartAddress Value="0xC0000080"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0000081"/><Size Value="4"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0010010"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0010111"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x1D9"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xDA0"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A0"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A2"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A4"/><Size Value="5"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011010"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011024"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011018"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0000101"/><Size Value="2"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="INSTRUCTION">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry><Instruction Value="CLI"/><SecurityAttributes Value="Execute"/></PolicyEntry>
    <PolicyEntry><Instruction Value="WBINVD"/><SecurityAttributes Value="Execute"/></PolicyEntry>
    <PolicyEntry><Instruction Value="HLT"/><SecurityAttributes Value="Execute"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="SAVESTATE">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry><SaveStateField Value="RAX"/><SecurityAttributes Value="LimitedRead"/><AccessCondition Value="IOWRITE"/></PolicyEntry>
    <PolicyEntry><SaveStateField Value="IO_TRAP"/><SecurityAttributes Value="Read"/></PolicyEntry>
  </SmmCategory>
</SmmIslolationPolicy>
)";

}  // namespace mm::test
