// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/loader/arena.hpp"
#include "core/loader/boot_list.hpp"
#include "core/loader/cpu_areas.hpp"
#include "core/loader/images.hpp"
#include "core/loader/mm_list.hpp"
#include "core/loader/policy_file.hpp"
#include "core/loader/volume.hpp"
#include "core/loader/windows.hpp"

namespace mm::loader {

/// Loads the two cores, the drivers and everything they need into MMRAM. `trace` is called with ImageLoaded and
/// ImageRefused events (mmi 0, cpu 0). The first problem ends it; then MMRAM holds nothing that may be run.
///
/// Order in MMRAM, ascending: one 64 KiB tile per CPU (SMBASE(i) = base + i * 64 KiB; entry code at +0x8000, descriptor
/// and save state in the page at +0xF000), page tables, HOB list with one spare page, supervisor core, user core,
/// drivers in volume order, policy, per CPU {guard, IST stack, guard, ring-0 stack}, per CPU {guard, CPL3 stack}, GDT
/// pages, IDT, descriptor page, flag page, free pages, and MSEG where the normal world's HOB list names it. Every L1
/// table that MMRAM needs exists, so mapping a free page later takes no new table.
///
/// strict_rsm looks at the ring-3 images as they are in memory, relocated. Without it the loader does not look for RSM:
/// telling an instruction from chance bytes takes a disassembler, which the host runner has and uses before this.
template <hal::PhysMemory Mem, class Trace>
std::expected<LoadResult, LoadError> load(Mem& memory, BootInput const& input, Trace&& trace) noexcept;

namespace detail {

/// One load(): the parts, and the order in which they fill MMRAM. Not reused.
template <hal::PhysMemory Mem, class Trace>
class Loader {
 public:
  Loader(Mem& memory, BootInput const& input, Trace& trace) noexcept
      : memory_(memory),
        input_(input),
        arena_(memory, input.mmram),
        volume_(input.fv),
        boot_(input.boot_hobs),
        list_(memory),
        images_(memory, arena_, volume_, input.strict_rsm != 0, trace) {}

  Result<LoadResult> run() noexcept {
    MM_TRY(check_input());
    MM_TRY(survey());
    MM_TRY(make_page_tables());
    MM_TRY(Windows<Mem>(arena_).open(boot_));
    MM_TRY(list_.begin(arena_, boot_, input_));
    MM_TRY(load_images());
    MM_TRY(load_policy(memory_, arena_, volume_, result_));
    MM_TRY(make_stacks(memory_, arena_, input_.cpus, result_));
    MM_TRY(make_tables_of_cpus(memory_, arena_, input_.cpus, result_));
    MM_TRY(finish_list());
    MM_TRY(make_tiles(memory_, arena_, input_, entry_layout_, result_));
    MM_TRY(arena_.protect_page_tables());
    result_.used_end = arena_.next();
    return result_;
  }

 private:
  Result<void> check_input() noexcept {
    Range const m = input_.mmram;
    bool const aligned = m.base % kPageSize == 0 && m.size % kPageSize == 0;
    if (!aligned || m.size == 0 || m.base >= kBelow || m.size > kBelow - m.base) {
      return fail(LoadProblem::BadMmram, Status::InvalidParameter, m.base);
    }
    if (input_.cpus == 0 || input_.cpus > platform::kMaxCpus) {
      return fail(LoadProblem::BadCpuCount, Status::Unsupported, input_.cpus);
    }
    auto const layout = MmiEntryLayout::parse(input_.mmi_entry);
    if (!layout) {
      return fail(layout.error(), Status::InvalidParameter);
    }
    entry_layout_ = *layout;
    if (m.size < u64{input_.cpus} * kTileBytes) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources);
    }
    arena_.skip(u64{input_.cpus} * kTileBytes);
    return {};
  }

  /// Looks at volume and list before anything is placed: what is malformed, how much room they need, where MSEG is.
  Result<void> survey() noexcept {
    MM_TRY_ASSIGN(u64 const drivers, volume_.survey());
    MM_TRY_ASSIGN(u64 const copied, boot_.survey());
    MM_TRY(list_.count(copied, drivers, input_.cpus));
    MM_TRY_ASSIGN(mseg_, boot_.find_mseg(input_.mmram, arena_.next()));
    if (mseg_.size != 0) {
      arena_.stop_at(mseg_.base);
    }
    return {};
  }

  Result<void> make_page_tables() noexcept {
    MM_TRY(arena_.make_page_tables());
    result_.cr3 = arena_.root();
    if (mseg_.size == 0) {
      return {};
    }
    memory_.zero(PhysAddr{mseg_.base}, mseg_.size);
    return arena_.map(mseg_, memory::kSupervisorReadOnly);
  }

  Result<void> load_images() noexcept {
    MM_TRY_ASSIGN(Loaded const core,
                  images_.load_core(guids::gMmSupervisorCoreGuid, false, LoadProblem::SupervisorMissing));
    list_.module(guids::gMmSupervisorCoreGuid, core);
    result_.supervisor_base = core.base;
    result_.supervisor_bytes = core.bytes;
    result_.supervisor_entry = core.entry;
    MM_TRY_ASSIGN(Loaded const user,
                  images_.load_core(guids::gMmSupervisorUserGuid, true, LoadProblem::UserCoreMissing));
    list_.module(guids::gMmSupervisorUserGuid, user);
    result_.user_base = user.base;
    result_.user_bytes = user.bytes;
    result_.user_entry = user.entry;
    return volume_.each_file([this](image::FvFile const& file) -> Result<void> {
      return Volume::is_driver(file) ? load_driver(file) : Result<void>{};
    });
  }

  Result<void> load_driver(image::FvFile const& file) noexcept {
    MM_TRY_ASSIGN(Loaded const driver, images_.load_file(file, true));
    list_.module(file.name, driver);
    ++result_.drivers;
    MM_TRY_ASSIGN(auto const depex, volume_.section_of(file, image::section_type::kMmDepex));
    if (depex) {
      list_.depex(file.name, depex->body);
    }
    return {};
  }

  Result<void> finish_list() noexcept {
    abi::PassDown down;
    down.cpl3_stack_base = result_.cpl3_stack_base;
    down.cpl3_per_core_stack_size = kCpl3StackBytes;
    down.smbase = result_.smbase_array;
    down.mm_initialized = result_.mm_initialized;
    down.policy = result_.policy;
    down.policy_size = result_.policy_bytes;
    down.mmi_entry_size = input_.mmi_entry.size();
    result_.hob_list = list_.start();
    result_.hob_bytes = list_.bytes();
    result_.pass_down = list_.pass_down(down);
    return list_.finish(arena_, mseg_);
  }

  Mem& memory_;
  BootInput const& input_;
  Arena<Mem> arena_;
  Volume volume_;
  BootList boot_;
  MmList<Mem> list_;
  ImageLoader<Mem, Trace> images_;
  Range mseg_;  ///< empty: none
  MmiEntryLayout entry_layout_;
  LoadResult result_;
};

}  // namespace detail

template <hal::PhysMemory Mem, class Trace>
std::expected<LoadResult, LoadError> load(Mem& memory, BootInput const& input, Trace&& trace) noexcept {
  return detail::Loader<Mem, std::remove_reference_t<Trace>>{memory, input, trace}.run();
}

}  // namespace mm::loader
