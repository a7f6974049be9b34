// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/hob.hpp"
#include "core/memory/hob_list.hpp"
#include "core/supervisor/handover.hpp"
#include "core/supervisor/parts.hpp"

namespace mm::supervisor {

/// The supervisor part of the first MMI, on the BSP: the parts take over what handover.hpp has checked. Used once, and
/// not kept.
template <hal::Machine M>
class FirstMmi {
 public:
  using Cpu = typename M::Cpu;

  FirstMmi(M& machine, Parts<M>& parts, Here<M> const& here, PhysAddr hob_list) noexcept
      : machine_(machine), parts_(parts), here_(here), cpu_(here.cpu), hob_list_(hob_list) {}

  /// Afterwards the APs may go on. False: the machine was halted.
  bool run() noexcept {
    auto const policy = initialise();
    if (!policy) {
      here_.halt(policy.error());
      return false;
    }
    if (policy->problem != policy::Problem::None) {
      here_.halt(hal::HaltReason::PolicyInvalid, static_cast<u64>(policy->problem), policy->offset);
      return false;
    }
    if (!parts_.processors.join(here_)) {
      return false;
    }
    parts_.processors.open(here_);
    return true;
  }

 private:
  Checked<policy::Finding> initialise() noexcept {
    AddressSpace<M>& space = parts_.space;
    space.adopt_tables(cpu_);
    Ground const ground{machine_.mmram(), machine_.own_code(), space.address_limit()};
    std::span<UserImage> const images = parts_.ring3.faults().images().room();
    MM_TRY_ASSIGN(Handover const handover, read_handover(cpu_, PhysAddr{space.root()}, hob_list_, ground, images));
    adopt(handover);
    abi::PassDown const& down = handover.pass_down;
    policy::Finding const finding = parts_.gate.adopt(cpu_, PhysAddr{down.policy}, down.policy_size);
    if (!space.adopt_mmram(cpu_, handover.mmram_descriptors, handover.mmram_count)) {
      return init_error(InitProblem::AllocatorMemory);
    }
    if (handover.options.heap_guard) {
      space.spread_user_pages();
    }
    MM_TRY(allocate_internal(handover));
    MM_TRY(publish_user_hobs(handover));
    MM_TRY(adopt_regions());
    return finding;
  }

  void adopt(Handover const& handover) noexcept {
    abi::PassDown const& down = handover.pass_down;
    parts_.processors.adopt(std::span(handover.apic_ids).first(handover.cpus), handover.smbase, handover.mmram,
                            handover.mseg.base, down.mm_initialized);
    Range const core{handover.core.base, handover.core.length};
    Ring3<M>& ring3 = parts_.ring3;
    ring3.adopt({handover.user.entry_point, down.cpl3_stack_base, down.cpl3_per_core_stack_size});
    ring3.faults().adopt(core, handover.user.entry_point, handover.options.fault_policy);
    ring3.faults().images().adopt(handover.images);
    parts_.requests.read_version(cpu_, core);
  }

  /// Buffers of the size of the external ones, in MMRAM, and the supervisor-to-user page.
  Checked<void> allocate_internal(Handover const& handover) noexcept {
    AddressSpace<M>& space = parts_.space;
    for (abi::Channel const which : {abi::Channel::Supervisor, abi::Channel::User}) {
      ChannelFacts const& facts = handover.channels[static_cast<u64>(which)];
      u64 const pages = facts.buffer.size >> kPageShift;
      auto const at = which == abi::Channel::User ? space.lend(cpu_, pages)
                                                  : space.allocate(cpu_, pages, memory::Owner::Supervisor);
      if (!at) {
        return init_error(InitProblem::BufferMemory, facts.buffer.size);
      }
      parts_.channels.adopt(which, {facts.buffer.base, raw(*at), facts.buffer.size, facts.mailbox, 0});
    }
    auto const page = space.lend(cpu_, 1);
    if (!page) {
      return init_error(InitProblem::BufferMemory, kPageSize);
    }
    parts_.ring3.faults().page().adopt(raw(*page));
    return {};
  }

  /// Ring 3 gets a read-only copy of the list, in which the user buffer is the internal one.
  Checked<void> publish_user_hobs(Handover const& handover) noexcept {
    AddressSpace<M>& space = parts_.space;
    Range pages{0, pages_for(handover.list_bytes) << kPageShift};
    auto const copy = space.lend(cpu_, pages.size >> kPageShift);
    if (!copy) {
      return init_error(InitProblem::UserListMemory, pages.size);
    }
    pages.base = raw(*copy);
    {
      hal::UserAccess access(cpu_);
      cpu_.copy(*copy, hob_list_, handover.list_bytes);
      hal::write_object(cpu_, *copy + handover.user_region_offset, parts_.channels.internal(abi::Channel::User));
    }
    if (!space.protect(cpu_, pages, memory::kUserReadOnly)) {
      return init_error(InitProblem::UserListMemory, pages.base);
    }
    parts_.ring3.publish(pages);
    return {};
  }

  /// Regions that the normal world asked for before the lock. The loader has mapped them already; one that it has not
  /// is opened by the rules of the request.
  Checked<void> adopt_regions() noexcept {
    InitError why{};
    static_cast<void>(
        memory::HobList<Cpu>(cpu_, hob_list_).for_each([&](PhysAddr hob, abi::HobHeader h) noexcept -> Expected<void> {
          if (h.type != static_cast<u16>(abi::HobType::GuidExtension) ||
              !(hal::read_object<abi::HobGuid>(cpu_, hob).name == guids::gMmSupvUnblockRegionHobGuid)) {
            return {};
          }
          auto const d = hal::read_object<abi::UnblockMemoryParams>(cpu_, hob + sizeof(abi::HobGuid)).descriptor;
          auto const opened = parts_.space.adopt_region(cpu_, d);
          if (!opened) {
            why = {InitProblem::UnblockPages, d.physical_start};
          }
          return opened;
        }));
    return why.problem == InitProblem{} ? Checked<void>{} : std::unexpected(why);
  }

  M& machine_;
  Parts<M>& parts_;
  Here<M> const& here_;
  Cpu& cpu_;
  PhysAddr hob_list_;
};

}  // namespace mm::supervisor
