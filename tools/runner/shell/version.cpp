// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/shell/version.hpp"

#include <fmt/format.h>

#include "core/image/pe_headers.hpp"
#include "sim/engine/engine.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

/// The version in the PE32+ header, as the supervisor tells it to the normal world.
std::string image_version(std::filesystem::path const& file) {
  auto const bytes = lab::read_file(file);
  auto const headers = bytes ? image::PeHeaders::find(*bytes) : std::nullopt;
  if (!headers || !headers->has_optional_header()) {
    return fmt::format("missing in {}", file.parent_path().string());
  }
  auto const h = headers->optional_header();
  return fmt::format("{}.{}, patch level {}.{}", h.subsystem_major, h.subsystem_minor, h.image_major, h.image_minor);
}

}  // namespace

std::string program_version() { return fmt::format("{} (commit {})", kProgramVersion, kProgramCommit); }

std::string version_text(std::filesystem::path const& images) {
  return fmt::format("mmsim {}\nlibunicorn {}\nMmSupervisorCore {}\nMmUserCore {}\n", program_version(),
                     sim::engine_version(), image_version(images / "MmSupervisorCore.efi"),
                     image_version(images / "MmUserCore.efi"));
}

}  // namespace mm::runner
