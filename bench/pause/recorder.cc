// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/recorder.h"

#include <sys/resource.h>

namespace pause_bench {

switch_counts switches_of_thread() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return {static_cast<std::uint64_t>(usage.ru_nivcsw), static_cast<std::uint64_t>(usage.ru_nvcsw)};
}

void stopwatch::look(lap_kind kind, series& into, std::uint64_t now, std::uint64_t ns) {
  const switch_counts counts = counter_();
  const bool switched = counts.involuntary != switches_.involuntary && counts.voluntary == switches_.voluntary;
  switches_ = counts;
  (switched ? into.switched : into.alone).add(ns);
  if (ns >= long_laps::k_from_ns) long_ones_.add({now, ns, kind, switched});
  last_ = tick_clock::now();
}

}  // namespace pause_bench
