// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/bytes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>
#include <utility>

#include "core/abi/guids.hpp"
#include "tools/lab/text/edk2_names.hpp"

namespace mm::lab {
namespace {

using namespace std::string_view_literals;

std::atomic<bool> g_disk_was_full{false};

int digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

constexpr std::array kNamed{
    std::pair<std::string_view, Guid>{"Hello", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid},
    std::pair<std::string_view, Guid>{"Second", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0002"_guid},
    std::pair<std::string_view, Guid>{"HelloSupervised", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0003"_guid},
    std::pair<std::string_view, Guid>{"HelloSyscalls", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0004"_guid},
    std::pair<std::string_view, Guid>{"RootHandler", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00B2"_guid},
    std::pair<std::string_view, Guid>{"Instructions", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00F0"_guid},
    std::pair<std::string_view, Guid>{"Attacker", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010"_guid},
    std::pair<std::string_view, Guid>{"SaveState", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0050"_guid},
    std::pair<std::string_view, Guid>{"ApUser", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0020"_guid},
    std::pair<std::string_view, Guid>{"FaultAtEntry", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0030"_guid},
    std::pair<std::string_view, Guid>{"ErrorAtEntry", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0031"_guid},
    std::pair<std::string_view, Guid>{"RsmDriver", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0040"_guid},
    std::pair<std::string_view, Guid>{"DepexB", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00D0"_guid},
    std::pair<std::string_view, Guid>{"PlatformUser", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0060"_guid},
    std::pair<std::string_view, Guid>{"Probe", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0070"_guid},
    std::pair<std::string_view, Guid>{"ProbeSecond", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0071"_guid},
    std::pair<std::string_view, Guid>{"Victim", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0080"_guid},
    std::pair<std::string_view, Guid>{"SerialLog", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00F1"_guid},
    std::pair<std::string_view, Guid>{"PlatformEvent", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0200"_guid},
    std::pair<std::string_view, Guid>{"PlatformClient", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0203"_guid},
    std::pair<std::string_view, Guid>{"SupervisorRequest", guids::gMmSupervisorRequestHandlerGuid},
    std::pair<std::string_view, Guid>{"dispatch", guids::gEventMmDispatchGuid},
    std::pair<std::string_view, Guid>{"SupervisorDispatch", guids::gMmSupervisorDriverDispatchGuid},
    std::pair<std::string_view, Guid>{"EndOfPei", guids::gEfiMmEndOfPeiProtocol},
    std::pair<std::string_view, Guid>{"EndOfDxe", guids::gEfiEndOfDxeEventGroupGuid},
    std::pair<std::string_view, Guid>{"ReadyToLock", guids::gEfiDxeMmReadyToLockProtocolGuid},
    std::pair<std::string_view, Guid>{"ReadyToBoot", guids::gEfiEventReadyToBootGuid},
    std::pair<std::string_view, Guid>{"ExitBootServices", guids::gEfiEventExitBootServicesGuid},
    std::pair<std::string_view, Guid>{"UnblockHob", guids::gMmSupvUnblockRegionHobGuid},
    std::pair<std::string_view, Guid>{"MmramHob", guids::gEfiSmmSmramMemoryGuid},
    std::pair<std::string_view, Guid>{"gMmCommBufferHobGuid", guids::gMmCommBufferHobGuid},
    std::pair<std::string_view, Guid>{"SupervisorCommBufferHob", guids::gMmCommonRegionHobGuid},
    std::pair<std::string_view, Guid>{"MemoryTypeInformation", guids::gEfiMemoryTypeInformationGuid},
    std::pair<std::string_view, Guid>{"PassDownHob", guids::gMmSupervisorPassDownHobGuid},
    std::pair<std::string_view, Guid>{"SupervisorCore", guids::gMmSupervisorCoreGuid},
    std::pair<std::string_view, Guid>{"UserCore", guids::gMmSupervisorUserGuid},
    std::pair<std::string_view, Guid>{"Policy", guids::gMmSupervisorPolicyFileGuid},
    std::pair<std::string_view, Guid>{"MmSupervisorRing3Broker", guids::gMmSupervisorRing3BrokerGuid},
    std::pair<std::string_view, Guid>{"MmSupervisorInit", guids::gMmSupervisorInitGuid},
    std::pair<std::string_view, Guid>{"a-priori file", guids::gAprioriFileGuid},
};

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t const substitute = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substitute});
    }
  }
  return row.back();
}

/// 8-4-4-4-12 digits.
std::optional<Guid> registry_form(std::string_view text) {
  if (text.size() != 36) {
    return std::nullopt;
  }
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool const dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-') || (!dash && digit(text[i]) < 0)) {
      return std::nullopt;
    }
    if (!dash) {
      digits.push_back(text[i]);
    }
  }
  auto const number = [&](std::size_t from, std::size_t count) {
    u64 v = 0;
    for (std::size_t i = from; i < from + count; ++i) {
      v = v << 4 | static_cast<u64>(digit(digits[i]));
    }
    return v;
  };
  Guid g;
  g.data1 = static_cast<u32>(number(0, 8));
  g.data2 = static_cast<u16>(number(8, 4));
  g.data3 = static_cast<u16>(number(12, 4));
  for (std::size_t i = 0; i < 8; ++i) {
    g.data4[i] = static_cast<u8>(number(16 + 2 * i, 2));
  }
  return g;
}

/// The eleven numbers of an EFI_GUID in C: hexadecimal, in one or two pairs of braces.
std::optional<Guid> c_initialiser(std::string_view text) {
  constexpr std::array<u64, 11> kMost{0xFFFF'FFFF, 0xFFFF, 0xFFFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
  constexpr std::size_t kInner = 3;
  std::array<u64, kMost.size()> numbers{};
  auto const skip = [&text](std::string_view what) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    bool const there = text.starts_with(what);
    text.remove_prefix(there ? what.size() : 0);
    return there;
  };
  if (!skip("{")) {
    return std::nullopt;
  }
  bool inner = false;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    inner = i == kInner ? skip("{") : inner;
    if (!skip("0x") && !skip("0X")) {
      return std::nullopt;
    }
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), numbers[i], 16);
    if (error != std::errc{} || numbers[i] > kMost[i]) {
      return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (i + 1 < numbers.size() && !skip(",")) {
      return std::nullopt;
    }
  }
  if ((inner && !skip("}")) || !skip("}") || !skip("") || !text.empty()) {
    return std::nullopt;
  }
  Guid g{static_cast<u32>(numbers[0]), static_cast<u16>(numbers[1]), static_cast<u16>(numbers[2]), {}};
  for (std::size_t i = 0; i < 8; ++i) {
    g.data4[i] = static_cast<u8>(numbers[kInner + i]);
  }
  return g;
}

}  // namespace

void append_int(Bytes& to, u64 value, unsigned width) {
  for (unsigned i = 0; i < width; ++i) {
    to.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}
void append_bytes(Bytes& to, std::span<std::byte const> more) { to.insert(to.end(), more.begin(), more.end()); }
void append_text(Bytes& to, std::string_view text) { append_bytes(to, std::as_bytes(std::span{text})); }
void pad_to(Bytes& to, std::size_t align, std::byte fill) { to.resize((to.size() + align - 1) / align * align, fill); }
u64 load_int(std::span<std::byte const> from, std::size_t at, unsigned width) {
  u64 v = 0;
  for (unsigned i = 0; i < width && at + i < from.size(); ++i) {
    v |= static_cast<u64>(from[at + i]) << (8 * i);
  }
  return v;
}

std::expected<Bytes, std::string> parse_hex(std::string_view text) {
  Bytes out;
  out.reserve(text.size() / 2);
  int high = -1;
  for (char const c : text) {
    if (c == ' ' || c == '_' || c == '\n' || c == '\t' || c == '\r') {
      continue;
    }
    int const d = digit(c);
    if (d < 0) {
      return std::unexpected(fmt::format("'{}' is not a hexadecimal digit", c));
    }
    if (high < 0) {
      high = d;
    } else {
      out.push_back(static_cast<std::byte>(high << 4 | d));
      high = -1;
    }
  }
  if (high >= 0) {
    return std::unexpected(std::string{"an odd number of hexadecimal digits"});
  }
  return out;
}
std::string format_hex(std::span<std::byte const> bytes, std::size_t limit) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size() && i < limit; ++i) {
    out += fmt::format("{}{:02x}", i == 0 ? "" : " ", static_cast<unsigned>(bytes[i]));
  }
  return bytes.size() > limit ? out + " ..." : out;
}
std::string hex_digits(std::span<std::byte const> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(2 * bytes.size(), '0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto const value = static_cast<unsigned>(bytes[i]);
    out[2 * i] = kDigits[value >> 4];
    out[2 * i + 1] = kDigits[value & 15];
  }
  return out;
}
std::string hex_dump(std::span<std::byte const> bytes, u64 from) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    auto const row = bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at));
    std::string text;
    for (std::byte const b : row) {
      auto const c = static_cast<char>(b);
      text.push_back(c >= ' ' && c <= '~' ? c : '.');
    }
    out += fmt::format("  {:08x}  {:<47}  {}\n", from + at, format_hex(row), text);
  }
  return out;
}
std::string hex_number(u64 value) { return fmt::format("0x{:x}", value); }

std::expected<Bytes, std::string> read_file(std::filesystem::path const& path) {
  // First: to read a device may never end.
  std::error_code error;
  auto const kind = std::filesystem::status(path, error).type();
  if (kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::fifo) {
    return std::unexpected(fmt::format("{}: {}", path.string(), error ? error.message() : "not a file"));
  }
  auto const too_large = [&](auto size) {
    return std::unexpected(
        fmt::format("{}: {} bytes; a file may have {} MiB", path.string(), size, kLargestFile >> 20));
  };
  bool const regular = kind == std::filesystem::file_type::regular;
  u64 const size = regular ? std::filesystem::file_size(path, error) : 0;
  if (!error && size > kLargestFile) {
    return too_large(size);
  }
  std::ifstream in{path, std::ios::binary};
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  Bytes out;
  out.reserve(static_cast<std::size_t>(size));
  std::vector<char> piece(kPiece);
  while (in) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    append_bytes(out, std::as_bytes(std::span{piece}.first(static_cast<std::size_t>(in.gcount()))));
    if (out.size() > kLargestFile) {
      return too_large(fmt::format("more than {}", kLargestFile));
    }
  }
  if (!in.eof()) {
    return std::unexpected(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  }
  return out;
}
bool disk_was_full() noexcept { return g_disk_was_full; }

std::expected<void, std::string> write_file(std::filesystem::path const& path, std::span<std::byte const> bytes) {
  std::string text;
  for (std::byte const b : bytes) {
    text.push_back(static_cast<char>(b));
  }
  std::ofstream out{path, std::ios::binary};
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) {
    int const error = errno;
    if (error == ENOSPC || error == EDQUOT || error == EIO) {
      g_disk_was_full = true;
    }
    return std::unexpected(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(error)));
  }
  return {};
}

std::expected<void, std::string> replace_file(std::filesystem::path const& path, std::span<std::byte const> bytes) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    auto const there = read_file(path);
    if (there && std::ranges::equal(*there, bytes)) {
      return {};
    }
  }
  auto const part = path.parent_path() / fmt::format(".{}.{}", path.filename().string(), ::getpid());
  if (auto const written = write_file(part, bytes); !written) {
    std::filesystem::remove(part, error);
    return written;
  }
  std::filesystem::rename(part, path, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    return std::unexpected(fmt::format("{}: cannot be written: {}", path.string(), error.message()));
  }
  return {};
}

std::expected<Guid, std::string> parse_guid(std::string_view text) {
  auto const guid = text.starts_with('{') && text.contains(',')                      ? c_initialiser(text)
                    : text.size() == 38 && text.front() == '{' && text.back() == '}' ? registry_form(text.substr(1, 36))
                                                                                     : registry_form(text);
  return guid ? std::expected<Guid, std::string>{*guid} : std::unexpected(fmt::format("'{}' is not a GUID", text));
}
std::string format_guid(Guid const& g) {
  return fmt::format("{:08X}-{:04X}-{:04X}-{:02X}{:02X}-{:02X}{:02X}{:02X}{:02X}{:02X}{:02X}", g.data1, g.data2,
                     g.data3, g.data4[0], g.data4[1], g.data4[2], g.data4[3], g.data4[4], g.data4[5], g.data4[6],
                     g.data4[7]);
}
std::string guid_name(Guid const& guid) {
  for (auto const& [name, known] : kNamed) {
    if (known == guid) {
      return std::string{name};
    }
  }
  auto const names = edk2_names();
  auto const at = std::ranges::find(names, guid, &Edk2Name::guid);
  return at != names.end() ? std::string{at->name} : format_guid(guid);
}
std::string named_guid(Guid const& guid) {
  auto const name = guid_name(guid);
  auto const registry = format_guid(guid);
  return name == registry ? registry : fmt::format("{} ({})", name, registry);
}
std::expected<Guid, std::string> find_guid(std::string_view text) {
  std::vector<std::string_view> names;
  for (auto const& [name, known] : kNamed) {
    if (name == text) {
      return known;
    }
    names.push_back(name);
  }
  for (auto const& [name, known] : edk2_names()) {
    if (name == text) {
      return known;
    }
    names.push_back(name);
  }
  if (auto guid = parse_guid(text)) {
    return guid;
  }
  auto const near = nearest(text, names);
  return std::unexpected(fmt::format("'{}' is neither a GUID nor a known name{}", text,
                                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

std::string nearest(std::string_view word, std::span<std::string_view const> candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(3, word.size() / 2) + 1;
  for (auto const candidate : candidates) {
    if (auto const d = distance(word, candidate); d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return std::string{best};
}

u64 fnv1a(std::span<std::byte const> bytes) {
  u64 hash = 0xCBF2'9CE4'8422'2325;
  for (std::byte const b : bytes) {
    hash = (hash ^ static_cast<u64>(b)) * 0x100'0000'01B3;
  }
  return hash;
}

Guid guid_of_image(std::filesystem::path const& file, std::string_view name) {
  if (auto const beside = read_file(std::filesystem::path{file}.replace_extension(".guid"))) {
    std::string_view text{reinterpret_cast<char const*>(beside->data()), beside->size()};
    text = text.substr(0, text.find_last_not_of(" \t\r\n\0"sv) + 1);
    if (auto const guid = parse_guid(text)) {
      return *guid;
    }
  }
  u64 const hash = fnv1a(std::as_bytes(std::span{name}));
  Guid made{static_cast<u32>(hash), static_cast<u16>(hash >> 32), static_cast<u16>(hash >> 48), {}};
  made.data4[0] = 0x80;
  return made;
}

}  // namespace mm::lab
