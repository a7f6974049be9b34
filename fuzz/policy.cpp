// SPDX-License-Identifier: BSD-2-Clause-Patent
// The secure policy: the first 16 bytes are a question, the rest is a blob, or an XML source when it starts with '<'.
// Whatever validate() accepts can be asked anything, answers with one of three statuses, and gives the same answer
// again from a copy of its declared bytes, from its index, and from the source it decompiles to. A source that is read
// can be written and read again without a difference.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/policy/index.hpp"
#include "core/policy/policy.hpp"
#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"

namespace {

using namespace mm;

struct Question {
  u32 msr = 0;
  u32 port = 0;
  u32 width = 0;
  u16 access = 0;
  u16 index = 0;
};
static_assert(sizeof(Question) == 16);

using Answers = std::array<Status, 9>;

Answers ask(policy::View view, Question const& q) {
  auto const field = static_cast<policy::SaveStateField>(q.index % 2);
  auto const trap = static_cast<policy::IoTrap>(q.access % 3);
  return {
      policy::decide_msr(view, q.msr, q.access),
      policy::decide_msr(view, q.msr, policy::kRead),
      policy::decide_io(view, q.port, q.width, q.access),
      policy::decide_io(view, q.port & 0xFFFF, 1, policy::kRead),
      policy::decide_io(view, q.port & 0xFFFF, 4, policy::kWrite),
      policy::decide_instruction(view, q.index),
      policy::decide_instruction(view, static_cast<u16>(q.index % 3)),
      policy::decide_save_state(view, field, trap),
      policy::decide_save_state(view, policy::SaveStateField::Other, trap),
  };
}

bool is_answer(Status s) { return s == Status::Success || s == Status::AccessDenied || s == Status::InvalidParameter; }

void read_source(std::span<std::byte const> bytes) {
  auto const read = policy_tools::read_xml({reinterpret_cast<char const*>(bytes.data()), bytes.size()});
  if (!read) {
    MM_FUZZ_CHECK(!read.error().text.empty());
    return;
  }
  auto const again = policy_tools::compile_policy(policy_tools::write_xml(read->policy));
  MM_FUZZ_CHECK(again && *again == policy_tools::encode(read->policy));
}

void decompile(std::span<std::byte const> blob) {
  auto const xml = policy_tools::decompile_policy(blob);
  if (!xml) {
    MM_FUZZ_CHECK(!xml.error().text.empty());
    return;
  }
  auto const again = policy_tools::compile_policy(*xml);
  MM_FUZZ_CHECK(again && std::ranges::equal(*again, blob.first(policy::View{blob}.size())));
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"NothingDenied"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  Question question;
  if (data.size() < sizeof question) {
    return;
  }
  std::memcpy(&question, data.data(), sizeof question);
  auto const blob = data.subspan(sizeof question);
  if (!blob.empty() && blob[0] == std::byte{'<'}) {
    return read_source(blob);
  }
  policy::Finding const finding = policy::validate(blob);
  decompile(blob);
  if (finding.problem != policy::Problem::None) {
    MM_FUZZ_CHECK(finding.offset <= blob.size() + policy::kRootSize);
    return;
  }
  policy::View const view{blob};
  Answers const answers = ask(view, question);
  MM_FUZZ_CHECK(std::ranges::all_of(answers, is_answer));
  MM_FUZZ_CHECK(!planted("NothingDenied") || answers[0] != Status::AccessDenied || question.access != policy::kRead);
  std::vector<std::byte> const copy{blob.begin(), blob.begin() + view.size()};
  MM_FUZZ_CHECK(policy::validate(copy).problem == policy::Problem::None);
  MM_FUZZ_CHECK(ask(policy::View{copy}, question) == answers);
  policy::Index index;
  index.build(view);
  MM_FUZZ_CHECK(index.msr(view, question.msr, question.access) == answers[0]);
  MM_FUZZ_CHECK(index.msr(view, question.msr, policy::kRead) == answers[1]);
  MM_FUZZ_CHECK(index.io(view, question.port, question.width, question.access) == answers[2]);
  MM_FUZZ_CHECK(index.io(view, question.port & 0xFFFF, 1, policy::kRead) == answers[3]);
  MM_FUZZ_CHECK(index.io(view, question.port & 0xFFFF, 4, policy::kWrite) == answers[4]);
}
