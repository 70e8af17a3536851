// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What spoils a measurement from outside, so that a report can say so: other processes that used the CPUs, and stops of
// the whole process by job control (SIGSTOP, a terminal's ^Z), which look to its threads exactly like a long pause.
#pragma once
#include <chrono>

namespace pause_bench {

// Counts stops from now on: takes SIGCONT.
void count_process_stops();

struct disturbance {
  unsigned stops = 0;
  double others_cpus = 0;  // CPUs that other processes kept busy, on average
  double own_cpus = 0;     // CPUs that this one used
};

// From its construction to the call.
class disturbance_meter {
 public:
  disturbance_meter();
  disturbance so_far() const;

 private:
  std::chrono::steady_clock::time_point began_;
  double machine_seconds_, own_seconds_;
  unsigned stops_;
};

}  // namespace pause_bench
