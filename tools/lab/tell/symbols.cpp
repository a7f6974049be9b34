// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/symbols.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <sstream>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

/// The name of a C++ function without its parameters; other names as they are.
std::string readable(std::string const& symbol) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const text{abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                    std::free};
  if (status != 0 || text == nullptr) {
    return symbol;
  }
  std::string name{text.get()};
  constexpr std::string_view kUnnamed = "(anonymous namespace)::";
  for (auto found = name.find(kUnnamed); found != std::string::npos; found = name.find(kUnnamed)) {
    name.erase(found, kUnnamed.size());
  }
  return name.substr(0, name.find('('));
}

}  // namespace

/// A symbol line is "0001:00000010  name  0000000000001010  [f i] object": section and offset, name, address.
Symbols Symbols::parse(std::string const& text) {
  Symbols out;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::string place;
    std::string name;
    std::string address;
    if (!(words >> place >> name >> address) || place.size() != 13 || place[4] != ':' || address.size() != 16 ||
        address.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      continue;
    }
    out.names_.try_emplace(std::strtoull(address.c_str(), nullptr, 16), readable(name));
  }
  return out;
}

Symbols Symbols::load(std::filesystem::path const& map) {
  auto const bytes = read_file(map);
  return bytes ? parse({reinterpret_cast<char const*>(bytes->data()), bytes->size()}) : Symbols{};
}

std::optional<std::string> Symbols::at(u64 offset) const {
  auto const after = names_.upper_bound(offset);
  if (after == names_.begin()) {
    return std::nullopt;
  }
  auto const& [start, name] = *std::prev(after);
  return fmt::format("{}+{:#x}", name, offset - start);
}

}  // namespace mm::lab
