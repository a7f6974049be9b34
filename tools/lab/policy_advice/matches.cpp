// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/matches.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <utility>

#include "tools/lab/policy/access.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy_advice/diff.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

/// Indices into `starts` that a run covers, [first, second).
std::pair<std::size_t, std::size_t> indices(AccessRun run, std::vector<u64> const& starts) {
  auto const at = [&](auto bound) { return static_cast<std::size_t>(bound - starts.begin()); };
  return {at(std::ranges::lower_bound(starts, run.first)), at(std::ranges::upper_bound(starts, run.last))};
}

/// Takes the mark of redundancy from every entry that is the only one to match some access of `width` with `right`.
void keep_what_is_needed(Root const& root, u64 width, u64 last, u32 right, std::vector<bool>& redundant) {
  Policy policy;
  policy.roots.push_back(root);
  auto const starts = decision_points({&policy}, root.type, width, last);
  auto const counts = count_matches(root, starts, width, last, right);
  std::vector<std::size_t> alone(starts.size() + 1);  // places before, where one entry matches
  for (std::size_t i = 0; i < starts.size(); ++i) {
    alone[i + 1] = alone[i] + (counts[i] == 1 ? 1 : 0);
  }
  for (std::size_t i = 0; i < root.entries.size(); ++i) {
    auto const& e = root.entries[i];
    auto const run = (e.attributes & right) != 0 ? matched_run(root.type, root.deny, e, width, last) : std::nullopt;
    if (run) {
      auto const [from, to] = indices(*run, starts);
      redundant[i] = redundant[i] && alone[to] == alone[from];
    }
  }
}

/// The questions of the INSTRUCTION and SAVE_STATE lists, which are few.
std::vector<Access> few_questions(Type type) {
  std::vector<Access> out;
  if (type == Type::Instruction) {
    for (u64 i = 0; i <= static_cast<u64>(policy::Instruction::Hlt); ++i) {
      out.push_back({.type = type, .address = i, .width = 1, .access = policy::kExecute});
    }
    return out;
  }
  for (auto const field :
       {policy::SaveStateField::Rax, policy::SaveStateField::IoTrap, policy::SaveStateField::Other}) {
    for (auto const trap : {policy::IoTrap::None, policy::IoTrap::Read, policy::IoTrap::Write}) {
      out.push_back({.type = type, .address = static_cast<u64>(field), .trap = trap});
    }
  }
  return out;
}

std::vector<bool> redundant_among_few(Root const& root) {
  auto const questions = few_questions(root.type);
  std::vector<std::vector<std::size_t>> matching(questions.size());
  for (std::size_t i = 0; i < root.entries.size(); ++i) {
    Policy alone;
    alone.roots.push_back({root.type, root.deny, {root.entries[i]}, {}, {}});
    auto const blob = encode(alone);
    for (std::size_t q = 0; q < questions.size(); ++q) {
      bool const allowed = decide(blob, questions[q]) == Status::Success;
      if (allowed != root.deny) {
        matching[q].push_back(i);
      }
    }
  }
  std::vector<bool> out(root.entries.size(), true);
  for (auto const& entries : matching) {
    if (entries.size() == 1) {
      out[entries.front()] = false;
    }
  }
  return out;
}

/// Intervals that were added, by the order of their bases: a tree of the highest ends.
class IntervalTree {
 public:
  explicit IntervalTree(std::vector<Entry> const& entries) : by_base_(entries.size()), place_(entries.size()) {
    std::iota(by_base_.begin(), by_base_.end(), std::size_t{0});
    std::ranges::sort(by_base_, {}, [&](std::size_t i) { return std::pair{entries[i].base, i}; });
    for (std::size_t i = 0; i < by_base_.size(); ++i) {
      place_[by_base_[i]] = i;
      bases_.push_back(entries[by_base_[i]].base);
    }
    while (leaves_ < entries.size()) {
      leaves_ *= 2;
    }
    ends_.resize(2 * leaves_);
  }

  void add(std::size_t index, AccessRun run) {
    for (std::size_t at = place_[index] + leaves_; at != 0; at /= 2) {
      ends_[at] = std::max(ends_[at], std::optional{run.last});  // nothing is less than any value
    }
  }

  /// Adds the intervals that meet `run` to `out`, up to `most` in all.
  void meeting(AccessRun run, std::size_t most, std::vector<std::size_t>& out) const {
    auto const before = static_cast<std::size_t>(std::ranges::upper_bound(bases_, run.last) - bases_.begin());
    collect(1, 0, leaves_, before, run.first, most, out);
  }

