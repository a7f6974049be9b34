// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <unicorn/unicorn.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/scenario/run.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

struct Finding {
  std::string what;
  bool good = false;
  std::string detail;
};

Finding check_unicorn() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned const packed = uc_version(&major, &minor);
  unsigned const patch = packed >> 8 & 0xFF;
  bool const good = major == 2 && minor == 1 && patch >= 4;
  return {"libunicorn", good, fmt::format("{}.{}.{}{}", major, minor, patch, good ? "" : ", needed: 2.1.4 or a later 2.1")};
}

}  // namespace

int doctor_command(bool json) {
  auto const images = images_folder();
  std::vector<Finding> findings{check_unicorn()};
  auto const sim = scenario::sim_unavailable();
  findings.push_back({"simulator", !sim, sim.value_or("built in")});
  for (auto const* name : {"MmSupervisorCore.efi", "MmUserCore.efi", "MmiEntry.bin", "mm-q35.rom", "Hello.efi"}) {
    bool const there = std::filesystem::is_regular_file(images / name);
    findings.push_back({name, there, there ? "found" : fmt::format("missing in {}: build the target 'images'", images.string())});
  }
  auto const qemu = scenario::qemu_unavailable(images);
  findings.push_back({"QEMU", !qemu, qemu.value_or("found")});
  bool good = true;
  auto list = nlohmann::json::array();
  for (auto const& f : findings) {
    good = good && f.good;
    list.push_back({{"what", f.what}, {"good", f.good}, {"detail", f.detail}});
    if (!json) {
      std::cout << fmt::format("{:<8}{:<22}{}\n", f.good ? "ok" : "MISSING", f.what, f.detail);
    }
  }
  if (json) {
    std::cout << nlohmann::json{{"schema", 1}, {"good", good}, {"findings", list}}.dump() << '\n';
  }
  return good ? kPassed : kEnvironment;
}

}  // namespace mm::runner
