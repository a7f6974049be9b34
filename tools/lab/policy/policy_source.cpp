// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/policy_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "tools/lab/firmware/volume_listing.hpp"

namespace mm::lab {
namespace {

using policy_tools::PolicyFile;
using policy_tools::Remark;
using Result = std::expected<PolicyFile, Remark>;

/// Whether `bytes` are of the kinds that read_policy() knows; anything else may be a firmware file or hold volumes.
bool is_policy(std::span<std::byte const> bytes) {
  constexpr u32 kVersion10 = 0x0001'0000;
  u32 const first = image::load_le<u32>(bytes, 0);
  return first == kVersion10 || policy_tools::looks_like_xml(bytes);
}

/// The bytes of the policy files of all volumes.
std::vector<ListedFile const*> policy_files(Listing const& listing) {
  std::vector<ListedFile const*> out;
  for_each_file(listing.volumes, [&out](ListedFile const& f) {
    if (f.name == guids::gMmSupervisorPolicyFileGuid && f.type == image::file_type::kFreeform && !f.superseded_by &&
        f.raw) {
      out.push_back(&f);
    }
  });
  return out;
}

Result policy_in(Listing const& listing) {
  auto const files = policy_files(listing);
  auto const losses = losses_of(listing);
  if (files.empty()) {
    std::string why =
        fmt::format("no policy file ({}) in this {}", format_guid(guids::gMmSupervisorPolicyFileGuid), listing.kind);
    for (auto const& loss : losses.damage.empty() ? losses.not_opened : losses.damage) {
      why += "; " + loss;
      break;
    }
    return std::unexpected(Remark{{}, why});
  }
  auto const& file = *files.front();
  auto policy = policy_tools::read_policy(*file.raw);
  if (!policy) {
    return policy;
  }
  policy->wrapping = listing.kind;
  if (file.damaged) {
    policy->warnings.push_back({{}, "the policy file is damaged: " + file.problems.front()});
  }
  bool const others =
      std::ranges::any_of(files, [&](ListedFile const* f) { return !std::ranges::equal(*f->raw, *file.raw); });
  if (others) {
    policy->warnings.push_back({{}, "there are several policy files that differ; this is the first"});
  }
  return policy;
}

}  // namespace

Result policy_of(std::span<std::byte const> bytes) {
  if (!is_policy(bytes)) {
    if (auto const listing = list_images(bytes); listing && !listing->image) {
      return policy_in(*listing);
    }
  }
  return policy_tools::read_policy(bytes);
}

std::expected<PolicyFile, std::string> load_policy_file(std::filesystem::path const& path) {
  MM_TRY_ASSIGN(auto const bytes, read_file(path));
  auto file = policy_of(bytes);
  if (!file) {
    return std::unexpected(policy_tools::located(path.string(), file.error()));
  }
  return std::move(*file);
}

}  // namespace mm::lab
