// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/audit/facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/abi/comm.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/platform.hpp"
#include "core/image/bytes.hpp"
#include "core/loader/types.hpp"
#include "sim/machine/machine.hpp"

namespace mm::audit {
namespace {

namespace pte = memory::pte;
using sim::Simulator;

constexpr u64 kTableEntries = 512;

/// An oracle for what the supervisor and the loader do with the same bytes: on purpose it walks page tables, the HOB
/// list and section tables by itself, and uses none of core's walks or readers.
class Collector {
 public:
  Collector(Simulator const& machine, ImageName const& image_name)
      : machine_(machine), layout_(machine.layout()), image_name_(image_name) {
    auto const& boot = machine.config().boot;
    out_.memory_bytes = boot.ram_bytes;
    out_.mmram = {boot.ram_bytes - boot.tseg_bytes, boot.tseg_bytes};
    out_.loaded_end = layout_.used_end;
  }

  Facts collect() {
    walk(layout_.cr3, 4, 0, {true, true, true, true});
    cpu_parts();
    shared_parts();
    hobs();
    comm_pages();
    smrr();
    grants();
    allocated_tables();
    std::ranges::sort(out_.parts, {}, [](Part const& p) { return p.range.base; });
    return std::move(out_);
  }

 private:
  template <typename T>
  T get(u64 at) const {
    T value{};
    if (at <= out_.memory_bytes && sizeof(T) <= out_.memory_bytes - at) {
      machine_.peek(PhysAddr{at}, std::as_writable_bytes(std::span<T, 1>{&value, 1}));
    }
    return value;
  }
  void part(Range range, Kind kind, std::string name, std::optional<memory::PageAttr> rights = {}) {
    if (range.size != 0) {
      out_.parts.push_back({range, kind, std::move(name), rights});
    }
  }
  static Range pages(u64 base, u64 bytes) {
    u64 const first = align_down(base, kPageSize);
    return {first, align_up(base + bytes, kPageSize) - first};
  }

  // Bits 12 to 51 of an entry are an address, also those that this machine has no memory for.
  void walk(u64 table, unsigned level, u64 base, memory::PageAttr rights) {
    out_.tables.push_back(table);
    u64 const span = kPageSize << (9 * (level - 1));
    auto const entries = get<std::array<u64, kTableEntries>>(table);
    for (u64 i = 0; i < kTableEntries; ++i) {
      u64 const entry = entries[i];
      if ((entry & pte::kPresent) == 0) {
        continue;
      }
      u64 const at = base + i * span;
      memory::PageAttr const now{true, rights.writable && (entry & pte::kWritable) != 0,
                                 rights.user && (entry & pte::kUser) != 0,
                                 rights.executable && (entry & pte::kNoExecute) == 0};
      u64 const target = entry & pte::kAddress;
      if (level == 1 || (level < 4 && (entry & pte::kLarge) != 0)) {
        out_.leaves.push_back({{at, span}, target & ~(span - 1), now});
      } else if (target >= out_.memory_bytes || out_.tables.size() > out_.memory_bytes / kPageSize) {
        out_.bad_tables.push_back({target, kPageSize});
      } else {
        walk(target, level - 1, at, now);
      }
    }
  }

  void cpu_parts() {
    for (u32 i = 0; i < machine_.config().boot.cpus; ++i) {
      u64 const smbase = layout_.smbase[i];
      u64 const state = align_down(smbase + loader::kPsdOffset, kPageSize);
      part(pages(smbase + loader::kEntryOffset, machine_.config().mmi_entry.size()), Kind::EntryCode,
           fmt::format("MMI entry code of CPU {}", i), memory::kSupervisorCode);
      part({state, kPageSize}, Kind::SaveState, fmt::format("save state of CPU {}", i), memory::kSupervisorData);
      part({layout_.gdt0 + i * kPageSize, kPageSize}, Kind::Descriptors, fmt::format("GDT and TSS of CPU {}", i),
           memory::kSupervisorReadOnly);
      stack(layout_.ist_stack_top[i], loader::kIstStackBytes, fmt::format("exception stack of CPU {}", i));
      stack(layout_.ring0_stack_top[i], loader::kRing0StackBytes, fmt::format("ring-0 stack of CPU {}", i));
      u64 const guard = layout_.cpl3_stack_base + i * loader::kCpl3StackBytes;
      out_.guards.push_back({guard, kPageSize});
      part({guard + kPageSize, loader::kCpl3StackBytes - kPageSize}, Kind::Stack,
           fmt::format("ring-3 stack of CPU {}", i), memory::kUserData);
    }
  }
  void stack(u64 top, u64 bytes, std::string name) {
    part({top - bytes, bytes}, Kind::Stack, std::move(name), memory::kSupervisorData);
    out_.guards.push_back({top - bytes - kPageSize, kPageSize});
  }

