// SPDX-License-Identifier: BSD-2-Clause-Patent
// Dependency expressions, against a second evaluator that is written from the specification (PI 1.8 vol. 2, 10.7). Two
// bytes say which of sixteen protocols are installed; the expression follows. A PUSH of any GUID asks for protocol
// number "its first byte, modulo 16".
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "core/user/depex.hpp"
#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"

namespace {

using namespace mm;
using Bytes = std::span<std::byte const>;

constexpr std::size_t kMostOperands = 1024;

bool is_installed(u16 installed, std::byte first_of_guid) {
  return (installed >> (static_cast<u8>(first_of_guid) & 15) & 1) != 0;
}

/// The stack as a list. Nothing: malformed.
std::optional<bool> evaluate(Bytes code, u16 installed) {
  std::vector<bool> stack;
  auto const pop = [&]() -> std::optional<bool> {
    if (stack.empty()) {
      return std::nullopt;
    }
    bool const top = stack.back();
    stack.pop_back();
    return top;
  };
  while (!code.empty()) {
    auto const op = static_cast<u8>(code[0]);
    code = code.subspan(1);
    std::optional<bool> value;
    if (op == 2) {
      if (code.size() < sizeof(Guid)) {
        return std::nullopt;
      }
      value = is_installed(installed, code[0]);
      code = code.subspan(sizeof(Guid));
    } else if (op == 3 || op == 4) {
      auto const right = pop();
      auto const left = pop();
      if (!left || !right) {
        return std::nullopt;
      }
      value = op == 3 ? *left && *right : *left || *right;
    } else if (op == 5) {
      auto const one = pop();
      if (!one) {
        return std::nullopt;
      }
      value = fuzz::planted("NotIsIgnored") ? *one : !*one;
    } else if (op == 6 || op == 7) {
      value = op == 6;
    } else if (op == 8) {
      return pop();
    }
    if (!value || stack.size() == kMostOperands) {
      return std::nullopt;  // another opcode, or too deep
    }
    stack.push_back(*value);
  }
  return std::nullopt;  // no END
}

void check_association(Bytes code) {
  auto const found = user::depex_association(code);
  bool const there = code.size() > sizeof(Guid) && static_cast<u8>(code[0]) <= 1;
  MM_FUZZ_CHECK((found.kind != user::Association::None) == there);
  if (there) {
    MM_FUZZ_CHECK((found.kind == user::Association::After) == (static_cast<u8>(code[0]) == 1));
    MM_FUZZ_CHECK(std::memcmp(&found.target, code.data() + 1, sizeof(Guid)) == 0);
  }
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"NotIsIgnored"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  u16 installed = 0;
  if (data.size() < sizeof installed) {
    return;
  }
  std::memcpy(&installed, data.data(), sizeof installed);
  Bytes const code = data.subspan(sizeof installed);
  bool const satisfied = user::depex_satisfied(
      code, [&](Guid const& guid) { return is_installed(installed, static_cast<std::byte>(guid.data1 & 0xFF)); });
  MM_FUZZ_CHECK(satisfied == (code.empty() || evaluate(code, installed).value_or(false)));
  check_association(code);
}
