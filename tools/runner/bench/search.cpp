// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/lab/text/temporary_folder.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz/process.hpp"

namespace mm::runner::bench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Executions that the sound driver gets at least: many mistakes are found at once.
constexpr u64 kLeastEffort = 5000;

/// "OffByOne" of WeakOffByOne.efi, where SoundOffByOne.efi is there as well.
std::vector<std::string> mistakes() {
  std::vector<std::string> out;
  std::error_code error;
  for (auto const& entry : fs::directory_iterator{images_folder(), error}) {
    constexpr std::string_view kWeak = "Weak";
    auto const name = entry.path().stem().string();
    bool const weak = entry.path().extension() == ".efi" && name.starts_with(kWeak) && !name.contains('.');
    if (weak && fs::is_regular_file(images_folder() / ("Sound" + name.substr(kWeak.size()) + ".efi"), error)) {
      out.push_back(name.substr(kWeak.size()));
    }
  }
  std::ranges::sort(out);
  return out;
}

/// What `mmsim fuzz driver --json` says of a driver; a text when it says nothing.
json fuzz(fs::path const& folder, std::string const& driver, SearchOptions const& o, std::vector<std::string> more) {
  std::error_code error;
  auto const image = (images_folder() / driver).string();
  std::vector<std::string> arguments{fs::read_symlink("/proc/self/exe", error).string(),
                                     "fuzz",
                                     "driver",
                                     "--json",
                                     "--image",
                                     fmt::format("{}.efi:{}.depex", image, image),
                                     "--corpus",
                                     (folder / driver / "corpus").string(),
                                     "--findings",
                                     (folder / driver / "findings").string(),
                                     "--seed",
                                     std::to_string(o.seed),
                                     "--jobs",
                                     std::to_string(o.jobs)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  if (o.fast) {
    arguments.emplace_back("--fast");
  }
  json said;
  std::string last;
  auto const code = run_fuzzer(std::move(arguments), {}, [&](std::string_view line) {
    last = line;
    if (line.starts_with('{')) {
      said = json::parse(line, nullptr, false);
    }
  });
  return said.is_object() ? said : json(code ? last : code.error());
}

void take_finding(json const& finding, Searched& out) {
  std::error_code error;
  out.oracle = finding.value("oracle", "");
  out.messages = finding.contains("messages") ? finding["messages"].size() : 0;
  auto const bytes = fs::file_size(finding.value("input", ""), error);
  out.bytes = error ? 0 : bytes;
  out.sim = finding.value("sim", "") == "shows it";
  out.qemu_said = finding.value("qemu", "");
  out.qemu = out.qemu_said == "shows it";
}

Searched search_one(fs::path const& folder, std::string const& mistake, SearchOptions const& o) {
  Searched out;
  out.mistake = mistake;
  auto const weak = fuzz(folder, "Weak" + mistake, o, {"--time", std::to_string(o.seconds)});
  if (!weak.is_object()) {
    out.error = weak.get<std::string>();
    return out;
  }
  out.executions = weak.value("executions", u64{0});
  out.seconds = weak.value("found_after", 0.0);
  if (!weak["findings"].empty()) {
    take_finding(weak["findings"].front(), out);
  }
  u64 const effort = std::max(kLeastEffort, out.executions / o.jobs);
  auto const sound = fuzz(folder, "Sound" + mistake, o, {"--runs", std::to_string(effort)});
  if (!sound.is_object()) {
    out.error = sound.get<std::string>();
    return out;
  }
  out.sound_executions = sound.value("executions", u64{0});
  out.sound = sound["findings"].empty() ? "" : sound["findings"].front().value("key", "something");
  return out;
}

std::string replayed(Searched const& s) {
  std::string const qemu = s.qemu ? "QEMU" : s.qemu_said.starts_with("not") ? "" : "not QEMU";
  return !s.sim ? "nothing" : qemu.empty() ? "simulator" : "simulator, " + qemu;
}

}  // namespace

std::vector<Searched> search(SearchOptions const& options, void (*told)(Searched const&)) {
  lab::TemporaryFolder const folder;
  Interrupts const interrupts;
  std::vector<Searched> out;
  for (auto const& mistake : mistakes()) {
    if (interrupted()) {
      break;
    }
    out.push_back(search_one(folder.path(), mistake, options));
    told(out.back());
  }
  return out;
}

std::string search_head() {
  return fmt::format("{:<16} {:<20} {:>8} {:>10} {:>8} {:>6}  {:<20} {}\n", "mistake", "found by", "after s",
                     "executions", "messages", "bytes", "replayed on", "sound: executions, found");
}

std::string search_line(Searched const& s) {
  if (!s.error.empty()) {
    return fmt::format("{:<16} not searched: {}\n", s.mistake, s.error);
  }
  return fmt::format("{:<16} {:<20} {:>8.1f} {:>10} {:>8} {:>6}  {:<20} {}, {}\n", s.mistake,
                     s.oracle.empty() ? "NOT FOUND" : s.oracle, s.seconds, s.executions, s.messages, s.bytes,
                     s.oracle.empty() ? "" : replayed(s), s.sound_executions, s.sound.empty() ? "nothing" : s.sound);
}

std::string search_summary(std::vector<Searched> const& all) {
  auto const count = [&](auto const& holds) { return std::ranges::count_if(all, holds); };
  double seconds = 0;
  for (auto const& one : all) {
    seconds += one.seconds;
  }
  return fmt::format(
      "{} of {} mistakes found, in {:.0f} s; {} replayed on the simulator, {} on QEMU; {} found in sound ones\n",
      count([](Searched const& s) { return !s.oracle.empty(); }), all.size(), seconds,
      count([](Searched const& s) { return s.sim; }), count([](Searched const& s) { return s.qemu; }),
      count([](Searched const& s) { return !s.sound.empty(); }));
}

json to_json(Searched const& s) {
  return {{"mistake", s.mistake},
          {"oracle", s.oracle.empty() ? json(nullptr) : json(s.oracle)},
          {"seconds", s.seconds},
          {"executions", s.executions},
          {"messages", s.messages},
          {"bytes", s.bytes},
          {"sim", s.sim},
          {"qemu", s.qemu ? "shows it" : s.qemu_said},
          {"sound_executions", s.sound_executions},
          {"sound_found", s.sound.empty() ? json(nullptr) : json(s.sound)},
          {"error", s.error.empty() ? json(nullptr) : json(s.error)}};
}

}  // namespace mm::runner::bench
