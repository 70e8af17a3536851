// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/disturbance.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <string>

namespace pause_bench {
namespace {

std::atomic<unsigned> g_stops{0};  // only a count: orders nothing

// CPU seconds of everybody since the start of the machine; 0 where that is not told.
double machine_seconds() {
  std::ifstream in("/proc/stat");
  std::string word;
  in >> word;
  double busy = 0, ticks = 0;
  // user nice system idle iowait irq softirq steal; time of guests is in user's.
  for (int field = 0; field < 8 && in >> ticks; field++) {
    if (field != 3 && field != 4) busy += ticks;
  }
  return busy / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

void count_process_stops() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stops.fetch_add(1, std::memory_order_relaxed); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCONT, &action, nullptr);
}

disturbance_meter::disturbance_meter()
    : began_(std::chrono::steady_clock::now()),
      machine_seconds_(machine_seconds()),
      own_seconds_(own_seconds()),
      stops_(g_stops.load(std::memory_order_relaxed)) {}

disturbance disturbance_meter::so_far() const {
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - began_;
  disturbance out;
  out.stops = g_stops.load(std::memory_order_relaxed) - stops_;
  out.own_cpus = (own_seconds() - own_seconds_) / time.count();
  out.others_cpus = std::max((machine_seconds() - machine_seconds_) / time.count() - out.own_cpus, 0.);
  return out;
}

}  // namespace pause_bench
