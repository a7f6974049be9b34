// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "tools/lab/text/bytes.hpp"

/// GUID HOBs that a platform hands to its MM drivers (variable store, flash information, ...), as `mmsim send` takes
/// them.
namespace mm::lab {

struct PlatformHob {
  Guid name;
  Bytes data;
};

/// "GUID:hex" or "GUID:FILE", the GUID also by name. Digits that are the name of a file
/// too are an error: ./FILE is the file, 0x and digits are the digits. Error: a sentence.
std::expected<PlatformHob, std::string> parse_hob(std::string const& argument);

/// The HOBs one behind the other, as they stand in a list. Error, a sentence: too large, or a HOB that the boot code
/// or the loader makes itself.
std::expected<Bytes, std::string> encode_hobs(std::vector<PlatformHob> const& hobs);

/// Adds a GUID HOB. `data` has at most 65,512 bytes; it is filled up with zeros to a multiple of 8.
void append_guid_hob(Bytes& to, Guid const& name, std::span<std::byte const> data);
/// The same of an object.
template <typename T>
void append_guid_hob(Bytes& to, Guid const& name, T const& payload) {
  append_guid_hob(to, name, std::as_bytes(std::span{&payload, 1}));
}

/// The HOB that turns the heap guard on (core/abi/ABI.md 1.2); `message`: for messages, too.
Bytes heap_guard_hob(bool message);

}  // namespace mm::lab
