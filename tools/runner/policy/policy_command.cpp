// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy/policy_file.hpp"
#include "tools/lab/policy/policy_source.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/policy/report.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::policy_tools;
using nlohmann::json;

struct Options {
  fs::path in, other, out, sarif;
  std::string access, vendor = "both";
  std::vector<std::string> regions;
  u32 min_level = 0;
  bool unchecked = false, as_json = false, as_markdown = false;
};

void warn(std::string const& what) { std::cerr << "warning: " << what << '\n'; }
void dump(json const& j) { std::cout << lab::json_text(j, lab::JsonForm::Indented); }

std::string summary(Policy const& policy) {
  std::string out;
  for (auto const& root : policy.roots) {
    out += fmt::format("{}{} {} {}", out.empty() ? "" : ", ", category_name(root.type), root.deny ? "deny" : "allow",
                       root.entries.size());
  }
  return out;
}

int write(fs::path const& path, std::span<std::byte const> bytes) {
  auto const done = lab::write_file(path, bytes);
  return done ? int{kPassed} : complain(done.error());
}

// --- compile and decompile ------------------------------------------------------------------------------------------
int compile(Options const& o) {
  auto const file = lab::load_policy_file(o.in);
  if (!file) {
    return complain(file.error());
  }
  if (!file->xml) {
    return complain(o.in.string() + ": is a blob already; decompile makes the XML of it");
  }
  for (auto const& w : file->warnings) {
    warn(located(o.in.string(), w));
  }
  if (auto const why = refusal(*file)) {
    if (!o.unchecked) {
      return complain(located(o.in.string(), *why) + "; --unchecked writes it all the same");
    }
    warn(located(o.in.string(), *why));
  }
  if (int const code = write(o.out, file->blob); code != kPassed) {
    return code;
  }
  fmt::print("{}: {} bytes: {}\n", o.out.string(), file->blob.size(), summary(file->policy));
  return kPassed;
}

int decompile(Options const& o) {
  auto const file = lab::load_policy_file(o.in);
  if (!file) {
    return complain(file.error());
  }
  if (file->xml) {
    return complain(o.in.string() + ": is XML already; compile makes the blob of it");
  }
  for (auto const& w : file->warnings) {
    warn(located(o.in.string(), w));
  }
  auto const xml = decompile_policy(file->blob);
  if (!xml) {
    return complain(located(o.in.string(), xml.error()));
  }
  if (auto const why = refusal(*file)) {
    warn(located(o.in.string(), *why));
  }
  if (o.out.empty()) {
    std::cout << *xml;
    return kPassed;
  }
  return write(o.out, std::as_bytes(std::span{*xml}));
}

// --- lint -----------------------------------------------------------------------------------------------------------
/// KIND=BASE+SIZE
std::expected<Region, std::string> region(std::string const& text) {
  constexpr std::pair<std::string_view, RegionKind> kKinds[] = {
      {"code=", RegionKind::Code}, {"iommu=", RegionKind::Iommu}, {"txt=", RegionKind::Txt}};
  for (auto const& [name, kind] : kKinds) {
    auto const plus = text.find('+');
    if (!text.starts_with(name) || plus == std::string::npos) {
      continue;
    }
    auto const base = parse_number(std::string_view{text}.substr(name.size(), plus - name.size()));
    auto const size = parse_number(std::string_view{text}.substr(plus + 1));
    if (base && size && *size != 0 && *size - 1 <= UINT64_MAX - *base) {
      return Region{kind, *base, *size};
    }
  }
  return std::unexpected(fmt::format("--region {}: has to be code=BASE+SIZE, iommu=BASE+SIZE or txt=BASE+SIZE", text));
}

int lint_one(Options const& o) {
  LintOptions options;
  if (o.vendor != "both") {
    options.vendors = {o.vendor == "intel" ? Vendor::Intel : Vendor::Amd};
  }
  for (auto const& text : o.regions) {
    auto const r = region(text);
    if (!r) {
      return complain(r.error());
    }
    options.regions.push_back(*r);
  }
  auto const file = lab::load_policy_file(o.in);
  if (!file) {
    return complain(file.error());
  }
  auto const result = lint(*file, options);
  if (!o.sarif.empty()) {
    auto const text = lab::json_text(lint_sarif(o.in.string(), result), lab::JsonForm::Indented);
    if (int const code = write(o.sarif, std::as_bytes(std::span{text})); code != kPassed) {
      return code;
    }
  }
  if (o.as_json) {
    dump(lint_json(o.in.string(), result));
  } else {
    print_lint(o.in.string(), result);
  }
  if (result.levels.level < o.min_level) {
    std::cerr << fmt::format("mmsim: {}: level {} is below {}\n", o.in.string(), result.levels.level, o.min_level);
  }
  return result.refused || result.levels.level < o.min_level ? kFailed : kPassed;
}

