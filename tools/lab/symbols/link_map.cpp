// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/link_map.hpp"

#include <cxxabi.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <vector>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

/// The number that `text` is in hexadecimal, with or without 0x; nothing for anything else.
std::optional<u64> hexadecimal(std::string_view text) {
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
  }
  u64 value = 0;
  auto const done = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  bool const whole = !text.empty() && done.ec == std::errc{} && done.ptr == text.data() + text.size();
  return whole ? std::optional{value} : std::nullopt;
}

std::vector<std::string> words_of(std::string const& line) {
  std::istringstream in{line};
  std::vector<std::string> out;
  for (std::string word; out.size() < 4 && in >> word;) {
    out.push_back(word);
  }
  return out;
}

/// lld-link and MSVC: "0001:00000010  name  0000000140001010  f i object": section and offset, name, address. What the
/// addresses are based on stands above: "Preferred load address is 0000000140000000".
class CoffMap {
 public:
  void line(std::string const& text, std::map<u64, std::string>& names) {
    constexpr std::string_view kBase = "Preferred load address is ";
    if (auto const at = text.find(kBase); at != std::string::npos) {
      auto const words = words_of(text.substr(at + kBase.size()));
      base_ = words.empty() ? 0 : hexadecimal(words[0]).value_or(0);
      return;
    }
    auto const words = words_of(text);
    if (words.size() < 3 || words[0].size() != 13 || words[0][4] != ':' || words[2].size() != 16) {
      return;
    }
    if (auto const address = hexadecimal(words[2]); address && *address >= base_) {
      names.try_emplace(*address - base_, readable_name(words[1]));
    }
  }

 private:
  u64 base_ = 0;
};

/// GNU ld: " .text.name  0xADDRESS  0xSIZE  object", the rest on a line of its own when the name is long; and
/// "  0xADDRESS  name" for what other objects can see. Static functions have the former alone.
class ElfMap {
 public:
  void line(std::string const& text, std::map<u64, std::string>& names) {
    inside_ = inside_ || text.starts_with("Linker script and memory map");
    auto const words = words_of(text);
    if (!inside_ || words.empty()) {
      return;
    }
    if (words[0].starts_with(".")) {
      section_ = words[0].starts_with(".text.") ? words[0].substr(6) : "";
      in_text_ = words[0] == ".text" || words[0].starts_with(".text.");
    }
    std::size_t const first = words[0].starts_with(".") ? 1 : 0;
    if (words.size() < first + 2 || !words[first].starts_with("0x") || !in_text_) {
      return;
    }
    auto const address = hexadecimal(words[first]);
    if (!address || *address == 0) {
      return;  // 0: the section was left out
    }
    if (words[first + 1].starts_with("0x")) {
      if (!section_.empty() && words[first + 1] != "0x0") {
        names.try_emplace(*address, readable_name(section_));
      }
    } else if (words.size() == first + 2 && words[first + 1].find('=') == std::string::npos &&
               words[first + 1] != ".") {
      names.insert_or_assign(*address, readable_name(words[first + 1]));
    }
  }

 private:
  bool inside_ = false;
  bool in_text_ = false;
  std::string section_;
};

}  // namespace

std::string readable_name(std::string const& symbol) {
  // Without the prefix it would be taken for a type: "f" for float.
  int status = 0;
  bool const mangled = symbol.starts_with("_Z");
  std::unique_ptr<char, void (*)(void*)> const text{
      mangled ? abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status) : nullptr, std::free};
  std::string name = text == nullptr ? symbol : text.get();
  for (std::string_view const unnamed : {"(anonymous namespace)::", "`anonymous namespace'::"}) {
    for (auto found = name.find(unnamed); found != std::string::npos; found = name.find(unnamed)) {
      name.erase(found, unnamed.size());
    }
  }
  auto const parameters = name.find('(');
  return parameters == 0 ? name : name.substr(0, parameters);
}

LinkMap LinkMap::parse(std::string const& text) {
  LinkMap out;
  CoffMap coff;
  ElfMap elf;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    coff.line(line, out.names_);
    elf.line(line, out.names_);
  }
  return out;
}

LinkMap LinkMap::load(std::filesystem::path const& map) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(map, error)) {
    return {};
  }
  auto const bytes = read_file(map);
  return bytes ? parse({reinterpret_cast<char const*>(bytes->data()), bytes->size()}) : LinkMap{};
}

std::optional<LinkMap::Function> LinkMap::at(u64 offset) const {
  auto const after = names_.upper_bound(offset);
  if (after == names_.begin()) {
    return std::nullopt;
  }
  auto const& [start, name] = *std::prev(after);
  return Function{name, start};
}

}  // namespace mm::lab
