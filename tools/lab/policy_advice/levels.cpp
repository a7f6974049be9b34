// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/levels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy_advice/explain.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

constexpr u32 kTop = 30;
constexpr std::array<u32, 23> kIntel20{0xE4,  0x600, 0x652, 0x653, 0x655, 0x656, 0x658, 0x700,
                                       0x701, 0x706, 0x707, 0x710, 0x711, 0x716, 0x717, 0x720,
                                       0x721, 0x726, 0x727, 0x730, 0x731, 0x736, 0x737};
constexpr std::array<u32, 16> kAmd20{0x1D9,       0xC000'0080, 0xC000'0081, 0xC000'0082, 0xC000'0083, 0xC000'0084,
                                     0xC001'0010, 0xC001'0111, 0xDA0,       0x6A0,       0x6A2,       0x6A4,
                                     0x6A5,       0x6A6,       0x6A7,       0x6A8};
constexpr std::array<u32, 1> kIntel30{0x570};
constexpr std::array<u32, 3> kAmd30{0xC001'1010, 0xC001'1018, 0xC001'1024};
/// TXT private and public space, one page each.
constexpr Region kTxtSpaces[] = {{RegionKind::Txt, 0xFED2'0000, 0x1000}, {RegionKind::Txt, 0xFED3'0000, 0x1000}};

CategoryLevel at_top(Type type, std::optional<Vendor> vendor = {}) {
  return {.type = type, .vendor = vendor, .level = kTop, .assumed = false, .why = {}, .remedy = {}, .place = {}};
}
CategoryLevel lowered(CategoryLevel level, u32 to, Place place, std::string why, std::string remedy) {
  level.level = to;
  level.place = place;
  level.why = std::move(why);
  level.remedy = std::move(remedy);
  return level;
}

// --- memory ---------------------------------------------------------------------------------------------------------
bool overlap(Entry const& e, Region const& r) {
  return e.base <= r.base ? r.base - e.base < e.size : e.base - r.base < r.size;
}

/// The first region of these kinds of which an entry carries one of the rights.
std::optional<CategoryLevel> touches(Root const& root, std::span<Region const> regions, RegionKind kind, u32 rights,
                                     u32 level, std::string_view what) {
  for (auto const& e : root.entries) {
    for (auto const& r : regions) {
      if (r.kind == kind && overlap(e, r) && (e.attributes & rights) != 0) {
        return lowered(at_top(Type::Mem), level, e.place,
                       fmt::format("{} covers {} at {}", describe(Type::Mem, e), what, hex(r.base)),
                       "take the mapping out of the page tables of MM, or leave only Read");
      }
    }
  }
  return std::nullopt;
}

CategoryLevel memory_level(Policy const& policy, std::vector<Vendor> const& vendors, std::vector<Region> regions) {
  auto out = at_top(Type::Mem);
  auto const* const root = find_root(policy, Type::Mem);
  if (root == nullptr) {
    return lowered(out, 0, {}, "there is no MEM list, so the policy cannot be fetched", "add an empty MEM root");
  }
  if (root->deny && root->entries.empty()) {
    out.assumed = true;
    return out;
  }
  if (root->deny) {
    return lowered(out, 0, root->place, "the MEM list is a deny list", "memory has to be an allow list");
  }
  constexpr u32 kWriteExecute = policy::kWrite | policy::kExecute;
  for (auto const& e : root->entries) {
    if ((e.attributes & kWriteExecute) == kWriteExecute) {
      return lowered(out, 0, e.place, describe(Type::Mem, e) + " is writable and executable", "map it W^X");
    }
  }
  constexpr u32 kAny = ~0u;
  if (auto low = touches(*root, regions, RegionKind::Code, kAny, 0, "executable memory of the normal world")) {
    return *low;
  }
  if (auto low = touches(*root, regions, RegionKind::Iommu, ~u32{policy::kRead}, 10, "IOMMU registers")) {
    return *low;
  }
  if (std::ranges::find(vendors, Vendor::Intel) != vendors.end()) {
    regions.insert(regions.end(), std::begin(kTxtSpaces), std::end(kTxtSpaces));
    if (auto low = touches(*root, regions, RegionKind::Txt, ~u32{policy::kRead}, 20, "TXT memory")) {
      return *low;
    }
  }
  return out;
}

// --- ports ----------------------------------------------------------------------------------------------------------
bool covers(Entry const& e, u64 port, u64 width) {
  bool const strict = (e.attributes & policy::kStrictWidth) != 0;
  return strict ? e.base == port && e.size == width
                : port >= e.base && port - e.base < e.size && width <= e.size - (port - e.base);
}

CategoryLevel port_level(Policy const& policy) {
  auto const out = at_top(Type::Io);
  auto const* const root = find_root(policy, Type::Io);
  if (root == nullptr) {
    return lowered(out, 10, {}, "there is no IO list", "add one, even an empty allow list");
  }
  for (u64 const port : {u64{0xCF8}, u64{0xCFC}}) {
    auto const e = std::ranges::find_if(root->entries, [&](Entry const& x) { return covers(x, port, 4); });
    bool const found = e != root->entries.end();
    auto const writes = fmt::format("writes of 4 bytes at {}", hex(port));
    if (root->deny && (!found || (e->attributes & policy::kWrite) == 0)) {
      return lowered(out, 10, found ? e->place : root->place, "no entry of the deny list refuses " + writes,
                     fmt::format("deny {}: StartAddress {}, Size 0x4, Write", writes, hex(port)));
    }
    if (!root->deny && found) {
      return lowered(out, 10, e->place, fmt::format("{} covers 4 bytes at {}", describe(Type::Io, *e), hex(port)),
                     "take PCI configuration access out of ring 3");
    }
  }
  return out;
}

// --- MSRs -----------------------------------------------------------------------------------------------------------
std::optional<CategoryLevel> first_open_msr(Root const& root, std::span<u32 const> msrs, Vendor vendor, u32 level) {
  constexpr u32 kBoth = policy::kRead | policy::kWrite;
  for (u32 const msr : msrs) {
    auto const e =
        std::ranges::find_if(root.entries, [&](Entry const& x) { return msr >= x.base && msr - x.base < x.size; });
    bool const found = e != root.entries.end();
    auto const out = at_top(Type::Msr, vendor);
    if (!root.deny && found) {
      return lowered(out, level, e->place, fmt::format("{} covers {}", describe(Type::Msr, *e), hex(msr)),
                     fmt::format("take {} out of the allow list", hex(msr)));
    }
    if (root.deny && !found) {
      return lowered(out, level, root.place, fmt::format("no entry of the deny list covers {}", hex(msr)),
                     fmt::format("deny Read | Write of {}, or change to an allow list", hex(msr)));
    }
    if (root.deny && (e->attributes & kBoth) != kBoth) {
      return lowered(out, level, e->place, fmt::format("{} does not deny both Read and Write", describe(Type::Msr, *e)),
                     "SecurityAttributes has to be Read | Write");
    }
  }
  return std::nullopt;
}

CategoryLevel msr_level(Policy const& policy, Vendor vendor) {
  auto const out = at_top(Type::Msr, vendor);
  auto const* const root = find_root(policy, Type::Msr);
  if (root == nullptr) {
    return lowered(out, 10, {}, "there is no MSR list", "add one, even an empty allow list");
  }
  bool const intel = vendor == Vendor::Intel;
  if (auto low = first_open_msr(*root, intel ? std::span<u32 const>{kIntel20} : kAmd20, vendor, 10)) {
    return *low;
  }
  if (auto low = first_open_msr(*root, intel ? std::span<u32 const>{kIntel30} : kAmd30, vendor, 20)) {
    return *low;
  }
  return out;
}

// --- save state -----------------------------------------------------------------------------------------------------
bool is_tolerated(Entry const& e) {
  auto const is = [&](policy::SaveStateField field, u32 attributes, policy::IoTrap condition) {
    return e.base == static_cast<u64>(field) && e.attributes == attributes &&
           e.condition == static_cast<u32>(condition);
  };
  return is(policy::SaveStateField::IoTrap, policy::kRead, policy::IoTrap::None) ||
         is(policy::SaveStateField::Rax, policy::kCondRead, policy::IoTrap::Write) ||
         is(policy::SaveStateField::Rax, policy::kCondWrite, policy::IoTrap::Read);
}

CategoryLevel save_state_level(Policy const& policy) {
  auto const out = at_top(Type::SaveState);
  auto const* const root = find_root(policy, Type::SaveState);
  if (root == nullptr) {
    return lowered(out, 20, {}, "there is no SAVESTATE list, so every field may be read", "add an allow list");
  }
  if (root->deny) {
    return lowered(out, 0, root->place, "the SAVESTATE list is a deny list", "it has to be an allow list");
  }
  for (auto const& e : root->entries) {
    if (!is_tolerated(e)) {
      return lowered(out, 20, e.place,
                     fmt::format("SAVESTATE {} is more than level 30 tolerates", describe(Type::SaveState, e)),
                     "only IO_TRAP with Read, and RAX with LimitedRead and IOWRITE");
    }
  }
  return out;
}

}  // namespace

std::string_view vendor_name(Vendor vendor) noexcept { return vendor == Vendor::Intel ? "Intel" : "AMD"; }

Levels levels_of(Policy const& policy, std::vector<Vendor> const& vendors, std::vector<Region> const& regions) {
  Levels out;
  out.categories.push_back(memory_level(policy, vendors, regions));
  out.categories.push_back(port_level(policy));
  for (auto const vendor : vendors) {
    out.categories.push_back(msr_level(policy, vendor));
  }
  out.categories.push_back(save_state_level(policy));
  out.level = std::ranges::min(out.categories, {}, &CategoryLevel::level).level;
  out.assumed = std::ranges::any_of(out.categories, &CategoryLevel::assumed);
  return out;
}

}  // namespace mm::policy_tools
