// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/report_html.h"

#include <fmt/format.h>

#include "bench/pause/figures.h"
#include "bench/pause/report_text.h"
#include "bench/pause/summary.h"
#include "bench/pause/svg_chart.h"

namespace pause_bench {
namespace {

constexpr const char* k_style = R"(
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --rule: #d5dae0; --grid: #e4e8ec;
  --minor: #f1f3f5; --run: #c2410c; --control: #1d6fd8; --switched: #7c5cbf; --goal: #2f7d4f; --cycle: #e0a33a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e3e7eb; --faint: #9aa5b1; --rule: #39414a;
  --grid: #2a3037; --minor: #1e2329; --run: #ff9257; --control: #6cb0ff; --switched: #b9a0f0; --goal: #65c98f;
  --cycle: #d29a36; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif;
  max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 0 0 .4rem; }
code { font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .8rem 0 1.6rem; }
dt { color: var(--faint); } dd { margin: 0; }
.spoilt { border: 2px solid var(--run); padding: .5rem .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: .22rem .5rem; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.narrow { width: auto; margin-top: 1.4rem; } .narrow td, .narrow th { padding-right: 2rem; }
thead th { color: var(--faint); font-weight: 500; } tbody th { padding-top: .9rem; border-bottom-color: var(--rule); }
figure { margin: 2.6rem 0; } figcaption { color: var(--faint); font-size: 14px; max-width: 62rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.6rem; font-size: 14px; margin-bottom: .3rem; }
.legend i { display: inline-block; width: 1.3rem; height: 0; border-top: 3px solid var(--faint); margin-right: .45rem;
  vertical-align: middle; }
.legend i.run { border-color: var(--run); } .legend i.control { border-color: var(--control); }
.legend i.switched { border-top: 2px dashed var(--switched); } .legend i.goal { border-top: 2px dashed var(--goal); }
.legend i.cycle { height: .8rem; border: 0; background: var(--cycle); opacity: .35; }
.legend i.assist { height: .8rem; border: 0; background: var(--switched); }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--faint); }
svg text.title { fill: var(--ink); font-size: 13px; } svg text.note { font-size: 14px; }
svg .grid { stroke: var(--grid); } svg .minor { stroke: var(--minor); }
svg .frame { stroke: var(--faint); fill: none; }
svg path { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
svg path.run { stroke: var(--run); } svg path.control { stroke: var(--control); }
svg path.switched { stroke: var(--switched); stroke-dasharray: 4 3; }
svg path.goal { stroke: var(--goal); stroke-dasharray: 7 4; }
svg path.run.fill { fill: var(--run); fill-opacity: .16; stroke: none; }
svg .upright { stroke-dasharray: 1.5 3.5; stroke-width: 1.5; }
svg line.run { stroke: var(--run); } svg line.control { stroke: var(--control); }
svg rect.cycle { fill: var(--cycle); opacity: .3; } svg rect.assist { fill: var(--switched); }
svg circle.run { fill: var(--run); } svg circle.control { fill: var(--control); }
svg circle { fill-opacity: .65; }
svg circle.hollow { fill: none; stroke-width: 1.2; }
svg circle.run.hollow { stroke: var(--run); } svg circle.control.hollow { stroke: var(--control); }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
)";

std::string fact(const char* name, const std::string& value) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, value);
}

std::string facts(const experiment& from) {
  const plan& what = from.what;
  std::string out = "<dl>\n" + fact("command", "<code>" + escaped(from.command) + "</code>");
  out += fact("machine", escaped(from.machine)) + fact("date", escaped(from.date));
  out += fact("live heap", escaped(live_of(from)));
  out += fact(
      "threads",
      fmt::format("{} doing units and readings of {:g} \u00b5s ({} exchanges, {} reads) and inserts, {} "
                  "allocating at {}",
                  what.threads, what.unit_us, from.exchanges_per_unit, from.reads_per_reading,
                  what.allocators, what.rate == 0 ? "full speed" : fmt::format("{:g} objects/s", what.rate)));
  if (what.parked + what.running != 0)
    out += fact("goroutines", fmt::format("{} parked, {} running", what.parked, what.running));
  const std::string length = what.repeat > 1 ? fmt::format("{} rounds of {:g} s; figures are medians",
                                                           what.repeat, what.seconds)
                                             : fmt::format("{:g} s", what.seconds);
  out += fact("recorded", length);
  const collector_summary gc = collector_of(from);
  if (has_collected(from)) {
    out += fact("collector", collector_sentence(from));
    out += fact("allocated", fmt::format("{:.2f} million objects a second", gc.million_objects));
  }
  return out + "</dl>\n";
}

std::string table(const experiment& from) {
  std::string out = "<div class=\"wide\"><table>\n<thead><tr><th>all times in \u00b5s</th><th>count</th>";
  for (double percentile : k_percentiles) out += fmt::format("<th>p{:g}</th>", percentile);
  out += fmt::format("<th>max</th><th>from {:.0f} \u00b5s, a second</th></tr></thead>\n<tbody>\n", k_long_us);
  for (const summary_block& block : summarize(from)) {
    out += fmt::format("<tr><th colspan=\"{}\">{}</th></tr>\n", k_percentiles.size() + 4,
                       escaped(block.title));
    for (const summary_row& row : block.rows) {
      out += fmt::format("<tr><td>{}</td><td>{}</td>", escaped(row.name), row.count);
      for (double us : row.us) out += fmt::format("<td>{}</td>", show_us(us));
      out += fmt::format("<td>{}</td><td>{}</td></tr>\n", show_us(row.max_us), show_us(row.long_ones));
    }
  }
  return out + "</tbody>\n</table></div>\n";
}

std::string comparison_table(const experiment& from) {
  std::string out;
  for (const comparison& one : compare_with_control(from)) {
    out += fmt::format("<tr><td>{}</td><td>\u00d7 {:.2f}</td><td>\u00d7 {:.2f}</td></tr>\n",
                       escaped(one.name), one.p999, one.max);
  }
  if (out.empty()) return "";
  return "<table class=\"narrow\">\n<thead><tr><th>felt / "
         "control</th><th>p99.9</th><th>max</th></tr></thead>\n<tbody>\n" +
         out + "</tbody>\n</table>\n";
}

}  // namespace

std::string html_report(const experiment& from) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Cairn: what a program feels of the collector</title>\n<style>";
  out += k_style;
  out += "</style>\n</head>\n<body>\n<h1>What a program feels of the collector</h1>\n";
  out +=
      "<p>Threads repeat short pieces of work and time every interval between two of them, beside threads "
      "that "
      "allocate. The control run does the same with the collector off and objects that are used again, so it "
      "shows "
      "what this machine does to such a loop without any collector. <em>Switched</em>: the kernel took the "
      "thread "
      "off its core meanwhile (an involuntary context switch).</p>\n";
  if (const std::string spoilt = spoilt_by(from); !spoilt.empty()) {
    out += "<p class=\"spoilt\">" + spoilt + "</p>\n";
  }
  out += facts(from) + table(from) + comparison_table(from);
  for (lap_kind kind : {lap_kind::unit, lap_kind::reading, lap_kind::insert, lap_kind::batch})
    out += latency_figure(from, kind);
  out += heap_figure(from) + long_lap_figure(from);
  return out + "</body>\n</html>\n";
}

}  // namespace pause_bench
