// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "tools/lab/audit/output.hpp"
#include "tools/lab/text/markup.hpp"
#include "tools/lab/text/terminal.hpp"

namespace mm::audit {
namespace {

constexpr double kBarWidth = 150;
constexpr double kBarHeight = 620;
constexpr double kBarStep = 300;
constexpr double kTop = 34;
constexpr double kLeft = 96;
constexpr double kLabelsWidth = 250;
constexpr double kLabelStep = 11;
constexpr std::size_t kMostLabels = static_cast<std::size_t>(kBarHeight / kLabelStep);
constexpr std::size_t kLabelBytes = 38;
constexpr double kLeastHeight = 0.75;  ///< of a region too small for the scale, so that it can be seen at all

std::string escaped(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if (auto const entity = audit::entity_of(c); !entity.empty()) {
      out += entity;
      continue;
    }
    // XML has no place for the other control characters.
    out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
  }
  return out;
}

std::string rights_class(memory::PageAttr attr) {
  return fmt::format("{}{}",
                     attr.executable ? (attr.writable ? "wx" : "x")
                     : attr.writable ? "w"
                                     : "r",
                     attr.user ? " user" : "");
}

/// One bar: `range` from top (low addresses) to bottom.
struct Bar {
  std::string title;
  Range range;
  double x = 0;

  double y(u64 address) const {
    u64 const inside = std::clamp(address, range.base, range.end()) - range.base;
    return kTop + kBarHeight * static_cast<double>(inside) / static_cast<double>(range.size);
  }
};

std::string region_box(Bar const& bar, Region const& region) {
  double const top = bar.y(region.range.base);
  double const height = std::max(bar.y(region.range.end()) - top, kLeastHeight);
  return fmt::format(
      R"(<rect class="{}" x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"><title>{}: {}, {} pages, {}</title></rect>)"
      "\n",
      rights_class(region.attr), bar.x, top, kBarWidth, height,
      escaped(region.owner.empty() ? "nobody's" : region.owner), range_text(region.range),
      region.range.size / kPageSize, rights_text(region.attr));
}

std::string broken_mark(Bar const& bar, Rule const& rule, Offence const& offence) {
  double const top = bar.y(offence.range.base);
  double const height = std::max(bar.y(offence.range.end()) - top, 3.0);
  return fmt::format(
      R"(<rect class="broken" x="{:.1f}" y="{:.2f}" width="10" height="{:.2f}"><title>{}: {} {}</title></rect>)"
      "\n",
      bar.x + kBarWidth + 4, top, height, rule.name, range_text(offence.range), escaped(offence.what));
}

std::string draw(Bar const& bar, Report const& report) {
  std::string out = fmt::format(
      R"(<text class="head" x="{:.1f}" y="16">{}</text>)"
      "\n"
      R"(<rect class="absent" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>not present</title></rect>)"
      "\n",
      bar.x, escaped(bar.title), bar.x, kTop, kBarWidth, kBarHeight);
  out += fmt::format(R"(<text class="address" x="{:.1f}" y="{:.1f}">{:#x}</text>)"
                     "\n"
                     R"(<text class="address" x="{:.1f}" y="{:.1f}">{:#x}</text>)"
                     "\n",
                     bar.x - 6, kTop + 9, bar.range.base, bar.x - 6, kTop + kBarHeight, bar.range.end());
  for (Region const& r : report.regions) {
    if (r.range.overlaps(bar.range)) {
      out += region_box(bar, r);
    }
  }
  for (RuleResult const& r : report.rules) {
    for (Offence const& o : r.offences) {
      if (o.range.overlaps(bar.range)) {
        out += broken_mark(bar, *r.rule, o);
      }
    }
  }
  return out;
}

