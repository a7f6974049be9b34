// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/guid.hpp"
#include "core/base/types.hpp"
#include "core/memory/page_tables.hpp"

namespace mm::sim {
class Simulator;
}

/// The audit of the live page tables of MM: what they map, and whom each page belongs to.
namespace mm::audit {

/// One present leaf of the page tables, as a walk of its own finds it: not by the code that made the tables.
struct Leaf {
  Range range;       ///< linear
  u64 physical = 0;  ///< where it leads
  memory::PageAttr attr;
};

/// What a part of memory is. The order is that of the legend.
enum class Kind : u8 {
  Image,        ///< supervisor, user core or driver
  EntryCode,    ///< MMI entry code at SMBASE + 0x8000
  SaveState,    ///< page of descriptor and save state at SMBASE + 0xF000
  PageTable,    ///< also pages set aside for tables
  Descriptors,  ///< GDT, TSS and IDT
  Stack,
  Data,  ///< policy, HOB list, flags, buffers
  Open,  ///< of the normal world: communicate buffers, mailboxes, unblocked regions
};

/// A part of memory that has an owner. Parts do not overlap.
struct Part {
  Range range;
  Kind kind{};
  std::string name;
  /// The rights that every present page of it has; none: a rule of its own, or any.
  std::optional<memory::PageAttr> rights;
};

/// The rights that a section table, or the gap between sections, gives to pages of an image.
struct Section {
  Range range;
  std::string name;
  memory::PageAttr rights;
};

/// Everything that the rules look at.
struct Facts {
  Range mmram;
  u64 memory_bytes = 0;  ///< of low RAM; MMRAM is the end of it
  u64 loaded_end = 0;    ///< MMRAM from here on belongs to the page allocator
  std::vector<Leaf> leaves;
  std::vector<u64> tables;        ///< each as often as the walk came to it
  std::vector<Range> bad_tables;  ///< entries that lead outside memory; not followed
  std::vector<Part> parts;
  std::vector<Section> sections;
  std::vector<Range> smrr;           ///< of each CPU that has SMRR; empty while it is not valid
  std::vector<Range> guards;         ///< pages that are there to be absent
  std::vector<Range> system_memory;  ///< resource descriptors of the normal world: memory
  std::vector<Range> reserved;       ///< and reserved memory
};

/// Names an image by its file GUID.
using ImageName = std::function<std::string(Guid const&)>;

/// The facts of a machine between two MMIs. What the supervisor opened or lent is taken from its events, so the trace
/// must have been recorded and kept since the boot.
Facts facts_of(sim::Simulator const& machine, ImageName const& image_name);

}  // namespace mm::audit
