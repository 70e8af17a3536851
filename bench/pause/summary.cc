// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/summary.h"

#include <algorithm>
#include <bit>
#include <functional>

#include <fmt/format.h>

namespace pause_bench {
namespace {

constexpr const char* k_lap_names[] = {"units", "readings", "inserts", "batches"};
constexpr const char* k_slices = "bare slices";
// By cairn::gc::pause_kind.
constexpr const char* k_kind_names[] = {"  stops", "  handshakes", "  stack scans", "barrier buffers",
                                        "assists", "sweeps",       "zeroing"};
static_assert(std::size(k_kind_names) == cairn::gc::pause_kind_count);

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double us(std::chrono::nanoseconds ns) { return static_cast<double>(ns.count()) / 1e3; }

// Of k_long_us and more: the first such entry in order of length is looked for.
std::uint64_t count_long(const cairn::gc::histogram& from) {
  const std::uint64_t count = from.count();
  std::uint64_t shorter = 0;
  for (std::uint64_t step = std::bit_floor(count); step != 0; step /= 2) {
    const std::uint64_t tried = shorter + step;
    if (tried <= count &&
        us(from.percentile(100 * (static_cast<double>(tried) - 0.5) / static_cast<double>(count))) < k_long_us)
      shorter = tried;
  }
  return count - shorter;
}

summary_row row_of(const std::string& name, const cairn::gc::histogram& from) {
  summary_row out{.name = name, .count = from.count()};
  for (std::size_t i = 0; i < k_percentiles.size(); i++) out.us[i] = us(from.percentile(k_percentiles[i]));
  out.max_us = out.most_us = us(from.max());
  if (const double seconds = us(from.total()) / 1e6; seconds > 0)
    out.long_ones = static_cast<double>(count_long(from)) / seconds;
  return out;
}

// Rounds without entries do not count.
summary_row median_row(const std::vector<summary_row>& rounds) {
  summary_row out;
  auto of = [&](auto get) {
    std::vector<double> values;
    for (const summary_row& row : rounds) {
      if (row.count != 0) values.push_back(get(row));
    }
    return median(values);
  };
  for (std::size_t i = 0; i < k_percentiles.size(); i++) {
    out.us[i] = of([i](const summary_row& row) { return row.us[i]; });
  }
  out.max_us = of([](const summary_row& row) { return row.max_us; });
  out.long_ones = of([](const summary_row& row) { return row.long_ones; });
  for (const summary_row& row : rounds) {
    out.name = row.name;
    out.count += row.count;
    out.most_us = std::max(out.most_us, row.most_us);
  }
  return out;
}

using row_getter = std::function<summary_row(const run_record&)>;

void add_row(summary_block& into, const experiment& from, bool control, const row_getter& get) {
  std::vector<summary_row> rounds;
  for (const round_record& round : from.rounds) {
    const auto& run = control ? round.control : round.collected;
    if (run) rounds.push_back(get(*run));
  }
  summary_row row = median_row(rounds);
  if (row.count != 0) into.rows.push_back(row);
}

summary_block lap_block(const experiment& from, bool control) {
  summary_block out{control ? "control: collector off, objects reused" : "felt, with the collector", {}};
  for (std::size_t kind = 0; kind < k_lap_kinds; kind++) {
    const std::string name = k_lap_names[kind];
    add_row(out, from, control, [&](const run_record& run) { return row_of(name, run.laps[kind].all()); });
    add_row(out, from, control,
            [&](const run_record& run) { return row_of(name + ", not switched", run.laps[kind].alone); });
    add_row(out, from, control,
            [&](const run_record& run) { return row_of(name + ", switched", run.laps[kind].switched); });
  }
  add_row(out, from, control, [](const run_record& run) { return row_of(k_slices, run.slices.alone); });
  add_row(out, from, control, [](const run_record& run) {
    return row_of(std::string(k_slices) + ", switched", run.slices.switched);
  });
  return out;
}

// The collector's own record: what it calls pauses, and a row for each kind of interruption that the kernel did not
// stretch.
summary_block collector_block(const experiment& from) {
  summary_block out{"the collector's own record", {}};
  add_row(out, from, false,
          [](const run_record& run) { return row_of("pauses", run.after.pauses - run.before.pauses); });
  for (std::size_t kind = 0; kind < cairn::gc::pause_kind_count; kind++) {
    add_row(out, from, false, [kind](const run_record& run) {
      return row_of(k_kind_names[kind], run.after.by_kind[kind] - run.before.by_kind[kind]);
    });
  }
  add_row(out, from, false,
          [](const run_record& run) { return row_of("switched", run.after.switched - run.before.switched); });
  return out;
}

double objects_rate(const experiment& from, bool control) {
  std::vector<double> rates;
  for (const round_record& round : from.rounds) {
    const auto& run = control ? round.control : round.collected;
    if (run) rates.push_back(static_cast<double>(run->objects) / run->seconds / 1e6);
  }
  return median(rates);
}

}  // namespace

summary_row row_of(const std::string& name, const interval_histogram& laps) {
  summary_row out{.name = name, .count = laps.count()};
  for (std::size_t i = 0; i < k_percentiles.size(); i++) {
    out.us[i] = static_cast<double>(laps.percentile_ns(k_percentiles[i])) / 1e3;
  }
  out.max_us = out.most_us = static_cast<double>(laps.max_ns()) / 1e3;
  const double seconds = laps.time_in_ns(0) / 1e9;
  constexpr auto k_long_ns = static_cast<std::uint64_t>(k_long_us * 1e3);
  if (seconds > 0) out.long_ones = static_cast<double>(laps.count_from(k_long_ns)) / seconds;
  return out;
}

const char* name_of(lap_kind kind) { return k_lap_names[static_cast<std::size_t>(kind)]; }

std::string live_of(const experiment& from) {
  return fmt::format("{:.0f} MiB live ({} and a ring of {} messages)",
                     static_cast<double>(from.live_bytes) / 0x1p20,
                     from.what.shape == shape_kind::ring ? "no other shape" : name_of(from.what.shape),
                     from.what.ring_messages);
}

std::vector<summary_block> summarize(const experiment& from) {
  std::vector<summary_block> out = {lap_block(from, false), lap_block(from, true), collector_block(from)};
  std::erase_if(out, [](const summary_block& block) { return block.rows.empty(); });
  return out;
}

std::vector<comparison> compare_with_control(const experiment& from) {
  std::vector<comparison> out;
  const summary_block felt = lap_block(from, false), control = lap_block(from, true);
  for (const summary_row& row : felt.rows) {
    if (row.name.find(", switched") != row.name.npos) continue;
    for (const summary_row& beside : control.rows) {
      if (beside.name != row.name || beside.us[3] == 0 || beside.max_us == 0) continue;
      out.push_back({row.name, row.us[3] / beside.us[3], row.max_us / beside.max_us});
    }
  }
  for (const summary_row& row : collector_block(from).rows) {
    if (row.name != "assists") continue;
    for (const summary_row& beside : control.rows) {
      if (beside.name != k_slices) continue;
      out.push_back({row.name + " / " + k_slices, row.us[3] / beside.us[3], row.max_us / beside.max_us});
    }
  }
  return out;
}

collector_summary collector_of(const experiment& from) {
  collector_summary out;
  std::vector<double> ratios;
  auto ms = [](std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; };
  for (const round_record& round : from.rounds) {
    if (!round.collected) continue;
    const run_record& run = *round.collected;
    const auto& a = run.before;
    const auto& b = run.after;
    out.seconds += run.seconds;
    out.cycles += b.gc_cycles - a.gc_cycles;
    out.mark_ms += ms(b.mark_time - a.mark_time);
    out.assist_ms += ms(b.assist_time - a.assist_time);
    out.sweep_ms += ms(b.sweep_time - a.sweep_time);
    out.cpus_used += run.disturbed.own_cpus * run.seconds;
    for (const cycle_seen& cycle : cycles_in(run.samples)) {
      if (cycle.heap_to_goal > 0) ratios.push_back(cycle.heap_to_goal);
    }
  }
  if (out.seconds > 0) {
    for (double* sum : {&out.mark_ms, &out.assist_ms, &out.sweep_ms, &out.cpus_used}) *sum /= out.seconds;
  }
  if (!ratios.empty()) out.heap_to_goal_most = *std::max_element(ratios.begin(), ratios.end());
  out.heap_to_goal_median = median(ratios);
  out.million_objects = objects_rate(from, false);
  out.control_million_objects = objects_rate(from, true);
  return out;
}

std::string collector_sentence(const experiment& from) {
  const collector_summary gc = collector_of(from);
  std::string out = fmt::format("{} cycles ended in {:.1f} s", gc.cycles, gc.seconds);
  out += fmt::format("; a second had {:.0f} ms of marking, {:.0f} of assists, {:.0f} of background sweeping",
                     gc.mark_ms, gc.assist_ms, gc.sweep_ms);
  out += fmt::format("; the process used {:.2f} CPUs", gc.cpus_used);
  if (gc.heap_to_goal_median > 0) {
    out += fmt::format("; largest heap seen in a cycle against its goal: median {:.2f}, most {:.2f}",
                       gc.heap_to_goal_median, gc.heap_to_goal_most);
  }
  return out;
}

series laps_of(const experiment& from, lap_kind kind, bool control) {
  series out;
  for (const round_record& round : from.rounds) {
    const auto& run = control ? round.control : round.collected;
    if (run) out.merge(run->laps[static_cast<std::size_t>(kind)]);
  }
  return out;
}

std::string spoilt_by(const experiment& from) {
  constexpr double k_noisy_cpus = 0.08;
  unsigned stops = 0;
  double others = 0;
  for (const round_record& round : from.rounds) {
    for (const auto* run : {&round.control, &round.collected}) {
      if (!*run) continue;
      stops += (*run)->disturbed.stops;
      others = std::max(others, (*run)->disturbed.others_cpus);
    }
  }
  std::string out;
  if (others > k_noisy_cpus) {
    out += fmt::format(
        "Other processes used up to {:.2f} CPUs while this was recorded: the tails are theirs, too. ", others);
  }
  if (stops != 0) {
    out += fmt::format(
        "The process was stopped {} time{} by a signal from outside (SIGSTOP or the like): the longest "
        "intervals may be "
        "those and nothing else. ",
        stops, stops == 1 ? "" : "s");
  }
  if (!out.empty()) out.pop_back();
  return out;
}

bool has_control(const experiment& from) { return from.what.control != control_mode::off; }
bool has_collected(const experiment& from) { return from.what.control != control_mode::only; }

}  // namespace pause_bench
