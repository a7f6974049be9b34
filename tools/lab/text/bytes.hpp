// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <expected>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/guid.hpp"
#include "core/base/types.hpp"

/// Small host-side helpers of the scenario runner: byte strings, files, GUID text.
namespace mm::lab {

using Bytes = std::vector<std::byte>;

/// Appends `width` little-endian bytes of `value`.
void append_int(Bytes& to, u64 value, unsigned width);
void append_bytes(Bytes& to, std::span<std::byte const> more);
void append_text(Bytes& to, std::string_view text);
template <typename T>
  requires std::is_trivially_copyable_v<T>
void append_object(Bytes& to, T const& value) {
  append_bytes(to, std::as_bytes(std::span<T const, 1>{&value, 1}));
}
/// Pads with `fill` to a multiple of `align`.
void pad_to(Bytes& to, std::size_t align, std::byte fill = std::byte{0});
/// Little-endian integer of up to 8 bytes; bytes beyond the end count as 0.
u64 load_int(std::span<std::byte const> from, std::size_t at, unsigned width);

/// "48 65 6c" or "48656c"; blanks and underscores are ignored. Error: a sentence.
std::expected<Bytes, std::string> parse_hex(std::string_view text);
std::string format_hex(std::span<std::byte const> bytes, std::size_t limit = 64);
/// "48656c"
std::string hex_digits(std::span<std::byte const> bytes);
/// Lines of 16 bytes: address, counted from `from`, bytes, text.
std::string hex_dump(std::span<std::byte const> bytes, u64 from = 0);
std::string hex_number(u64 value);

/// The largest file that is read: more than any flash image has.
inline constexpr u64 kLargestFile = 256ull << 20;
/// Whole file, or all that comes through a pipe. Error: a sentence with the path: it is not there, a folder or a
/// device, too large, or cannot be read.
std::expected<Bytes, std::string> read_file(std::filesystem::path const& path);
/// Error: a sentence with the path.
std::expected<void, std::string> write_file(std::filesystem::path const& path, std::span<std::byte const> bytes);
/// Whether write_file() failed for lack of space, or by a defect of the disk, in this process: the environment is at
/// fault then, and not what it was asked for.
bool disk_was_full() noexcept;
/// The same for files that several programs write and read at once: who opens it sees the old content or the new one,
/// whole. Content that is there already is not written again.
std::expected<void, std::string> replace_file(std::filesystem::path const& path, std::span<std::byte const> bytes);

/// Registry form, upper or lower case, also in braces, or a C initialiser ("{0x1, 0x2, 0x3, {0x4, ...}}", the inner
/// braces may be left out). Error: a sentence.
std::expected<Guid, std::string> parse_guid(std::string_view text);
std::string format_guid(Guid const& guid);
/// A GUID as a trace event carries it.
constexpr Guid guid_of_words(u64 low, u64 high) { return std::bit_cast<Guid>(std::array{low, high}); }
/// A well-known name ("Hello", "dispatch", "EndOfDxe"), a name of edk2 ("gEfiMmCpuProtocolGuid") or the registry form.
std::string guid_name(Guid const& guid);
/// "name (registry form)", or the registry form alone.
std::string named_guid(Guid const& guid);
/// A GUID by well-known name, name of edk2 or registry form. The error names the nearest known name.
std::expected<Guid, std::string> find_guid(std::string_view name_or_guid);

/// The candidate with the smallest edit distance, or "" when none is near.
std::string nearest(std::string_view word, std::span<std::string_view const> candidates);

/// FNV-1a-64 of `bytes`: names files by content, protects nothing.
u64 fnv1a(std::span<std::byte const> bytes);

/// The file GUID of an image outside a volume: from the `.guid` file beside it, else made from `name`.
Guid guid_of_image(std::filesystem::path const& file, std::string_view name);

}  // namespace mm::lab
