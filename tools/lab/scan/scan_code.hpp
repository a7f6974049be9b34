// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/base/types.hpp"
#include "tools/lab/firmware/code_kind.hpp"

/// Looks at the instructions of an image: those that a path from the entry point reaches, then what is left.
namespace mm::lab {

/// A section as the headers give it, cut to what the file has.
struct CodeSection {
  std::string name;
  u32 rva = 0;
  u64 offset = 0;  ///< in the file
  std::span<std::byte const> bytes;
};

struct CodeFinding {
  CodeKind kind{};
  u32 rva = 0;
  u64 offset = 0;
  u32 bytes = 0;
  std::string text;       ///< "rdmsr of 0x1A0"
  bool at_start = false;  ///< branches and calls lead there from the entry point; else only a pointer does
};

/// Services called through the table that the entry point is given: byte offsets in their tables.
struct CodeFacts {
  std::vector<CodeFinding> findings;
  std::map<u32, u64> boot_services;     ///< offset in EFI_BOOT_SERVICES -> file offset of the first use
  std::map<u32, u64> runtime_services;  ///< the same for EFI_RUNTIME_SERVICES
  std::set<u32> mmst_services;          ///< offsets in EFI_MM_SYSTEM_TABLE
  std::set<u32> installed;              ///< RVAs of the GUIDs of protocols that the image installs itself
  bool complete = true;                 ///< false: the image has more code than is looked at
};

/// `entry` and `roots` are RVAs where code begins; `all` has the data too, where the tables of switches are.
CodeFacts scan_code(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all, u32 entry,
                    std::vector<u32> const& roots);

/// "LocateProtocol" for 0x140; "service at 0x..." when unknown.
std::string boot_service_name(u32 offset);
std::string runtime_service_name(u32 offset);

}  // namespace mm::lab
