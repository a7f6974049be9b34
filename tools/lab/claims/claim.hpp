// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/fuzzing/driver_oracle.hpp"
#include "tools/lab/scenario/messages.hpp"

/// What somebody says that messages make a driver do (format: README.md), as a file.
namespace mm::lab {

/// What a driver is said to do.
enum class Deed : u8 {
  Fault,    ///< an exception
  Write,    ///< a write that it has no right to
  Read,     ///< a read that it has no right to
  CallOut,  ///< a jump to code outside MM
  Hang,     ///< it does not come back
  Leak,     ///< bytes in a reply: these, or of memory that nobody wrote
  Escape,   ///< ring 3 comes to run as ring 0
  Oracle    ///< what one of the oracles of `mmsim fuzz driver` sees
};
inline constexpr std::array<std::pair<std::string_view, Deed>, 8> kDeedNames{{{"fault", Deed::Fault},
                                                                              {"write", Deed::Write},
                                                                              {"read", Deed::Read},
                                                                              {"call-out", Deed::CallOut},
                                                                              {"hang", Deed::Hang},
                                                                              {"leak", Deed::Leak},
                                                                              {"escape", Deed::Escape},
                                                                              {"oracle", Deed::Oracle}}};

/// Where an address is said to lie.
enum class Area : u8 { Anywhere, Mmram, Outside };

struct ClaimedDeed {
  Deed what = Deed::Fault;
  std::optional<Range> at;            ///< of Write, Read, CallOut: where
  Area area = Area::Anywhere;         ///< the same, roughly
  std::optional<u64> vector;          ///< of Fault
  std::string image;                  ///< name of the image at fault; empty: any
  std::optional<u64> offset;          ///< of the instruction in it
  Bytes bytes;                        ///< of Leak; empty: of memory that nobody wrote
  std::optional<lab::Oracle> oracle;  ///< of Oracle
};

struct Claim {
  std::string name;
  std::filesystem::path scenario;   ///< the machine; empty: what follows
  std::vector<std::string> images;  ///< FILE.efi[:FILE.depex], from where the program runs
  std::vector<std::filesystem::path> volumes;
  std::filesystem::path policy;  ///< empty: the default
  bool heap_guard = true;
  std::vector<Message> messages;
  std::size_t message = 0;  ///< in which it happens, from 1; 0: in any
  ClaimedDeed does;
};

/// More messages are refused.
inline constexpr std::size_t kMostClaimMessages = 4096;
/// Reads a claim. Paths in it are relative to the folder of `file`. Error: "file: what", where in the document
/// included.
std::expected<Claim, std::string> parse_claim(std::string_view text, std::filesystem::path const& file);

}  // namespace mm::lab