// --- explain and diff -----------------------------------------------------------------------------------------------
/// A save-state question without its I/O is asked for each.
std::vector<Access> questions(Access const& access, std::string const& text) {
  if (access.type != policy::Type::SaveState || lower(text).find("during") != std::string::npos) {
    return {access};
  }
  std::vector<Access> out;
  for (auto const trap : {policy::IoTrap::None, policy::IoTrap::Read, policy::IoTrap::Write}) {
    out.push_back(access);
    out.back().trap = trap;
  }
  return out;
}

int print_default(Options const& o) {
  if (o.out.empty()) {
    std::cout << default_policy_xml();
    return kPassed;
  }
  return write(o.out, std::as_bytes(std::span(default_policy_xml())));
}

int list_core(Options const& o) {
  if (o.as_json) {
    dump(core_json());
  } else {
    print_core();
  }
  return kPassed;
}

int explain_one(Options const& o) {
  auto const access = parse_access(o.access);
  if (!access) {
    return complain(access.error());
  }
  auto const file = lab::load_policy_file(o.in);
  if (!file) {
    return complain(file.error());
  }
  json all = json::array();
  for (auto const& question : questions(*access, o.access)) {
    auto const x = explain(file->policy, question);
    if (o.as_json) {
      all.push_back(explanation_json(file->policy, question, x));
    } else {
      print_explanation(o.in.string(), file->policy, question, x);
    }
  }
  if (o.as_json) {
    dump(all.size() == 1 ? all[0] : all);
  }
  return kPassed;
}

int diff(Options const& o) {
  auto const before = lab::load_policy_file(o.in);
  auto const after = lab::load_policy_file(o.other);
  if (!before || !after) {
    return complain(before ? after.error() : before.error());
  }
  auto const result = difference(before->policy, after->policy);
  if (o.as_json) {
    dump(difference_json(result));
  } else if (o.as_markdown) {
    std::cout << difference_markdown(result);
  } else {
    print_difference(result);
  }
  return std::ranges::any_of(result.changes, &Change::allowed) ? kFailed : kPassed;
}

}  // namespace

