// SPDX-License-Identifier: BSD-2-Clause-Patent
// Messages to the drivers of a machine that somebody else describes: MM_FUZZ_CASE names a folder as `mmsim fuzz driver`
// writes it (tools/lab/fuzzing/driver_case.hpp); without it the machine has our Hello. The machine goes back to its
// start before each input. tools/lab/fuzzing/driver_oracle.hpp says what a driver must not do, fuzz/support/watch.hpp
// what the supervisor must not.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "core/abi/guids.hpp"
#include "core/steps/runner.hpp"
#include "fuzz/support/compares.hpp"
#include "fuzz/support/driver_replies.hpp"
#include "fuzz/support/images.hpp"
#include "fuzz/support/target.hpp"
#include "fuzz/support/watch.hpp"
#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/fuzzing/minimise.hpp"
#include "tools/lab/run/sim_config.hpp"

/// Edge counters of ring 3, by which libFuzzer sees progress inside the guest.
[[gnu::section("__libfuzzer_extra_counters")]] static std::array<mm::u8, 1 << 14> g_ring3_counters;

namespace {

using namespace mm;

/// One input in so many is run twice, and must do the same again.
constexpr u64 kRepeated = 64;
/// Runs that making a finding smaller may take.
constexpr std::size_t kMinimiseRuns = 3000;
constexpr int kFoundCode = 77;  ///< tools/runner/fuzz/driver_fuzz.cpp
constexpr std::string_view kHello = R"(schema = 1
images = [{ driver = "Hello" }]
[machine]
fault_policy = "contain"
)";

[[noreturn]] void give_up(std::string const& why) {
  std::fprintf(stderr, "the machine for fuzzing cannot be made: %s\n", why.c_str());
  std::_Exit(3);
}

std::string setting(char const* name) {
  char const* const given = std::getenv(name);
  return given != nullptr ? given : "";
}

std::string images_folder() { return fuzz::images_folder(MM_IMAGE_DIR); }

template <typename T>
T need(std::expected<T, std::string> made) {
  if (!made) {
    give_up(made.error());
  }
  return std::move(*made);
}

/// What one input did.
struct Outcome {
  u64 hash = 0;
  std::optional<lab::DriverFinding> finding;
};

/// A machine whose drivers have started, with what must hold of them.
class Target {
 public:
  Target() {
    auto const folder = setting("MM_FUZZ_CASE");
    auto const prepared = need(
        folder.empty() ? lab::prepare(need(lab::parse_scenario(kHello, "driver", images_folder())), images_folder())
                       : lab::prepare_case(folder, images_folder()));
    boot(prepared);
    auto const& boot_trace = machine_->trace();
    auto const& config = machine_->config().boot;
    judged_ = lab::judged_machine(boot_trace, {config.ram_bytes - config.tseg_bytes, config.tseg_bytes},
                                  lab::image_names(prepared));
    auto const there = lab::registered_handlers(boot_trace);
    if (folder.empty()) {
      session_.handlers = there;
    } else {
      session_ = need(lab::read_session(folder));
      known_.insert(session_.known.begin(), session_.known.end());
    }
    for (auto const& handler : session_.handlers) {
      if (std::ranges::find(there, handler) == there.end()) {
        give_up("nobody answers to " + lab::format_guid(handler) + " here, as when the session began");
      }
    }
    watch_code();
    watch_ = std::make_unique<fuzz::Watch>(*machine_);
  }

  void run(std::span<std::byte const> input) {
    auto const messages = lab::split_messages(input, session_.most_messages, session_.most_bytes);
    auto outcome = play(messages);
    if (same_) {
      compare_with_first(outcome);
      return;
    }
    if (!outcome.finding && inputs_++ % kRepeated == 0 && play(messages).hash != outcome.hash) {
      outcome.finding = unrepeatable();
    }
    if (outcome.finding && !known_.contains(outcome.finding->key())) {
      tell(*outcome.finding, messages);
    }
  }

 private:
  void boot(lab::Prepared const& prepared) {
    auto config = lab::machine_config(prepared);
    config.coverage = g_ring3_counters;
    config.covered = &code_;
    config.on_compare = fuzz::note_compare;
    machine_ = need(sim::Simulator::create(config));
    if (auto const booted = machine_->boot(prepared.fv, prepared.scenario.hobs); !booted) {
      give_up(booted.error());
    }
    steps::run_steps(*machine_, prepared.program.bytes);
    if (machine_->stopped()) {
      give_up("it stopped before the first message");
    }
  }

