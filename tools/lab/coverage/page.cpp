// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <sstream>

#include "tools/lab/coverage/formats.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/markup.hpp"

namespace mm::lab {
namespace {

constexpr std::size_t kMostSource = 4u << 20;  ///< bytes of a source file that is shown

constexpr auto* kHead = R"x(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Coverage of drivers</title>
<style>
body { font: 14px sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } td, th { padding: 2px 10px; text-align: left } td.n { text-align: right }
tr:nth-child(even) { background: #f4f4f4 }
.bar { display: inline-block; width: 120px; height: 10px; background: #e8b4b4 }
.bar i { display: block; height: 10px; background: #6ab06a }
pre { margin: 0; font: 13px monospace } .ran { background: #dff0df } .not { background: #f7dcdc }
pre b { display: inline-block; width: 9em; text-align: right; color: #888; font-weight: normal; padding-right: 1em }
summary { cursor: pointer; padding: 4px 0 }
</style></head><body>
<h1>Coverage of drivers</h1>
)x";

std::string escaped(std::string const& text) {
  std::string out;
  for (char const c : valid_utf8(text)) {
    auto const entity = audit::entity_of(c);
    if (entity.empty()) {
      out += c;
    } else {
      out += entity;
    }
  }
  return out;
}

std::string share(u32 ran, u32 all) {
  double const percent = all == 0 ? 0 : 100.0 * ran / all;
  return fmt::format("<span class=\"bar\"><i style=\"width:{:.0f}%\"></i></span> {:.1f}% ({} of {} instructions)",
                     percent, percent, ran, all);
}

std::string table_of(CoveredImage const& one) {
  std::string out = "<table><tr><th>function</th><th>calls</th><th>covered</th><th>source</th></tr>\n";
  for (auto const& f : one.lines.functions) {
    auto const where = f.file.empty() ? "" : fmt::format("{}:{}", escaped(f.file), f.line);
    out += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>\n", escaped(f.name), f.count,
                       share(f.ran, f.instructions), where);
  }
  return out + "</table>\n";
}

/// The text of a source file with the counts of its lines; empty when it is not there.
std::string source(std::string const& file, std::map<u32, u64> const& counts) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error) || std::filesystem::file_size(file, error) > kMostSource) {
    return {};
  }
  auto const bytes = read_file(file);
  if (!bytes) {
    return {};
  }
  std::string out = fmt::format("<details><summary>{}</summary><pre>", escaped(file));
  std::istringstream text{std::string{reinterpret_cast<char const*>(bytes->data()), bytes->size()}};
  u32 number = 1;
  for (std::string line; std::getline(text, line); ++number) {
    auto const at = counts.find(number);
    auto const* const kind = at == counts.end() ? "" : at->second != 0 ? " class=\"ran\"" : " class=\"not\"";
    out += fmt::format("<span{}><b>{} {:>6}</b>{}</span>\n", kind, at == counts.end() ? "" : std::to_string(at->second),
                       number, escaped(line));
  }
  return out + "</pre></details>\n";
}

}  // namespace

std::string html_page(std::vector<CoveredImage> const& images) {
  std::string out = kHead;
  for (auto const& one : images) {
    out += fmt::format("<details{}><summary><b>{}</b> {}</summary>\n", one.image->core ? "" : " open",
                       escaped(one.image->name), share(one.lines.ran, one.lines.instructions));
    out += one.lines.functions.empty() ? "<p>No functions are told of this image: coverage.drcov has its blocks.</p>\n"
                                       : table_of(one);
    for (auto const& [file, counts] : one.lines.lines) {
      out += source(file, counts);
    }
    out += "</details>\n";
  }
  return out + "</body></html>\n";
}

}  // namespace mm::lab
