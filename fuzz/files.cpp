// SPDX-License-Identifier: BSD-2-Clause-Patent
// Files of other people, as `mmsim images`, `scan`, `policy` and `run` read them, end to end. The first byte chooses: 0
// what holds images, 1 an image to scan with a dependency expression, 2 a policy, 3 a scenario; 4 to 6 take the rest as
// the seed and the changes of a generated file that is well-formed but for one thing.
#include <array>
#include <cstring>
#include <string>

#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tests/support/format_members.hpp"
#include "tools/lab/firmware/depex_file.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/policy_source.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/policy_advice/diff.hpp"
#include "tools/lab/policy_advice/lint.hpp"
#include "tools/lab/scan/scan.hpp"
#include "tools/lab/scenario/driver_set.hpp"
#include "tools/lab/text/json_text.hpp"

namespace {

using namespace mm;
using namespace mm::lab;
using Span = std::span<std::byte const>;

/// A larger one only makes the same paths slower.
constexpr std::size_t kLargestInput = 1 << 18;

void run_scan(Span image, std::optional<Span> depex, std::optional<u8> type) {
  auto const report = scan_image({"x", image, depex, type});
  if (!report) {
    MM_FUZZ_CHECK(!report.error().empty());
    return;
  }
  for (auto const& f : report->findings) {
    MM_FUZZ_CHECK(f.rule != nullptr && !f.text.empty());
  }
  MM_FUZZ_CHECK(!report->verdict().empty());
  MM_FUZZ_CHECK(!scan_sarif({*report}).empty());
}

/// No file is both sound and lost: what a loader takes of a volume is listed as sound.
void check_against_loader(Span bytes, ListedVolume const& volume) {
  auto const fv = image::FirmwareVolume::parse(bytes);
  if (!fv) {
    return;
  }
  auto listed = volume.files.begin();
  auto files = fv->files();
  for (auto file = files.next(); file && *file; file = files.next()) {
    if ((*file)->type == image::file_type::kPad) {
      continue;
    }
    while (listed != volume.files.end() && listed->offset < (*file)->offset) {
      ++listed;
    }
    bool const cut = !volume.problems.empty() && volume.problems.back().find("too many") != std::string::npos;
    MM_FUZZ_CHECK(cut || (listed != volume.files.end() && listed->offset == (*file)->offset && !listed->damaged));
  }
}

void run_images(Span bytes) {
  auto const listing = list_images(bytes);
  if (!listing) {
    MM_FUZZ_CHECK(!listing.error().empty());
    return;
  }
  auto const losses = losses_of(*listing);
  if (fuzz::planted("NothingIsDamaged")) {
    MM_FUZZ_CHECK(losses.damage.empty());
  }
  DriverSet set;
  add_volume(set, *listing);
  MM_FUZZ_CHECK(set.losses.damage.size() == losses.damage.size());
  for (auto const& image : set.images) {
    MM_FUZZ_CHECK(image.content && describe_image(*image.content).loadable);
  }
  for_each_file(listing->volumes, [](ListedFile const& f) {
    if (is_mm_driver(f.type) && !f.pe.empty()) {
      run_scan(f.pe, f.depex, f.type);
    }
  });
  if (listing->volumes.size() == 1 && bytes.size() >= 44 && std::memcmp(bytes.data() + 40, "_FVH", 4) == 0) {
    check_against_loader(bytes, listing->volumes[0]);
  }
}

void run_policy(Span bytes) {
  auto const file = policy_of(bytes);
  if (!file) {
    MM_FUZZ_CHECK(!file.error().text.empty());
    return;
  }
  auto const refused = policy_tools::refusal(*file).has_value();
  bool const too_large = file->blob.size() > policy::kMaxBytes;
  MM_FUZZ_CHECK(refused == (too_large || policy::validate(file->blob).problem != policy::Problem::None));
  auto const result = policy_tools::lint(*file, {});
  MM_FUZZ_CHECK(result.refused == refused);
  MM_FUZZ_CHECK(policy_tools::difference(file->policy, file->policy).changes.empty());
}

void run_scenario(Span bytes) {
  std::string_view const text{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  auto const read = parse_scenario(text, "/nowhere/x.toml", "/nowhere/images");
  MM_FUZZ_CHECK(read || read.error().find("/nowhere/x.toml") != std::string::npos);
  MM_FUZZ_CHECK(!valid_utf8(read ? text : std::string_view{read.error()}).empty() || text.empty());
}

/// A generated file, and behind its seed of 8 bytes pairs of place and value that are put into it.
test::Blob changed(test::Blob file, Span input) {
  constexpr std::size_t kSeed = 8;
  for (std::size_t at = kSeed; at + 3 < input.size() && !file.empty(); at += 4) {
    file[image::load_le<u16>(input, at) % file.size()] = input[at + 2];
  }
  return file;
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"NothingIsDamaged"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  if (data.empty() || data.size() > kLargestInput) {
    return;
  }
  Span const input = data.subspan(1);
  u64 const seed = image::load_le<u64>(input, 0);
  switch (static_cast<u8>(data[0]) % 7) {
    case 0:
      return run_images(input);
    case 1: {
      std::size_t const depex = std::min<std::size_t>(input.size(), input.empty() ? 0 : static_cast<u8>(input[0]));
      return run_scan(input.subspan(depex), depex_of_section(input.first(depex)), std::nullopt);
    }
    case 2:
      return run_policy(input);
    case 3:
      return run_scenario(input);
    case 4:
      return run_images(changed(test::damaged_volume(seed).bytes, input));
    case 5:
      return run_images(changed(test::misplaced_volume(seed).bytes, input));
    default:
      return run_scan(changed(test::wrapping_image(seed), input), test::depex_member(seed), std::nullopt);
  }
}