/// Neighbouring regions of one owner, in the order of their addresses; the largest ones when there are more than fit.
std::vector<std::pair<std::string, Range>> labelled(Report const& report, Range within) {
  std::vector<std::pair<std::string, Range>> out;
  for (Region const& r : report.regions) {
    if (!within.contains(r.range)) {
      continue;
    }
    auto const owner = r.owner.empty() ? std::string{"nobody's"} : r.owner;
    if (!out.empty() && out.back().first == owner && out.back().second.end() == r.range.base) {
      out.back().second.size += r.range.size;
    } else {
      out.emplace_back(owner, r.range);
    }
  }
  while (out.size() > kMostLabels) {
    out.erase(std::ranges::min_element(out, {}, [](auto const& one) { return one.second.size; }));
  }
  return out;
}

/// Names beside a bar, each with a line to its region. They stand apart, in the order of the regions.
std::string labels(Bar const& bar, Report const& report) {
  auto const all = labelled(report, bar.range);
  std::string out;
  double last = kTop + kBarHeight - kLabelStep * static_cast<double>(all.size());
  double next = kTop;
  double const x = bar.x + kBarWidth;
  for (auto const& [owner, range] : all) {
    last += kLabelStep;
    double const middle = (bar.y(range.base) + bar.y(range.end())) / 2;
    double const y = std::min(std::max(middle, next), last);
    next = y + kLabelStep;
    out += fmt::format(
        R"(<path class="leader" d="M{:.1f} {:.2f}L{:.1f} {:.2f}"/><text class="label" x="{:.1f}" y="{:.2f}">{}</text>)"
        "\n",
        x, middle, x + 26, y, x + 30, y + 3, escaped(lab::shortened(owner, kLabelBytes)));
  }
  return out;
}

/// Lines from the part of `from` that `to` shows enlarged.
std::string zoom_lines(Bar const& from, Bar const& to) {
  std::string out;
  for (u64 const address : {to.range.base, to.range.end()}) {
    out += fmt::format(R"(<line class="zoom" x1="{:.1f}" y1="{:.2f}" x2="{:.1f}" y2="{:.2f}"/>)"
                       "\n",
                       from.x + kBarWidth, from.y(address), to.x, to.y(address));
  }
  return out;
}

/// From the first to the last present page of `within`; all of it when there is none.
Range used(Report const& report, Range within) {
  u64 low = within.end();
  u64 high = within.base;
  for (Region const& r : report.regions) {
    if (within.contains(r.range)) {
      low = std::min(low, r.range.base);
      high = std::max(high, r.range.end());
    }
  }
  return low < high ? Range{low, high - low} : within;
}

std::string memory_map(Report const& report) {
  std::array const bars{Bar{"low memory", {0, report.memory_bytes}, kLeft},
                        Bar{"MMRAM", report.mmram, kLeft + kBarStep},
                        Bar{"MMRAM in use", used(report, report.mmram), kLeft + 2 * kBarStep}};
  std::string out = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="memory map of MM">)"
      "\n",
      kLeft + 2 * kBarStep + kBarWidth + kLabelsWidth, kTop + kBarHeight + 10);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    out += i == 0 ? "" : zoom_lines(bars[i - 1], bars[i]);
    out += draw(bars[i], report);
  }
  return out + labels(bars.back(), report) + "</svg>\n";
}

constexpr std::string_view kLegend =
    R"(<p class="legend"><span class="x">code, supervisor</span><span class="x user">code, ring 3</span>)"
    R"(<span class="w">data, supervisor</span><span class="w user">data, ring 3</span><span class="r">read-only, supervisor</span>)"
    R"(<span class="r user">read-only, ring 3</span><span class="absent">not present</span><span class="broken">breaks a rule</span></p>)"
    "\n";

std::string rule_table(Report const& report) {
  std::string out =
      "<table><thead><tr><th>rule</th><th>what must hold</th><th>source</th><th>verdict</th></tr></thead><tbody>\n";
  for (RuleResult const& r : report.rules) {
    std::string verdict = r.offences.empty() ? "holds" : "broken";
    for (Offence const& o : r.offences) {
      verdict += fmt::format("<br/>{}: {} (after MMI {})", range_text(o.range), escaped(o.what), o.mmi);
    }
    out += fmt::format(R"(<tr class="{}"><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>)"
                       "\n",
                       r.offences.empty() ? "holds" : "fails", r.rule->name, escaped(r.rule->text),
                       escaped(r.rule->source), verdict);
  }
  return out + "</tbody></table>\n";
}

