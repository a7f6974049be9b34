// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/types.hpp"

/// CPUID as QEMU 7.2 gives it for `-cpu Westmere,+smep,+smap,+umip` under TCG. tools/support/record_cpuid.py recorded
/// the table on one CPU, through the driver Instructions in ring 3, and compares it with QEMU on one to eight.
namespace mm::sim {

struct CpuidResult {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
  friend constexpr bool operator==(CpuidResult const&, CpuidResult const&) = default;
};
struct CpuidRow {
  u32 leaf = 0;
  u32 subleaf = 0;
  CpuidResult result;
};

/// Leaves that do not depend on the number of CPUs or depend on it as cpuid() says; what is not here is zero.
inline constexpr std::array kCpuidRows = {
    CpuidRow{0x00000000, 0, {0x0000000B, 0x756E6547, 0x6C65746E, 0x49656E69}},
    CpuidRow{0x00000001, 0, {0x000206C1, 0x00000800, 0x82982203, 0x078BFBFD}},
    CpuidRow{0x00000002, 0, {0x00000001, 0x00000000, 0x0000004D, 0x002C307D}},
    CpuidRow{0x00000004, 0, {0x00000121, 0x01C0003F, 0x0000003F, 0x00000001}},
    CpuidRow{0x00000004, 1, {0x00000122, 0x01C0003F, 0x0000003F, 0x00000001}},
    CpuidRow{0x00000004, 2, {0x00000143, 0x03C0003F, 0x00000FFF, 0x00000001}},
    CpuidRow{0x00000004, 3, {0x00000163, 0x03C0003F, 0x00003FFF, 0x00000006}},
    CpuidRow{0x00000005, 0, {0x00000000, 0x00000000, 0x00000003, 0x00000000}},
    CpuidRow{0x00000006, 0, {0x00000004, 0x00000000, 0x00000000, 0x00000000}},
    CpuidRow{0x00000007, 0, {0x00000000, 0x00100080, 0x00000004, 0x00000000}},
    CpuidRow{0x40000000, 0, {0x40000001, 0x54474354, 0x43544743, 0x47435447}},
    CpuidRow{0x80000000, 0, {0x80000008, 0x756E6547, 0x6C65746E, 0x49656E69}},
    CpuidRow{0x80000001, 0, {0x000206C1, 0x00000000, 0x00000001, 0x20100800}},
    CpuidRow{0x80000002, 0, {0x74736557, 0x6572656D, 0x36354520, 0x4C2F7878}},
    CpuidRow{0x80000003, 0, {0x78783635, 0x3635582F, 0x28207878, 0x6168654E}},
    CpuidRow{0x80000004, 0, {0x2D6D656C, 0x00002943, 0x00000000, 0x00000000}},
    CpuidRow{0x80000005, 0, {0x01FF01FF, 0x01FF01FF, 0x40020140, 0x40020140}},
    CpuidRow{0x80000006, 0, {0x00000000, 0x42004200, 0x02008140, 0x00808140}},
    CpuidRow{0x80000008, 0, {0x00003028, 0x00000000, 0x00000000, 0x00000000}},
};
inline constexpr u32 kCpuidLastBasic = 0xB;
inline constexpr u32 kCpuidLastHypervisor = 0x4000'0001;
inline constexpr u32 kCpuidLastExtended = 0x8000'0008;

namespace detail {
/// Leaf 0xB: levels of one package of `cpus` cores with one thread each.
constexpr CpuidResult topology(u32 subleaf, u32 cpus, u32 apic_id) noexcept {
  u32 const level = subleaf & 0xFF;
  if (level == 0) {
    return {0, 1, 0x100, apic_id};
  }
  u32 const bits = static_cast<u32>(std::bit_width(cpus - 1));
  return level == 1 ? CpuidResult{bits, cpus, 0x201, apic_id} : CpuidResult{0, 0, level, apic_id};
}
constexpr CpuidResult recorded(u32 leaf, u32 subleaf) noexcept {
  bool const indexed = leaf == 4 || leaf == 7;
  auto const row = std::ranges::find_if(
      kCpuidRows, [&](CpuidRow const& r) { return r.leaf == leaf && r.subleaf == (indexed ? subleaf : 0); });
  return row == kCpuidRows.end() ? CpuidResult{} : row->result;
}
}  // namespace detail

/// Result on the CPU with `apic_id`, one of `cpus` (1 to 8). A leaf beyond the last of its range gives the last basic
/// one.
constexpr CpuidResult cpuid(u32 leaf, u32 subleaf, u32 cpus, u32 apic_id) noexcept {
  bool const known = leaf <= kCpuidLastBasic || (leaf >= 0x4000'0000 && leaf <= kCpuidLastHypervisor) ||
                     (leaf >= 0x8000'0000 && leaf <= kCpuidLastExtended);
  if (!known || leaf == kCpuidLastBasic) {
    return detail::topology(subleaf, cpus, apic_id);
  }
  CpuidResult r = detail::recorded(leaf, subleaf);
  u32 const others = cpus - 1;
  switch (leaf) {
    case 1:
      r.ebx |= apic_id << 24 | (others != 0 ? cpus << 16 : 0);
      r.edx |= others != 0 ? 1u << 28 : 0;  // HTT
      break;
    case 4:  // cores of the package; the last cache is shared by all of them, as a power of two
      r.eax |= r.eax != 0 ? others << 26 : 0;
      r.eax |= subleaf == 3 ? (std::bit_ceil(cpus) - 1) << 14 : 0;
      break;
    case 0x8000'0008:
      r.ecx = others != 0 ? static_cast<u32>(std::bit_width(others)) << 12 | others : 0;
      break;
    default:
      break;
  }
  return r;
}

}  // namespace mm::sim