Command add_policy_command(Arguments program) {
  auto const o = std::make_shared<Options>();
  auto const chosen = std::make_shared<std::function<int()>>();
  auto const on = [o, chosen](Arguments sub, int (*run)(Options const&)) {
    sub.when_chosen([o, chosen, run] { *chosen = [o, run] { return run(*o); }; });
  };
  auto policy = program.command("policy", "Compile, check, compare and learn secure policies");
  policy.require_command();
  policy.footer(
      "A POLICY is an XML source, a V1.0 blob, or a blob in a RAW section, or the policy file of a firmware file, a\n"
      "volume or a flash image, nested and compressed volumes included.\n"
      "Examples:\n"
      "  mmsim policy compile policy.xml -o policy.bin          the blob that goes into the firmware\n"
      "  mmsim policy lint policy.xml --min-level 30            what is weak, and which level is reached\n"
      "  mmsim policy explain policy.xml \"MSR 0xC0000080 write\"  is it allowed, and which entry says so?\n"
      "  mmsim policy diff old.xml new.xml                      what the new one newly allows and refuses\n"
      "  mmsim policy learn scenarios/mine -o policy.xml        what the drivers need, and nothing else\n"
      "scenarios/policies/README.md shows the way from a deny list to an allow list.");

  auto compiling = policy.command("compile", "XML source to V1.0 blob");
  compiling.option("IN", o->in, "XML source").required();
  compiling.option("-o,--output", o->out, "File for the blob").required();
  compiling.flag("--unchecked", o->unchecked, "Also when the supervisor would refuse the policy");
  compiling.footer("Example: mmsim policy compile policy.xml -o policy.bin");
  on(compiling, compile);

  auto decompiling = policy.command("decompile", "V1.0 blob to the XML source that compiles to the same bytes");
  decompiling.option("IN", o->in, "Blob, or what holds one").required();
  decompiling.option("-o,--output", o->out, "File for the source; default: standard output");
  decompiling.footer(
      "The memory list of a fetched policy becomes a category MEM, which only this tool reads.\n"
      "Example: mmsim policy decompile MMFV.fv -o policy.xml");
  on(decompiling, decompile);

  auto linting = policy.command("lint", "What is wrong with a policy, and which isolation level it reaches");
  linting.option("POLICY", o->in, "Policy").required();
  linting.option("--min-level", o->min_level, "Exit code 1 below this level").one_of(std::vector<int>{0, 10, 20, 30});
  linting.option("--vendor", o->vendor, "Whose MSRs count for the level")
      .one_of(std::vector<std::string>{"intel", "amd", "both"});
  linting.option("--region", o->regions,
                 "Memory of the platform for the level of a fetched policy: code=BASE+SIZE (executable memory of "
                 "the normal world), iommu=..., txt=...; may be repeated");
  linting.flag("--json", o->as_json, "One JSON object");
  linting.option("--sarif", o->sarif, "Write SARIF 2.1.0, for code review tools, to this file");
  linting.footer(
      "Exit code 1 also when the supervisor would refuse the policy.\n"
      "Examples:\n"
      "  mmsim policy lint policy.xml --vendor amd --min-level 30\n"
      "  mmsim policy lint policy.xml --sarif policy.sarif");
  on(linting, lint_one);

  auto explaining = policy.command("explain", "Is an access allowed, and which entry decides?");
  explaining.option("POLICY", o->in, "Policy").required();
  explaining.option("ACCESS", o->access, "The access, in quotes").required();
  explaining.flag("--json", o->as_json, "JSON");
  explaining.footer(
      "Examples of an ACCESS:\n"
      "  \"MSR 0xC0000080 write\"\n"
      "  \"IO 0x3F8 write 1\"                      1, 2 or 4 bytes\n"
      "  \"INSTRUCTION CLI\"\n"
      "  \"SAVESTATE RAX read during OUT\"         without `during`: for each I/O that can raise an MMI\n"
      "  \"MEMORY 0xFED40000 write 4\"             or only an address; answered from a fetched policy");
  on(explaining, explain_one);

  auto standard = policy.command("default", "The policy that scenarios and `send` have when they name none");
  standard.option("-o,--output", o->out, "File for the source; default: standard output");
  standard.footer("Example: mmsim policy default -o policy.xml");
  on(standard, print_default);

  auto core = policy.command("core", "What the supervisor refuses, whatever a policy says");
  core.flag("--json", o->as_json, "JSON");
  core.footer("Example: mmsim policy core");
  on(core, list_core);

  auto diffing = policy.command("diff", "What policy B newly allows and refuses, compared with A");
  diffing.option("A", o->in, "Policy").required();
  diffing.option("B", o->other, "Policy").required();
  auto const diff_as_json = diffing.flag("--json", o->as_json, "One JSON object");
  diffing.flag("--markdown", o->as_markdown, "Markdown, for a comment on a pull request").excludes(diff_as_json);
  diffing.footer(
      "Exit code 1 when B allows anything that A refuses, else 0.\n"
      "Example: mmsim policy diff shipped.bin policy.xml");
  on(diffing, diff);

  auto const learning = std::make_shared<LearnOptions>();
  auto learn = policy.command("learn", "Scenarios to the policy that allows what their drivers do");
  learn.option("SCENARIO", learning->paths, "Scenario files and folders").required();
  learn.option("-o,--output", learning->out, "File for the XML source").required();
  learn.flag("--keep-refusals", learning->keep_refusals,
             "Leave out what the scenario's own policy refuses: for scenarios that expect refusals");
  learn.flag("--strict-width", learning->strict_width, "Ports only with the widths that were seen");
  learn.flag("--json", learning->json, "One JSON object");
  learn.footer(
      "Runs each scenario on the simulator with a policy that refuses nothing, and records what the drivers do. "
      "Writes\n"
      "allow lists for that and nothing else; a comment on each entry names the drivers that need it. Then runs the\n"
      "scenarios again under the new policy. A driver does in a scenario only what its messages make it do: what no\n"
      "scenario exercises is refused.\n"
      "Exit code 1 when a scenario that passes under its own policy fails under the new one.\n"
      "Example: mmsim policy learn scenarios/mine -o policy.xml");
  learn.when_chosen([learning, chosen] { *chosen = [learning] { return learn_command(*learning); }; });

  return {policy, [chosen] { return (*chosen)(); }};
}

}  // namespace mm::runner
