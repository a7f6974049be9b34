// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <span>

#include "tools/lab/coverage/formats.hpp"
#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

constexpr auto* kCounts = "coverage.json";

}  // namespace

std::expected<std::string, std::string> write_coverage(Coverage const& coverage, fs::path const& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return std::unexpected(fmt::format("{}: {}", folder.string(), error.message()));
  }
  std::vector<CoveredImage> images;
  u32 drivers = 0, ran = 0, all = 0;
  for (auto const* image : coverage.images()) {
    images.push_back({image, lines_of(*image)});
    if (!image->core) {
      ++drivers;
      ran += images.back().lines.ran;
      all += images.back().lines.instructions;
    }
  }
  for (auto const& [name, text] :
       {std::pair{kCounts, coverage.to_text()}, std::pair{"coverage.drcov", drcov_text(images)},
        std::pair{"coverage.info", lcov_text(images)}, std::pair{"index.html", html_page(images)}}) {
    MM_TRY(write_file(folder / name, std::as_bytes(std::span{text})));
  }
  return fmt::format("coverage: {} of {} instructions of {} driver{} ran: {}", ran, all, drivers,
                     drivers == 1 ? "" : "s", (folder / "index.html").string());
}

std::expected<Coverage, std::string> read_coverage(fs::path const& folder) {
  std::error_code error;
  auto const file = fs::is_directory(folder, error) ? folder / kCounts : folder;
  MM_TRY_ASSIGN(auto const bytes, read_file(file));
  auto coverage = Coverage::parse({reinterpret_cast<char const*>(bytes.data()), bytes.size()});
  return coverage ? std::move(coverage) : std::unexpected(file.string() + ": " + coverage.error());
}

}  // namespace mm::lab
