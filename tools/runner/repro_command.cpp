// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>

#include "sim/scenario/run.hpp"
#include "tools/runner/commands.hpp"

extern char** environ;

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using scenario::Bytes;

constexpr std::size_t kHeadBytes = 6;
constexpr std::size_t kMostMessages = 8;
constexpr std::array kKinds{"communicate", "image", "policy"};

/// The handlers that the head byte `guid` of fuzz/communicate.cpp numbers from 1.
constexpr std::array kHandlers{
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid, "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0003"_guid,
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010"_guid, guids::gMmSupervisorRequestHandlerGuid,
    guids::gMmSupervisorDriverDispatchGuid,
};

scenario::ScenarioStep message_step(std::span<std::byte const> head, std::span<std::byte const> body,
                                    std::size_t number) {
  auto const byte = [&](std::size_t i) { return static_cast<u8>(head[i]); };
  bool const signature = (byte(1) & 2) != 0;
  scenario::ProgramStep step;
  if (byte(0) != 0) {
    scenario::append_object(step.data, kHandlers[(byte(0) - 1u) % kHandlers.size()]);
    scenario::append_int(step.data, body.size() + (signature ? 4u : 0u), 8);
  }
  if (signature) {
    scenario::append_int(step.data, abi::kRequestSignature, 4);
  }
  scenario::append_bytes(step.data, body);
  step.data.resize(std::min<std::size_t>(step.data.size(), communication::kMaxStepBytes));
  step.head = {static_cast<u16>(communication::StepOp::Communicate),
               0,
               static_cast<u32>(step.data.size()),
               static_cast<u64>((byte(1) & 1) != 0 ? abi::Channel::Supervisor : abi::Channel::User),
               byte(2),
               communication::kMaxStepBytes};
  scenario::ScenarioStep out;
  out.kind = "communicate";
  out.title = fmt::format("message {}, {} bytes", number, step.data.size());
  out.program.push_back(std::move(step));
  return out;
}

std::vector<scenario::ScenarioStep> messages(std::span<std::byte const> input) {
  std::vector<scenario::ScenarioStep> steps;
  while (input.size() >= kHeadBytes && steps.size() < kMostMessages) {
    auto const head = input.first(kHeadBytes);
    input = input.subspan(kHeadBytes);
    auto const bytes = std::min<std::size_t>(scenario::load_int(head, 4, 2), input.size());
    steps.push_back(message_step(head, input.first(bytes), steps.size() + 1));
    input = input.subspan(bytes);
  }
  return steps;
}

bool is_allowed(hal::HaltReason why) {
  using enum hal::HaltReason;
  return why == UserFault || why == SyscallRefused || why == UserBudget || why == UserContract;
}

int repro_communicate(ReproOptions const& options, Bytes const& input) {
  auto const images = images_folder();
  auto loaded = scenario::parse_scenario(
      "schema = 1\nimages = [{driver = \"Hello\"}, {driver = \"HelloSupervised\"}, {driver = \"Attacker\"}]\n"
      "[machine]\ncpus = 2\n[[step]]\nkind = \"communicate\"\nto = \"Hello\"\ntext = \"x\"\n",
      options.file, images);
  if (!loaded) {
    std::cerr << "mmsim: " << loaded.error() << '\n';
    return kEnvironment;
  }
  loaded->steps = messages(input);
  auto const prepared = scenario::prepare(std::move(*loaded), images);
  if (!prepared) {
    std::cerr << "mmsim: " << prepared.error() << '\n';
    return kEnvironment;
  }
  auto const run = options.target == "qemu" ? scenario::run_on_qemu(*prepared) : scenario::run_on_sim(*prepared);
  if (!run) {
    std::cerr << "mmsim: " << run.error() << '\n';
    return kEnvironment;
  }
  for (auto const& lines : {scenario::transcript(*prepared, *run), scenario::describe_results(*prepared, *run)}) {
    for (auto const& line : lines) {
      std::cout << line << '\n';
    }
  }
  if (run->halted && !is_allowed(*run->halted)) {
    std::cout << "halted, and neither ring 3 nor the policy can be the cause: " << scenario::halt_name(*run->halted)
              << '\n';
    return kFailed;
  }
  std::cout << (run->halted ? fmt::format("halted, as it may: {}\n", scenario::halt_name(*run->halted)) : "no halt\n");
  return kPassed;
}

/// Runs the program of the fuzz target, of this build or of the preset `fuzz`, on the file.
int repro_with_program(ReproOptions const& options) {
  fs::path program = (images_folder() / "../fuzz" / ("fuzz_" + options.kind)).lexically_normal();
  if (!fs::is_regular_file(program)) {
    auto const other = fuzz_program(options.kind);
    if (!other) {
      std::cerr << "mmsim: " << fuzz_build_hint(options.kind) << '\n';
      return kEnvironment;
    }
    program = *other;
  }
  std::array<std::string, 2> text{program.string(), options.file.string()};
  std::array<char*, 3> raw{text[0].data(), text[1].data(), nullptr};
  pid_t pid = 0;
  if (int const error = ::posix_spawn(&pid, raw[0], nullptr, nullptr, raw.data(), environ); error != 0) {
    std::cerr << fmt::format("mmsim: {}: {}\n", text[0], std::strerror(error));
    return kEnvironment;
  }
  int code = 0;
  ::waitpid(pid, &code, 0);
  bool const good = WIFEXITED(code) && WEXITSTATUS(code) == 0;
  std::cout << (good ? "everything that must hold does\n" : "failed\n");
  return good ? kPassed : kFailed;
}

}  // namespace

int repro_command(ReproOptions const& given) {
  ReproOptions options = given;
  auto const name = options.file.filename().string();
  for (auto const* kind : kKinds) {
    if (options.kind.empty() && (name.starts_with(kind) || options.file.parent_path().filename() == kind)) {
      options.kind = kind;
    }
  }
  if (options.kind.empty()) {
    std::cerr << "mmsim: " << options.file.string() << ": say with --kind which fuzzer the input is for\n";
    return kBadInput;
  }
  if (options.kind != "communicate") {
    return repro_with_program(options);
  }
  auto const input = scenario::read_file(options.file);
  if (!input) {
    std::cerr << "mmsim: " << input.error() << '\n';
    return kBadInput;
  }
  return repro_communicate(options, *input);
}

}  // namespace mm::runner
