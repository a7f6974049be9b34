// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>

#include "core/abi/platform.hpp"
#include "core/arch/save_state.hpp"
#include "core/base/guid.hpp"
#include "core/base/types.hpp"

/// What the loader takes and gives. The loader plays the part of MmSupervisorInit: it runs once, in the normal world
/// and in 64-bit mode, before MMRAM is locked.
namespace mm::loader {

inline constexpr u64 kTileBytes = 0x1'0000;                ///< distance of two SMBASEs
inline constexpr u64 kEntryOffset = arch::kMmEntryOffset;  ///< MMI entry code, from SMBASE
inline constexpr u64 kPsdOffset = 0xFB00;                  ///< processor SMM descriptor, from SMBASE
inline constexpr u64 kRing0StackBytes = 0x8000;            ///< per CPU
inline constexpr u64 kIstStackBytes = 0x2000;              ///< per CPU
inline constexpr u64 kCpl3StackBytes = 0x8000;             ///< per CPU

/// What the boot code knows. The spans are read once, during load().
struct BootInput {
  Range mmram;   ///< page aligned, below 4 GiB; plain RAM while load() runs
  u32 cpus = 1;  ///< 1..platform::kMaxCpus
  std::array<u32, platform::kMaxCpus> apic_ids{};
  u64 boot_hob_list = 0;                 ///< physical address of `boot_hobs`, for the record
  std::span<std::byte const> boot_hobs;  ///< the normal world's HOB list, up to and with its END
  std::span<std::byte const> fv;         ///< firmware volume: cores, policy, drivers
  std::span<std::byte const> mmi_entry;  ///< MMI entry binary with its fix-up trailer (core/abi/ABI.md 7)
  u32 smap = 0;
  u32 strict_rsm = 0;    ///< 1: refuse 0F AA at any byte of an executable page
  u32 fault_policy = 0;  ///< abi::FaultPolicy
};

/// Where everything is. All addresses are below 4 GiB and inside MMRAM.
///
/// Left for the first MMI (hal/bare): IDT gates, RSP0 of each TSS, target offset of each call gate (all zero).
struct LoadResult {
  u64 cr3 = 0;        ///< level-4 table
  u64 hob_list = 0;   ///< MM HOB list, supervisor RW NX
  u64 hob_bytes = 0;  ///< whole pages of the list
  u64 supervisor_base = 0;
  u64 supervisor_bytes = 0;  ///< whole pages
  u64 supervisor_entry = 0;  ///< FixUp64[2]
  u64 user_base = 0;
  u64 user_bytes = 0;
  u64 user_entry = 0;
  std::array<u64, platform::kMaxCpus> smbase{};
  std::array<u64, platform::kMaxCpus> ring0_stack_top{};  ///< one past the stack; the u64 below it is the CpuIndex
  std::array<u64, platform::kMaxCpus> ist_stack_top{};    ///< IST1 of the TSS
  u64 idt = 0;                                            ///< 256 gates, one page, supervisor RO NX
  u64 idt_descriptor = 0;  ///< 10 bytes: limit 0xFFF, base idt; shared by all CPUs; supervisor RO NX
  u64 gdt0 = 0;            ///< GDT page of CPU 0; CPU i: gdt0 + i * 4096. +0x80 TSS, +0xF0 pseudo-descriptor. RO NX
  /// CPU i: [base + i * kCpl3StackBytes, + kCpl3StackBytes), user RW NX; the lowest page of it is not present.
  u64 cpl3_stack_base = 0;
  u64 smbase_array = 0;    ///< u64[cpus], supervisor RO NX
  u64 mm_initialized = 0;  ///< u8[cpus], zero, supervisor RW NX
  u64 policy = 0;          ///< 0 when the volume holds none; supervisor RO NX
  u64 policy_bytes = 0;
  u64 pass_down = 0;  ///< address of the PassDown payload inside the HOB list
  u64 used_end = 0;   ///< MMRAM from here on is free and not mapped
  u32 drivers = 0;
};

/// Why there is nothing to run.
enum class LoadProblem : u64 {
  BadMmram = 1,  ///< not page aligned, empty, or not below 4 GiB
  BadCpuCount,
  OutOfMmram,
  HobTruncated,       ///< a HOB reaches beyond the list, or END is missing
  HobLength,          ///< not a multiple of 8, or shorter than its type demands
  HobNoHandoff,       ///< the list does not begin with a PHIT
  CommBufferMissing,  ///< no user or no supervisor communicate buffer
  CommBufferBad,      ///< unaligned, empty, wraps, touches MMRAM or another channel
  UnblockBad,         ///< unblock HOB: unaligned, empty, wraps, touches MMRAM or a region already open
  MmiEntryTrailer,    ///< fix-up header or arrays outside the binary, wrong version or counts
  MmiEntryTooLarge,   ///< does not fit between SMBASE+0x8000 and SMBASE+0xF000
  FvHeader,           ///< offset = where in the volume
  FvFile,
  FvSection,
  SupervisorMissing,  ///< no MM_CORE_STANDALONE file with the supervisor's GUID
  UserCoreMissing,
  NoPe32Section,
  ImageHeader,  ///< DOS, PE or optional header; offset = where in the image, for all Image*
  ImageMachine,
  ImageAlignment,
  ImageSize,
  ImageSections,      ///< section outside the file or the image, or two overlap
  ImageWriteExecute,  ///< a section is writable and executable
  ImageEntry,
  ImageImports,
  ImageRelocations,
  ImageRsm,       ///< 0F AA in an executable page under strict_rsm
  DepexTooLarge,  ///< does not fit in a HOB
  PolicyNoRaw,    ///< policy file without RAW section
  PolicySize,     ///< declared Size below the header, beyond the section or beyond policy::kMaxBytes
  HobListTooLarge,
  PageTables,  ///< the tables could not be built
  BadMseg,     ///< not the end of MMRAM, or leaves no room
};

/// One error: what, the EFI_STATUS of it, the file of the volume (zero when none) and the byte offset it is about.
struct LoadError {
  LoadProblem problem{};
  Status status = Status::LoadError;
  Guid file{};
  u64 offset = 0;
};

/// English text of a problem, without full stop.
constexpr char const* describe(LoadProblem p) noexcept {
  switch (p) {
    case LoadProblem::BadMmram:
      return "MMRAM is not page aligned, empty or not below 4 GiB";
    case LoadProblem::BadCpuCount:
      return "the number of CPUs is not supported";
    case LoadProblem::OutOfMmram:
      return "MMRAM is too small";
    case LoadProblem::HobTruncated:
      return "the HOB list is truncated";
    case LoadProblem::HobLength:
      return "a HOB has a bad length";
    case LoadProblem::HobNoHandoff:
      return "the HOB list does not begin with a hand-off HOB";
    case LoadProblem::CommBufferMissing:
      return "a communicate buffer HOB is missing";
    case LoadProblem::CommBufferBad:
      return "a communicate buffer is unaligned, empty, wraps, or touches MMRAM or another channel";
    case LoadProblem::UnblockBad:
      return "an unblock HOB names memory that cannot be opened";
    case LoadProblem::MmiEntryTrailer:
      return "the MMI entry binary has no valid fix-up trailer";
    case LoadProblem::MmiEntryTooLarge:
      return "the MMI entry binary is too large";
    case LoadProblem::FvHeader:
      return "the firmware volume header is malformed";
    case LoadProblem::FvFile:
      return "a file of the firmware volume is malformed";
    case LoadProblem::FvSection:
      return "a section of a firmware file is malformed";
    case LoadProblem::SupervisorMissing:
      return "the volume holds no supervisor core";
    case LoadProblem::UserCoreMissing:
      return "the volume holds no user core";
    case LoadProblem::NoPe32Section:
      return "the file holds no PE32 section";
    case LoadProblem::ImageHeader:
      return "the PE32+ headers are malformed";
    case LoadProblem::ImageMachine:
      return "the image is not x86-64 PE32+";
    case LoadProblem::ImageAlignment:
      return "the section alignment is not a multiple of 4 KiB";
    case LoadProblem::ImageSize:
      return "the image size is absurd";
    case LoadProblem::ImageSections:
      return "a section is outside the file or the image, or sections overlap";
    case LoadProblem::ImageWriteExecute:
      return "a section is writable and executable";
    case LoadProblem::ImageEntry:
      return "the entry point is not in an executable section";
    case LoadProblem::ImageImports:
      return "the image has imports";
    case LoadProblem::ImageRelocations:
      return "the base relocations are malformed";
    case LoadProblem::ImageRsm:
      return "the image holds the bytes of RSM in executable memory";
    case LoadProblem::DepexTooLarge:
      return "the dependency expression is too large";
    case LoadProblem::PolicyNoRaw:
      return "the policy file holds no RAW section";
    case LoadProblem::PolicySize:
      return "the policy's declared size does not fit its section, or is beyond 64 KiB";
    case LoadProblem::HobListTooLarge:
      return "the HOB list is too large";
    case LoadProblem::PageTables:
      return "the page tables could not be built";
    case LoadProblem::BadMseg:
      return "MSEG is not the end of MMRAM, or leaves no room";
  }
  return "unknown problem";
}

}  // namespace mm::loader
