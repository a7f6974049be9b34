// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "sim/engine/engine.hpp"
#include "sim/engine/fidelity.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

struct Finding {
  std::string what;
  bool good = false;
  std::string detail;
};

Finding check_engine() {
  auto const works = sim::engine_self_test();
  return {"libunicorn " + sim::engine_version(), works.has_value(), works ? "self-test passed" : works.error()};
}

/// What brings images that are missing.
std::string remedy_for_images() {
  if (std::getenv("MM_IMAGES") != nullptr) {
    return "MM_IMAGES names this folder";
  }
  return is_installed() ? "install the package again" : "tools/mmsim doctor builds them, or the target 'images'";
}

int doctor_command(bool json, bool verbose) {
  auto const images = images_folder();
  std::vector<Finding> findings{check_engine()};
  auto const sim = lab::simulator().unavailable({});
  findings.push_back({"simulator", !sim, sim.value_or("built in")});
  for (auto const* name : {"MmSupervisorCore.efi", "MmSupervisorCoreRelease.efi", "MmUserCore.efi", "MmiEntry.bin",
                           "mm-q35.rom", "Hello.efi"}) {
    bool const there = std::filesystem::is_regular_file(images / name);
    findings.push_back(
        {name, there, there ? "found" : fmt::format("missing in {}: {}", images.string(), remedy_for_images())});
  }
  auto const qemu = qemu_version();
  findings.push_back({"QEMU", !qemu.empty(),
                      qemu.empty() ? "there is no qemu-system-x86_64 on PATH (Debian's qemu-system-x86)" : qemu});
  bool good = true;
  auto list = nlohmann::json::array();
  for (auto const& f : findings) {
    good = good && f.good;
    list.push_back({{"what", f.what}, {"good", f.good}, {"detail", f.detail}});
    if (!json) {
      std::cout << fmt::format("{:<8}{:<29}{}\n", f.good ? "ok" : "MISSING", f.what, f.detail);
    }
  }
  auto gaps = nlohmann::json::array();
  if (verbose && !json) {
    std::cout << "\nWhere the simulator differs from a machine:\n";
  }
  for (auto const& gap : sim::kFidelityGaps) {
    auto patterns = nlohmann::json::array();
    std::string in_transcript;
    for (auto const& p : gap.transcript) {
      if (!p.fields.empty()) {
        auto const kind = lab::event_name(p.kind);
        patterns.push_back({{"kind", kind}, {"fields", p.fields}, {"when", p.when}});
        in_transcript += fmt::format("{:<22}{} {}: {}\n", "", kind, p.fields, p.when);
      }
    }
    gaps.push_back({{"id", gap.id}, {"text", gap.text}, {"transcript", patterns}});
    if (verbose && !json) {
      std::cout << fmt::format("  {:<20}{}\n{}", gap.id, gap.text, in_transcript);
    }
  }
  if (!json) {
    std::cout << fmt::format(
        "{}note    SMAP is off unless a scenario says smap = true; QEMU needs a CPU with +smap for it\n",
        verbose ? "\n" : "");
  }
  if (json) {
    std::cout << lab::json_text({{"schema", 1}, {"good", good}, {"findings", list}, {"fidelity", gaps}});
  }
  return good ? kPassed : kEnvironment;
}

}  // namespace

std::string qemu_version() {
  std::string line;
  if (auto* const pipe = ::popen("qemu-system-x86_64 --version 2>/dev/null", "r"); pipe != nullptr) {
    std::array<char, 256> text{};
    if (std::fgets(text.data(), static_cast<int>(text.size()), pipe) != nullptr) {
      line = text.data();
    }
    ::pclose(pipe);
  }
  while (!line.empty() && line.back() == '\n') {
    line.pop_back();
  }
  return line;
}

Command add_doctor_command(Arguments program) {
  struct Flags {
    bool json = false, verbose = false;
  };
  auto const o = std::make_shared<Flags>();
  auto doctor = program.command("doctor", "Check the libraries, QEMU and the images");
  doctor.flag("--json", o->json, "One JSON object");
  doctor.flag("-v,--verbose", o->verbose, "Also where the simulator differs from a machine");
  doctor.footer("Exit code 3: something is missing; each line says what to do.");
  return {doctor, [o] { return doctor_command(o->json, o->verbose); }};
}

}  // namespace mm::runner
