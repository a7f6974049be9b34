// SPDX-License-Identifier: BSD-2-Clause-Patent
// `mmsim confirm`: what somebody claims of a driver becomes a fact, or not.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/claims/verdict.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/machine_options.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using lab::Verdict;
using nlohmann::json;

struct ConfirmOptions {
  fs::path file;
  fs::path out;  ///< empty: NAME.confirm beside the claim
  bool json = false;
  bool no_qemu = false;
};

/// A claim with the machine that it is about, as a folder.
struct Case {
  lab::Claim claim;
  fs::path folder;
  lab::DriverSession session;
  std::vector<lab::DriverMessage> messages;
};

/// What was found out.
struct Answer {
  lab::Judgement judgement;
  std::string place;  ///< empty: none
  std::string sim = "not run", qemu = "not run";
  std::optional<fs::path> reproducer;
};

/// Recipients become a list, of which messages have the numbers. False: there are too many.
bool number_recipients(Case& c) {
  for (auto const& message : c.claim.messages) {
    auto& list = c.session.handlers;
    auto const at = std::ranges::find(list, message.to);
    c.messages.push_back({static_cast<u8>(at - list.begin()), 0, message.data});
    if (at == list.end()) {
      list.push_back(message.to);
    }
  }
  return c.session.handlers.size() <= 256;
}

std::expected<void, std::string> write_machine(Case const& c) {
  lab::CaseGuard const guard{c.claim.heap_guard, c.claim.heap_guard};
  if (!c.claim.scenario.empty()) {
    return lab::write_case(c.folder, c.claim.scenario, images_folder(), guard);
  }
  MachineOptions machine;
  machine.images = c.claim.images;
  machine.volumes = c.claim.volumes;
  machine.policy = c.claim.policy;
  lab::CaseSource source;
  MM_TRY_ASSIGN(source.drivers, drivers_of(machine));
  if (!machine.policy.empty()) {
    MM_TRY_ASSIGN(source.policy, policy_of(machine));
  }
  return lab::write_case(c.folder, source, guard);
}