  void shared_parts() {
    part({layout_.idt, kPageSize}, Kind::Descriptors, "IDT", memory::kSupervisorReadOnly);
    part(pages(layout_.idt_descriptor, 1), Kind::Descriptors, "IDT descriptor, SMBASE table",
         memory::kSupervisorReadOnly);
    part({layout_.mm_initialized, kPageSize}, Kind::Data, "flags of the first MMI", memory::kSupervisorData);
    part({layout_.hob_list, layout_.hob_bytes}, Kind::Data, "HOB list", memory::kSupervisorData);
    if (layout_.policy != 0) {
      part(pages(layout_.policy, layout_.policy_bytes), Kind::Data, "firmware policy", memory::kSupervisorReadOnly);
    }
    std::vector<u64> tables = out_.tables;
    std::ranges::sort(tables);
    auto const [first, last] = std::ranges::unique(tables);
    tables.erase(first, last);
    for (u64 const table : tables) {
      part({table, kPageSize}, Kind::PageTable, "page table", memory::kSupervisorReadOnly);
    }
  }

  // The list is the supervisor's copy in MMRAM: what the normal world does to its own is of no matter any more.
  void hobs() {
    u64 const end = layout_.hob_list + layout_.hob_bytes;
    for (u64 at = layout_.hob_list; at < end;) {
      auto const head = get<abi::HobHeader>(at);
      auto const type = static_cast<abi::HobType>(head.type);
      if (type == abi::HobType::EndOfHobList || head.length < sizeof head) {
        return;
      }
      if (type == abi::HobType::ResourceDescriptor) {
        resource(get<abi::HobResourceDescriptor>(at));
      } else if (type == abi::HobType::MemoryAllocation && head.length >= sizeof(abi::HobMemoryAllocationModule)) {
        module(get<abi::HobMemoryAllocationModule>(at));
      } else if (type == abi::HobType::GuidExtension) {
        guided(get<abi::HobGuid>(at).name, at + sizeof(abi::HobGuid));
      }
      at += head.length;
    }
  }
  void resource(abi::HobResourceDescriptor const& hob) {
    constexpr u32 kSystemMemory = 0;
    constexpr u32 kReserved = 5;
    Range const range{hob.physical_start, hob.resource_length};
    if (hob.resource_type == kSystemMemory) {
      out_.system_memory.push_back(range);
    } else if (hob.resource_type == kReserved) {
      out_.reserved.push_back(range);
    }
  }
  void module(abi::HobMemoryAllocationModule const& hob) {
    if (!(hob.name == guids::gMmSupervisorHobMemoryAllocModuleGuid)) {
      return;
    }
    auto const name = image_name_(hob.module_name);
    part({hob.base, hob.length}, Kind::Image, name);
    sections({hob.base, hob.length}, name, !(hob.module_name == guids::gMmSupervisorCoreGuid));
  }
  // The section table in memory: the loader has checked it, ring 3 cannot write it.
  void sections(Range image, std::string const& name, bool user) {
    u64 const pe = image.base + get<u32>(image.base + 0x3C);
    u64 const table = pe + 24 + get<u16>(pe + 20);
    u64 end = image.base;
    auto const gap = [&](u64 to) {
      if (to > end) {
        out_.sections.push_back({{end, to - end}, name + " headers and gaps", {true, false, user, false}});
      }
    };
    for (u64 i = 0; i < get<u16>(pe + 6); ++i) {
      u64 const at = table + i * 40;
      u32 const size = get<u32>(at + 8) != 0 ? get<u32>(at + 8) : get<u32>(at + 16);
      u32 const flags = get<u32>(at + 36);
      auto const text = get<std::array<char, 8>>(at);
      std::string const title(text.data(), ::strnlen(text.data(), text.size()));
      Range const range{image.base + get<u32>(at + 12), align_up(size, kPageSize)};
      if (size == 0) {
        continue;
      }
      gap(range.base);
      out_.sections.push_back({range,
                               fmt::format("{} section {}", name, title),
                               {true, (flags & 0x8000'0000) != 0, user, (flags & 0x2000'0020) != 0}});
      end = range.end();
    }
    gap(image.end());
  }
  void guided(Guid const& name, u64 payload) {
    if (name == guids::gMmProtectedRegionHobGuid) {
      auto const r = get<abi::MmProtectedRegion>(payload);
      part({r.addr, r.number_of_pages * kPageSize}, Kind::Open, "protected device", memory::kUserReadOnly);
    } else if (name == guids::gMsegSmramGuid) {
      auto const d = get<abi::MmramDescriptor>(payload);
      part({d.cpu_start, d.physical_size}, Kind::Data, "MSEG", memory::kSupervisorReadOnly);
    } else if (name == guids::gMmSupvUnblockRegionHobGuid) {
      auto const d = get<abi::UnblockMemoryParams>(payload).descriptor;
      part({d.physical_start, d.number_of_pages * kPageSize}, Kind::Open, "unblocked by HOB");
    }
  }
  // COMM_UPDATE moves them, so they are not taken from the HOB list.
  void comm_pages() {
    constexpr std::array kNames{"supervisor mailbox", "user mailbox", "supervisor communicate buffer",
                                "user communicate buffer"};
    auto const ranges = machine_.comm_pages();
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      part(pages(ranges[i].base, ranges[i].size), Kind::Open, kNames[i], memory::kSupervisorData);
    }
  }

