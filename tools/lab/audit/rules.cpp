// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/audit/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mm::audit {
namespace {

using Offences = std::vector<Offence>;

/// Adds an offence; a run of neighbours with the same text is one.
void offend(Offences& out, Range range, std::string what) {
  if (!out.empty() && out.back().range.end() == range.base && out.back().what == what) {
    out.back().range.size += range.size;
    return;
  }
  out.push_back({range, std::move(what), 0});
}

/// The part that holds the start of `range`.
Part const* owner_of(Facts const& f, Range range) {
  auto const after = std::ranges::upper_bound(f.parts, range.base, {}, [](Part const& p) { return p.range.base; });
  if (after == f.parts.begin()) {
    return nullptr;
  }
  Part const& p = *std::prev(after);
  return p.range.contains({range.base, 1}) ? &p : nullptr;
}
std::string owner_name(Facts const& f, Range range) {
  auto const* p = owner_of(f, range);
  return p == nullptr ? "nobody's" : p->name;
}
/// Each page of a leaf; a large page counts as its small ones.
template <typename F>
void for_each_page(Facts const& f, F&& use) {
  for (Leaf const& leaf : f.leaves) {
    for (u64 at = 0; at < leaf.range.size; at += kPageSize) {
      use(Range{leaf.range.base + at, kPageSize}, leaf.attr);
    }
  }
}

void write_xor_execute(Facts const& f, Offences& out) {
  for_each_page(f, [&](Range page, memory::PageAttr attr) {
    if (attr.writable && attr.executable) {
      offend(out, page, fmt::format("{} ({})", rights_text(attr), owner_name(f, page)));
    }
  });
}

void mmram_reserved(Facts const& f, Offences& out) {
  for (Range const& memory : f.system_memory) {
    if (memory.overlaps(f.mmram)) {
      offend(out, memory, "a resource descriptor calls it memory");
    }
  }
  if (!std::ranges::any_of(f.reserved, [&](Range r) { return r.contains(f.mmram); })) {
    offend(out, f.mmram, "no resource descriptor reserves it");
  }
}

bool opened(Facts const& f, Range page) {
  auto const* p = owner_of(f, page);
  return p != nullptr && p->kind == Kind::Open && p->range.contains(page);
}
void memory_not_mapped(Facts const& f, Offences& out) {
  for_each_page(f, [&](Range page, memory::PageAttr attr) {
    bool const memory = std::ranges::any_of(f.system_memory, [&](Range r) { return r.contains(page); });
    if (memory && !opened(f, page)) {
      offend(out, page, fmt::format("{}, and was not opened", rights_text(attr)));
    }
  });
}
void execute_in_mmram(Facts const& f, Offences& out) {
  for_each_page(f, [&](Range page, memory::PageAttr attr) {
    if (attr.executable && !f.mmram.contains(page)) {
      offend(out, page, rights_text(attr));
    }
  });
}
void image_sections(Facts const& f, Offences& out) {
  for (Section const& s : f.sections) {
    for (Leaf const& leaf : f.leaves) {
      if (leaf.range.overlaps(s.range) && !(leaf.attr == s.rights)) {
        offend(out, leaf.range,
               fmt::format("{} is {}, must be {}", s.name, rights_text(leaf.attr), rights_text(s.rights)));
      }
    }
  }
}
void one_to_one(Facts const& f, Offences& out) {
  for (Leaf const& leaf : f.leaves) {
    if (leaf.physical != leaf.range.base) {
      offend(out, leaf.range, fmt::format("leads to {:#x}", leaf.physical));
    }
  }
  for (Range const& table : f.bad_tables) {
    offend(out, table, "a table outside memory");
  }
  std::vector<u64> tables = f.tables;
  std::ranges::sort(tables);
  for (auto at = std::ranges::adjacent_find(tables); at != tables.end();
       at = std::adjacent_find(std::next(at), tables.end())) {
    offend(out, {*at, kPageSize}, "a table that two entries lead to");
  }
}
void opened_regions(Facts const& f, Offences& out) {
  for_each_page(f, [&](Range page, memory::PageAttr attr) {
    if (f.mmram.contains(page)) {
      return;
    }
    if (!opened(f, page)) {
      offend(out, page, fmt::format("{}, and was not opened", rights_text(attr)));
    }
  });
}
void null_page(Facts const& f, Offences& out) {
  for (Leaf const& leaf : f.leaves) {
    if (leaf.range.base == 0) {
      offend(out, {0, kPageSize}, rights_text(leaf.attr));
    }
  }
}
void page_tables(Facts const& f, Offences& out) {
  for (u64 const table : f.tables) {
    Range const page{table, kPageSize};
    auto const leaf = std::ranges::find_if(f.leaves, [&](Leaf const& l) { return l.range.contains(page); });
    if (!f.mmram.contains(page)) {
      offend(out, page, "outside MMRAM");
    } else if (leaf != f.leaves.end() && !(leaf->attr == memory::kSupervisorReadOnly)) {
      offend(out, page, rights_text(leaf->attr));
    }
  }
}
/// Present pages of parts for which `relevant` holds have exactly the rights of the part.
template <typename F>
void rights_of_parts(Facts const& f, Offences& out, F&& relevant) {
  for (Part const& p : f.parts) {
    if (!p.rights || !relevant(p)) {
      continue;
    }
    for (Leaf const& leaf : f.leaves) {
      if (leaf.range.overlaps(p.range) && !(leaf.attr == *p.rights)) {
        offend(out, leaf.range,
               fmt::format("{} is {}, must be {}", p.name, rights_text(leaf.attr), rights_text(*p.rights)));
      }
    }
  }
}
void supervisor_private(Facts const& f, Offences& out) {
  for (Leaf const& leaf : f.leaves) {
    auto const* p = owner_of(f, leaf.range);
    bool const private_part = p != nullptr && p->rights && !p->rights->user;
    if (leaf.attr.user && private_part) {
      offend(out, leaf.range, fmt::format("{} is {}", p->name, rights_text(leaf.attr)));
    }
  }
  for (Section const& s : f.sections) {
    for (Leaf const& leaf : f.leaves) {
      if (!s.rights.user && leaf.attr.user && leaf.range.overlaps(s.range)) {
        offend(out, leaf.range, fmt::format("{} is {}", s.name, rights_text(leaf.attr)));
      }
    }
  }
}
void entry_and_save_state(Facts const& f, Offences& out) {
  rights_of_parts(f, out, [](Part const& p) { return p.kind == Kind::EntryCode || p.kind == Kind::SaveState; });
}
void descriptor_tables(Facts const& f, Offences& out) {
  rights_of_parts(f, out, [](Part const& p) { return p.kind == Kind::Descriptors; });
}
void stacks_and_data(Facts const& f, Offences& out) {
  rights_of_parts(f, out,
                  [](Part const& p) { return p.kind == Kind::Stack || p.kind == Kind::Data || p.kind == Kind::Open; });
}
void guard_pages(Facts const& f, Offences& out) {
  for (Range const& guard : f.guards) {
    for (Leaf const& leaf : f.leaves) {
      if (leaf.range.overlaps(guard)) {
        offend(out, guard, rights_text(leaf.attr));
      }
    }
  }
}
void parts_apart(Facts const& f, Offences& out) {
  for (std::size_t i = 1; i < f.parts.size(); ++i) {
    Part const& a = f.parts[i - 1];
    Part const& b = f.parts[i];
    if (a.range.overlaps(b.range)) {
      out.push_back({b.range, fmt::format("{} overlaps {}", b.name, a.name), 0});
    }
  }
}
void smrr_is_mmram(Facts const& f, Offences& out) {
  for (std::size_t i = 0; i < f.smrr.size(); ++i) {
    if (!(f.smrr[i] == f.mmram)) {
      std::string const covered = f.smrr[i].size == 0 ? "nothing" : range_text(f.smrr[i]);
      out.push_back({f.mmram, fmt::format("SMRR of CPU {} covers {}", i, covered), 0});
    }
  }
}
void no_stray_pages(Facts const& f, Offences& out) {
  for (Leaf const& leaf : f.leaves) {
    if (f.mmram.contains(leaf.range) && owner_of(f, leaf.range) == nullptr) {
      offend(out, leaf.range, rights_text(leaf.attr));
    }
  }
}

constexpr std::array kRules{
    Rule{"write-xor-execute", "no page is writable and executable", "MmPagingAudit 1", write_xor_execute},
    Rule{"mmram-reserved", "the memory map of the normal world reserves MMRAM", "MmPagingAudit 2", mmram_reserved},
    Rule{"memory-not-mapped", "memory of the normal world is mapped only where it was opened", "MmPagingAudit 3",
         memory_not_mapped},
    Rule{"execute-in-mmram", "executable pages are in MMRAM", "MmPagingAudit 4", execute_in_mmram},
    Rule{"image-sections", "each page of an image has the rights of its section: code is never writable",
         "MmPagingAudit 5", image_sections},
    Rule{"one-to-one", "each address has one entry, which leads to itself", "MmPagingAudit, overlapping entries",
         one_to_one},
    Rule{"opened-regions", "what is mapped outside MMRAM was opened by a HOB or a request", "ours", opened_regions},
    Rule{"supervisor-private", "ring 3 reaches no page of the supervisor", "ours", supervisor_private},
    Rule{"page-tables", "page tables are in MMRAM and read-only to the supervisor", "ours", page_tables},
    Rule{"entry-and-save-state", "MMI entry code is RX, the save state RW, both the supervisor's", "ours",
         entry_and_save_state},
    Rule{"descriptor-tables", "GDT, TSS and IDT are read-only to the supervisor", "ours", descriptor_tables},
    Rule{"stacks-and-data", "stacks, policy, HOB lists and buffers have the rights that their use needs", "ours",
         stacks_and_data},
    Rule{"null-page", "page 0 is not present", "ours", null_page},
    Rule{"guard-pages", "the page below a stack is not present", "ours", guard_pages},
    Rule{"parts-apart", "stacks, save states, tables and images do not overlap", "ours", parts_apart},
    Rule{"no-stray-pages", "each present page of MMRAM belongs to somebody", "ours", no_stray_pages},
    Rule{"smrr-is-mmram", "SMRR of each CPU that has it covers MMRAM, and nothing else", "ours", smrr_is_mmram},
};

std::vector<Region> regions_of(Facts const& f) {
  std::vector<Region> out;
  for (Leaf const& leaf : f.leaves) {
    for (u64 at = leaf.range.base; at < leaf.range.end(); at += kPageSize) {
      auto const* p = owner_of(f, {at, kPageSize});
      std::string const owner = p == nullptr ? "" : p->name;
      if (!out.empty() && out.back().range.end() == at && out.back().attr == leaf.attr && out.back().owner == owner) {
        out.back().range.size += kPageSize;
      } else {
        out.push_back({{at, kPageSize}, leaf.attr, p == nullptr ? Kind::Data : p->kind, owner});
      }
    }
  }
  return out;
}

}  // namespace

