// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/supervisor.hpp"

/// First MMI: adopts what handover.hpp has checked.
namespace mm::supervisor {

/// VERSION_INFO comes from the PE32+ header of the supervisor image (supervisor.md 7.3).
template <hal::Machine M>
void Supervisor<M>::read_version(Cpu& cpu, Range image) noexcept {
  auto const u16_at = [&](u64 offset) noexcept { return hal::read_object<u16>(cpu, PhysAddr{image.base + offset}); };
  if (image.size < 0x400 || u16_at(0) != 0x5A4D) {
    return;
  }
  u64 const pe = hal::read_object<u32>(cpu, PhysAddr{image.base + 0x3C});
  if (pe > image.size - 0x100 || hal::read_object<u32>(cpu, PhysAddr{image.base + pe}) != 0x4550 ||
      u16_at(pe + 24) != 0x20B) {
    return;
  }
  u64 const optional = pe + 24;
  abi::VersionInfo info;
  info.patch_level = static_cast<u32>(u16_at(optional + 44)) << 16 | u16_at(optional + 46);
  info.version = static_cast<u32>(u16_at(optional + 48)) << 16 | u16_at(optional + 50);
  version_ = info;
}

/// Buffers of the size of the external ones, in MMRAM, and the supervisor-to-user page.
template <hal::Machine M>
Checked<void> Supervisor<M>::allocate_internal(Cpu& cpu, Handover const& handover) noexcept {
  PhysAddr const root{root_};
  for (abi::Channel const which : {abi::Channel::Supervisor, abi::Channel::User}) {
    ChannelFacts const& facts = handover.channels[static_cast<u64>(which)];
    auto const owner = which == abi::Channel::User ? memory::Owner::User : memory::Owner::Supervisor;
    auto const at = allocator_.allocate(cpu, root, facts.buffer.size >> kPageShift, owner);
    if (!at) {
      return init_error(InitProblem::BufferMemory, facts.buffer.size);
    }
    channel(which) = {facts.buffer.base, raw(*at), facts.buffer.size, facts.mailbox, 0};
  }
  auto const page = allocator_.allocate(cpu, root, 1, memory::Owner::User);
  if (!page) {
    return init_error(InitProblem::BufferMemory, kPageSize);
  }
  user_page_ = raw(*page);
  return {};
}

/// Ring 3 gets a read-only copy of the list, in which the user buffer is the internal one.
template <hal::Machine M>
Checked<void> Supervisor<M>::publish_user_hobs(Cpu& cpu, PhysAddr hob_list, Handover const& handover) noexcept {
  Range pages{0, pages_for(handover.list_bytes) << kPageShift};
  PhysAddr const root{root_};
  auto const copy = allocator_.allocate(cpu, root, pages.size >> kPageShift, memory::Owner::User);
  if (!copy) {
    return init_error(InitProblem::UserListMemory, pages.size);
  }
  pages.base = raw(*copy);
  {
    hal::UserAccess access(cpu);
    cpu.copy(*copy, hob_list, handover.list_bytes);
    hal::write_object(cpu, *copy + handover.user_region_offset, channel(abi::Channel::User).internal);
  }
  if (!allocator_.protect(cpu, root, pages, memory::kUserReadOnly)) {
    return init_error(InitProblem::UserListMemory, pages.base);
  }
  user_hob_list_ = pages;
  return {};
}

/// Regions that the normal world asked for before the lock. The loader has mapped them already; one that it has not is
/// opened by the rules of the request.
template <hal::Machine M>
Checked<void> Supervisor<M>::adopt_unblocked(Cpu& cpu, PhysAddr hob_list) noexcept {
  auto const open = [&](abi::MemoryDescriptor const& d) noexcept -> Expected<void> {
    Range const range{d.physical_start, d.number_of_pages << kPageShift};
    bool const supervisor = (d.attribute & abi::kMemorySp) != 0;
    auto const attr = tables(cpu).query_uniform(range);
    if (!attr || unblocked_.overlaps(range)) {
      return open_region(cpu, range, supervisor);
    }
    bool const as_asked = *attr == (supervisor ? memory::kSupervisorData : memory::kUserData);
    return as_asked ? unblocked_.add({range, supervisor}) : std::unexpected(Status::SecurityViolation);
  };
  InitError why{};
  static_cast<void>(
      memory::HobList<Cpu>(cpu, hob_list).for_each([&](PhysAddr hob, abi::HobHeader h) noexcept -> Expected<void> {
        if (h.type != static_cast<u16>(abi::HobType::GuidExtension) ||
            !(hal::read_object<abi::HobGuid>(cpu, hob).name == guids::gMmSupvUnblockRegionHobGuid)) {
          return {};
        }
        auto const d = hal::read_object<abi::UnblockMemoryParams>(cpu, hob + sizeof(abi::HobGuid)).descriptor;
        auto const opened = open(d);
        if (!opened) {
          why = {InitProblem::UnblockPages, d.physical_start};
        }
        return opened;
      }));
  return why.problem == InitProblem{} ? Checked<void>{} : std::unexpected(why);
}

/// A CPU joins. False: its index is beyond the MP information, or belongs to another CPU, and the machine was halted.
template <hal::Machine M>
bool Supervisor<M>::register_cpu(Cpu& cpu, u32 index) noexcept {
  if (index >= cpu_count_ || slots_[index].apic_id != cpu.apic_id()) {
    halt_init(index, {InitProblem::CpuIndex, cpu.apic_id()});
    return false;
  }
  Range const covered = enforced(Check::Smrr) ? allocator_.span() : Range{};
  if (has_smrr(cpu) && covered.size != 0 && !is_smrr_block(covered)) {
    halt_init(index, {InitProblem::SmrrRange, covered.size});
    return false;
  }
  if (!protect_mmram(cpu, covered, mseg_)) {
    halt_init(index, {InitProblem::CpuProtection, cpu.apic_id()});
    return false;
  }
  slots_[index].initialised = 1;
  hal::write_object(cpu, PhysAddr{mm_initialized_ + index}, u8{1});
  emit(index, hal::TraceKind::CpuInitialised);
  return true;
}

template <hal::Machine M>
Checked<void> Supervisor<M>::initialise(Cpu& cpu, PhysAddr hob_list) noexcept {
  root_ = cpu.read_cr3() & memory::pte::kAddress;
  address_limit_ = memory::address_limit(cpu.physical_address_bits());
  Ground const ground{machine_.mmram(), machine_.own_code(), address_limit_};
  MM_TRY_ASSIGN(Handover const handover, read_handover(cpu, PhysAddr{root_}, hob_list, ground, images_));
  image_count_ = handover.images;
  options_ = handover.options;
  cpu_count_ = handover.cpus;
  for (u32 i = 0; i < cpu_count_; ++i) {
    slots_[i].apic_id = handover.apic_ids[i];
    slots_[i].smbase = handover.smbase[i];
  }
  stack_base_ = handover.pass_down.cpl3_stack_base;
  stack_bytes_ = handover.pass_down.cpl3_per_core_stack_size;
  mm_initialized_ = handover.pass_down.mm_initialized;
  mseg_ = handover.mseg.base;
  user_entry_ = handover.user.entry_point;
  core_ = {handover.core.base, handover.core.length};
  read_version(cpu, core_);
  policy_bytes_ = handover.pass_down.policy_size;
  cpu.read(PhysAddr{handover.pass_down.policy}, std::span(policy_).first(policy_bytes_));
  if (!allocator_.adopt(cpu, PhysAddr{root_}, handover.mmram_descriptors, handover.mmram_count)) {
    return init_error(InitProblem::AllocatorMemory);
  }
  MM_TRY(allocate_internal(cpu, handover));
  MM_TRY(publish_user_hobs(cpu, hob_list, handover));
  return adopt_unblocked(cpu, hob_list);
}

}  // namespace mm::supervisor
