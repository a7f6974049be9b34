// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/driver_session.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "tools/lab/fuzzing/driver_seeds.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/scan/words.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/driver_report.hpp"
#include "tools/lab/text/temporary_folder.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using Done = std::expected<void, std::string>;

/// "Weak", "policy.toml" as "policy": of what is fuzzed.
std::string machine_name(DriverFuzzOptions const& d) {
  if (!d.scenario.empty()) {
    return d.scenario.stem().string();
  }
  auto const& first = d.machine.images.empty() ? d.machine.volumes.front().string() : d.machine.images.front();
  return fs::path{first.substr(0, first.rfind(':'))}.stem().string();
}

/// Inputs name handlers by number, so that a corpus is of one machine and one list of handlers.
std::string home_name(std::string const& name, std::vector<Guid> const& handlers) {
  return fmt::format("{}-{:08x}", name, lab::fnv1a(std::as_bytes(std::span{handlers})) & 0xFFFF'FFFF);
}

constexpr std::string_view kWork = ".work-";  ///< and a process number

/// Puts every file of `from` that is new or another into `to`. Who reads there meanwhile sees whole files.
Done bring(fs::path const& from, fs::path const& to) {
  std::error_code error;
  for (auto const& entry : fs::recursive_directory_iterator{from, error}) {
    auto const target = to / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      MM_TRY(make_folder(target));
    } else {
      MM_TRY_ASSIGN(auto const bytes, lab::read_file(entry.path()));
      MM_TRY(lab::replace_file(target, bytes));
    }
  }
  return error ? std::unexpected(fmt::format("{}: {}", from.string(), error.message())) : Done{};
}

/// What sessions that are no more - killed, or out of disk - had found and not told: it is found again at once.
void collect(fs::path const& findings, fs::path const& corpus) {
  std::error_code error;
  for (auto const& entry : fs::directory_iterator{findings, error}) {
    auto const name = entry.path().filename().string();
    auto const process = name.starts_with(kWork) ? std::atoi(name.c_str() + kWork.size()) : 0;
    if (process <= 0 || ::kill(process, 0) == 0 || errno != ESRCH) {
      continue;
    }
    bool kept = true;
    for (auto const& input : fs::directory_iterator{entry.path() / "new", error}) {
      auto const bytes = lab::read_file(input.path());
      kept = kept && bytes && lab::replace_file(corpus / fmt::format("{:016x}", lab::fnv1a(*bytes)), *bytes);
    }
    if (kept) {
      fs::remove_all(entry.path(), error);
    }
  }
}

/// Where a driver may touch what is behind its message, or answers with more, messages are not guarded.
lab::CaseGuard guard_of(DriverFuzzOptions const& d, lab::OracleSet allowed) {
  auto const longer = lab::bit_of(lab::Oracle::MessageBounds) | lab::bit_of(lab::Oracle::ReplySize);
  return {!d.no_heap_guard, (allowed & longer) == 0};
}

Done write_machine(fs::path const& folder, DriverFuzzOptions const& d, lab::OracleSet allowed,
                   std::vector<std::string>& notes) {
  auto const guard = guard_of(d, allowed);
  if (!d.scenario.empty()) {
    return lab::write_case(folder, d.scenario, images_folder(), guard);
  }
  lab::CaseSource source;
  MM_TRY_ASSIGN(source.drivers, drivers_of(d.machine));
  MM_TRY_ASSIGN(source.hobs, hobs_of(d.machine));
  MM_TRY(lab::encode_hobs(source.hobs));  // what is wrong with them
  MM_TRY_ASSIGN(source.flash, flash_of(d.machine));
  if (!d.machine.policy.empty()) {
    MM_TRY_ASSIGN(source.policy, policy_of(d.machine));
  }
  source.cpus = d.machine.cpus;
  for (auto const& report : source.drivers.not_run) {
    notes.push_back(fmt::format("{}: {} {}", report.name, report.state, report.detail));
  }
  if (source.drivers.images.empty()) {
    return std::unexpected(std::string{"fuzz driver: no driver of ours to run among what was given"});
  }
  return lab::write_case(folder, source, guard);
}

/// The handlers of a machine that has booted and run its steps.
std::expected<std::vector<Guid>, std::string> find_handlers(lab::Prepared const& prepared,
                                                            std::vector<std::string>& notes) {
  auto const run = lab::simulator().run(prepared);
  if (!run) {
    return std::unexpected(run.error());
  }
  if (!run->complete) {
    auto const why = run->halted ? "the machine halts: " + std::string{lab::halt_name(*run->halted)}
                                 : std::string{run->boot_failed ? "the boot fails" : "the machine stops"};
    return std::unexpected(fmt::format("fuzz driver: before the first message {}{}{}", why,
                                       run->text.empty() ? "" : ": ", run->text.empty() ? "" : run->text.back()));
  }
  for (auto const& report : lab::report_drivers(prepared, *run)) {
    if (report.state != "started") {
      notes.push_back(fmt::format("{}: {} {}", report.name, report.state, report.detail));
    }
  }
  return lab::registered_handlers(run->trace);
}

std::string listed(std::vector<Guid> const& handlers) {
  std::string out;
  for (auto const& guid : handlers) {
    out += "\n  " + lab::named_guid(guid);
  }
  return out.empty() ? " none" : out;
}

