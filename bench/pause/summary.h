// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The figures of an experiment that both reports show: medians over its rounds.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "bench/pause/experiment.h"

namespace pause_bench {

constexpr double k_long_us = 100;
constexpr std::array<double, 5> k_percentiles = {50, 90, 99, 99.9, 99.99};

// Microseconds; each the median of the rounds'.
struct summary_row {
  std::string name;
  std::uint64_t count = 0;  // of all rounds together
  std::array<double, k_percentiles.size()> us{};
  double max_us = 0;
  double most_us = 0;    // the longest of all rounds
  double long_ones = 0;  // how many of k_long_us and more, for each second that a round's took together
};

struct summary_block {
  std::string title;
  std::vector<summary_row> rows;  // of these only those with entries
};

// How much longer than in the control run; 0 where there is nothing to compare.
struct comparison {
  std::string name;
  double p999 = 0, max = 0;
};

// What the collector did in the runs with it; sums are of all rounds.
struct collector_summary {
  double seconds = 0;
  std::uint64_t cycles = 0;
  // Milliseconds in a second: CPU time of marking and sweeping, assists as the threads felt them.
  double mark_ms = 0, assist_ms = 0, sweep_ms = 0;
  double cpus_used = 0;        // by the process
  double million_objects = 0;  // a second, median of the rounds
  double control_million_objects = 0;
  double heap_to_goal_median = 0, heap_to_goal_most = 0;  // at cycles' ends; 0: none seen
};

std::string collector_sentence(const experiment& from);
std::vector<summary_block> summarize(const experiment& from);
std::vector<comparison> compare_with_control(const experiment& from);
collector_summary collector_of(const experiment& from);

// All rounds' laps of a kind; `control`: of the control runs.
series laps_of(const experiment& from, lap_kind kind, bool control);
// Empty, or how something outside spoilt the figures.
std::string spoilt_by(const experiment& from);
bool has_control(const experiment& from);
bool has_collected(const experiment& from);
// One row of one run, for the lines of single rounds.
summary_row row_of(const std::string& name, const interval_histogram& laps);

const char* name_of(lap_kind kind);           // "units" ...
std::string live_of(const experiment& from);  // "256 MiB graph" ...

}  // namespace pause_bench
