// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/scenario/scenario.hpp"

/// Makes what a machine is started with from a scenario.
namespace mm::lab {

/// An operating system that QEMU's machine boots behind the steps; its console is the terminal of this process.
struct OsBoot {
  std::filesystem::path kernel;  ///< bzImage
  std::filesystem::path initrd;  ///< empty: none
  std::string command_line;
};

/// What QEMU is started with beside the scenario.
struct QemuSettings {
  std::vector<std::string> options;  ///< at the end of the command line
  std::chrono::seconds limit{60};    ///< the emulator is killed after this time; 0: it is not
  bool threads = false;              ///< a host thread for each CPU (`thread=multi`)
  std::optional<OsBoot> os;          ///< booted behind the steps
};

/// What a machine is started with: the scenario, compiled.
struct Prepared {
  Scenario scenario;
  Bytes fv;
  Program program;
  Bytes mmi_entry;
  std::filesystem::path images;
  std::optional<std::string> refused;  ///< an image the host refused: its name and why
  std::string refused_image;
  std::vector<std::string> warnings;
  QemuSettings qemu;
  u32 defects = 0;        ///< supervisor::Check bits, simulator only
  bool audit = false;     ///< audit the page tables after every MMI, simulator only
  bool coverage = false;  ///< count the blocks of ring 3, simulator only
  bool release = false;   ///< the core tells no events: it is judged by results and by where its CPUs are
};

/// Puts the release core in the supervisor's place; before prepare(). Error: a sentence, the scenario brings its own.
std::expected<void, std::string> use_release_core(Scenario& scenario);

/// Bad input (exit code 2): a sentence. A refused image is not an error here.
std::expected<Prepared, std::string> prepare(Scenario scenario, std::filesystem::path const& images);

/// The name of the image with this GUID in the scenario, else that of the GUID.
std::string image_name(Prepared const& prepared, Guid const& guid);

}  // namespace mm::lab
