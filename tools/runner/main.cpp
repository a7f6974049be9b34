// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "tools/lab/run/interruption.hpp"
#include "tools/lab/symbols/symbolizer.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

constexpr auto* kFooter =
    "Examples:\n"
    "  mmsim run scenarios/smoke                       every scenario of a folder, on the simulator\n"
    "  mmsim run scenarios/smoke --target=both         on both machines; their transcripts must agree\n"
    "  mmsim audit scenarios/smoke/hello.toml          what may MM reach, and does every rule hold?\n"
    "  mmsim images OVMF_CODE.fd                       what is in a flash image, a volume or a PE image?\n"
    "  mmsim scan My.efi                               what must change before it runs in ring 3?\n"
    "  mmsim send --image My.efi --to GUID --text hi   one message to a driver, and its reply\n"
    "  mmsim policy --help                             compile, check, compare and learn secure policies\n"
    "  mmsim doctor                                    is everything there that mmsim needs?\n"
    "`mmsim COMMAND --help` says more about each.\n"
    "Exit codes: 0 passed, 1 expectation failed, 2 usage or bad input file, 3 environment, 77 skipped.";

/// What to say about a first word that is no sub-command; CLI11 says only that one is required.
std::optional<std::string> unknown_command(std::vector<Command> const& commands, std::string const& word) {
  std::vector<std::string> names;
  std::ranges::transform(commands, std::back_inserter(names), [](Command const& c) { return c.arguments.name(); });
  if (word.empty() || word.starts_with('-') || std::ranges::find(names, word) != names.end()) {
    return std::nullopt;
  }
  std::vector<std::string_view> const candidates{names.begin(), names.end()};
  auto const near = lab::nearest(word, candidates);
  return fmt::format("mmsim: there is no command '{}'{}; `{} --help` lists them", word,
                     near.empty() ? "" : fmt::format(", did you mean '{}'?", near), lab::program_name());
}

/// What messages call this program: what tools/mmsim was typed as, or the path of an installed one; else its name. The
/// completions and the manual page are for a program on PATH.
void name_program(std::string const& typed, std::string const& command) {
  char const* const script = std::getenv("MM_PROGRAM");
  if (command == "completion") {
    return;
  }
  if (script != nullptr && *script != '\0') {
    lab::set_program_name(script);
  } else if (is_installed() && typed.contains('/')) {
    lab::set_program_name(typed);
  }
}

int run(int argc, char** argv) {
  name_program(argc > 0 ? argv[0] : "", argc > 1 ? argv[1] : "");
  Arguments program = program_arguments("mmsim - runs MMI scenarios on a simulated machine and on QEMU");
  program.require_command();
  program.version([] { return version_text(images_folder()); });
  std::vector<Command> commands;
  for (auto* const add :
       {add_run_command, add_send_command, add_images_command, add_scan_command, add_audit_command, add_policy_command,
        add_fuzz_command, add_repro_command, add_minimize_command, add_confirm_command, add_debug_command,
        add_linux_command, add_bench_command, add_coverage_command, add_doctor_command, add_completion_command}) {
    commands.push_back(add(program));
  }
  program.footer(kFooter);  // last: a sub-command would inherit it
  if (auto const why = unknown_command(commands, argc > 1 ? argv[1] : "")) {
    std::cerr << *why << '\n';
    return kBadInput;
  }
  if (int code = 0; !program.parse(argc, argv, code)) {
    return code == 0 ? kPassed : kBadInput;
  }
  if (auto const used = use_symbol_options(); !used) {
    std::cerr << "mmsim: " << used.error() << '\n';
    return kBadInput;
  }
  lab::Interruption const interruption{lab::WithoutChildren::End};
  int const code = std::ranges::find_if(commands, [](Command const& c) { return c.arguments.chosen(); })->run();
  int const signal = lab::Interruption::signal();
  return signal == 0 ? code : 128 + signal;
}

/// Once, whatever was told without symbols.
void print_trouble_with_symbols() {
  if (auto const trouble = lab::symbolizer().trouble(); !trouble.empty()) {
    std::cout.flush();
    std::fflush(stdout);
    std::cerr << "mmsim: note: " << trouble << '\n';
  }
}

/// The exit code, unless what was printed did not arrive: 0 would say that it has.
int unless_output_was_lost(int code) {
  std::cout.flush();
  bool const lost = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout;
  if (lost) {
    std::cerr << "mmsim: standard output cannot be written\n";
  }
  return lost && code == kPassed ? int{kEnvironment} : code;
}

}  // namespace

int complain(std::string const& what, int code) {
  std::cerr << "mmsim: " << what << '\n';
  return code;
}

std::filesystem::path images_folder() {
  if (char const* const given = std::getenv("MM_IMAGES"); given != nullptr && *given != '\0') {
    return given;
  }
  std::error_code error;
  auto const self = std::filesystem::read_symlink("/proc/self/exe", error);
  auto const installed = (self.parent_path() / "../lib/mm-supervisor/images").lexically_normal();
  return std::filesystem::is_directory(installed) ? installed
                                                  : (self.parent_path() / "../../images").lexically_normal();
}

bool is_installed() { return images_folder().parent_path().filename() == "mm-supervisor"; }

}  // namespace mm::runner

int main(int argc, char** argv) {
  try {
    int const code = mm::runner::run(argc, argv);
    mm::runner::print_trouble_with_symbols();
    bool const full = code == mm::runner::kBadInput && mm::lab::disk_was_full();
    return mm::runner::unless_output_was_lost(full ? int{mm::runner::kEnvironment} : code);
  } catch (std::exception const& e) {
    std::cerr << "mmsim: " << e.what() << '\n';
    return mm::runner::kEnvironment;
  }
}
