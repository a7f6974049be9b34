// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/firmware/depex_file.hpp"
#include "tools/lab/firmware/volume_listing.hpp"
#include "tools/lab/scan/scan.hpp"
#include "tools/lab/symbols/pe_view.hpp"
#include "tools/lab/symbols/symbolizer.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::lab;
using nlohmann::json;

struct ScanOptions {
  std::vector<std::string> images;  ///< FILE.efi, FILE.efi:FILE.depex, or a volume
  std::filesystem::path sarif;      ///< where to write SARIF; empty: nowhere
  bool json = false;
};

/// What the inputs point into.
struct Held {
  std::list<Bytes> files;
  std::list<Listing> listings;
  Losses losses;  ///< each begins with the file's path
};

std::expected<std::span<std::byte const>, std::string> hold(Held& held, fs::path const& path) {
  MM_TRY_ASSIGN(auto bytes, read_file(path));
  held.files.push_back(std::move(bytes));
  return std::span<std::byte const>{held.files.back()};
}

/// The MM drivers of a volume: traditional, combined and standalone.
std::expected<void, std::string> add_volume(std::vector<ScanInput>& inputs, Held& held, std::string const& file,
                                            std::span<std::byte const> bytes) {
  auto listing = list_images(bytes);
  if (!listing) {
    return std::unexpected(listing.error());
  }
  held.listings.push_back(std::move(*listing));
  auto const losses = losses_of(held.listings.back());
  for (auto const& text : losses.damage) {
    held.losses.damage.push_back(file + ": " + text);
  }
  for (auto const& text : losses.not_opened) {
    held.losses.not_opened.push_back(file + ": " + text);
  }
  std::size_t const before = inputs.size();
  for_each_file(held.listings.back().volumes, [&](ListedFile const& f) {
    if (is_mm_driver(f.type) && !f.pe.empty() && !f.superseded_by) {
      inputs.push_back({fmt::format("{}#{}", file, f.ui.empty() ? format_guid(f.name) : f.ui), f.pe, f.depex, f.type});
    }
  });
  if (inputs.size() == before) {
    return std::unexpected(std::string{"no MM driver in it"});
  }
  return {};
}

/// FILE.efi, FILE.efi:FILE.depex, or a volume. A .depex beside the image is taken.
std::expected<void, std::string> add(std::vector<ScanInput>& inputs, Held& held, std::string const& argument) {
  auto const colon = argument.rfind(':');
  bool const split = colon != std::string::npos && !fs::exists(argument);
  fs::path const file = split ? argument.substr(0, colon) : argument;
  MM_TRY_ASSIGN(auto const bytes, hold(held, file));
  bool const pe =
      bytes.size() >= 2 && (bytes[0] == std::byte{'M'} || bytes[0] == std::byte{'V'}) && bytes[1] == std::byte{'Z'};
  if (!pe) {
    auto const done = add_volume(inputs, held, file.string(), bytes);
    return done ? done : std::unexpected(file.string() + ": " + done.error());
  }
  ScanInput input{file.string(), bytes, {}, {}};
  auto const beside = fs::path{file}.replace_extension(".depex");
  if (split || fs::exists(beside)) {
    MM_TRY_ASSIGN(auto const depex, hold(held, split ? fs::path{argument.substr(colon + 1)} : beside));
    input.depex = depex_of_section(depex);
  }
  inputs.push_back(std::move(input));
  return {};
}

std::string_view level_name(ScanLevel level) {
  constexpr std::string_view kNames[] = {"error", "warning", "note"};
  return kNames[static_cast<std::size_t>(level)];
}

/// Function and line of what the findings are about, as far as debug information tells them.
void find_places(ScanReport& report) {
  std::error_code error;
  if (!fs::is_regular_file(report.name, error)) {
    return;
  }
  ImageFile const image{report.name, nullptr};
  auto const bytes = image.bytes();
  PeView const view{*bytes};
  for (auto& finding : report.findings) {
    auto const rva = finding.offset ? view.loaded_at(*finding.offset) : std::nullopt;
    if (!rva || !view.is_code(*rva)) {
      continue;
    }
    auto const frames = symbolizer().frames(image, *rva);
    finding.place = frames_text(frames, *rva);
    if (!frames.empty()) {
      finding.function = frames.front().function;
      finding.source = frames.front().file;
      finding.line = frames.front().line;
    }
  }
}