std::expected<std::vector<Guid>, std::string> choose(std::vector<Guid> const& there,
                                                     std::vector<std::string> const& to) {
  constexpr std::size_t kMost = 256;
  std::vector<Guid> out;
  for (auto const& name : to) {
    MM_TRY_ASSIGN(auto const guid, lab::find_guid(name));
    if (std::ranges::find(there, guid) == there.end()) {
      return std::unexpected(
          fmt::format("--to {}: no driver registered a handler for it; registered are{}", name, listed(there)));
    }
    out.push_back(guid);
  }
  out = to.empty() ? there : out;
  if (out.empty()) {
    return std::unexpected(std::string{"fuzz driver: no driver registered a handler for messages"});
  }
  out.resize(std::min(out.size(), kMost));
  return out;
}

Done write_inputs(fs::path const& folder, std::vector<lab::Bytes> const& inputs) {
  for (auto const& input : inputs) {
    MM_TRY(lab::write_file(folder / fmt::format("{:016x}", lab::fnv1a(input)), input));
  }
  return {};
}

Done write_seeds(PreparedSession const& s, DriverFuzzOptions const& d, lab::Scenario const& scenario) {
  auto const& handlers = s.session.handlers;
  MM_TRY(make_folder(s.places.seeds));
  MM_TRY(write_inputs(s.places.seeds, lab::plain_seeds(handlers)));
  MM_TRY(write_inputs(s.places.seeds, lab::seeds_of(scenario, handlers)));
  if (!d.seeds.empty()) {
    MM_TRY_ASSIGN(auto const inputs, lab::read_seeds(d.seeds, handlers));
    MM_TRY(write_inputs(s.places.seeds, inputs));
  }
  return {};
}

/// What the images compare with, known GUIDs and texts in them, and the user's own words.
std::expected<std::string, std::string> dictionary_of(DriverFuzzOptions const& d, lab::Scenario const& scenario) {
  std::string text;
  for (auto const& image : scenario.images) {
    if (!image.fv) {
      MM_TRY_ASSIGN(auto const bytes, lab::read_file(image.file));
      text += lab::dictionary_text(lab::words_of(bytes));
    }
  }
  if (!d.dictionary.empty()) {
    MM_TRY_ASSIGN(auto const own, lab::read_file(d.dictionary));
    text.append(reinterpret_cast<char const*>(own.data()), own.size());
  }
  return text;
}

Done check(DriverFuzzOptions const& d) {
  bool const machine = !d.machine.images.empty() || !d.machine.volumes.empty();
  if (!machine && d.scenario.empty()) {
    return std::unexpected(std::string{"fuzz driver: --image, --fv or --scenario is missing"});
  }
  if (!d.scenario.empty() && d.machine.any()) {
    return std::unexpected(
        std::string{"fuzz driver: --scenario brings its own images, HOBs and policy: no --image, --fv, --hob, --flash, "
                    "--platform, --policy"});
  }
  for (auto const& file : {d.sarif, d.junit}) {
    if (!file.empty() && !fs::is_directory(fs::absolute(file).parent_path())) {
      return std::unexpected(file.string() + ": no folder for this report");
    }
  }
  for (auto const& file : {d.seeds, d.dictionary}) {
    if (!file.empty() && !fs::exists(file)) {
      return std::unexpected(file.string() + ": no such file or folder");
    }
  }
  return {};
}

}  // namespace

std::expected<void, std::string> make_folder(fs::path const& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  bool const good = fs::is_directory(folder) && ::access(folder.c_str(), W_OK) == 0;
  return good ? Done{} : std::unexpected(fmt::format("{}: not a folder that can be written", folder.string()));
}

std::filesystem::path fuzz_home() {
  return is_installed() ? std::filesystem::absolute("mm-fuzz")
                        : (images_folder() / "../../../build/fuzz").lexically_normal();
}

std::expected<PreparedSession, std::string> prepare_session(FuzzOptions const& o, DriverFuzzOptions const& d) {
  PreparedSession s;
  MM_TRY_ASSIGN(s.session.allowed, lab::parse_oracles(d.allow));
  MM_TRY(check(d));
  s.session.most_messages = d.max_messages;
  s.session.most_bytes = d.max_len;
  s.name = machine_name(d);
  auto const home = fuzz_home() / "driver";
  // The handlers name the folder, and the machine tells them: it is written elsewhere first.
  lab::TemporaryFolder const temporary;
  auto const& first = temporary.path();
  MM_TRY(make_folder(first));
  MM_TRY(write_machine(first, d, s.session.allowed, s.notes));
  MM_TRY_ASSIGN(auto const prepared, lab::prepare_case(first, images_folder()));
  MM_TRY_ASSIGN(auto const there, find_handlers(prepared, s.notes));
  MM_TRY_ASSIGN(s.session.handlers, choose(there, d.to));
  MM_TRY_ASSIGN(auto const words, dictionary_of(d, prepared.scenario));
  auto const folder = home / home_name(s.name, s.session.handlers);
  s.places.corpus = o.corpus.empty() ? folder / "corpus" : o.corpus;
  s.places.findings = o.findings.empty() ? folder / "findings" : o.findings;
  s.places.work = s.places.findings / fmt::format("{}{}", kWork, ::getpid());
  s.places.fresh = s.places.work / "new";
  s.places.seeds = s.places.work / "seeds";
  s.places.dictionary = s.places.work / "words.dict";
  s.places.log = s.places.work / "log.txt";
  MM_TRY(make_folder(s.places.corpus));
  MM_TRY(make_folder(s.places.findings));
  collect(s.places.findings, s.places.corpus);
  MM_TRY(make_folder(s.places.fresh));
  MM_TRY(bring(first, s.places.findings));
  MM_TRY(write_seeds(s, d, prepared.scenario));
  MM_TRY(lab::write_file(s.places.dictionary, std::as_bytes(std::span{words})));
  MM_TRY(lab::write_session(s.places.findings, s.session));
  return s;
}

}  // namespace mm::runner
