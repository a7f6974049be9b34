// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/machine_options.hpp"

#include "core/abi/platform.hpp"
#include "tools/lab/policy/policy_source.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {

void add_machine_options(Arguments command, MachineOptions& o) {
  command.option("--image", o.images, "FILE.efi or FILE.efi:FILE.depex; may be repeated");
  command.option("--fv", o.volumes,
                 "Take the standalone MM drivers of this volume, flash image or .ffs file; may be repeated");
  command.option(
      "--hob", o.hobs,
      "GUID:HEX or GUID:FILE (0x..., ./FILE where both fit): a GUID HOB for the drivers' HOB list; may be repeated");
  command.option("--policy", o.policy, "Policy source (XML) or blob instead of the default");
  command.option("--flash", o.flash,
                 "FILE, or the bytes of a new one with an empty variable store, and @ADDRESS (0xffc00000): a NOR "
                 "flash, opened to drivers");
  command.flag(
      "--platform", o.platform,
      "Add this tree's platform drivers: SwDispatch2, SxDispatch2, timer and buttons, MM MP, FVB with --flash");
  command.option("--cpus", o.cpus, "Number of CPUs").range(1, 8);
}

namespace {

/// This tree's platform drivers; that of the flash where there is one.
std::expected<void, std::string> add_platform(lab::DriverSet& set, bool with_flash) {
  std::vector<char const*> names{"PlatformDispatch", "PlatformMp"};
  if (with_flash) {
    names.push_back("PlatformFlash");
  }
  for (auto const* name : names) {
    auto const stem = (images_folder() / name).string();
    MM_TRY(lab::add_image(set, stem + ".efi:" + stem + ".depex"));
  }
  return {};
}

}  // namespace

std::expected<lab::DriverSet, std::string> drivers_of(MachineOptions const& options) {
  lab::DriverSet set;
  for (auto const& image : options.images) {
    MM_TRY(lab::add_image(set, image));
  }
  for (auto const& path : options.volumes) {
    MM_TRY(lab::add_volume_file(set, path));
  }
  if (options.platform) {
    MM_TRY(add_platform(set, !options.flash.empty()));
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

std::expected<std::optional<lab::DeviceSpec>, std::string> flash_of(MachineOptions const& options) {
  if (options.flash.empty()) {
    return std::nullopt;
  }
  return lab::parse_flash(options.flash);
}

std::expected<lab::Bytes, std::string> policy_of(MachineOptions const& options) {
  if (options.policy.empty()) {
    return policy_tools::compile_policy(policy_tools::default_policy_xml());
  }
  MM_TRY_ASSIGN(auto file, lab::load_policy_file(options.policy));
  return std::move(file.blob);
}

std::expected<GivenMachine, std::string> machine_of(MachineOptions const& options, std::string const& name) {
  GivenMachine out;
  lab::Scenario& s = out.scenario;
  s.name = name;
  s.file = name;
  s.boot.ram_bytes = platform::kDefaultRamBytes;
  s.boot.tseg_bytes = platform::kDefaultTsegBytes;
  s.boot.cpus = options.cpus;
  s.boot.fault_policy = static_cast<u32>(abi::FaultPolicy::Contain);
  MM_TRY_ASSIGN(s.policy, policy_of(options));
  MM_TRY_ASSIGN(out.drivers, drivers_of(options));
  s.images = out.drivers.images;
  MM_TRY_ASSIGN(auto const hobs, hobs_of(options));
  MM_TRY_ASSIGN(s.hobs, lab::encode_hobs(hobs));
  MM_TRY_ASSIGN(auto flash, flash_of(options));
  if (flash) {
    lab::append_bytes(s.hobs, lab::device_hobs(*flash));
    s.devices.push_back(std::move(*flash));
  }
  return out;
}

}  // namespace mm::runner
