// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// One setting, measured in this process: builds the graph, lets thousands of goroutines ask and one thread replace
// versions for a time, and says what that took. Between timing and reporting it checks what was answered meanwhile. The
// figures that belong to the process (peak memory, the collector's counters) are honest only in a fresh one: launch.h.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "bench/depgraph/query.h"
#include "bench/depgraph/records.h"

namespace depgraph {

// What is varied. A limit goes with the heap trigger off, as is usual with Go.
struct setting {
  int percent = 100;  // cairn::gc_off: off
  bool has_limit = false;
  std::size_t limit_bytes = 0;  // 0: half as much again as the graph needs

  std::string title() const;  // "100", "off", "limit", "limit 96MiB"
};

struct plan {
  std::size_t in_flight = 10000;  // queries, each a goroutine, that have been asked and not answered
  int procs = 1;                  // of the scheduler, which answer them
  double seconds = 5;
  std::uint64_t seed = 1;
};

struct spread {
  std::uint64_t count = 0;
  double p50_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
};

struct measured {
  setting how;
  double build_s = 0, timed_s = 0;
  std::uint64_t replaced = 0;
  std::array<spread, k_query_kinds> kinds;
  spread all;     // queries of all kinds, from their start to their end
  spread waited;  // the same queries, from when they were asked to their start
  spread gaps;    // between two units of work of a query, or of the replacing thread
  spread pauses;  // what the library says it kept mutators from running
  std::uint64_t cycles = 0;
  double gc_cpu_percent = 0;
  double live_bytes = 0, goal_bytes = 0, peak_mapped_bytes = 0, limit_bytes = 0;
  double base_rss_bytes = 0, peak_rss_bytes = 0;  // with the records alone; at worst until the timing ended
  std::uint64_t checked = 0, wrong = 0;           // answers
};

// Throws std::bad_alloc when the graph does not fit. Complaints about wrong answers go to standard error.
measured run_setting(const records& from, const setting& how, const plan& what);

struct check_plan {
  std::size_t queries = 400;  // per kind and round
  std::size_t rounds = 2;
  std::size_t replacements = 20000;  // between two rounds
  std::uint64_t seed = 1;
};

struct checked {
  std::uint64_t answers = 0, wrong = 0;
};

// Compares graph and reference before, between and after replacements, single-threaded and untimed.
checked check_answers(const records& from, const check_plan& what);

}  // namespace depgraph