std::string region_table(Report const& report) {
  std::string out =
      "<details open=\"open\"><summary>All regions</summary>\n<table><thead><tr><th>addresses</th><th>pages</th>"
      "<th>rights</th><th>kind</th><th>owner</th></tr></thead><tbody>\n";
  for (Region const& r : report.regions) {
    out += fmt::format(R"(<tr><td>{}</td><td>{}</td><td class="{}">{}</td><td>{}</td><td>{}</td></tr>)"
                       "\n",
                       range_text(r.range), r.range.size / kPageSize, rights_class(r.attr), rights_text(r.attr),
                       kind_name(r.kind), escaped(r.owner.empty() ? "nobody's" : r.owner));
  }
  return out + "</tbody></table></details>\n";
}

constexpr std::string_view kStyle = R"(
:root { --paper: #fdfdfb; --ink: #1d2327; --faint: #d9dcde; --code: #3c8f5a; --data: #d3a13a; --read: #5b86b8; --bad: #c0392b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16191c; --ink: #e4e6e7; --faint: #343a40; --code: #58b37a; --data: #d9ae55; --read: #7ea6d4; --bad: #ef6f61; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 1rem 0; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--faint); vertical-align: top; overflow-wrap: break-word; }
th, td:first-child { white-space: nowrap; }
td:first-child { font-family: ui-monospace, monospace; }
tr.fails td:last-child { color: var(--bad); font-weight: 600; }
.head { font: 600 13px system-ui, sans-serif; fill: var(--ink); }
.address { font: 11px ui-monospace, monospace; fill: var(--ink); text-anchor: end; }
.label { font: 10px system-ui, sans-serif; fill: var(--ink); }
.leader { stroke: var(--ink); stroke-opacity: 0.3; fill: none; }
.ended { color: var(--bad); font-weight: 600; }
.zoom { stroke: var(--ink); stroke-opacity: 0.35; stroke-dasharray: 3 3; }
svg .absent { fill: var(--faint); fill-opacity: 0.45; }
svg .x { fill: var(--code); } svg .w { fill: var(--data); } svg .r { fill: var(--read); } svg .wx, svg .broken { fill: var(--bad); }
svg .user { fill-opacity: 0.5; }
svg rect:hover { stroke: var(--ink); stroke-width: 1.5; }
.legend span { margin-right: 1.1rem; white-space: nowrap; }
.legend span::before { content: ""; display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.35em; vertical-align: -0.1em; background: var(--faint); }
.legend .x::before { background: var(--code); } .legend .w::before { background: var(--data); }
.legend .r::before { background: var(--read); } .legend .broken::before { background: var(--bad); }
.legend .user::before { opacity: 0.5; }
@media print {
  :root { --paper: #fff; --ink: #000; --faint: #d9dcde; --code: #3c8f5a; --data: #d3a13a; --read: #5b86b8; --bad: #c0392b; }
  body { max-width: none; margin: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  svg, tr { break-inside: avoid; }
}
)";

}  // namespace

std::string page(std::vector<Named> const& audits) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>Page tables of management mode</title>\n<style>{}</style>\n</head>\n<body>\n"
      "<h1>Page tables of management mode</h1>\n",
      kStyle);
  for (Named const& one : audits) {
    auto const broken = std::ranges::count_if(one.report.rules, [](auto const& r) { return !r.offences.empty(); });
    out += fmt::format(
        "<h2>{}</h2>\n<p>{} audits, one after each MMI; {}. Hover over the map for pages and rights.</p>\n{}",
        escaped(one.title), one.report.audits,
        broken == 0 ? std::string{"every rule holds"} : fmt::format("{} rules are broken", broken),
        one.ended.empty() ? ""
                          : fmt::format("<p class=\"ended\">The machine {}: this is the memory as the last "
                                        "audit before found it.</p>\n",
                                        escaped(one.ended)));
    out += kLegend;
    out += memory_map(one.report);
    out += rule_table(one.report);
    out += region_table(one.report);
  }
  return out + "</body>\n</html>\n";
}

}  // namespace mm::audit
