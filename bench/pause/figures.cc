// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/figures.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "bench/pause/report_text.h"
#include "bench/pause/summary.h"
#include "bench/pause/svg_chart.h"

namespace pause_bench {
namespace {

constexpr double k_no_time = -1;

std::string whole_number(double value) {
  if (value >= 999'999'500) return fmt::format("{:.3g} G", value / 1e9);
  if (value >= 999'999) return fmt::format("{:.3g} M", value / 1e6);
  if (value >= 9'999) return fmt::format("{:.3g} k", value / 1e3);
  return fmt::format("{:g}", value);
}

std::string legend_item(const char* css_class, const std::string& text) {
  return fmt::format("<span><i class=\"{}\"></i>{}</span>\n", css_class, escaped(text));
}

std::string figure(const std::string& heading, const std::string& legend, const std::string& charts,
                   const std::string& explanation) {
  return fmt::format(
      "<figure>\n<h2>{}</h2>\n<div class=\"legend\">\n{}</div>\n{}<figcaption>{}</figcaption>\n</figure>\n",
      escaped(heading), legend, charts, explanation);
}

// ---- histograms ----

// Eight bins to a power of two, because the recorder's 32 would be a comb; by bin number.
using bins = std::map<int, double>;

int bin_of(std::uint64_t ns) {
  if (ns < 8) return static_cast<int>(ns);
  const int shift = std::bit_width(ns) - 4;
  return (shift + 1) * 8 + static_cast<int>((ns >> shift) - 8);
}

double first_us_of(int bin) {
  if (bin < 8) return std::max(bin, 1) / 1e3;
  return std::ldexp(bin % 8 + 8, bin / 8 - 1) / 1e3;
}

bins bins_of(const interval_histogram& from) {
  bins out;
  from.for_each_bucket([&](std::uint64_t first, std::uint64_t, std::uint64_t entries) {
    out[bin_of(first)] += static_cast<double>(entries);
  });
  return out;
}

// The outline of the histogram's steps; empty bins lie on the floor.
svg_chart::points outline(const bins& from, double floor) {
  svg_chart::points out;
  int next = -1;
  for (auto [bin, entries] : from) {
    const double left = first_us_of(bin), right = first_us_of(bin + 1);
    if (bin != next) {
      if (!out.empty()) out.emplace_back(out.back().first, floor);
      out.emplace_back(left, floor);
    }
    out.emplace_back(left, entries);
    out.emplace_back(right, entries);
    next = bin + 1;
  }
  if (!out.empty()) out.emplace_back(out.back().first, floor);
  return out;
}

struct range {
  double low_us = INFINITY, high_us = 0, most = 1;

  void include(const interval_histogram& from) {
    for (auto [bin, entries] : bins_of(from)) {
      low_us = std::min(low_us, first_us_of(bin));
      high_us = std::max(high_us, first_us_of(bin + 1));
      most = std::max(most, entries);
    }
  }
};

std::string tail_of(const interval_histogram& laps) {
  return fmt::format("p50 {}, p99.9 {}, longest {}", show_duration_us(laps.percentile_ns(50) / 1e3),
                     show_duration_us(laps.percentile_ns(99.9) / 1e3), show_duration_us(laps.max_ns() / 1e3));
}

const char* heading_of(lap_kind kind) {
  switch (kind) {
    case lap_kind::unit:
      return "How long a unit of pointer work took";
    case lap_kind::reading:
      return "How long a reading took";
    case lap_kind::insert:
      return "How long an insert into the message ring took";
    case lap_kind::batch:
      return "How long a batch of 256 allocations took";
  }
  return "";
}

const char* explanation_of(lap_kind kind) {
  switch (kind) {
    case lap_kind::unit:
      return "A unit exchanges pointers in a table and in the live heap and allocates nothing, so whatever "
             "makes "
             "one longer came from outside: the collector, other threads, the kernel, the machine.";
    case lap_kind::reading:
      return "A reading follows pointers of the same table and stores none, so it meets no barrier: it is "
             "made "
             "longer only by what keeps the thread from running, or takes its caches.";
    case lap_kind::insert:
      return "An insert allocates a message of 1 KiB, fills it and stores it into the ring, where it "
             "replaces the "
             "oldest.";
    case lap_kind::batch:
      return "A batch makes 256 objects of 64 bytes, most of which die at once, on a thread that does "
             "nothing else.";
  }
  return "";
}

// ---- over time ----

const run_record* last_run(const experiment& from, bool control) {
  const run_record* out = nullptr;
  for (const round_record& round : from.rounds) {
    const auto& run = control ? round.control : round.collected;
    if (run) out = &*run;
  }
  return out;
}

// k_no_time before the recording.
double seconds_at(const run_record& run, std::uint64_t ticks) {
  if (ticks < run.begin_ticks) return k_no_time;
  return static_cast<double>(tick_clock::to_ns(ticks - run.begin_ticks)) / 1e9;
}

axis time_axis(const run_record& run) {
  return {0, run.seconds, false, "time since the recording began, s",
          [](double s) { return fmt::format("{:g}", s); }};
}

// Cycles that lie closer than a pixel are one band.
void draw_cycles(svg_chart& chart, const run_record& run) {
  const double pixel = run.seconds / 800;
  double begin = k_no_time, end = k_no_time;
  for (const cycle_seen& cycle : cycles_in(run.samples)) {
    const double from = std::max(seconds_at(run, cycle.begin_ticks), 0.),
                 to = seconds_at(run, cycle.end_ticks);
    if (begin != k_no_time && from - end < pixel) {
      end = to;
      continue;
    }
    if (begin != k_no_time) chart.band(begin, end, "cycle");
    begin = from;
    end = to;
  }
  if (begin != k_no_time) chart.band(begin, end, "cycle");
}

std::string heap_chart(const run_record& run) {
  svg_chart::points live, goal;
  double most = 1;
  for (const sample& one : run.samples) {
    const double at = seconds_at(run, one.end_ticks);
    if (at < 0) continue;
    live.emplace_back(at, static_cast<double>(one.live_bytes) / 0x1p20);
    most = std::max(most, live.back().second);
    if (one.goal_bytes == SIZE_MAX) continue;
    if (!goal.empty()) goal.emplace_back(at, goal.back().second);
    goal.emplace_back(at, static_cast<double>(one.goal_bytes) / 0x1p20);
    most = std::max(most, goal.back().second);
  }
  axis y{0, most * 1.08, false, "heap, MiB", [](double v) { return fmt::format("{:g}", v); }};
  svg_chart chart(time_axis(run), y, 320, "Heap size and its goal over time");
  draw_cycles(chart, run);
  chart.area(live, "run");
  chart.line(goal, "goal");
  return chart.finish();
}

std::string assist_chart(const run_record& run) {
  struct piece {
    double begin, end, percent;
  };
  std::vector<piece> pieces;
  double most = 0;
  for (std::size_t i = 1; i < run.samples.size(); i++) {
    const sample &a = run.samples[i - 1], &b = run.samples[i];
    const double begin = seconds_at(run, a.end_ticks), end = seconds_at(run, b.end_ticks);
    if (begin < 0 || b.assist_ns == a.assist_ns || end <= begin) continue;
    pieces.push_back({begin, end, static_cast<double>(b.assist_ns - a.assist_ns) / 1e7 / (end - begin)});
    most = std::max(most, pieces.back().percent);
  }
  const double top = pieces.empty() ? 100 : most * 1.1;
  svg_chart chart(time_axis(run),
                  {0, top, false, "assists, %", [](double v) { return fmt::format("{:g}", v); }}, 150,
                  "Time that allocating threads spent assisting the collector");
  draw_cycles(chart, run);
  for (const piece& one : pieces) chart.bar(one.begin, one.end, one.percent, "assist");
  if (pieces.empty()) chart.note("no assists in this run");
  return chart.finish();
}

// The longest ones when there are too many for a page.
std::vector<long_lap> drawn_laps(const run_record& run) {
  constexpr std::size_t k_most = 3000;
  std::vector<long_lap> out = run.long_laps_seen;
  if (out.size() > k_most) {
    std::nth_element(out.begin(), out.begin() + k_most, out.end(),
                     [](const long_lap& a, const long_lap& b) { return a.ns > b.ns; });
    out.resize(k_most);
  }
  return out;
}

}  // namespace

std::string latency_figure(const experiment& from, lap_kind kind) {
  const series run = laps_of(from, kind, false), control = laps_of(from, kind, true);
  const interval_histogram run_all = run.all(), control_all = control.all();
  range shown;
  shown.include(run_all);
  shown.include(control_all);
  if (shown.high_us == 0) return "";
  constexpr double k_floor = 0.6;
  axis x{shown.low_us / 1.1, shown.high_us * 1.1, true, std::string("length of one of the ") + name_of(kind),
         show_duration_us};
  axis y{k_floor, shown.most * 1.6, true, "how many (per eighth of an octave)", whole_number};
  svg_chart chart(x, y, 360, heading_of(kind));
  std::string legend;
  if (run_all.count() != 0) {
    chart.area(outline(bins_of(run_all), k_floor), "run");
    legend += legend_item("run", "with the collector: " + tail_of(run_all));
  }
  if (run.switched.count() != 0) {
    chart.line(outline(bins_of(run.switched), k_floor), "switched");
    legend += legend_item("switched", fmt::format("of these, {} switched off the core by the kernel",
                                                  whole_number(static_cast<double>(run.switched.count()))));
  }
  if (control_all.count() != 0) {
    chart.line(outline(bins_of(control_all), k_floor), "control");
    chart.upright(static_cast<double>(control_all.percentile_ns(99.9)) / 1e3, "control");
    legend += legend_item("control", "control, collector off: " + tail_of(control_all));
  }
  if (run_all.count() != 0) chart.upright(static_cast<double>(run_all.percentile_ns(99.9)) / 1e3, "run");
  return figure(
      heading_of(kind), legend, chart.finish(),
      fmt::format("{} Both axes are logarithmic; the dotted uprights are at p99.9. What the collector adds "
                  "is where the filled curve lies beyond the line of the control run.",
                  explanation_of(kind)));
}

std::string heap_figure(const experiment& from) {
  const run_record* run = last_run(from, false);
  if (run == nullptr || run->samples.size() < 2) return "";
  const auto cycles = run->after.gc_cycles - run->before.gc_cycles;
  const auto assists = run->after.assists - run->before.assists;
  std::string legend = legend_item("run", "heap") + legend_item("goal", "goal") +
                       legend_item("cycle", fmt::format("cycles ({} ended)", cycles)) +
                       legend_item("assist", fmt::format("{} assists, longest {}", assists.count(),
                                                         show_duration_us(assists.max().count() / 1e3)));
  return figure(
      "The heap, its goal, and when the collector was at work", legend, heap_chart(*run) + assist_chart(*run),
      fmt::format("{}The heap is what the last cycle marked and what was allocated since; a cycle is to be "
                  "over when it reaches the goal. Shaded: a cycle, as seen by a thread that looks every "
                  "few milliseconds (one with the world stopped shows as the time between two looks). Below: "
                  "work that allocating threads had to do for the collector, in percent of one CPU.",
                  from.what.repeat > 1 ? "The last round. " : ""));
}

std::string long_lap_figure(const experiment& from) {
  const run_record *run = last_run(from, false), *control = last_run(from, true);
  const run_record* any = run != nullptr ? run : control;
  double most_ns = 1e6;
  std::size_t seen[2] = {};
  for (const run_record* one : {run, control}) {
    if (one == nullptr) continue;
    for (const long_lap& lap : one->long_laps_seen) most_ns = std::max(most_ns, static_cast<double>(lap.ns));
    seen[one == control] = one->long_laps_seen.size() + one->long_laps_left_out;
  }
  axis y{long_laps::k_from_ns / 1e3, most_ns / 1e3 * 1.5, true, "length", show_duration_us};
  svg_chart chart(time_axis(*any), y, 300, "Every interval longer than 100 us, over time");
  std::string legend;
  for (const run_record* one : {control, run}) {
    if (one == nullptr) continue;
    const bool is_run = one == run;
    for (const long_lap& lap : drawn_laps(*one)) {
      const double at = seconds_at(*one, lap.end_ticks);
      const char* how = is_run ? (lap.switched ? "run hollow" : "run dot")
                               : (lap.switched ? "control hollow" : "control dot");
      if (at >= 0) chart.dot(at, static_cast<double>(lap.ns) / 1e3, how);
    }
    legend += legend_item(is_run ? "run" : "control",
                          fmt::format("{}: {}", is_run ? "with the collector" : "control", seen[!is_run]));
  }
  if (seen[0] + seen[1] == 0) chart.note("none");
  return figure(
      "Every interval longer than 100 \u00b5s", legend, chart.finish(),
      fmt::format("{}Units, inserts and batches of all threads, by when they ended. A full dot had the core "
                  "to itself; in a hollow one the kernel gave the core to another thread, the collector's "
                  "or a foreign one. At most 3000 of each run are drawn, the longest.",
                  from.what.repeat > 1 ? "The last round. " : ""));
}

}  // namespace pause_bench
