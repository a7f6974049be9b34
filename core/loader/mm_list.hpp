// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/loader/arena.hpp"
#include "core/loader/boot_hobs.hpp"
#include "core/loader/boot_list.hpp"
#include "core/loader/images.hpp"

namespace mm::loader {

inline constexpr u64 kMaxHobListBytes = 1 << 20;

/// The MM HOB list: what the normal world's list says, then modules and expressions, then PassDown and MMRAM. It is
/// counted first, reserved, and written while the rest is made.
template <hal::PhysMemory Mem>
class MmList {
 public:
  explicit MmList(Mem& memory) noexcept : memory_(memory), hobs_(memory, 0) {}

  u64 start() const noexcept { return start_; }
  u64 bytes() const noexcept { return bytes_; }  ///< whole pages

  /// `copied` bytes of the normal world's list, `drivers` bytes for HOBs of drivers. HobListTooLarge.
  Result<void> count(u64 copied, u64 drivers, u32 cpus) noexcept {
    needed_ = copied + drivers;
    needed_ += guid_hob_bytes(sizeof(abi::MpInformationHeader) + cpus * sizeof(abi::ProcessorInformation));
    needed_ += guid_hob_bytes(sizeof(abi::TestOptions)) + guid_hob_bytes(sizeof(abi::PassDown));
    needed_ += 2 * sizeof(abi::HobMemoryAllocationModule) + guid_hob_bytes(8 + 3 * sizeof(abi::MmramDescriptor));
    needed_ += sizeof(abi::HobHeader);
    if (needed_ > kMaxHobListBytes) {
      return fail(LoadProblem::HobListTooLarge, Status::OutOfResources, needed_);
    }
    return {};
  }

  /// Reserves the list, with one page to spare, and writes what comes before the module HOBs.
  Result<void> begin(Arena<Mem>& arena, BootList const& boot, BootInput const& input) noexcept {
    u64 const pages = pages_for(needed_) + 1;
    MM_TRY_ASSIGN(start_, arena.allocate_mapped(pages, memory::kSupervisorData));
    bytes_ = pages << kPageShift;
    hobs_.move_to(start_);
    MM_TRY(boot.each([this](Hob const& hob) -> Result<void> {
      if (BootList::is_copied(hob)) {
        hobs_.raw_bytes(hob.bytes);
      }
      return {};
    }));
    detail::mp_information_hob(hobs_, input.cpus, input.apic_ids);
    hobs_.guid(abi::kTestOptionsHobGuid, abi::TestOptions{input.fault_policy, input.smap});
    return {};
  }

  void module(Guid const& name, Loaded const& image) noexcept {
    abi::HobMemoryAllocationModule hob;
    hob.name = guids::gMmSupervisorHobMemoryAllocModuleGuid;
    hob.base = image.base;
    hob.length = image.bytes;
    hob.module_name = name;
    hob.entry_point = image.entry;
    hobs_.object(hob);
  }

  /// The dependency expression of the module before it.
  void depex(Guid const& name, image::Bytes expression) noexcept {
    hobs_.guid_header(guids::gMmSupervisorDepexHobGuid, sizeof(abi::DepexHobData) + expression.size());
    hobs_.object(abi::DepexHobData{name, expression.size()});
    hobs_.raw_bytes(expression);
    hobs_.pad();
  }

  /// Address of its payload.
  u64 pass_down(abi::PassDown const& down) noexcept {
    u64 const payload = hobs_.position() + sizeof(abi::HobGuid);
    hobs_.guid(guids::gMmSupervisorPassDownHobGuid, down);
    return payload;
  }

  /// MMRAM, END, and where that is. Nothing may be allocated after this: the MMRAM HOB tells what is free. OutOfMmram:
  /// nothing is, and an empty region would make the HOB invalid.
  Result<void> finish(Arena<Mem> const& arena, Range mseg) noexcept {
    if (arena.next() == arena.end()) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources);
    }
    regions(arena, mseg);
    u64 const end = hobs_.position();
    hobs_.end();
    auto phit = hal::read_object<abi::HobHandoff>(memory_, PhysAddr{start_});
    phit.end_of_hob_list = end + sizeof(abi::HobHeader);
    hal::write_object(memory_, PhysAddr{start_}, phit);
    return {};
  }

 private:
  void regions(Arena<Mem> const& arena, Range mseg) noexcept {
    u64 const base = arena.mmram().base;
    u64 const state = abi::kMmramClosed | abi::kMmramCacheable;
    u64 const next = arena.next();
    abi::MmramDescriptor const used{base, base, next - base, state | abi::kMmramAllocated};
    abi::MmramDescriptor const unused{next, next, arena.end() - next, state};
    if (mseg.size == 0) {
      return detail::mmram_hob(hobs_, guids::gEfiSmmSmramMemoryGuid, std::array{used, unused});
    }
    abi::MmramDescriptor const last{mseg.base, mseg.base, mseg.size, state | abi::kMmramAllocated};
    detail::mmram_hob(hobs_, guids::gEfiSmmSmramMemoryGuid, std::array{used, unused, last});
  }

  Mem& memory_;
  HobWriter<Mem> hobs_;
  u64 needed_ = 0;
  u64 start_ = 0;
  u64 bytes_ = 0;
};

}  // namespace mm::loader