void print(ScanReport const& report) {
  fmt::print("{}: {} ({})\n", report.name, report.module_type, report.subsystem);
  ScanRule const* last = nullptr;
  for (auto const& f : report.findings) {
    if (f.rule != last) {
      fmt::print("  {} [{}] {}. {}\n", level_name(f.rule->level), f.rule->id, f.rule->title, f.rule->advice);
      last = f.rule;
    }
    fmt::print("    {}{}{}\n", f.text, f.offset ? fmt::format(" (file offset {:#x})", *f.offset) : "",
               f.place.empty() ? "" : " in " + f.place);
  }
  fmt::print("  {}\n", report.verdict());
}

json to_json(ScanReport const& report) {
  json findings = json::array();
  for (auto const& f : report.findings) {
    findings.push_back({{"rule", f.rule->id},
                        {"level", level_name(f.rule->level)},
                        {"text", f.text},
                        {"offset", f.offset ? json(*f.offset) : json(nullptr)},
                        {"bytes", f.bytes},
                        {"place", f.place},
                        {"advice", f.rule->advice}});
  }
  return {{"image", report.name},
          {"module_type", report.module_type},
          {"subsystem", report.subsystem},
          {"verdict", report.verdict()},
          {"findings", std::move(findings)}};
}

/// What of the volumes was not scanned; damage is bad input.
void print_losses(Losses const& losses, int& code) {
  for (auto const& problem : losses.damage) {
    std::cerr << "problem: " << problem << '\n';
    code = kBadInput;
  }
  for (auto const& note : losses.not_opened) {
    std::cerr << "note: " << note << '\n';
  }
}

/// Says what keeps drivers from running as Standalone MM drivers in ring 3; kFailed when something does.
int scan_command(ScanOptions const& options) {
  Held held;
  std::vector<ScanInput> inputs;
  std::vector<ScanReport> reports;
  int code = kPassed;
  auto const complain = [&code](std::string const& what) {
    std::cerr << "mmsim: " << what << '\n';
    code = kBadInput;
  };
  for (auto const& argument : options.images) {
    if (auto const done = add(inputs, held, argument); !done) {
      complain(done.error());
    }
  }
  print_losses(held.losses, code);
  for (auto const& input : inputs) {
    if (auto report = scan_image(input)) {
      find_places(*report);
      reports.push_back(std::move(*report));
    } else {
      complain(input.name + ": " + report.error());
    }
  }
  if (!options.sarif.empty()) {
    auto const text = scan_sarif(reports);
    if (auto const done = write_file(options.sarif, std::as_bytes(std::span{text})); !done) {
      complain(done.error());
    }
  }
  if (options.json) {
    json results = json::array();
    for (auto const& report : reports) {
      results.push_back(to_json(report));
    }
    std::cout << json_text({{"schema", 1}, {"results", std::move(results)}});
  } else {
    std::ranges::for_each(reports, print);
  }
  bool const errors = std::ranges::any_of(reports, [](ScanReport const& r) { return r.has(ScanLevel::Error); });
  return code == kPassed && errors ? kFailed : code;
}

}  // namespace

Command add_scan_command(Arguments program) {
  auto const o = std::make_shared<ScanOptions>();
  auto scan = program.command("scan", "Say what must change in drivers before they can run in ring 3");
  scan.option("IMAGE", o->images, "FILE.efi, FILE.efi:FILE.depex, or a volume with MM drivers").required();
  scan.flag("--json", o->json, "One JSON object on standard output instead of text");
  scan.option("--sarif", o->sarif, "Write SARIF 2.1.0 to this file");
  add_symbol_options(scan);
  scan.footer(
      "Exit codes: 0 nothing of level error, 1 something, 2 a file that is no image, or a damaged volume.\n"
      "Example: mmsim scan Traditional.efi        scenarios/drivers/port tells a whole port");
  return {scan, [o] { return scan_command(*o); }};
}

}  // namespace mm::runner
