// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/abi/hob_list.hpp"
#include "core/supervisor/handover/facts.hpp"
#include "core/supervisor/init_problem.hpp"
#include "core/supervisor/types.hpp"

/// What the parts of the hand-over's check share. Each part is a file of this folder, a few functions over a Reading:
/// `read_` takes from the list what it says and refuses what is wrong by itself, `check_` holds it against the rest of
/// the list or against the live page tables.
namespace mm::supervisor::handover {

/// One HOB of a list that measure() has bounded.
struct Hob {
  PhysAddr at{};
  abi::HobType type{};
  u64 bytes = 0;
  Guid name;  ///< of a GUID extension or memory allocation
  PhysAddr payload() const noexcept { return at + sizeof(abi::HobGuid); }
  u64 payload_bytes() const noexcept { return bytes - sizeof(abi::HobGuid); }
  bool is_guid(Guid const& guid) const noexcept { return type == abi::HobType::GuidExtension && name == guid; }
};

/// What was met so far and is no fact of the hand-over.
struct Seen {
  u64 modules_end = 0;  ///< modules usually ascend: nothing to compare beyond the highest so far
  bool pass_down = false;
  bool options = false;
  bool mseg = false;
};

/// One hand-over while it is read: where it is, what it is held against, what it has said.
template <hal::PhysMemory Mem>
struct Reading {
  Mem& memory;
  memory::PageTables<Mem> tables;  ///< the live ones
  Ground ground;
  std::span<UserImage> images;  ///< receives the ring-3 modules
  PhysAddr list{};
  Handover out{};
  Seen seen{};

  /// The header of the HOB at `offset` of the list.
  abi::HobHeader header(u64 offset) noexcept { return hal::read_object<abi::HobHeader>(memory, list + offset); }

  /// Calls f(Hob) -> Checked<void> for each HOB in front of the end marker; measure() has bounded the list.
  template <typename F>
  Checked<void> each(F&& f) noexcept {
    abi::HobWalk walk([this](u64 offset) noexcept { return header(offset); }, out.list_bytes);
    for (;;) {
      auto const step = walk.next();
      if (!step || step->is_end()) {
        return {};
      }
      Hob hob{list + step->offset, step->type(), step->header.length, {}};
      if (hob.type == abi::HobType::GuidExtension || hob.type == abi::HobType::MemoryAllocation) {
        hob.name = hal::read_object<abi::HobGuid>(memory, hob.at).name;
      }
      MM_TRY(f(hob));
    }
  }

  bool in_mmram(u64 base, u64 bytes) const noexcept { return out.mmram.contains({base, bytes}); }

  /// Whether the page allocator could give a page of the range out.
  bool touches_free_mmram(Range range) noexcept {
    for (u64 i = 0; i < out.mmram_count; ++i) {
      auto const d = mmram_descriptor(i);
      if ((d.region_state & abi::kMmramAllocated) == 0 && range.overlaps({d.physical_start, d.physical_size})) {
        return true;
      }
    }
    return false;
  }
  abi::MmramDescriptor mmram_descriptor(u64 index) noexcept {
    return hal::read_object<abi::MmramDescriptor>(memory, out.mmram_descriptors + index * sizeof(abi::MmramDescriptor));
  }

  /// Whether every page of the range has exactly these rights.
  bool mapped_as(Range range, memory::PageAttr attr) noexcept {
    auto const found = tables.query_uniform(range);
    return found && *found == attr;
  }
};

/// An object of the list. What leads to `at` was held against the length of its HOB.
template <typename T, hal::PhysMemory Mem>
T get(Reading<Mem>& r, PhysAddr at) noexcept {
  return hal::read_object<T>(r.memory, at);
}

/// [base, base + pages): nothing when it is empty, unaligned, in page 0, or not below the address limit.
constexpr Range pages_at(u64 base, u64 pages) noexcept {
  bool const good = base >= kPageSize && base % kPageSize == 0 && base < memory::kAddressLimit && pages != 0 &&
                    pages <= (memory::kAddressLimit - base) >> kPageShift;
  return good ? Range{base, pages << kPageShift} : Range{};
}

}  // namespace mm::supervisor::handover
