// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// All rounds of the benchmark and what is said of them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "bench/pause/command_line.h"
#include "bench/pause/workload.h"

namespace pause_bench {

// One control run and one run with the collector, as far as they are wanted.
struct round_record {
  std::optional<run_record> control, collected;
};

struct experiment {
  plan what;
  std::string command;  // as it was typed
  std::string machine, date;
  std::size_t live_bytes = 0;
  double build_seconds = 0;
  unsigned exchanges_per_unit = 0, reads_per_reading = 0;
  double peak_rss_bytes = 0;
  std::vector<round_record> rounds = {};
};

// The program; returns its exit status.
int pause_main(const std::vector<std::string>& arguments);

}  // namespace pause_bench
