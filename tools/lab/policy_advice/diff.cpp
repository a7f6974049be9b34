// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy_advice/matches.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

class Comparison {
 public:
  Comparison(Policy const& before, Policy const& after)
      : before_(before), after_(after), before_blob_(encode(before)), after_blob_(encode(after)) {}

  Difference run() {
    spans(Type::Msr, 0, 0xFFFF'FFFF, {policy::kRead, policy::kWrite});
    for (u64 const width : {u64{1}, u64{2}, u64{4}}) {
      spans(Type::Io, width, 0x1'0000 - width, {policy::kRead, policy::kWrite});
    }
    for (u64 i = 0; i < kInstructions.size(); ++i) {
      one({.type = Type::Instruction, .address = i, .width = 1, .access = policy::kExecute});
    }
    for (auto const field :
         {policy::SaveStateField::Rax, policy::SaveStateField::IoTrap, policy::SaveStateField::Other}) {
      for (auto const trap : {policy::IoTrap::None, policy::IoTrap::Read, policy::IoTrap::Write}) {
        one({.type = Type::SaveState, .address = static_cast<u64>(field), .trap = trap});
      }
    }
    memory();
    return std::move(out_);
  }

 private:
  /// 0: no change, 1: newly refused, 2: newly allowed.
  int change(Access const& a) const {
    bool const was = decide(before_blob_, a) == Status::Success;
    bool const is = decide(after_blob_, a) == Status::Success;
    return was == is ? 0 : is ? 2 : 1;
  }

  void one(Access const& a) {
    if (int const c = change(a); c != 0) {
      out_.changes.push_back({a.type, a.address, a.address, 0, a.access, a.trap, c == 2});
    }
  }

  void spans(Type type, u64 width, u64 last, std::vector<u16> const& accesses) {
    auto const starts = decision_points({&before_, &after_}, type, width, last);
    std::vector<Change> found;
    for (u16 const access : accesses) {
      auto const was = allowed_at(before_, type, starts, width, last, access);
      auto const is = allowed_at(after_, type, starts, width, last, access);
      std::size_t const first_of_access = found.size();
      for (std::size_t i = 0; i < starts.size(); ++i) {
        u64 const end = i + 1 < starts.size() ? starts[i + 1] - 1 : last;
        if (was[i] == is[i]) {
          continue;
        }
        bool const goes_on =
            found.size() > first_of_access && found.back().allowed == is[i] && found.back().last + 1 == starts[i];
        if (goes_on) {
          found.back().last = end;
        } else {
          found.push_back({type, starts[i], end, width, access, {}, is[i]});
        }
      }
    }
    std::ranges::sort(found, {}, [](Change const& c) { return std::tuple{c.first, c.access}; });
    join_rights(found);
  }

  /// Of each start: whether the policy allows the accesses from there on.
  static std::vector<bool> allowed_at(Policy const& policy, Type type, std::vector<u64> const& starts, u64 width,
                                      u64 last, u16 access) {
    auto const* const root = find_root(policy, type);
    std::vector<bool> out(starts.size());
    if (root == nullptr) {
      return out;  // without a list nothing is allowed
    }
    auto const counts = count_matches(*root, starts, width, last, access);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      out[i] = (counts[i] != 0) != root->deny;
    }
    return out;
  }

  /// Runs that differ only in the right become one.
  void join_rights(std::vector<Change> const& found) {
    std::map<std::tuple<u64, u64, bool>, std::size_t> known;
    for (auto const& c : found) {
      auto const [at, is_new] = known.try_emplace({c.first, c.last, c.allowed}, out_.changes.size());
      if (is_new) {
        out_.changes.push_back(c);
      } else {
        out_.changes[at->second].access |= c.access;
      }
    }
  }

  static bool states_memory(Policy const& p) {
    auto const* const root = find_root(p, Type::Mem);
    return root != nullptr && !(root->deny && root->entries.empty());
  }
  void memory() {
    bool const was = states_memory(before_);
    bool const is = states_memory(after_);
    if (was && is) {
      spans(Type::Mem, 0, UINT64_MAX, {policy::kRead, policy::kWrite, policy::kExecute});
    } else if (was || is) {
      out_.notes.push_back(
          fmt::format("memory is not compared: only the {} policy states it (the other is not a fetched policy)",
                      was ? "first" : "second"));
    }
  }

  Policy const& before_;
  Policy const& after_;
  Bytes before_blob_;
  Bytes after_blob_;
  Difference out_;
};

}  // namespace

std::vector<u64> decision_points(std::vector<Policy const*> const& policies, policy::Type type, u64 width, u64 last) {
  std::vector<u64> out{0};
  auto const add = [&](u64 at) {
    if (at <= last) {
      out.push_back(at);
    }
  };
  for (auto const* const p : policies) {
    Root const* const root = find_root(*p, type);
    if (root == nullptr) {
      continue;
    }
    for (auto const& e : root->entries) {
      // An access of `width` starts to touch an edge width - 1 before it; a strict entry matches at its base only.
      for (u64 const edge : {e.base, e.base + 1, e.base + e.size}) {
        add(edge);
        u64 const before = width == 0 ? 0 : width - 1;
        add(edge >= before ? edge - before : 0);
      }
    }
  }
  std::ranges::sort(out);
  auto const rest = std::ranges::unique(out);
  out.erase(rest.begin(), rest.end());
  return out;
}

Difference difference(Policy const& before, Policy const& after) { return Comparison{before, after}.run(); }

std::string describe(Change const& c) {
  if (c.type == Type::Instruction || c.type == Type::SaveState) {
    return describe(Access{.type = c.type, .address = c.first, .width = 1, .access = c.access, .trap = c.trap});
  }
  return fmt::format("{} {}{} {}{}", c.type == Type::Mem ? "MEMORY" : category_name(c.type), hex(c.first),
                     c.first == c.last ? "" : "-" + hex(c.last), access_words(c.access),
                     c.width == 0 ? "" : fmt::format(", {} byte{}", c.width, c.width == 1 ? "" : "s"));
}

}  // namespace mm::policy_tools
