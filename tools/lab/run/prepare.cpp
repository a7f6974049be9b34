// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "tools/lab/firmware/depex_file.hpp"
#include "tools/lab/firmware/fv_writer.hpp"
#include "tools/lab/firmware/precheck.hpp"

namespace mm::lab {
namespace {

std::expected<void, std::string> add_core(std::vector<FvFileSpec>& files, std::filesystem::path const& images,
                                          std::string const& name, Guid const& guid) {
  auto bytes = read_file(images / (name + ".efi"));
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  files.push_back({.name = guid, .type = 0x0F, .depex = {}, .pe32 = std::move(*bytes), .raw = {}, .ui = name});
  return {};
}

/// Looks into one image; what it finds goes into `p`. The error is about a malformed header.
std::expected<void, std::string> precheck(Prepared& p, std::string const& name, std::span<std::byte const> bytes) {
  auto const found = check_image(bytes);
  if (!found) {
    return std::unexpected(found.error());
  }
  if (found->rsm_at_boundary && !p.refused) {
    p.refused_image = name;
    p.refused = fmt::format("image '{}' refused: RSM instruction at image offset {}", name,
                            hex_number(*found->rsm_at_boundary));
  }
  if (found->rsm_inside != 0) {
    p.warnings.push_back(
        fmt::format("image '{}': the bytes of RSM inside {} other instruction(s)", name, found->rsm_inside));
  }
  return {};
}

/// A whole volume: its structure, and each driver whose PE32 section is not inside another section.
std::expected<void, std::string> precheck_volume(Prepared& p, std::span<std::byte const> bytes) {
  auto const malformed = [](image::FvError const& e) {
    return std::unexpected(
        fmt::format("malformed firmware volume: {} (at byte {:#x})", problem_text(e.problem), e.offset));
  };
  auto const volume = image::FirmwareVolume::parse(bytes);
  if (!volume) {
    return malformed(volume.error());
  }
  auto files = volume->files();
  for (auto file = files.next();; file = files.next()) {
    if (!file) {
      return malformed(file.error());
    }
    if (!*file) {
      return {};
    }
    if ((*file)->type != image::file_type::kMmStandalone) {
      continue;
    }
    auto const section = image::find_section((*file)->body, image::section_type::kPe32);
    if (!section) {
      return malformed(section.error());
    }
    auto const name = guid_name((*file)->name);
    if (*section) {
      if (auto done = precheck(p, name, (*section)->body); !done) {
        return std::unexpected(fmt::format("file {}: {}", name, done.error()));
      }
    }
  }
}

std::expected<void, std::string> add_driver(Prepared& p, std::vector<FvFileSpec>& files, ImageSpec const& image) {
  std::expected<Bytes, std::string> bytes = image.content ? *image.content : read_file(image.file);
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  if (auto done = precheck(p, image.name, *bytes); !done) {
    return std::unexpected(fmt::format("{}: {}", image.file.string(), done.error()));
  }
  FvFileSpec file{
      .name = image.guid, .type = 0x0E, .depex = {}, .pe32 = std::move(*bytes), .raw = {}, .ui = image.name};
  if (image.depex_content) {
    file.depex = *image.depex_content;
  } else if (image.depex) {
    auto depex = read_depex_file(*image.depex);
    if (!depex) {
      return std::unexpected(depex.error());
    }
    file.depex = std::move(*depex);
  }
  files.push_back(std::move(file));
  return {};
}

}  // namespace

std::expected<void, std::string> use_release_core(Scenario& scenario) {
  if (std::ranges::any_of(scenario.images, [](ImageSpec const& i) { return i.fv.has_value(); })) {
    return std::unexpected(std::string{"`fv` boots a volume with a core of its own; --release has no say there"});
  }
  if (!scenario.release) {
    return std::unexpected(std::string{"not for the release core"});
  }
  scenario.supervisor = "MmSupervisorCoreRelease";
  return {};
}

std::string image_name(Prepared const& prepared, Guid const& guid) {
  auto const& images = prepared.scenario.images;
  auto const image = std::ranges::find(images, guid, &ImageSpec::guid);
  return image == images.end() ? guid_name(guid) : image->name;
}

std::expected<Prepared, std::string> prepare(Scenario scenario, std::filesystem::path const& images) {
  Prepared p;
  p.scenario = std::move(scenario);
  p.warnings = p.scenario.warnings;
  p.images = images;
  std::vector<FvFileSpec> files;
  for (auto const& [name, guid] : {std::pair{p.scenario.supervisor, guids::gMmSupervisorCoreGuid},
                                   std::pair{std::string{"MmUserCore"}, guids::gMmSupervisorUserGuid}}) {
    if (auto done = add_core(files, images, name, guid); !done) {
      return std::unexpected(done.error());
    }
  }
  if (!p.scenario.policy.empty()) {
    files.push_back({.name = guids::gMmSupervisorPolicyFileGuid,
                     .type = 0x02,
                     .depex = {},
                     .pe32 = {},
                     .raw = p.scenario.policy,
                     .ui = {}});
  }
  for (auto const& image : p.scenario.images) {
    if (image.fv) {
      auto fv = read_file(*image.fv);
      if (!fv) {
        return std::unexpected(fv.error());
      }
      if (auto done = precheck_volume(p, *fv); !done) {
        return std::unexpected(fmt::format("{}: {}", image.fv->string(), done.error()));
      }
      p.fv = std::move(*fv);
      continue;
    }
    if (auto done = add_driver(p, files, image); !done) {
      return std::unexpected(done.error());
    }
  }
  if (p.fv.empty()) {
    auto fv = write_fv(files);
    if (!fv) {
      return std::unexpected(fv.error());
    }
    p.fv = std::move(*fv);
  }
  if (p.fv.size() > platform::kFvLimit) {
    return std::unexpected(fmt::format("{}: the images need {} bytes, the platform has {}", p.scenario.file.string(),
                                       p.fv.size(), platform::kFvLimit));
  }
  auto entry = read_file(images / "MmiEntry.bin");
  if (!entry) {
    return std::unexpected(entry.error());
  }
  p.mmi_entry = std::move(*entry);
  p.program = encode_program(p.scenario);
  if (p.program.bytes.size() > platform::kStepProgramLimit) {
    return std::unexpected(fmt::format("{}: the steps need {} bytes, the platform has {}: split them into several runs",
                                       p.scenario.file.string(), p.program.bytes.size(), platform::kStepProgramLimit));
  }
  p.defects = p.scenario.defects;
  p.audit = p.scenario.expect.audit;
  p.scenario.boot.fv_bytes = p.fv.size();
  p.scenario.boot.hobs_bytes = p.scenario.hobs.size();
  p.scenario.boot.steps_bytes = p.program.bytes.size();
  return p;
}

}  // namespace mm::lab
