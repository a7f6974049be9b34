// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "core/base/guid.hpp"
#include "core/base/types.hpp"

/// Dependency expressions (PI 1.8 vol. 2, 10.7; core/user/RING3.md 2.5). Never reads outside the given
/// bytes.
namespace mm::user {

enum class DepexOp : u8 {
  Before = 0,
  After = 1,
  Push = 2,
  And = 3,
  Or = 4,
  Not = 5,
  True = 6,
  False = 7,
  End = 8,
  ScheduleOnRequest = 9,
};

enum class Association : u8 { None, Before, After };

/// "Run just before / after the file `target`", when the expression starts so; otherwise None.
struct DepexAssociation {
  Association kind = Association::None;
  Guid target;
};

namespace detail {
inline bool read_guid(std::span<std::byte const> bytes, std::size_t at, Guid& guid) noexcept {
  if (bytes.size() < sizeof(Guid) || at > bytes.size() - sizeof(Guid)) {
    return false;
  }
  __builtin_memcpy(&guid, bytes.data() + at, sizeof(Guid));
  return true;
}

/// The operand stack, a bit each. Its depth is bounded, an expression that needs more is malformed.
class BoolStack {
 public:
  bool push(bool value) noexcept {
    if (count_ == words_.size() * kBits) {
      return false;
    }
    u64 const bit = u64{1} << count_ % kBits;
    u64& word = words_[count_++ / kBits];
    word = value ? word | bit : word & ~bit;
    return true;
  }
  bool pop(bool& value) noexcept {
    if (count_ == 0) {
      return false;
    }
    --count_;
    value = (words_[count_ / kBits] >> count_ % kBits & 1) != 0;
    return true;
  }

 private:
  static constexpr std::size_t kBits = 64;
  std::array<u64, 1024 / kBits> words_{};
  std::size_t count_ = 0;
};
}  // namespace detail

inline DepexAssociation depex_association(std::span<std::byte const> depex) noexcept {
  DepexAssociation result;
  if (depex.empty() || depex[0] > std::byte{static_cast<u8>(DepexOp::After)} ||
      !detail::read_guid(depex, 1, result.target)) {
    return {};
  }
  result.kind = depex[0] == std::byte{static_cast<u8>(DepexOp::Before)} ? Association::Before : Association::After;
  return result;
}

/// Whether the expression holds. An empty one does (no dependency). False: malformed (underflow, truncated GUID, no
/// END, unknown opcode, BEFORE or AFTER anywhere, more than 1024 operands) and SOR. `installed(guid)` answers PUSH.
template <typename F>
bool depex_satisfied(std::span<std::byte const> depex, F&& installed) noexcept {
  if (depex.empty()) {
    return true;
  }
  detail::BoolStack stack;
  for (std::size_t i = 0; i < depex.size(); ++i) {
    bool a = false;
    bool b = false;
    auto const op = static_cast<DepexOp>(depex[i]);
    if (op > DepexOp::ScheduleOnRequest) {
      return false;
    }
    switch (op) {
      case DepexOp::Push: {
        Guid guid;
        if (!detail::read_guid(depex, i + 1, guid) || !stack.push(installed(guid))) {
          return false;
        }
        i += sizeof(Guid);
        break;
      }
      case DepexOp::And:
        if (!stack.pop(a) || !stack.pop(b) || !stack.push(a && b)) {
          return false;
        }
        break;
      case DepexOp::Or:
        if (!stack.pop(a) || !stack.pop(b) || !stack.push(a || b)) {
          return false;
        }
        break;
      case DepexOp::Not:
        if (!stack.pop(a) || !stack.push(!a)) {
          return false;
        }
        break;
      case DepexOp::True:
        if (!stack.push(true)) {
          return false;
        }
        break;
      case DepexOp::False:
        if (!stack.push(false)) {
          return false;
        }
        break;
      case DepexOp::End:
        return stack.pop(a) && a;
      case DepexOp::Before:
      case DepexOp::After:
      case DepexOp::ScheduleOnRequest:
        return false;
    }
  }
  return false;
}

/// Calls `f(guid)` for each PUSH that an evaluation could reach: those before END or the first malformed opcode.
template <typename F>
void for_each_push(std::span<std::byte const> depex, F&& f) noexcept {
  for (std::size_t i = 0; i < depex.size(); ++i) {
    auto const op = static_cast<DepexOp>(depex[i]);
    Guid guid;
    if (op < DepexOp::Push || op >= DepexOp::End || (op == DepexOp::Push && !detail::read_guid(depex, i + 1, guid))) {
      return;
    }
    if (op == DepexOp::Push) {
      f(guid);
      i += sizeof(Guid);
    }
  }
}

}  // namespace mm::user
