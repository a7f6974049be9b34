// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>

#include "core/base/types.hpp"

namespace mm::supervisor {

/// Why the first MMI failed: detail c of Halt(InitFailed). Texts and statuses: kInitProblems.
enum class InitProblem : u64 {
  CpuIndex = 1,
  ListAddress,
  ListOutsideMmram,
  ListPages,
  HobTruncated,
  HobLength,
  NoHandoff,
  MmramUnprotected,
  MmramMissing,
  MmramTwice,
  MmramCount,
  MmramRegion,
  MmramGap,
  MmramBeyondProtected,
  MmramWithoutSupervisor,
  AllocationInMmram,
  ModuleLength,
  ModuleOutsideMmram,
  ModuleAlignment,
  ModuleEntry,
  ModuleOverlap,
  ModuleCount,
  CoreMissing,
  CoreTwice,
  CoreIsAnother,
  UserCoreMissing,
  UserCoreTwice,
  ResourceRange,
  ResourceOverlap,
  ResourceCount,
  ResourceAttributes,
  VolumeRange,
  VolumeOverlap,
  PassDownMissing,
  PassDownTwice,
  PassDownShort,
  PassDownRevision,
  PolicyMissing,
  PolicyOverflow,
  PolicyTooLarge,
  PolicyOutsideMmram,
  StackSize,
  StackOutsideMmram,
  StackOverlap,
  SmbaseArray,
  InitialisedBytes,
  EntrySize,
  ProcessorsMissing,
  ProcessorsTwice,
  ProcessorCount,
  ProcessorTwice,
  BufferMissing,
  BufferTwice,
  BufferType,
  BufferPages,
  BufferAddress,
  BufferInMmram,
  BufferOverlap,
  MailboxAddress,
  MailboxInMmram,
  TestOptionsLength,
  ProtectedRegionType,
  ProtectedRegionRange,
  UnblockRegion,
  MsegTwice,
  // against the live page tables
  SupervisorPages,
  UserPages,
  EntryPage,
  WritableCode,
  CodeOutsideMmram,
  NullPage,
  FreePages,
  AddressBits,
  TablePages,
  StackPages,
  DataPages,
  PolicyPages,
  Smbase,
  SaveStatePages,
  BufferPagesOpen,
  MailboxPagesOpen,
  ProtectedRegionPages,
  UnblockPages,
  MsegPages,
  // beyond the hand-over
  AllocatorMemory,
  BufferMemory,
  UserListMemory,
  CpuProtection,
  SmrrRange,
};

/// One failure: what, and the address or number that it is about.
struct InitError {
  InitProblem problem{};
  u64 at = 0;
};
template <typename T>
using Checked = std::expected<T, InitError>;

constexpr std::unexpected<InitError> init_error(InitProblem problem, u64 at = 0) noexcept {
  return std::unexpected(InitError{problem, at});
}

/// Status (detail b of the Halt event) and English text of each problem, without full stop.
struct InitProblemText {
  InitProblem problem;
  Status status;
  char const* text;
};
inline constexpr InitProblemText kInitProblems[] = {
    {InitProblem::CpuIndex, Status::InvalidParameter, "a CPU entered with an index that is not its own"},
    {InitProblem::ListAddress, Status::InvalidParameter, "the HOB list is not 8-byte aligned"},
    {InitProblem::ListOutsideMmram, Status::SecurityViolation, "the HOB list is not inside MMRAM"},
    {InitProblem::ListPages, Status::SecurityViolation, "a page of the HOB list is absent or ring 3's"},
    {InitProblem::HobTruncated, Status::CompromisedData, "the HOB list has no end within MMRAM and its limit"},
    {InitProblem::HobLength, Status::CompromisedData, "a HOB is shorter than its type demands, or not 8-byte aligned"},
    {InitProblem::NoHandoff, Status::CompromisedData, "the HOB list does not begin with a hand-off HOB"},
    {InitProblem::MmramUnprotected, Status::NotReady, "the chipset does not protect MMRAM, or not for good"},
    {InitProblem::MmramMissing, Status::NotFound, "the MMRAM block HOB is missing"},
    {InitProblem::MmramTwice, Status::CompromisedData, "there are two MMRAM block HOBs"},
    {InitProblem::MmramCount, Status::CompromisedData,
     "the MMRAM block HOB counts no region, too many, or more than it holds"},
    {InitProblem::MmramRegion, Status::CompromisedData,
     "a region of MMRAM is unaligned, empty, wraps or is beyond 4 GiB"},
    {InitProblem::MmramGap, Status::CompromisedData, "the regions of MMRAM overlap or leave a gap"},
    {InitProblem::MmramBeyondProtected, Status::SecurityViolation,
     "a region of MMRAM is beyond what the chipset protects"},
    {InitProblem::MmramWithoutSupervisor, Status::SecurityViolation,
     "the running supervisor is not inside the regions of MMRAM"},
    {InitProblem::AllocationInMmram, Status::SecurityViolation, "a plain memory-allocation HOB touches MMRAM"},
    {InitProblem::ModuleLength, Status::CompromisedData, "a module HOB is empty or wraps"},
    {InitProblem::ModuleOutsideMmram, Status::SecurityViolation, "a module is not inside MMRAM"},
    {InitProblem::ModuleAlignment, Status::CompromisedData, "a module is not page aligned"},
    {InitProblem::ModuleEntry, Status::CompromisedData, "the entry point of a module is outside it"},
    {InitProblem::ModuleOverlap, Status::SecurityViolation, "two modules overlap"},
    {InitProblem::ModuleCount, Status::OutOfResources, "there are too many modules"},
    {InitProblem::CoreMissing, Status::NotFound, "the module HOB of the supervisor is missing"},
    {InitProblem::CoreTwice, Status::CompromisedData, "there are two module HOBs of the supervisor"},
    {InitProblem::CoreIsAnother, Status::SecurityViolation,
     "the module HOB of the supervisor is not about the one that runs"},
    {InitProblem::UserCoreMissing, Status::NotFound, "the module HOB of the user core is missing"},
    {InitProblem::UserCoreTwice, Status::CompromisedData, "there are two module HOBs of the user core"},
    {InitProblem::ResourceRange, Status::CompromisedData, "a resource descriptor wraps"},
    {InitProblem::ResourceOverlap, Status::CompromisedData, "two resource descriptors of one kind overlap"},
    {InitProblem::ResourceCount, Status::OutOfResources, "there are too many resource descriptors of one kind"},
    {InitProblem::ResourceAttributes, Status::CompromisedData,
     "a resource descriptor has forbidden cacheability attributes"},
    {InitProblem::VolumeRange, Status::CompromisedData, "a firmware volume is empty, wraps, or is partly in MMRAM"},
    {InitProblem::VolumeOverlap, Status::CompromisedData, "two firmware volumes overlap"},
    {InitProblem::PassDownMissing, Status::NotFound, "the PassDown HOB is missing"},
    {InitProblem::PassDownTwice, Status::CompromisedData, "there are two PassDown HOBs"},
    {InitProblem::PassDownShort, Status::BadBufferSize, "the PassDown HOB is shorter than 64 bytes"},
    {InitProblem::PassDownRevision, Status::IncompatibleVersion, "the PassDown HOB is not of revision 2"},
    {InitProblem::PolicyMissing, Status::NotFound, "the PassDown HOB names no policy"},
    {InitProblem::PolicyOverflow, Status::CompromisedData, "the policy wraps"},
    {InitProblem::PolicyTooLarge, Status::OutOfResources, "the policy is larger than the supervisor's copy"},
    {InitProblem::PolicyOutsideMmram, Status::SecurityViolation, "the policy is not inside MMRAM"},
    {InitProblem::StackSize, Status::CompromisedData, "the ring-3 stacks are unaligned, smaller than a page, or wrap"},
    {InitProblem::StackOutsideMmram, Status::SecurityViolation, "the ring-3 stacks are not inside MMRAM"},
    {InitProblem::StackOverlap, Status::SecurityViolation, "the ring-3 stacks overlap a module"},
    {InitProblem::SmbaseArray, Status::SecurityViolation, "the SMBASE array is unaligned or not inside MMRAM"},
    {InitProblem::InitialisedBytes, Status::SecurityViolation,
     "the bytes of initialised CPUs are not zero, or not inside MMRAM"},
    {InitProblem::EntrySize, Status::CompromisedData, "the MMI entry binary has an impossible size"},
    {InitProblem::ProcessorsMissing, Status::NotFound, "the MP information HOB is missing"},
    {InitProblem::ProcessorsTwice, Status::CompromisedData, "there are two MP information HOBs"},
    {InitProblem::ProcessorCount, Status::CompromisedData,
     "the MP information HOB counts no CPU, too many, or more than it holds"},
    {InitProblem::ProcessorTwice, Status::CompromisedData, "two CPUs have one APIC ID, or one that does not fit"},
    {InitProblem::BufferMissing, Status::NotFound, "a communicate buffer HOB is missing"},
    {InitProblem::BufferTwice, Status::CompromisedData, "there are two communicate buffer HOBs of one channel"},
    {InitProblem::BufferType, Status::Unsupported, "a common region HOB is not of type 0"},
    {InitProblem::BufferPages, Status::NotFound, "a communicate buffer has no page, or too many"},
    {InitProblem::BufferAddress, Status::InvalidParameter, "a communicate buffer is at 0, unaligned, or wraps"},
    {InitProblem::BufferInMmram, Status::SecurityViolation, "a communicate buffer touches MMRAM"},
    {InitProblem::BufferOverlap, Status::SecurityViolation, "communicate buffers and mailboxes overlap"},
    {InitProblem::MailboxAddress, Status::InvalidParameter, "a mailbox is at 0, unaligned, or wraps"},
    {InitProblem::MailboxInMmram, Status::SecurityViolation, "a mailbox touches MMRAM"},
    {InitProblem::TestOptionsLength, Status::BadBufferSize, "the test options HOB has a wrong length or comes twice"},
    {InitProblem::ProtectedRegionType, Status::Unsupported, "a protected-region HOB is not about an IOMMU"},
    {InitProblem::ProtectedRegionRange, Status::SecurityViolation,
     "a protected region is unaligned, empty, wraps or touches MMRAM"},
    {InitProblem::UnblockRegion, Status::SecurityViolation, "an unblock HOB names memory that cannot be opened"},
    {InitProblem::SupervisorPages, Status::SecurityViolation, "a page of the supervisor is absent or ring 3's"},
    {InitProblem::UserPages, Status::SecurityViolation, "a page of a ring-3 module is absent or the supervisor's"},
    {InitProblem::EntryPage, Status::SecurityViolation, "an entry point is not on an executable, read-only page"},
    {InitProblem::WritableCode, Status::SecurityViolation, "a page is writable and executable"},
    {InitProblem::CodeOutsideMmram, Status::SecurityViolation, "a page outside MMRAM is executable"},
    {InitProblem::NullPage, Status::SecurityViolation, "the first page of memory is present"},
    {InitProblem::FreePages, Status::SecurityViolation, "a region of MMRAM that is called free holds a page in use"},
    {InitProblem::AddressBits, Status::SecurityViolation, "a page lies beyond the physical addresses of the CPU"},
    {InitProblem::TablePages, Status::SecurityViolation, "a page table is outside MMRAM, writable or ring 3's"},
    {InitProblem::StackPages, Status::SecurityViolation, "a page of the ring-3 stacks is not ring-3 data"},
    {InitProblem::DataPages, Status::SecurityViolation, "hand-over data is on a page that is absent or ring 3's"},
    {InitProblem::PolicyPages, Status::SecurityViolation, "a page of the policy is absent, writable or ring 3's"},
    {InitProblem::Smbase, Status::SecurityViolation,
     "an SMBASE is unaligned, beyond 4 GiB, outside MMRAM or there twice"},
    {InitProblem::SaveStatePages, Status::SecurityViolation, "a save state is not on supervisor data of MMRAM"},
    {InitProblem::BufferPagesOpen, Status::SecurityViolation, "a communicate buffer is not mapped as supervisor data"},
    {InitProblem::MailboxPagesOpen, Status::SecurityViolation, "a mailbox is not mapped as supervisor data"},
    {InitProblem::ProtectedRegionPages, Status::SecurityViolation,
     "a protected region is not mapped read-only for ring 3"},
    {InitProblem::UnblockPages, Status::SecurityViolation,
     "an unblocked region is mapped with other rights than it asks for"},
    {InitProblem::AllocatorMemory, Status::OutOfResources, "MMRAM has no room for the page allocator"},
    {InitProblem::BufferMemory, Status::OutOfResources, "MMRAM has no room for the internal communicate buffers"},
    {InitProblem::UserListMemory, Status::OutOfResources, "MMRAM has no room for the HOB list of ring 3"},
    {InitProblem::MsegTwice, Status::CompromisedData, "there are two MSEG HOBs"},
    {InitProblem::MsegPages, Status::SecurityViolation, "MSEG is not mapped read-only for ring 0"},
    {InitProblem::CpuProtection, Status::DeviceError, "a CPU reports a protection of MMRAM and refuses its registers"},
    {InitProblem::SmrrRange, Status::Unsupported, "MMRAM is no aligned power of two, as the SMRR of a CPU needs it"},
};

constexpr Status status_of(InitProblem problem) noexcept {
  for (auto const& row : kInitProblems) {
    if (row.problem == problem) {
      return row.status;
    }
  }
  return Status::CompromisedData;
}
constexpr char const* describe(InitProblem problem) noexcept {
  for (auto const& row : kInitProblems) {
    if (row.problem == problem) {
      return row.text;
    }
  }
  return "unknown problem";
}

}  // namespace mm::supervisor
