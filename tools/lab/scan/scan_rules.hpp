// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "tools/lab/scan/scan.hpp"

/// The rules of `mmsim scan`, for the files that implement it.
namespace mm::lab {

/// Index of a rule in kRules. Those before kUmip are errors: the driver does not run as it is.
enum Rule : std::size_t {
  kFormat,
  kAlignment,
  kRights,
  kRsm,
  kModuleType,
  kBoot,
  kRuntime,
  kDxeProtocol,
  kDynamicPcd,
  kDepex,
  kPolicy,
  kPrivileged,
  kUmip,
  kLockForm,
  kDevice,
  kRsmBytes,
  kIncomplete,
  kUnreached,
  kNoDepex,
};

/// Every rule, in the order in which findings are shown.
inline constexpr std::array kRules{
    ScanRule{"image-format", ScanLevel::Error, "The loader refuses the image",
             "Build an x86-64 PE32+ image with relocations and without imports."},
    ScanRule{"section-alignment", ScanLevel::Error, "Sections are not aligned to pages",
             "Link with a section alignment of 4 KiB: the supervisor maps code RX, data RW and read-only data R."},
    ScanRule{"section-rights", ScanLevel::Error, "A section is writable and executable",
             "Keep code and data in sections of their own: no page of MM is both."},
    ScanRule{"rsm", ScanLevel::Error, "RSM leaves management mode from ring 3",
             "Only the supervisor's entry code resumes; remove the instruction. Such an image is refused at load."},
    ScanRule{
        "module-type", ScanLevel::Error, "Not a Standalone MM module",
        "MODULE_TYPE = MM_STANDALONE, PI_SPECIFICATION_VERSION = 0x00010032, entry point "
        "StandaloneMmDriverEntryPoint with EFI_MM_SYSTEM_TABLE as second argument; split a combined driver in two; "
        "libraries must list MM_STANDALONE too."},
    ScanRule{
        "boot-services", ScanLevel::Error, "Uses UEFI boot services",
        "There is no gBS in MM. Take the service of gMmst with the same purpose, or move the work into a DXE driver "
        "that sends what it finds in a message."},
    ScanRule{"runtime-services", ScanLevel::Error, "Uses UEFI runtime services",
             "There is no gRT in MM. Variables: locate the MM variable protocol; time and reset: a library that lists "
             "MM_STANDALONE."},
    ScanRule{"dxe-protocol", ScanLevel::Error, "Refers to a protocol that only DXE has",
             "MM sees HOBs, its own protocols and messages. A producer in DXE needs a relay driver."},
    ScanRule{"dynamic-pcd", ScanLevel::Error, "Uses dynamic PCDs",
             "Only FixedAtBuild PCDs and feature flags exist; pass a value of the boot in a HOB or in a message."},
    ScanRule{"depex", ScanLevel::Error, "The dependency expression cannot come true",
             "Only MM protocols can be depended on. After removing the others check the order again."},
    ScanRule{
        "policy-instruction", ScanLevel::Error, "An instruction that is a system call under the policy",
        "In ring 3 it faults. Link the system-call instances of IoLib, BaseLib and CpuLib, and allow the port, MSR "
        "or instruction in the policy."},
    ScanRule{"privileged-instruction", ScanLevel::Error, "An instruction that ring 3 does not have",
             "There is no system call for it, by design: remove it, or leave the work to the supervisor."},
    ScanRule{"umip-instruction", ScanLevel::Warning, "Reads a descriptor table register",
             "With CR4.UMIP it faults in ring 3."},
    ScanRule{"lock-form", ScanLevel::Warning, "LOCK before a form that does not take it",
             "#UD on a processor; the simulator runs some of these forms (see mmsim doctor -v)."},
    ScanRule{
        "device-memory", ScanLevel::Warning, "Accesses the registers of a device at a fixed address",
        "In ring 3 it is a page fault unless the platform opens the page: an unblock request before the lock, or a "
        "protected region in a HOB. Flash, SPI, TPM and HPET drivers need it."},
    ScanRule{"rsm-bytes", ScanLevel::Warning, "The bytes of RSM inside other instructions or in data",
             "A strict loader (strict_rsm) refuses the image; change the code around until they are gone."},
    ScanRule{"not-all-code", ScanLevel::Warning, "There is more code than was looked at", "The other findings hold."},
    ScanRule{"unreached-instruction", ScanLevel::Note, "A privileged instruction to which no path was found",
             "It may be data, or be called through a table."},
    ScanRule{"no-depex", ScanLevel::Note, "No dependency expression",
             "The driver is dispatched at once; give FILE.depex beside it, or FILE.efi:FILE.depex."}};

}  // namespace mm::lab