std::expected<Case, std::string> read_case(ConfirmOptions const& o) {
  MM_TRY_ASSIGN(auto const bytes, lab::read_file(o.file));
  Case c;
  MM_TRY_ASSIGN(c.claim, lab::parse_claim({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, o.file));
  c.folder = o.out.empty() ? fs::path{o.file}.replace_extension(".confirm") : o.out;
  if (!number_recipients(c)) {
    return std::unexpected(o.file.string() + ": messages go to more than 256 handlers");
  }
  MM_TRY(write_machine(c));
  return c;
}

/// What a machine makes of the messages: the judgement, or why there is none.
std::expected<lab::Judgement, std::string> judged_on(lab::Backend const& machine, Case const& c,
                                                     lab::Prepared const& prepared) {
  if (auto const why = machine.unavailable(prepared.images)) {
    return std::unexpected("not here: " + *why);
  }
  MM_TRY_ASSIGN(auto const run, machine.run(prepared));
  return lab::judge_claim(c.claim, prepared, run);
}

/// A scenario that passes while it is so; nothing: no scenario can expect it.
std::expected<std::optional<fs::path>, std::string> write_reproducer(Case const& c, lab::Prepared const& prepared,
                                                                     lab::Judgement const& judgement) {
  MM_TRY_ASSIGN(auto const bytes, lab::read_file(c.folder / lab::kCaseFile));
  std::string const machine{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  std::optional<std::string> toml;
  if (judgement.finding) {
    toml = lab::finding_toml(machine, prepared, c.session, *judgement.finding,
                             std::span{c.messages}.first(judgement.message));
  } else {
    bool const leak = judgement.verdict == Verdict::Confirmed && !c.claim.does.bytes.empty();
    auto const rest = leak ? fmt::format("\n[expect]\nsecrets = [{{ hex = \"{}\" }}]\ncaught = [\"secret\"]\n",
                                         lab::hex_digits(c.claim.does.bytes))
                           : std::string{};
    toml = lab::messages_toml(machine, "a claim", c.session, c.messages, rest);
  }
  if (!toml) {
    return std::nullopt;
  }
  auto const file = c.folder / "claim.toml";
  MM_TRY(lab::write_file(file, std::as_bytes(std::span{*toml})));
  return file;
}

/// QEMU's word on what the simulator confirms; where the two do not agree there is no fact.
void ask_qemu(ConfirmOptions const& o, Case const& c, lab::Prepared const& prepared, Answer& answer) {
  if (o.no_qemu) {
    answer.qemu = "not asked for";
  } else if (c.claim.does.what == lab::Deed::Hang) {
    answer.qemu = "not run: it would not come back";
  } else if (!lab::is_for(prepared.scenario, lab::Target::Qemu)) {
    answer.qemu = "not run: the machine is one for the simulator";
  } else if (auto const there = judged_on(lab::qemu(), c, prepared); !there) {
    answer.qemu = "not run: " + there.error();
  } else {
    answer.qemu = lab::verdict_name(there->verdict);
    if (there->verdict != answer.judgement.verdict) {
      answer.judgement.verdict = Verdict::NotExpressible;
      answer.judgement.reason =
          fmt::format("the machines differ: on the simulator {}; on QEMU {}", answer.judgement.reason, there->reason);
    }
  }
}

std::expected<Answer, std::string> find_out(ConfirmOptions const& o, Case const& c) {
  Answer answer;
  MM_TRY_ASSIGN(auto alone, lab::prepare_case(c.folder, images_folder()));
  alone.audit = true;
  MM_TRY_ASSIGN(auto const first, lab::simulator().run(alone));
  if (auto const why = lab::not_expressible(c.claim, alone, first)) {
    answer.judgement = {Verdict::NotExpressible, *why, 0, std::nullopt};
    return answer;
  }
  MM_TRY_ASSIGN(auto const prepared, lab::prepare_case(c.folder, images_folder(), c.session, c.messages));
  MM_TRY_ASSIGN(answer.judgement, judged_on(lab::simulator(), c, prepared));
  answer.sim = lab::verdict_name(answer.judgement.verdict);
  answer.place = answer.judgement.finding ? lab::place_text(prepared, *answer.judgement.finding) : "";
  MM_TRY_ASSIGN(answer.reproducer, write_reproducer(c, prepared, answer.judgement));
  ask_qemu(o, c, prepared, answer);
  return answer;
}

int exit_code(Verdict verdict) {
  return verdict == Verdict::Confirmed ? kPassed : verdict == Verdict::Refuted ? kFailed : kSkipped;
}

void print(Case const& c, Answer const& a) {
  std::cout << fmt::format("{}: {}\n  {}\n", lab::verdict_name(a.judgement.verdict), c.claim.name, a.judgement.reason);
  if (!a.place.empty()) {
    std::cout << fmt::format("  in {}\n", a.place);
  }
  if (a.judgement.message != 0) {
    std::cout << fmt::format("  in message {} of {}\n", a.judgement.message, c.claim.messages.size());
  }
  std::cout << fmt::format("  simulator: {}; QEMU: {}\n", a.sim, a.qemu);
  if (a.reproducer) {
    std::cout << fmt::format("  {} run {} --target=both\n", lab::program_name(), a.reproducer->string());
  }
}

void print_json(Case const& c, Answer const& a) {
  json out{{"schema", 1},
           {"claim", c.claim.name},
           {"verdict", lab::verdict_name(a.judgement.verdict)},
           {"reason", a.judgement.reason},
           {"message", a.judgement.message == 0 ? json(nullptr) : json(a.judgement.message)},
           {"place", a.place.empty() ? json(nullptr) : json(a.place)},
           {"sim", a.sim},
           {"qemu", a.qemu},
           {"reproducer", a.reproducer ? json(a.reproducer->string()) : json(nullptr)}};
  std::cout << lab::json_text(out);
}

int confirm_command(ConfirmOptions const& o) {
  auto const c = read_case(o);
  if (!c) {
    std::cerr << "mmsim: " << c.error() << '\n';
    return kBadInput;
  }
  auto const answer = find_out(o, *c);
  if (!answer) {
    std::cerr << "mmsim: " << answer.error() << '\n';
    return kEnvironment;
  }
  o.json ? print_json(*c, *answer) : print(*c, *answer);
  return exit_code(answer->judgement.verdict);
}

}  // namespace

Command add_confirm_command(Arguments program) {
  auto const o = std::make_shared<ConfirmOptions>();
  auto confirm = program.command("confirm", "Find out whether messages make a driver do what a claim says");
  confirm.option("CLAIM", o->file, "A claim, a JSON document").required().existing_file();
  confirm.option("--out", o->out, "Folder for the machine and the reproducer; default: NAME.confirm beside the claim");
  confirm.flag("--json", o->json, "One JSON object on standard output");
  confirm.flag("--no-qemu", o->no_qemu, "Ask the simulator only");
  add_symbol_options(confirm);
  confirm.footer(
      "CONFIRMED: both machines show it; REFUTED: they do something else; NOT EXPRESSIBLE: they cannot tell, and why.\n"
      "tools/lab/claims/README.md has the format.\n"
      "Exit codes: 0 CONFIRMED, 1 REFUTED, 77 NOT EXPRESSIBLE; 2 the claim or a file that it names is bad, 3 "
      "environment.\n"
      "Example: mmsim confirm claim.json --json");
  return {confirm, [o] { return confirm_command(*o); }};
}

}  // namespace mm::runner
