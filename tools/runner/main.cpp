// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <set>

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
      "  mmsim audit scenarios/smoke/hello.toml          what may MM reach, and does every rule hold?\n"
      "  mmsim images OVMF_CODE.fd                       what is in a flash image, a volume or a PE image?\n"
      "  mmsim scan My.efi                               what must change before it runs in ring 3?\n"
      "  mmsim send --image My.efi --to GUID --text hi   one message to a driver, and its reply\n"
      "  mmsim policy --help                             compile, check, compare and learn secure policies\n"
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
  run->add_flag("--audit", options.audit, "Audit the simulator's page tables after every MMI");
  run->add_flag("--json", options.json, "One JSON object on standard output instead of text");
  run->add_option("--junit", options.junit, "Write a JUnit report to this file");
  run->add_option("--transcript", options.transcript, "Write every event to this file");
  run->add_flag("-v,--verbose", options.verbose, "Print every event and every step's result");

  AuditOptions auditing;
  auto* audit = app.add_subcommand("audit", "Run scenarios on the simulator and audit its page tables after every MMI");
  audit->add_option("PATH", auditing.paths, "Scenario files and folders")->required();
  audit->add_flag("--json", auditing.json, "One JSON object on standard output instead of text");
  audit->add_option("--html", auditing.html, "Write a page with the memory map to this file");
  audit->add_option("--defect", auditing.defect, "Remove one check of the simulated machine")->group("");  // for tests

  bool json = false;
  auto* doctor = app.add_subcommand("doctor", "Check the libraries, QEMU and the images");
  doctor->add_flag("--json", json, "One JSON object");
  doctor->add_flag("-v,--verbose", options.verbose, "Also where the simulator differs from a machine");
  auto* bench = app.add_subcommand("bench", "Measure MMIs per second and the time to make a machine");
  bench->add_flag("--json", json, "One JSON object");

  LinuxOptions booting;
  auto* os = app.add_subcommand("linux", "Boot Linux on top of a scenario's machine, on QEMU; tools/linux brings one");
  os->add_option("SCENARIO", booting.scenario, "Its machine, policy and drivers; its steps run before the kernel")
      ->required()
      ->check(CLI::ExistingFile);
  os->add_option("--kernel", booting.kernel, "bzImage")->required();
  os->add_option("--initrd", booting.initrd, "Initial RAM disk");
  os->add_option("--append", booting.command_line, "Kernel command line")->capture_default_str();
  os->add_option("--cpus", booting.cpus, "Number of CPUs instead of the scenario's")->check(CLI::Range(1, 8));
  os->add_option("--ram", booting.ram_mib, "MiB of RAM instead of the scenario's")->check(CLI::Range(256, 2048));
  os->add_flag("-v,--verbose", booting.verbose, "Afterwards every event of MM");

  std::vector<std::filesystem::path> files;
  auto* images = app.add_subcommand("images", "List what is in firmware volumes, flash images and PE images");
  images->add_option("FILE", files, "Volumes (.fv), flash images (.fd), files of a volume (.ffs), images (.efi)")
      ->required();
  images->add_flag("--json", json, "One JSON object on standard output instead of text");

  ScanOptions scanning;
  auto* scan = app.add_subcommand("scan", "Say what must change in drivers before they can run in ring 3");
  scan->add_option("IMAGE", scanning.images, "FILE.efi, FILE.efi:FILE.depex, or a volume with MM drivers")->required();
  scan->add_flag("--json", scanning.json, "One JSON object on standard output instead of text");
  scan->add_option("--sarif", scanning.sarif, "Write SARIF 2.1.0 to this file");

  SendOptions sending;
  auto* send = app.add_subcommand("send", "Boot drivers, send messages to them and print the replies");
  send->add_option("--image", sending.images, "FILE.efi or FILE.efi:FILE.depex; may be repeated");
  send->add_option("--fv", sending.volumes,
                   "Take the standalone MM drivers of this volume, flash image or .ffs file; may be repeated");
  send->add_option("--hob", sending.hobs,
                   "GUID:HEX or GUID:FILE: a GUID HOB that the drivers find in the HOB list; may be repeated");
  send->add_option("--policy", sending.policy, "Policy source (XML) or blob instead of the default");
  send->add_option("--to", sending.to, "Handler GUID, or a known name; with --messages for lines without one");
  auto* data = send->add_option_group("message");
  data->add_option("--hex", sending.hex, "Message as hexadecimal digits");
  data->add_option("--text", sending.text, "Message as text");
  data->add_option("--file", sending.file, "Message is the content of this file");
  data->add_option("--messages", sending.messages, "One JSON object a line: {\"to\": GUID, \"data_hex\": \"..\"}");
  data->require_option(0, 1);
  send->add_option("--channel", sending.channel, "Communicate channel")->check(CLI::IsMember({"user", "supervisor"}));
  send->add_option("--cpus", sending.cpus, "Number of CPUs")->check(CLI::Range(1, 8));
  send->add_option("--fault-policy", sending.fault_policy, "What a fault of a driver does")
      ->check(CLI::IsMember({"contain", "fail-stop"}));
  send->add_option("--target", sending.target, "Machine: sim or qemu")->check(CLI::IsMember({"sim", "qemu"}));
  send->add_flag("--json", sending.json, "One JSON object on standard output instead of text");
  send->add_flag("-v,--verbose", sending.verbose, "Print what the drivers write to the serial port, and every event");

  std::set<std::string> const targets{kFuzzTargets.begin(), kFuzzTargets.end()};
  FuzzOptions fuzzing;
  auto* fuzz = app.add_subcommand("fuzz", "Run a fuzzer; Ctrl-C ends it, and what it learned stays");
  fuzz->add_option("TARGET", fuzzing.target, "What to fuzz")->required()->check(CLI::IsMember(targets));
  auto* time = fuzz->add_option("--time", fuzzing.seconds, "Seconds; 0: until Ctrl-C. Default 60, 0 with --runs")
                   ->check(CLI::Range(0u, 10'000'000u));
  fuzz->add_option("--runs", fuzzing.runs, "Most executions");
  fuzz->add_option("--seed", fuzzing.seed, "Seed of the mutations; the same seed and --runs do the same again");
  fuzz->add_option("--jobs", fuzzing.jobs, "Processes")->check(CLI::Range(1, 64));
  fuzz->add_option("--corpus", fuzzing.corpus, "Folder that keeps inputs which reach something new");
  fuzz->add_option("--findings", fuzzing.findings, "Folder that keeps inputs which broke something");
  fuzz->add_flag("--keep-going", fuzzing.keep_going, "Go on after a finding, until the time is over");
  fuzz->add_flag("--fast", fuzzing.fast, "The program without sanitizers");
  fuzz->add_option("--defect", fuzzing.defect, "Plant a defect")->group("");  // for tests
  ReproOptions again;
  auto* repro = app.add_subcommand("repro", "Run one input of a fuzzer again");
  repro->add_option("FILE", again.file, "The input")->required()->check(CLI::ExistingFile);
  repro->add_option("--kind", again.kind, "The fuzzer it is for; default: from the names of file and folder")
      ->check(CLI::IsMember(targets));
  repro->add_option("--target", again.target, "Machine for communicate: sim, qemu, or both (and compare)")
      ->check(CLI::IsMember({"sim", "qemu", "both"}));
  repro->add_option("--defect", again.defect, "Plant a defect")->group("");  // for tests

  auto const policy = add_policy_command(app);

  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? kPassed : kBadInput;
  }
  try {
    if (*run) {
      return run_command(options);
    }
    if (*audit) {
      return audit_command(auditing);
    }
    if (app.got_subcommand("policy")) {
      return policy();
    }
    if (*images) {
      return images_command(files, json);
    }
    if (*scan) {
      return scan_command(scanning);
    }
    if (*os) {
      return linux_command(booting);
    }
    if (*send) {
      return send_command(sending);
    }
    if (*fuzz) {
      fuzzing.seconds = time->count() == 0 && fuzzing.runs != 0 ? 0 : fuzzing.seconds;
      return fuzz_command(fuzzing);
    }
    if (*repro) {
      return repro_command(again);
    }
    return *doctor ? doctor_command(json, options.verbose) : bench_command(json);
  } catch (std::exception const& e) {
    std::cerr << "mmsim: " << e.what() << '\n';
    return kEnvironment;
  }
}
