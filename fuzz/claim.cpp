// SPDX-License-Identifier: BSD-2-Clause-Patent
// The claims of `mmsim confirm`, JSON documents. What is accepted has messages that fit and says what is to be found;
// what is refused is refused in one line that begins with the file.
#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tools/lab/claims/claim.hpp"
#include "tools/lab/text/terminal.hpp"

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"AtMostOne"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  using namespace mm;
  std::string_view const text{reinterpret_cast<char const*>(data.data()), data.size()};
  auto const claim = lab::parse_claim(text, "folder/in.json");
  if (!claim) {
    MM_FUZZ_CHECK(claim.error().starts_with("folder/in.json: ") && claim.error().size() > 16);
    MM_FUZZ_CHECK(lab::without_controls(claim.error()) == claim.error());
    return;
  }
  MM_FUZZ_CHECK(!planted("AtMostOne") || claim->messages.size() <= 1);
  MM_FUZZ_CHECK(!claim->messages.empty() && claim->messages.size() <= lab::kMostClaimMessages);
  MM_FUZZ_CHECK(claim->message <= claim->messages.size());
  MM_FUZZ_CHECK(claim->scenario.empty() != (claim->images.empty() && claim->volumes.empty()));
  for (auto const& message : claim->messages) {
    MM_FUZZ_CHECK(lab::message_step(message).has_value());
  }
  auto const& does = claim->does;
  MM_FUZZ_CHECK(!does.at || does.at->size != 0);
  MM_FUZZ_CHECK((does.what == lab::Deed::Oracle) == does.oracle.has_value());
  MM_FUZZ_CHECK(!does.offset || !does.image.empty());
}
