// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/report_text.h"

#include <fmt/format.h>

#include "bench/pause/machine.h"
#include "bench/pause/summary.h"

namespace pause_bench {
namespace {

constexpr std::size_t k_name_width = 28;

std::string heading(const std::string& title) {
  std::string out = fmt::format("\n{:<{}}{:>12}", title, k_name_width + 12, "count");
  // A long title has a line of its own.
  for (double percentile : k_percentiles) out += fmt::format("{:>10}", fmt::format("p{:g}", percentile));
  return out + fmt::format("{:>10}{:>11}\n", "max, us", "long a s");
}

std::string line(const summary_row& row) {
  std::string out = fmt::format("  {:<{}}{:>12}", row.name, k_name_width + 10, row.count);
  for (double us : row.us) out += fmt::format("{:>10}", show_us(us));
  return out + fmt::format("{:>10}{:>11}\n", show_us(row.max_us), show_us(row.long_ones));
}

std::string collector_lines(const experiment& from) {
  if (!has_collected(from)) return "";
  std::string out = "\n";
  // A clause a line.
  for (char c : collector_sentence(from)) out += c == ';' ? std::string("\n ") : std::string(1, c);
  out += "\n";
  if (collector_of(from).cycles < 3) out += "fewer than three cycles: a longer --duration would say more\n";
  return out;
}

std::string rate_line(const experiment& from) {
  const collector_summary gc = collector_of(from);
  std::string out;
  if (has_collected(from))
    out += fmt::format("{:.2f} million objects allocated a second", gc.million_objects);
  if (has_control(from)) {
    out += fmt::format("{}{:.2f} million reused a second in the control run", out.empty() ? "" : "; ",
                       gc.control_million_objects);
  }
  return out + fmt::format("\npeak resident memory {:.0f} MiB\n", from.peak_rss_bytes / 0x1p20);
}

}  // namespace

std::string show_us(double us) {
  if (us >= 99.95) return fmt::format("{:.0f}", us);
  if (us >= 9.995) return fmt::format("{:.1f}", us);
  return fmt::format("{:.2f}", us);
}

std::string text_head(const experiment& from) {
  const plan& what = from.what;
  std::string out = fmt::format("{}\n{}; {}\n", from.command, from.machine, from.date);
  out += fmt::format("{}, built in {:.1f} s; ", live_of(from), from.build_seconds);
  out += fmt::format(
      "{} working, {} allocating at {}; a unit is {} exchanges and a walk of {}, a reading "
      "{} reads\n",
      what.threads, what.allocators,
      what.rate == 0 ? std::string("full speed") : fmt::format("{:g} objects/s", what.rate),
      from.exchanges_per_unit, k_walk_steps, from.reads_per_reading);
  if (what.parked + what.running != 0)
    out += fmt::format("beside them {} goroutines parked and {} running\n", what.parked, what.running);
  return out;
}

std::string text_round(const round_record& round, unsigned number) {
  std::string out = fmt::format("round {}:", number);
  for (auto [name, run] : {std::pair{"control", &round.control}, std::pair{"collector", &round.collected}}) {
    if (!*run) continue;
    const auto& laps = (*run)->laps;
    const lap_kind kind = laps[0].all().count() != 0 ? lap_kind::unit : lap_kind::insert;
    const summary_row row = row_of("", laps[static_cast<std::size_t>(kind)].all());
    out += fmt::format("  {} {} p99.9 {} max {} us", name, name_of(kind), show_us(row.us[3]),
                       show_us(row.max_us));
  }
  return out + "\n";
}

std::string text_report(const experiment& from) {
  std::string out;
  for (const summary_block& block : summarize(from)) {
    out += heading(block.title);
    for (const summary_row& row : block.rows) out += line(row);
  }
  const auto compared = compare_with_control(from);
  if (!compared.empty()) out += "\nfelt / control\n";
  for (const comparison& one : compared) {
    out += fmt::format("  {:<{}} p99.9 x{:.2f}   max x{:.2f}\n", one.name, k_name_width - 4, one.p999,
                       one.max);
  }
  out += collector_lines(from) + rate_line(from);
  if (from.what.repeat > 1) out += fmt::format("medians of {} rounds\n", from.what.repeat);
  if (const std::string spoilt = spoilt_by(from); !spoilt.empty()) out += "SPOILT: " + spoilt + "\n";
  out += fmt::format(
      "long a s: how many of {:.0f} us and more, for each second that the row's took together\n", k_long_us);
  out += "switched: the kernel took the thread off its core meanwhile (involuntary context switch)\n";
  if (has_control(from)) {
    out += fmt::format(
        "bare slices: {} us of reading memory, nothing of the library: what the machine adds\n", k_slice_us);
  }
  return out;
}

}  // namespace pause_bench
