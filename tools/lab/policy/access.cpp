// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/access.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tools/lab/policy/names.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;
using Words = std::vector<std::string>;
using Result = std::expected<Access, std::string>;

constexpr std::string_view kForms =
    "an access is one of: MSR N read|write; IO PORT read|write [1|2|4]; INSTRUCTION CLI|WBINVD|HLT; "
    "SAVESTATE RAX|IO_TRAP|OTHER read [during IN|OUT]; MEMORY ADDRESS read|write|execute [BYTES]";

std::unexpected<std::string> no(std::string what) {
  return std::unexpected(fmt::format("{}; {}", std::move(what), kForms));
}

Words words_of(std::string_view text) {
  Words out;
  for (std::size_t at = 0; at < text.size();) {
    auto const from = text.find_first_not_of(" \t", at);
    if (from == std::string_view::npos) {
      break;
    }
    auto const end = std::min(text.find_first_of(" \t", from), text.size());
    out.push_back(lower(text.substr(from, end - from)));
    at = end;
  }
  return out;
}

std::optional<u16> access_bit(std::string_view word) {
  constexpr std::pair<std::string_view, u16> kBits[] = {
      {"read", policy::kRead}, {"write", policy::kWrite}, {"execute", policy::kExecute}};
  for (auto const& [name, bit] : kBits) {
    if (word == name) {
      return bit;
    }
  }
  return std::nullopt;
}

/// KIND ADDRESS read|write|execute [WIDTH]
Result parse_span(Words const& words, Access access, u64 last, bool has_width) {
  if (words.size() < 3 || words.size() > (has_width ? 4u : 3u)) {
    return no(words.size() < 3 ? "the address or the kind of access is missing" : "too many words");
  }
  auto const address = parse_number(words[1]);
  if (!address || *address > last) {
    return no(fmt::format("'{}' is not a number up to {}", words[1], hex(last)));
  }
  auto const bit = access_bit(words[2]);
  if (!bit || (access.type != Type::Mem && *bit == policy::kExecute)) {
    return no(fmt::format("'{}' is no access here", words[2]));
  }
  auto const width = words.size() == 4 ? parse_number(words[3]) : std::optional<u64>{1};
  bool const io = access.type == Type::Io;
  if (!width || *width == 0 || (io && *width != 1 && *width != 2 && *width != 4)) {
    return no(fmt::format("'{}' is no width", words.back()));
  }
  if (*width - 1 > last - *address) {
    return no(fmt::format("{} bytes at {} go beyond {}", *width, hex(*address), hex(last)));
  }
  access.address = *address;
  access.access = *bit;
  access.width = *width;
  return access;
}

Result parse_instruction(Words const& words) {
  for (std::size_t i = 0; i < kInstructions.size() && words.size() == 2; ++i) {
    if (words[1] == lower(kInstructions[i])) {
      return Access{.type = Type::Instruction, .address = i, .access = policy::kExecute};
    }
  }
  return no(words.size() == 2 ? fmt::format("'{}' is no instruction of the policy", words[1])
                              : std::string{"one instruction has to be named"});
}

Result parse_save_state(Words words) {
  Access access{.type = Type::SaveState};
  if (words.size() < 2) {
    return no("the save-state field is missing");
  }
  access.address = words[1] == "rax"       ? static_cast<u64>(policy::SaveStateField::Rax)
                   : words[1] == "io_trap" ? static_cast<u64>(policy::SaveStateField::IoTrap)
                                           : static_cast<u64>(policy::SaveStateField::Other);
  if (words.size() > 2 && words[2] == "write") {
    return no("no system call writes a save state");
  }
  if (words.size() > 2 && words[2] == "read") {
    words.erase(words.begin() + 2);
  }
  if (words.size() == 4 && words[2] == "during" && (words[3] == "in" || words[3] == "out")) {
    access.trap = words[3] == "in" ? policy::IoTrap::Read : policy::IoTrap::Write;
  } else if (words.size() != 2) {
    return no(fmt::format("'{}' is not understood", words[2]));
  }
  return access;
}

Status decide_memory(policy::View view, Access const& access) noexcept {
  u64 const at = policy::find_root(view, Type::Mem);
  if (at == 0) {
    return Status::AccessDenied;
  }
  auto const root = policy::detail::root_from(view, at);
  bool const deny = root.access_attr == static_cast<u8>(policy::AccessAttr::DenyList);
  policy::detail::Span const wanted{access.address, access.width, false};
  bool match = false;
  for (u64 i = 0; i < root.count && !match; ++i) {
    u64 const d = root.offset + i * policy::kMemDescriptorSize;
    auto const have = policy::detail::span_of(view, Type::Mem, d);
    bool const covers = deny ? policy::detail::overlaps(have, wanted) : policy::detail::contains(have, wanted);
    match = covers && (view.get<u32>(d + 16) & access.access) != 0;
  }
  return policy::detail::verdict(match, root.access_attr);
}

}  // namespace

std::expected<Access, std::string> parse_access(std::string_view text) {
  auto words = words_of(text);
  if (words.empty()) {
    return no("no access was given");
  }
  if (words.size() == 1 && parse_number(words[0])) {
    words = {"memory", words[0], "read"};
  }
  auto const& kind = words[0];
  if (kind == "msr") {
    return parse_span(words, {.type = Type::Msr}, 0xFFFF'FFFF, false);
  }
  if (kind == "io" || kind == "port") {
    return parse_span(words, {.type = Type::Io}, 0xFFFF, true);
  }
  if (kind == "memory" || kind == "mem") {
    return parse_span(words, {.type = Type::Mem}, UINT64_MAX, true);
  }
  if (kind == "instruction") {
    return parse_instruction(words);
  }
  if (kind == "savestate" || kind == "save-state" || kind == "save_state") {
    return parse_save_state(words);
  }
  return no(fmt::format("'{}' is no kind of access", words[0]));
}

std::string describe(Access const& a) {
  switch (a.type) {
    case Type::Msr:
      return fmt::format("MSR {} {}", hex(a.address), access_words(a.access));
    case Type::Io:
      return fmt::format("IO {} {}, {} byte{}", hex(a.address), access_words(a.access), a.width,
                         a.width == 1 ? "" : "s");
    case Type::Mem:
      return fmt::format("MEMORY {} {}, {} byte{}", hex(a.address), access_words(a.access), a.width,
                         a.width == 1 ? "" : "s");
    case Type::Instruction:
      return fmt::format("INSTRUCTION {}", a.address < kInstructions.size() ? kInstructions[a.address] : "?");
    case Type::SaveState: {
      constexpr std::array<std::string_view, 3> kTraps{"", " during IN", " during OUT"};
      return fmt::format("SAVESTATE {} read{}", a.address < kFields.size() ? kFields[a.address] : "OTHER",
                         kTraps[static_cast<u32>(a.trap) % kTraps.size()]);
    }
  }
  return "?";
}

Status decide(std::span<std::byte const> blob, Access const& a) noexcept {
  policy::View const view{blob};
  switch (a.type) {
    case Type::Msr:
      return policy::decide_msr(view, static_cast<u32>(a.address), a.access);
    case Type::Io:
      return policy::decide_io(view, a.address, a.width, a.access);
    case Type::Instruction:
      return policy::decide_instruction(view, static_cast<u16>(a.address));
    case Type::SaveState:
      return policy::decide_save_state(view, policy::SaveStateField{static_cast<u32>(a.address)}, a.trap);
    case Type::Mem:
      return decide_memory(view, a);
  }
  return Status::InvalidParameter;
}

}  // namespace mm::policy_tools
