// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/send/expectation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/lab/policy/names.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::runner {
namespace {

/// A name without its prefix, underscores and case: "EFI_NOT_FOUND" and "NotFound" are the same.
std::string plain(std::string_view name) {
  std::string out;
  for (char const c : name.starts_with("EFI_") ? name.substr(4) : name) {
    if (c != '_') {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

}  // namespace

std::expected<Expectation, std::string> Expectation::parse(std::string const& text) {
  Expectation out;
  if (text.empty()) {
    return out;
  }
  auto const named = std::ranges::find_if(
      lab::kStatusNames, [wanted = plain(text)](auto const& entry) { return plain(entry.first) == wanted; });
  out.wanted_ = named != std::end(lab::kStatusNames) ? std::optional{static_cast<u64>(named->second)}
                                                     : policy_tools::parse_number(text);
  if (!out.wanted_) {
    return std::unexpected(
        fmt::format("--expect {}: neither a status, such as Success or EFI_NOT_FOUND, nor a number", text));
  }
  return out;
}

void Expectation::see(lab::StepOutcome const* outcome) {
  ++seen_;
  if (!wanted_ || (outcome != nullptr && outcome->head.status == *wanted_)) {
    return;
  }
  if (++others_ == 1) {
    first_at_ = seen_;
    first_ = outcome == nullptr ? "no answer" : lab::efi_status_name(outcome->head.status);
  }
}

std::optional<std::string> Expectation::disappointment() const {
  if (others_ == 0) {
    return std::nullopt;
  }
  auto const more = others_ > 1 ? fmt::format("; {} of them have another status", others_) : "";
  return fmt::format("message {} of {}: {}, expected {}{}", first_at_, seen_, first_, lab::efi_status_name(*wanted_),
                     more);
}

}  // namespace mm::runner