  void smrr() {
    for (u32 i = 0; i < machine_.config().boot.cpus; ++i) {
      if (auto const range = machine_.smrr(i)) {
        out_.smrr.push_back(*range);
      }
    }
  }

  // What the supervisor has said that it opened, lent or handed to ring 3.
  void grants() {
    for (auto const& e : machine_.trace()) {
      if (e.kind == hal::TraceKind::Unblocked && e.c == 0) {
        unblocked({e.a, e.b * kPageSize});
      } else if (e.kind == hal::TraceKind::UserEnter && e.a == static_cast<u64>(abi::UserCommand::StartUserCore)) {
        ring3_hobs(e.b);
      } else if (e.kind == hal::TraceKind::UserPageAllocated) {
        part({e.a, e.b * kPageSize}, Kind::Data, "pages of ring 3", memory::kUserData);
      } else if (e.kind == hal::TraceKind::UserPageFreed) {
        freed({e.a, e.b * kPageSize});
      }
    }
    if (u64 const page = machine_.user_page(); page != 0) {
      part({page, kPageSize}, Kind::Data, "supervisor-to-user page", memory::kUserData);
    }
  }
  // The same region may be asked for again, and is granted again.
  void unblocked(Range range) {
    bool const known = std::ranges::any_of(out_.parts, [&](Part const& p) { return p.range == range; });
    if (!known) {
      part(range, Kind::Open, "unblocked by request");
    }
  }
  // Ring 3 may free a part of what it allocated, or parts of two allocations.
  void freed(Range range) {
    std::vector<Part> rest;
    for (auto& p : out_.parts) {
      if (p.name != "pages of ring 3" || !p.range.overlaps(range)) {
        rest.push_back(std::move(p));
        continue;
      }
      if (p.range.base < range.base) {
        rest.push_back({{p.range.base, range.base - p.range.base}, p.kind, p.name, p.rights});
      }
      if (p.range.end() > range.end()) {
        rest.push_back({{range.end(), p.range.end() - range.end()}, p.kind, p.name, p.rights});
      }
    }
    out_.parts = std::move(rest);
  }
  void ring3_hobs(u64 list) {
    u64 at = list;
    for (u64 left = layout_.hob_bytes; left >= sizeof(abi::HobHeader);) {
      auto const head = get<abi::HobHeader>(at);
      if (head.length < sizeof head || head.length > left) {
        return;
      }
      if (head.type == static_cast<u16>(abi::HobType::GuidExtension) &&
          get<abi::HobGuid>(at).name == guids::gMmCommBufferHobGuid) {
        auto const b = get<abi::MmCommBuffer>(at + sizeof(abi::HobGuid));
        part({b.physical_start, b.number_of_pages * kPageSize}, Kind::Data, "ring 3's copy of the user buffer",
             memory::kUserData);
      }
      at += head.length;
      left -= head.length;
      if (head.type == static_cast<u16>(abi::HobType::EndOfHobList)) {
        break;
      }
    }
    part(pages(list, at - list), Kind::Data, "ring 3's copy of the HOB list", memory::kUserReadOnly);
  }

  // Pages behind what was loaded that no part names are the allocator's own: bitmaps, and a pool for tables.
  void allocated_tables() {
    std::vector<Part> more;
    for (Leaf const& leaf : out_.leaves) {
      bool const ours = leaf.range.base >= out_.loaded_end && out_.mmram.contains(leaf.range) && !leaf.attr.user;
      if (!ours || std::ranges::any_of(out_.parts, [&](Part const& p) { return p.range.overlaps(leaf.range); })) {
        continue;
      }
      bool const pool = !leaf.attr.writable;
      std::string const name = pool ? "pool for page tables" : "supervisor data";
      if (!more.empty() && more.back().range.end() == leaf.range.base && more.back().name == name) {
        more.back().range.size += leaf.range.size;
      } else {
        more.push_back({leaf.range, pool ? Kind::PageTable : Kind::Data, name,
                        pool ? memory::kSupervisorReadOnly : memory::kSupervisorData});
      }
    }
    out_.parts.insert(out_.parts.end(), more.begin(), more.end());
  }

  Simulator const& machine_;
  loader::LoadResult const& layout_;
  ImageName const& image_name_;
  Facts out_;
};

}  // namespace

Facts facts_of(Simulator const& machine, ImageName const& image_name) {
  return Collector{machine, image_name}.collect();
}

}  // namespace mm::audit
