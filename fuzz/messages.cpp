// SPDX-License-Identifier: BSD-2-Clause-Patent
// The message files of `mmsim send --messages`: one JSON object a line. What is accepted fits a communicate buffer and
// becomes a step; what is refused is refused with the file and the line.
#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string>

#include "core/abi/platform.hpp"
#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tools/lab/scenario/messages.hpp"

namespace {

using namespace mm;

/// "in.jsonl:12: what is wrong", where 12 is a line of the file.
bool names_a_line(std::string const& error, std::string_view text) {
  constexpr std::string_view kFile = "in.jsonl:";
  if (!error.starts_with(kFile)) {
    return false;
  }
  std::size_t line = 0;
  auto const [end, failed] = std::from_chars(error.data() + kFile.size(), error.data() + error.size(), line);
  auto const lines = static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1;
  return failed == std::errc{} && line >= 1 && line <= lines && std::string_view{end}.starts_with(": ") &&
         std::string_view{end}.size() > 2;
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"AtMostOne"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  std::string_view const text{reinterpret_cast<char const*>(data.data()), data.size()};
  auto const messages = lab::parse_messages(text, "in.jsonl");
  if (!messages) {
    MM_FUZZ_CHECK(names_a_line(messages.error(), text));
    return;
  }
  MM_FUZZ_CHECK(!planted("AtMostOne") || messages->size() <= 1);
  for (auto const& message : *messages) {
    auto const step = lab::message_step(message);
    MM_FUZZ_CHECK(step.has_value());
    MM_FUZZ_CHECK(step->program.size() == 1);
    MM_FUZZ_CHECK(step->program[0].data.size() <= platform::kCommPages * kPageSize);
  }
}
