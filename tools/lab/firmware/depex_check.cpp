// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/depex_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/user/depex.hpp"
#include "tools/lab/firmware/volume_listing.hpp"

namespace mm::lab {
namespace {

using user::DepexOp;
using Span = std::span<std::byte const>;

/// With more protocols not every set of them is tried.
constexpr std::size_t kMostProtocols = 12;

std::size_t operands_of(DepexOp op) {
  switch (op) {
    case DepexOp::And:
    case DepexOp::Or:
      return 2;
    case DepexOp::Not:
    case DepexOp::End:
      return 1;
    case DepexOp::Before:
    case DepexOp::After:
    case DepexOp::Push:
    case DepexOp::True:
    case DepexOp::False:
    case DepexOp::ScheduleOnRequest:
      break;
  }
  return 0;
}

std::string at_byte(std::size_t at) { return fmt::format(" at byte {}", at); }

/// What is wrong with the form of an expression that does not begin with BEFORE, AFTER or SOR.
std::optional<std::string> malformed(Span depex) {
  constexpr std::string_view kWords[] = {"BEFORE", "AFTER", "PUSH", "AND", "OR", "NOT", "TRUE", "FALSE", "END", "SOR"};
  std::size_t depth = 0;
  for (std::size_t at = 0; at < depex.size(); ++at) {
    auto const op = static_cast<DepexOp>(depex[at]);
    if (op > DepexOp::ScheduleOnRequest) {
      return fmt::format("unknown opcode {:#04x}", static_cast<u8>(op)) + at_byte(at);
    }
    auto const word = kWords[static_cast<std::size_t>(op)];
    if (op < DepexOp::Push || op == DepexOp::ScheduleOnRequest) {
      return fmt::format("{}{}, and it may only be the first", word, at_byte(at));
    }
    if (depth < operands_of(op)) {
      return fmt::format("{}{} has {} of its {} operands", word, at_byte(at), depth, operands_of(op));
    }
    if (op == DepexOp::End) {
      return std::nullopt;
    }
    if (op == DepexOp::Push && depex.size() - at <= sizeof(Guid)) {
      return "PUSH without its GUID" + at_byte(at);
    }
    at += op == DepexOp::Push ? sizeof(Guid) : 0;
    depth = op == DepexOp::And || op == DepexOp::Or ? depth - 1 : op == DepexOp::Not ? depth : depth + 1;
  }
  return "no END";
}

}  // namespace

std::optional<std::string> why_depex_never_holds(Span depex) {
  if (depex.empty() || user::depex_association(depex).kind != user::Association::None) {
    return std::nullopt;
  }
  auto const first = static_cast<DepexOp>(depex[0]);
  if (first == DepexOp::ScheduleOnRequest) {
    return "SOR: MM has no service that would schedule the driver";
  }
  if (first < DepexOp::Push) {
    return fmt::format("it is malformed: {}", depex_words(depex).back());
  }
  if (auto const why = malformed(depex)) {
    return "it is malformed: " + *why;
  }
  std::vector<Guid> protocols;
  user::for_each_push(depex, [&](Guid const& guid) {
    if (std::ranges::find(protocols, guid) == protocols.end()) {
      protocols.push_back(guid);
    }
  });
  if (protocols.size() > kMostProtocols) {
    return std::nullopt;
  }
  for (u64 set = 0; set < u64{1} << protocols.size(); ++set) {
    auto const installed = [&](Guid const& guid) {
      return (set >> (std::ranges::find(protocols, guid) - protocols.begin()) & 1) != 0;
    };
    if (user::depex_satisfied(depex, installed)) {
      return std::nullopt;
    }
  }
  return "it is false whatever protocols are installed";
}

}  // namespace mm::lab
