// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "tools/runner/commands.hpp"

namespace mm::runner {

std::filesystem::path images_folder() {
  if (char const* const given = std::getenv("MM_IMAGES"); given != nullptr && *given != '\0') {
    return given;
  }
  std::error_code error;
  auto const self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "../../images").lexically_normal();
}

}  // namespace mm::runner

int main(int argc, char** argv) {
  using namespace mm::runner;
  CLI::App app{"mmsim - runs MMI scenarios on a simulated machine and on QEMU"};
  app.footer(
      "Examples:\n"
      "  mmsim run scenarios/smoke                       every scenario of a folder, on the simulator\n"
      "  mmsim run scenarios/smoke/hello.toml -v         one, with everything that happened\n"
      "  mmsim run scenarios/smoke --target=both         on both machines; their transcripts must agree\n"
      "  mmsim doctor                                    is everything there that mmsim needs?\n"
      "Exit codes: 0 passed, 1 expectation failed, 2 usage or bad input file, 3 environment, 77 skipped.");
  app.require_subcommand(1);

  RunOptions options;
  auto* run = app.add_subcommand("run", "Run scenario files, or every .toml below a folder");
  run->add_option("PATH", options.paths, "Scenario files and folders")->required();
  run->add_option("--target", options.target, "Machine: sim, qemu, or both (and compare)")
      ->check(CLI::IsMember({"sim", "qemu", "both"}));
  run->add_option("--cpus", options.cpus, "Number of CPUs instead of the scenario's")->check(CLI::Range(1, 8));
  run->add_option("--seed", options.seed, "Seed of the scheduler instead of the scenario's");
  run->add_option("--defect", options.defect, "Remove one check of the simulated machine")->group("");  // for tests
  run->add_flag("--json", options.json, "One JSON object on standard output instead of text");
  run->add_option("--junit", options.junit, "Write a JUnit report to this file");
  run->add_option("--transcript", options.transcript, "Write every event to this file");
  run->add_flag("-v,--verbose", options.verbose, "Print every event and every step's result");

  bool json = false;
  auto* doctor = app.add_subcommand("doctor", "Check the libraries, QEMU and the images");
  doctor->add_flag("--json", json, "One JSON object");
  auto* bench = app.add_subcommand("bench", "Measure MMIs per second and the time to make a machine");
  bench->add_flag("--json", json, "One JSON object");

  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? kPassed : kBadInput;
  }
  try {
    if (*run) {
      return run_command(options);
    }
    return *doctor ? doctor_command(json) : bench_command(json);
  } catch (std::exception const& e) {
    std::cerr << "mmsim: " << e.what() << '\n';
    return kEnvironment;
  }
}