std::span<Rule const> rules() { return kRules; }

bool Report::passed() const {
  return std::ranges::all_of(rules, [](RuleResult const& r) { return r.offences.empty(); });
}

void audit(Facts const& facts, Report& report) {
  report.mmram = facts.mmram;
  report.memory_bytes = facts.memory_bytes;
  report.loaded_end = facts.loaded_end;
  report.regions = regions_of(facts);
  ++report.audits;
  for (Rule const& rule : kRules) {
    auto at = std::ranges::find(report.rules, &rule, &RuleResult::rule);
    if (at == report.rules.end()) {
      at = report.rules.insert(report.rules.end(), RuleResult{&rule, {}});
    }
    Offences found;
    rule.check(facts, found);
    for (Offence& o : found) {
      bool const known =
          std::ranges::any_of(at->offences, [&](Offence const& k) { return k.range == o.range && k.what == o.what; });
      if (!known) {
        o.mmi = report.audits;
        at->offences.push_back(std::move(o));
      }
    }
  }
}

std::string rights_text(memory::PageAttr attr) {
  return fmt::format("R{}{} {}", attr.writable ? "W" : "", attr.executable ? "X" : "",
                     attr.user ? "user" : "supervisor");
}
std::string_view kind_name(Kind kind) {
  constexpr std::array<std::string_view, 8> kNames{
      "image",       "MMI entry code", "save state", "page table",
      "descriptors", "stack",          "data",       "open to the normal world"};
  return kNames[static_cast<std::size_t>(kind)];
}
std::string range_text(Range range) { return fmt::format("{:#x}-{:#x}", range.base, range.end() - 1); }

}  // namespace mm::audit