 private:
  void collect(std::size_t node, std::size_t from, std::size_t to, std::size_t before, u64 first, std::size_t most,
               std::vector<std::size_t>& out) const {
    if (from >= before || out.size() >= most || !ends_[node] || *ends_[node] < first) {
      return;
    }
    if (node >= leaves_) {
      out.push_back(by_base_[from]);
      return;
    }
    std::size_t const middle = (from + to) / 2;
    collect(2 * node, from, middle, before, first, most, out);
    collect(2 * node + 1, middle, to, before, first, most, out);
  }

  std::vector<std::size_t> by_base_, place_;
  std::vector<u64> bases_;
  std::size_t leaves_ = 1;
  std::vector<std::optional<u64>> ends_;
};

AccessRun span_of(Entry const& e) {
  return {e.base, e.size - 1 > UINT64_MAX - e.base ? UINT64_MAX : e.base + e.size - 1};
}

}  // namespace

std::optional<AccessRun> matched_run(Type type, bool deny, Entry const& e, u64 width, u64 last) {
  u64 const wide = std::max<u64>(width, 1);
  bool const strict = type == Type::Io && (e.attributes & policy::kStrictWidth) != 0;
  if (e.size == 0 || e.base > last + (deny && !strict ? wide - 1 : 0) || (strict && e.size != wide)) {
    return std::nullopt;
  }
  if (strict) {
    return AccessRun{e.base, e.base};
  }
  auto run = span_of(e);
  if (deny) {
    run.first = run.first < wide - 1 ? 0 : run.first - (wide - 1);
  } else if (e.size < wide) {
    return std::nullopt;
  } else {
    run.last -= wide - 1;
  }
  run.last = std::min(run.last, last);
  return run;
}

std::vector<u32> count_matches(Root const& root, std::vector<u64> const& starts, u64 width, u64 last, u32 right) {
  std::vector<std::int64_t> change(starts.size() + 1);
  for (auto const& e : root.entries) {
    auto const run = (e.attributes & right) != 0 ? matched_run(root.type, root.deny, e, width, last) : std::nullopt;
    if (run) {
      auto const [from, to] = indices(*run, starts);
      ++change[from];
      --change[to];
    }
  }
  std::vector<u32> out;
  std::int64_t now = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    out.push_back(static_cast<u32>(now += change[i]));
  }
  return out;
}

std::vector<bool> redundant_entries(Root const& root) {
  if (root.type == Type::Instruction || root.type == Type::SaveState) {
    return redundant_among_few(root);
  }
  std::vector<bool> out(root.entries.size(), true);
  bool const ports = root.type == Type::Io;
  for (u64 const width : ports ? std::vector<u64>{1, 2, 4} : std::vector<u64>{0}) {
    for (u32 const right : {policy::kRead, policy::kWrite}) {
      keep_what_is_needed(root, width, ports ? 0x1'0000 - width : 0xFFFF'FFFF, right, out);
    }
  }
  return out;
}

std::vector<SharedEntries> shared_entries(Root const& root) {
  auto const& entries = root.entries;
  IntervalTree plain{entries};
  IntervalTree strict{entries};
  std::map<std::pair<u64, u64>, std::vector<std::size_t>> exact;  // of the strict ones, by place and size
  std::vector<SharedEntries> out(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto const& e = entries[i];
    if (e.size == 0) {
      continue;
    }
    constexpr std::size_t kAsked = kMostShared + 1;
    auto& found = out[i].earlier;
    bool const is_strict = root.type == Type::Io && (e.attributes & policy::kStrictWidth) != 0;
    plain.meeting(span_of(e), kAsked, found);
    if (is_strict) {
      auto& same = exact[{e.base, e.size}];
      found.insert(found.end(), same.begin(),
                   same.begin() + static_cast<std::ptrdiff_t>(std::min(same.size(), kAsked)));
      same.push_back(i);
      strict.add(i, span_of(e));
    } else {
      strict.meeting(span_of(e), 2 * kAsked, found);
      plain.add(i, span_of(e));
    }
    std::ranges::sort(found);
    out[i].more = found.size() > kMostShared;
    found.resize(std::min(found.size(), kMostShared));
  }
  return out;
}

}  // namespace mm::policy_tools
