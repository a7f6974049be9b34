// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/boot.hpp"
#include "core/abi/platform.hpp"
#include "core/loader/hob_list.hpp"

namespace mm::loader {

namespace detail {

inline constexpr u32 kTestedMemory = 0x3C07;  ///< present, initialised, tested, UC, WC, WT, WB

template <hal::PhysMemory Mem>
void resource_hob(HobWriter<Mem>& out, u32 type, u64 base, u64 bytes) noexcept {
  abi::HobResourceDescriptor hob;
  hob.resource_type = type;
  hob.attributes = kTestedMemory;
  hob.physical_start = base;
  hob.resource_length = bytes;
  out.object(hob);
}

/// MP_INFORMATION_HOB_DATA: `cpus` healthy processors, the first is the BSP.
template <hal::PhysMemory Mem>
void mp_information_hob(HobWriter<Mem>& out, u32 cpus, std::array<u32, platform::kMaxCpus> const& apic_ids) noexcept {
  out.guid_header(guids::gMpInformationHobGuid,
                  sizeof(abi::MpInformationHeader) + cpus * sizeof(abi::ProcessorInformation));
  out.object(abi::MpInformationHeader{cpus, cpus});
  for (u32 i = 0; i < cpus; ++i) {
    abi::ProcessorInformation cpu;
    cpu.processor_id = apic_ids[i];
    cpu.status_flag = i == 0 ? 7 : 6;
    out.object(cpu);
  }
}

/// Block HOB with `N` MMRAM descriptors.
template <std::size_t N, hal::PhysMemory Mem>
void mmram_hob(HobWriter<Mem>& out, Guid const& name, std::array<abi::MmramDescriptor, N> const& regions) noexcept {
  out.guid_header(name, 8 + sizeof(regions));
  out.object(u64{N});
  out.object(regions);
}

}  // namespace detail

/// Writes the normal world's HOB list of the test platform at platform::kBootHobList: PHIT, CPU, resources, FV, both
/// communicate buffers, MP information (APIC IDs 0, 1, ...), MMRAM, the HOBs at platform::kExtraHobs, END. Returns its
/// bytes, END included.
/// CPUs beyond platform::kMaxCpus are left out; a TSEG larger than RAM counts as none.
template <hal::PhysMemory Mem>
u64 write_boot_hobs(Mem& memory, abi::BootConfig const& config) noexcept {
  u64 const tseg_bytes = config.tseg_bytes <= config.ram_bytes ? config.tseg_bytes : 0;
  u64 const tseg = config.ram_bytes - tseg_bytes;
  u32 const cpus = config.cpus < platform::kMaxCpus ? config.cpus : platform::kMaxCpus;
  HobWriter<Mem> out{memory, platform::kBootHobList};

  abi::HobHandoff phit;
  phit.memory_bottom = 0x10'0000;
  phit.memory_top = tseg;
  out.object(phit);
  out.object(abi::HobCpu{});
  detail::resource_hob(out, 0, 0, 0xA'0000);
  detail::resource_hob(out, 0, 0x10'0000, tseg > 0x10'0000 ? tseg - 0x10'0000 : 0);
  detail::resource_hob(out, 5, tseg, tseg_bytes);
  abi::HobFv fv;
  fv.base = platform::kFvBase;
  fv.length = config.fv_bytes;
  out.object(fv);
  out.guid(guids::gMmCommBufferHobGuid,
           abi::MmCommBuffer{platform::kUserCommBuffer, platform::kCommPages, platform::kUserCommStatus});
  out.guid(guids::gMmCommonRegionHobGuid, abi::MmCommonRegion{0, platform::kSupervisorCommBuffer, platform::kCommPages,
                                                              platform::kSupervisorCommStatus});
  std::array<u32, platform::kMaxCpus> apic_ids{};
  for (u32 i = 0; i < platform::kMaxCpus; ++i) {
    apic_ids[i] = i;
  }
  detail::mp_information_hob(out, cpus, apic_ids);
  detail::mmram_hob(out, guids::gEfiMmPeiMmramMemoryReserveGuid,
                    std::array<abi::MmramDescriptor, 1>{
                        abi::MmramDescriptor{tseg, tseg, tseg_bytes, abi::kMmramClosed | abi::kMmramCacheable}});
  u64 const extra = config.hobs_bytes <= platform::kExtraHobsLimit ? config.hobs_bytes : 0;
  memory.copy(PhysAddr{out.position()}, PhysAddr{platform::kExtraHobs}, extra);
  out.move_to(out.position() + extra);
  out.end();
  u64 const end = out.position();
  phit.end_of_hob_list = end;
  phit.free_memory_bottom = end;
  phit.free_memory_top = platform::kBootHobList + platform::kBootHobListLimit;
  hal::write_object(memory, PhysAddr{platform::kBootHobList}, phit);
  return end - platform::kBootHobList;
}

}  // namespace mm::loader