  /// Coverage and compares of the drivers: what the user core does depends on sizes above all, and leads nowhere.
  void watch_code() {
    u64 first = UINT64_MAX;
    u64 last = 0;
    for (auto const& image : judged_.images) {
      if (image.guid != guids::gMmSupervisorUserGuid && image.guid != guids::gMmSupervisorCoreGuid) {
        first = std::min(first, image.base);
        last = std::max(last, image.base + image.bytes);
      }
    }
    code_ = {std::min(first, last), last - std::min(first, last)};
    fuzz::watch_compares(code_);
  }

  Outcome play(std::span<lab::DriverMessage const> messages) {
    watch_->reset();
    fuzz::forget_compares();
    Outcome out;
    std::size_t events = 0;
    for (std::size_t i = 0; i < messages.size() && !machine_->stopped() && !out.finding; ++i) {
      fill(messages[i]);
      watch_->send(message_);
      auto const& trace = machine_->trace();
      out.finding = lab::judge(judged_, std::span{trace}.subspan(events), session_.allowed);
      events = trace.size();
      fuzz::keep_reply(watch_->reply(), messages[i].data);
      if (fuzz::planted("AnyReply") && !watch_->reply().empty()) {
        out.finding = unrepeatable();
      }
    }
    out.hash = watch_->outcome();
    return out;
  }

  void fill(lab::DriverMessage const& m) {
    message_.channel = abi::Channel::User;
    message_.valid = 1;
    message_.buffer.clear();
    lab::append_object(message_.buffer, lab::recipient(m, session_));
    lab::append_int(message_.buffer, m.data.size(), sizeof(u64));
    lab::append_bytes(message_.buffer, m.data);
  }

  /// Every execution of one input leaves the same events.
  void compare_with_first(Outcome outcome) {
    auto const events = lab::fnv1a(std::as_bytes(std::span{machine_->trace()}));
    outcome.hash ^= fuzz::planted("AnyReply") ? inputs_ : events;
    first_ = inputs_++ == 0 ? outcome.hash : first_;
    if (outcome.hash != first_) {
      std::fprintf(stderr, "execution %llu left other events than the first\n",
                   static_cast<unsigned long long>(inputs_));
      std::_Exit(kFoundCode);
    }
  }

  static lab::DriverFinding unrepeatable() {
    lab::DriverFinding f;
    f.oracle = lab::Oracle::Repeatability;
    f.what = "the same messages to the same machine did something else the second time";
    f.aborted = false;
    return f;
  }

  /// Makes the input smaller, leaves it where the command looks, and says so.
  void tell(lab::DriverFinding const& finding, std::span<lab::DriverMessage const> messages) {
    auto const key = finding.key();
    auto const folder = setting("MM_FUZZ_FOUND");
    if (folder.empty()) {  // a replay
      std::fprintf(stderr, "%s: %s\n", key.c_str(), finding.what.c_str());
      std::_Exit(kFoundCode);
    }
    known_.insert(key);
    auto const small = lab::minimise({messages.begin(), messages.end()}, kMinimiseRuns, [&](auto const& candidate) {
      auto const found = play(candidate).finding;
      return found && found->key() == key;
    });
    auto const file = folder + "/" + key;
    if (auto const written = lab::write_file(file, lab::join_messages(small.messages)); !written) {
      give_up(written.error());
    }
    nlohmann::json const line{{"key", key},
                              {"what", finding.what},
                              {"file", file},
                              {"messages", messages.size()},
                              {"bytes", lab::join_messages(messages).size()},
                              {"tries", small.tries}};
    std::fprintf(stderr, "mm-finding: %s\n", line.dump().c_str());
    if (setting("MM_FUZZ_KEEP_GOING").empty()) {
      std::fprintf(stderr, "stat::number_of_executed_units: %llu\n",
                   static_cast<unsigned long long>(fuzz::executions()));
      std::fflush(nullptr);
      std::_Exit(kFoundCode);
    }
  }

  std::unique_ptr<sim::Simulator> machine_;
  std::unique_ptr<fuzz::Watch> watch_;
  lab::JudgedMachine judged_;
  lab::DriverSession session_;
  std::set<std::string> known_;
  lab::SequenceMessage message_;
  Range code_;  ///< of the drivers; empty while they start
  u64 inputs_ = 0;
  u64 first_ = 0;                                       ///< what the first execution left
  bool const same_ = !setting("MM_FUZZ_SAME").empty();  ///< all inputs are one, and must do the same
};

}  // namespace

/// Detecting use after return would keep a shadow stack for each fiber that a halt abandons: memory without bound.
extern "C" char const* __asan_default_options() { return "detect_stack_use_after_return=0:quarantine_size_mb=16"; }

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kNames{"AnyReply"};
  return kNames;
}

void mm::fuzz::run(std::span<std::byte const> input) {
  static Target target;
  target.run(input);
}
