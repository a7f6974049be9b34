// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/lab/policy/model.hpp"

/// The isolation level that the field's audit computes from a fetched policy (core/policy/FORMAT.md 7).
namespace mm::policy_tools {

enum class Vendor : u8 { Intel, Amd };
std::string_view vendor_name(Vendor vendor) noexcept;

enum class RegionKind : u8 {
  Code,   ///< conventional memory or run-time code that is executable
  Iommu,  ///< registers of an IOMMU
  Txt,    ///< TXT heap, or memory that is protected from DMA
};
/// Memory of the platform that the memory policy is held against.
struct Region {
  RegionKind kind{};
  u64 base = 0;
  u64 size = 0;
};

struct CategoryLevel {
  policy::Type type{};
  std::optional<Vendor> vendor;  ///< the MSR lists differ by vendor
  u32 level = 0;                 ///< 0, 10, 20 or 30
  bool assumed = false;          ///< memory that only a fetched policy states
  std::string why;               ///< empty at level 30
  std::string remedy;            ///< what would raise it
  Place place;                   ///< the entry or list that lowers it
};

struct Levels {
  std::vector<CategoryLevel> categories;
  u32 level = 0;         ///< the lowest
  bool assumed = false;  ///< it holds if the memory policy reaches it too
};

/// One level for each category that counts, the MSR list once for each vendor.
Levels levels_of(Policy const& policy, std::vector<Vendor> const& vendors, std::vector<Region> const& regions);

}  // namespace mm::policy_tools
