// SPDX-License-Identifier: BSD-2-Clause-Patent
// `mmsim debug`: a scenario on QEMU that waits for gdb.
#include <fmt/format.h>
#include <sys/un.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <thread>

#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/qemu_process.hpp"
#include "tools/lab/tell/gdb_script.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/lab/text/temporary_folder.hpp"
#include "tools/lab/text/terminal.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;

struct DebugOptions {
  fs::path file;
  std::string target = "qemu";
};

/// Prints the line to type as soon as somebody listens behind `socket`.
void announce(std::stop_token const& stop, fs::path const& socket, fs::path const& script) {
  std::error_code error;
  while (!stop.stop_requested() && !fs::is_socket(socket, error)) {
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  if (!stop.stop_requested()) {
    std::cout
        << fmt::format(
               "QEMU waits at reset, with every image in the file below. In another terminal:\n"
               "  gdb -q -x {}\n"
               "then for example: hbreak FILE:LINE, continue, info locals, x/4i $pc. Ctrl-C here ends the machine.\n",
               script.string())
        << std::flush;
  }
}

/// How the machine ended under the debugger; kFailed when an expectation did not hold.
int tell_end(lab::Prepared const& prepared, lab::MachineRun const& run) {
  if (!run.serial.empty()) {
    std::cout << "serial port\n" << lab::serial_text(run.serial) << '\n';
  }
  auto const problems = lab::check(prepared, run);
  for (auto const& problem : problems) {
    std::cout << problem.text << '\n';
  }
  std::cout << (problems.empty() ? std::string{"the scenario passed\n"}
                                 : lab::as_typed("the scenario failed; `mmsim run` tells more\n"));
  return problems.empty() ? kPassed : kFailed;
}

int debug_command(DebugOptions const& o) {
  auto loaded = lab::load_scenario(o.file, images_folder());
  if (!loaded) {
    return complain(loaded.error(), kBadInput);
  }
  if (!lab::is_for(*loaded, lab::Target::Qemu)) {
    return complain(o.file.string() + ": a scenario for the simulator alone does not run on QEMU", kBadInput);
  }
  auto prepared = lab::prepare(std::move(*loaded), images_folder());
  if (!prepared || prepared->refused) {
    return complain(prepared ? *prepared->refused : prepared.error(), kBadInput);
  }
  if (auto const why = lab::qemu().unavailable(images_folder())) {
    return complain(*why, kEnvironment);
  }
  // Both machines load images at the same addresses: a run tells where.
  auto const known = lab::qemu().run(*prepared);
  if (!known) {
    return complain(known.error(), kEnvironment);
  }
  lab::TemporaryFolder const folder;
  auto const socket = folder.path() / "gdb";
  if (folder.path().empty() || socket.string().size() >= sizeof(sockaddr_un::sun_path)) {
    return complain(folder.path().string() + ": no folder for a socket; is TMPDIR there, and not too long?",
                    kEnvironment);
  }
  auto const script = folder.path() / "gdb.txt";
  auto const text = lab::gdb_script(*prepared, *known, socket);
  if (auto const written = lab::write_file(script, std::as_bytes(std::span{text})); !written) {
    return complain(written.error(), kEnvironment);
  }
  prepared->qemu.options.insert(prepared->qemu.options.end(),
                                {"-S", "-gdb", fmt::format("unix:{},server=on,wait=off", lab::qemu_value(socket))});
  prepared->qemu.limit = std::chrono::hours{24 * 365};
  std::jthread const announcer{[&](std::stop_token const& stop) { announce(stop, socket, script); }};
  auto const run = lab::qemu().run(*prepared);
  return run ? tell_end(*prepared, *run) : complain(run.error(), kEnvironment);
}

}  // namespace

Command add_debug_command(Arguments program) {
  auto const o = std::make_shared<DebugOptions>();
  auto debug = program.command("debug", "Run a scenario on QEMU under gdb");
  debug.option("SCENARIO", o->file, "A scenario").required().existing_file();
  debug.option("--target", o->target, "Machine").one_of(std::vector<std::string>{"qemu"});
  debug.footer(
      "The machine waits at reset until gdb is there: the line to type is printed. The symbols of all images (DWARF in "
      "them\n"
      "or beside them) are at the addresses at which they are loaded; $NAME is the base of image NAME. When the "
      "machine\n"
      "ends, what its drivers wrote to the serial port and what did not hold is printed. Ctrl-C ends QEMU.\n"
      "Example: mmsim debug scenarios/smoke/hello.toml");
  return {debug, [o] { return debug_command(*o); }};
}

}  // namespace mm::runner
