// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

Remark cannot_say(std::span<std::byte const> blob, u64 offset, std::string_view why) {
  return {{.line = {}, .offset = offset},
          fmt::format("the XML source cannot say this: {}{}", field_at(blob, offset), why)};
}

}  // namespace

std::expected<std::string, Remark> decompile_policy(std::span<std::byte const> blob,
                                                    std::vector<std::string> const& heading) {
  auto const policy = decode(blob);
  if (!policy) {
    return std::unexpected(policy.error());
  }
  auto xml = write_xml(*policy, heading);
  auto const again = compile_policy(xml);
  auto const declared = blob.first(policy::View{blob}.size());
  if (!again) {
    return std::unexpected(Remark{{}, "the XML source cannot say this: " + again.error()});
  }
  // The Size differs whenever the number of roots does, which says more.
  u64 const roots = 36;
  if (!std::ranges::equal(declared.subspan(roots, 4), std::span{*again}.subspan(roots, 4))) {
    return std::unexpected(cannot_say(blob, roots, ": every source has a MEM root"));
  }
  auto const [ours, theirs] = std::ranges::mismatch(*again, declared);
  if (ours != again->end() || theirs != declared.end()) {
    auto const offset = static_cast<u64>(theirs - declared.begin());
    return std::unexpected(cannot_say(blob, offset, " has a value for which there is no word"));
  }
  return xml;
}

}  // namespace mm::policy_tools
