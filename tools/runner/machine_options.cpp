// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/machine_options.hpp"

#include "tools/lab/policy/policy_source.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::runner {

void add_machine_options(Arguments command, MachineOptions& o) {
  command.option("--image", o.images, "FILE.efi or FILE.efi:FILE.depex; may be repeated");
  command.option("--fv", o.volumes,
                 "Take the standalone MM drivers of this volume, flash image or .ffs file; may be repeated");
  command.option(
      "--hob", o.hobs,
      "GUID:HEX or GUID:FILE (0x..., ./FILE where both fit): a GUID HOB for the drivers' HOB list; may be repeated");
  command.option("--policy", o.policy, "Policy source (XML) or blob instead of the default");
  command.option("--cpus", o.cpus, "Number of CPUs").range(1, 8);
}

std::expected<lab::DriverSet, std::string> drivers_of(MachineOptions const& options) {
  lab::DriverSet set;
  for (auto const& image : options.images) {
    MM_TRY(lab::add_image(set, image));
  }
  for (auto const& path : options.volumes) {
    MM_TRY(lab::add_volume_file(set, path));
  }
  return set;
}

std::expected<std::vector<lab::PlatformHob>, std::string> hobs_of(MachineOptions const& options) {
  std::vector<lab::PlatformHob> out;
  for (auto const& argument : options.hobs) {
    MM_TRY_ASSIGN(auto hob, lab::parse_hob(argument));
    out.push_back(std::move(hob));
  }
  return out;
}

std::expected<lab::Bytes, std::string> policy_of(MachineOptions const& options) {
  if (options.policy.empty()) {
    return policy_tools::compile_policy(policy_tools::default_policy_xml());
  }
  MM_TRY_ASSIGN(auto file, lab::load_policy_file(options.policy));
  return std::move(file.blob);
}

}  // namespace mm::runner
