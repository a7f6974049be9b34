// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/supervisor.hpp"

/// First MMI: everything the loader handed over is checked against MMRAM and the live page tables, then adopted.
namespace mm::supervisor {

/// What one walk over the HOB list finds. An address of 0 means that the HOB is missing.
template <hal::Machine M>
struct Supervisor<M>::HobFacts {
  u64 list_bytes = 0;
  u64 mmram = 0;  ///< first descriptor
  u64 mmram_count = 0;
  abi::PassDown pass_down;
  bool has_pass_down = false;
  abi::MmCommonRegion supervisor_region;
  abi::MmCommBuffer user_region;
  u64 user_region_at = 0;  ///< payload, from the start of the list
  bool has_supervisor_region = false;
  u64 processors = 0;  ///< first ProcessorInformation
  u64 processor_count = 0;
  u64 processor_room = 0;
  abi::HobMemoryAllocationModule core;
  abi::HobMemoryAllocationModule user;
};

template <hal::Machine M>
Expected<void> Supervisor<M>::collect_guid(Cpu& cpu, PhysAddr hob, abi::HobHeader header, HobFacts& facts) noexcept {
  if (header.length < sizeof(abi::HobGuid)) {
    return std::unexpected(Status::CompromisedData);
  }
  Guid const name = hal::read_object<abi::HobGuid>(cpu, hob).name;
  PhysAddr const payload = hob + sizeof(abi::HobGuid);
  u64 const bytes = header.length - sizeof(abi::HobGuid);
  if (name == guids::gEfiSmmSmramMemoryGuid && bytes >= 8) {
    facts.mmram_count = hal::read_object<u32>(cpu, payload);
    facts.mmram = raw(payload) + 8;
    if (facts.mmram_count > (bytes - 8) / sizeof(abi::MmramDescriptor)) {
      return std::unexpected(Status::CompromisedData);
    }
  } else if (name == guids::gMmSupervisorPassDownHobGuid) {
    facts.has_pass_down = bytes >= sizeof(abi::PassDown);
    if (facts.has_pass_down) {
      facts.pass_down = hal::read_object<abi::PassDown>(cpu, payload);
    }
  } else if (name == guids::gMmCommonRegionHobGuid && bytes >= sizeof(abi::MmCommonRegion)) {
    auto const region = hal::read_object<abi::MmCommonRegion>(cpu, payload);
    if (region.type == 0) {
      facts.supervisor_region = region;
      facts.has_supervisor_region = true;
    }
  } else if (name == guids::gMmCommBufferHobGuid && bytes >= sizeof(abi::MmCommBuffer)) {
    facts.user_region = hal::read_object<abi::MmCommBuffer>(cpu, payload);
    facts.user_region_at = raw(payload);
  } else if (name == guids::gMpInformationHobGuid && bytes >= sizeof(abi::MpInformationHeader)) {
    facts.processor_count = hal::read_object<abi::MpInformationHeader>(cpu, payload).number_of_processors;
    facts.processors = raw(payload) + sizeof(abi::MpInformationHeader);
    facts.processor_room = (bytes - sizeof(abi::MpInformationHeader)) / sizeof(abi::ProcessorInformation);
  } else if (name == abi::kTestOptionsHobGuid && bytes >= sizeof(abi::TestOptions)) {
    options_ = hal::read_object<abi::TestOptions>(cpu, payload);
  }
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::collect_module(Cpu& cpu, PhysAddr hob, abi::HobHeader header, HobFacts& facts) noexcept {
  if (header.length < sizeof(abi::HobMemoryAllocationModule)) {
    return {};
  }
  auto const module = hal::read_object<abi::HobMemoryAllocationModule>(cpu, hob);
  if (!(module.name == guids::gMmSupervisorHobMemoryAllocModuleGuid)) {
    return {};
  }
  if (module.module_name == guids::gMmSupervisorCoreGuid) {
    facts.core = module;
    return {};
  }
  if (module.module_name == guids::gMmSupervisorUserGuid) {
    facts.user = module;
  }
  if (image_count_ == kMaxImages) {
    return std::unexpected(Status::OutOfResources);
  }
  images_[image_count_++].range = {module.base, module.length};
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::collect(Cpu& cpu, PhysAddr hob, abi::HobHeader header, HobFacts& facts) noexcept {
  if (header.type == static_cast<u16>(abi::HobType::GuidExtension)) {
    return collect_guid(cpu, hob, header, facts);
  }
  if (header.type == static_cast<u16>(abi::HobType::MemoryAllocation)) {
    return collect_module(cpu, hob, header, facts);
  }
  return {};
}

template <hal::Machine M>
bool Supervisor<M>::is_supervisor_data(Cpu& cpu, Range r) noexcept {
  auto const attr = tables(cpu).query_uniform(r);
  return attr.has_value() && !attr->user;
}

template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_pass_down(Cpu& cpu, HobFacts const& facts) noexcept {
  abi::PassDown const& p = facts.pass_down;
  u64 const count = facts.processor_count;
  if (!facts.has_pass_down || p.revision != 2) {
    return std::unexpected(Status::IncompatibleVersion);
  }
  Range const mmram = allocator_.span();
  if (p.cpl3_per_core_stack_size < kPageSize || p.cpl3_per_core_stack_size > mmram.size ||
      !mmram.contains({p.cpl3_stack_base, p.cpl3_per_core_stack_size * count}) ||
      !mmram.contains({p.smbase, count * 8}) || p.smbase % 8 != 0 || !mmram.contains({p.mm_initialized, count})) {
    return std::unexpected(Status::CompromisedData);
  }
  auto const stack = tables(cpu).query_uniform({p.cpl3_stack_base, p.cpl3_per_core_stack_size * count});
  if (!stack || !(*stack == memory::kUserData) || !is_supervisor_data(cpu, {p.smbase, count * 8}) ||
      !is_supervisor_data(cpu, {p.mm_initialized, count})) {
    return std::unexpected(Status::CompromisedData);
  }
  stack_base_ = p.cpl3_stack_base;
  stack_bytes_ = p.cpl3_per_core_stack_size;
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_processors(Cpu& cpu, HobFacts const& facts) noexcept {
  if (facts.processor_count == 0 || facts.processor_count > platform::kMaxCpus ||
      facts.processor_count > facts.processor_room) {
    return std::unexpected(Status::CompromisedData);
  }
  cpu_count_ = static_cast<u32>(facts.processor_count);
  for (u32 i = 0; i < cpu_count_; ++i) {
    PhysAddr const at{facts.processors + i * sizeof(abi::ProcessorInformation)};
    slots_[i].apic_id = static_cast<u32>(hal::read_object<abi::ProcessorInformation>(cpu, at).processor_id);
  }
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_images(Cpu& cpu, HobFacts const& facts) noexcept {
  auto const check = [&](abi::HobMemoryAllocationModule const& m, bool user) noexcept {
    Range const image{m.base, m.length};
    if (!allocator_.span().contains(image) || !image.contains({m.entry_point, 1})) {
      return false;
    }
    for (u64 page = align_down(m.base, kPageSize); page < image.end(); page += kPageSize) {
      auto const attr = tables(cpu).query(page);
      if (!attr || attr->user != user) {
        return false;
      }
    }
    auto const entry = tables(cpu).query(m.entry_point);
    return entry && entry->executable && !entry->writable;
  };
  if (!check(facts.core, false) || !check(facts.user, true)) {
    return std::unexpected(Status::CompromisedData);
  }
  for (u32 i = 0; i < image_count_; ++i) {
    if (!allocator_.span().contains(images_[i].range)) {
      return std::unexpected(Status::CompromisedData);
    }
  }
  user_entry_ = facts.user.entry_point;
  read_version(cpu, {facts.core.base, facts.core.length});
  return {};
}

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

template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_policy(Cpu& cpu, HobFacts const& facts) noexcept {
  Range const blob{facts.pass_down.policy, facts.pass_down.policy_size};
  if (blob.base == 0 && blob.size == 0) {
    return {};
  }
  if (blob.size > kPolicyLimit || !allocator_.span().contains(blob) || !is_supervisor_data(cpu, blob)) {
    return std::unexpected(Status::CompromisedData);
  }
  cpu.read(PhysAddr{blob.base}, std::span(policy_).first(blob.size));
  policy_bytes_ = blob.size;
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_save_states(Cpu& cpu, HobFacts const& facts) noexcept {
  for (u32 i = 0; i < cpu_count_; ++i) {
    u64 const smbase = hal::read_object<u64>(cpu, PhysAddr{facts.pass_down.smbase + i * 8});
    Range const state{smbase + 0xFC00, 0x400};
    if (smbase > UINT32_MAX || !allocator_.span().contains(state) || !is_supervisor_data(cpu, state)) {
      return std::unexpected(Status::CompromisedData);
    }
    slots_[i].smbase = smbase;
  }
  return {};
}

/// Both the buffer and its mailbox must be entirely outside MMRAM and mapped for the supervisor only.
template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_channel(Cpu& cpu, CommChannel& channel, u64 start, u64 pages, u64 status) noexcept {
  if (pages == 0 || pages > 0x1000 || start == 0 || start % kPageSize != 0) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY_ASSIGN(Range const buffer, Range::make(start, pages << kPageShift));
  MM_TRY_ASSIGN(Range const mailbox, Range::make(status, sizeof(abi::CommBufferStatus)));
  if (allocator_.span().overlaps(buffer) || allocator_.span().overlaps(mailbox) || buffer.overlaps(mailbox)) {
    return std::unexpected(Status::SecurityViolation);
  }
  auto const buffer_attr = tables(cpu).query_uniform(buffer);
  auto const mailbox_attr = tables(cpu).query_uniform(mailbox);
  if (!buffer_attr || !mailbox_attr || !(*buffer_attr == memory::kSupervisorData) ||
      !(*mailbox_attr == memory::kSupervisorData)) {
    return std::unexpected(Status::SecurityViolation);
  }
  channel = {start, 0, buffer.size, status, 0};
  return {};
}

template <hal::Machine M>
Expected<void> Supervisor<M>::allocate_internal(Cpu& cpu) noexcept {
  PhysAddr const root{root_};
  for (abi::Channel const which : {abi::Channel::Supervisor, abi::Channel::User}) {
    auto const owner = which == abi::Channel::User ? memory::Owner::User : memory::Owner::Supervisor;
    MM_TRY_ASSIGN(PhysAddr const at, allocator_.allocate(cpu, root, channel(which).bytes >> kPageShift, owner));
    channel(which).internal = raw(at);
  }
  MM_TRY_ASSIGN(PhysAddr const page, allocator_.allocate(cpu, root, 1, memory::Owner::User));
  user_page_ = raw(page);
  return {};
}

/// Ring 3 gets a read-only copy of the list, in which the user buffer is the internal one.
template <hal::Machine M>
Expected<void> Supervisor<M>::publish_user_hobs(Cpu& cpu, PhysAddr hob_list, HobFacts const& facts) noexcept {
  u64 const pages = pages_for(facts.list_bytes);
  PhysAddr const root{root_};
  MM_TRY_ASSIGN(PhysAddr const copy, allocator_.allocate(cpu, root, pages, memory::Owner::User));
  {
    hal::UserAccess access(cpu);
    cpu.copy(copy, hob_list, facts.list_bytes);
    hal::write_object(cpu, copy + (facts.user_region_at - raw(hob_list)), channel(abi::Channel::User).internal);
  }
  MM_TRY(allocator_.protect(cpu, root, {raw(copy), pages << kPageShift}, memory::kUserReadOnly));
  user_hob_list_ = raw(copy);
  return {};
}

/// Regions that the normal world asked for before the lock. The loader has mapped them already; one that it has not is
/// opened by the rules of the request.
template <hal::Machine M>
Expected<void> Supervisor<M>::adopt_unblocked(Cpu& cpu, PhysAddr hob_list) noexcept {
  auto const walked =
      memory::HobList<Cpu>(cpu, hob_list).for_each([&](PhysAddr hob, abi::HobHeader h) noexcept -> Expected<void> {
        if (h.type != static_cast<u16>(abi::HobType::GuidExtension) ||
            h.length < 24 + sizeof(abi::UnblockMemoryParams) ||
            !(hal::read_object<abi::HobGuid>(cpu, hob).name == guids::gMmSupvUnblockRegionHobGuid)) {
          return {};
        }
        auto const d = hal::read_object<abi::UnblockMemoryParams>(cpu, hob + 24).descriptor;
        MM_TRY_ASSIGN(u64 const bytes, checked_mul(d.number_of_pages, kPageSize));
        MM_TRY_ASSIGN(Range const range, Range::make(d.physical_start, bytes));
        if (range.size == 0 || allocator_.span().overlaps(range)) {
          return std::unexpected(Status::SecurityViolation);
        }
        bool const supervisor = (d.attribute & abi::kMemorySp) != 0;
        auto const attr = tables(cpu).query_uniform(range);
        if (!attr) {
          return open_region(cpu, range, supervisor);
        }
        if (attr->executable || attr->user == supervisor) {
          return std::unexpected(Status::SecurityViolation);
        }
        return unblocked_.has({range, supervisor}) ? Expected<void>{} : unblocked_.add({range, supervisor});
      });
  MM_TRY(walked);
  return {};
}

/// `stage` says where it failed.
template <hal::Machine M>
Expected<void> Supervisor<M>::initialise(Cpu& cpu, PhysAddr hob_list, InitStage& stage) noexcept {
  root_ = cpu.read_cr3() & memory::pte::kAddress;
  HobFacts facts;
  stage = InitStage::HobList;
  MM_TRY_ASSIGN(facts.list_bytes,
                memory::HobList<Cpu>(cpu, hob_list).for_each([&](PhysAddr hob, abi::HobHeader h) noexcept {
                  return collect(cpu, hob, h, facts);
                }));
  stage = InitStage::Mmram;
  MM_TRY(allocator_.adopt(cpu, PhysAddr{root_}, PhysAddr{facts.mmram}, facts.mmram_count));
  stage = InitStage::HobList;
  if (!allocator_.span().contains({raw(hob_list), facts.list_bytes})) {
    return std::unexpected(Status::SecurityViolation);
  }
  stage = InitStage::MpInformation;
  MM_TRY(adopt_processors(cpu, facts));
  stage = InitStage::PassDown;
  MM_TRY(adopt_pass_down(cpu, facts));
  stage = InitStage::Images;
  MM_TRY(adopt_images(cpu, facts));
  stage = InitStage::SaveState;
  MM_TRY(adopt_save_states(cpu, facts));
  stage = InitStage::Policy;
  MM_TRY(adopt_policy(cpu, facts));
  stage = InitStage::CommBuffers;
  if (!facts.has_supervisor_region || facts.user_region_at == 0) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY(adopt_channel(cpu, channel(abi::Channel::Supervisor), facts.supervisor_region.addr,
                       facts.supervisor_region.number_of_pages, facts.supervisor_region.status_region_addr));
  MM_TRY(adopt_channel(cpu, channel(abi::Channel::User), facts.user_region.physical_start,
                       facts.user_region.number_of_pages, facts.user_region.status));
  stage = InitStage::InternalBuffers;
  MM_TRY(allocate_internal(cpu));
  stage = InitStage::UserHobList;
  MM_TRY(publish_user_hobs(cpu, hob_list, facts));
  stage = InitStage::Unblock;
  MM_TRY(adopt_unblocked(cpu, hob_list));
  mm_initialized_ = facts.pass_down.mm_initialized;
  return {};
}

}  // namespace mm::supervisor
