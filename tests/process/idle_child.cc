// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A program that has allocated and then does nothing: how many cycles begin meanwhile, and how much CPU time it takes.
//
//   idle_child [--seconds N] [--interval-ms N] [--external BYTES]
//
// It idles for N seconds, in six parts, one of which at most is over when it goes on after having been stopped.
// --interval-ms is the time between two periodic cycles instead of two minutes; --external tells the collector of that
// many bytes before. Prints one line.
#include <cairn/cairn.h>
#include <time.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "api/support.h"
#include "gc/runtime.h"

namespace {

using namespace cairn_test;

double cpu_ms() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

long argument(int argc, char** argv, const char* name, long otherwise) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) return std::strtol(argv[i + 1], nullptr, 10);
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const long seconds = argument(argc, argv, "--seconds", 300);
  const long interval_ms = argument(argc, argv, "--interval-ms", 0);
  const long external = argument(argc, argv, "--external", 0);
  if (interval_ms > 0)
    cairn::gc::background::periodic_ns = static_cast<std::uint64_t>(interval_ms) * 1'000'000;
  cairn::root<cell> live;
  apart([&] { live = make_list(0, 20'000); });
  if (external > 0) cairn::gc::adjust_external_bytes(external);
  cairn::gc::collect();
  churn(4000);  // too little for a cycle, and so the periodic one's
  // Sweeping, and what the threads of the start have left to do.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::size_t cycles = cairn::gc::read_stats().gc_cycles;
  const double cpu = cpu_ms();
  for (int i = 0; i < 6; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(seconds * 1000 / 6));
  const double used = cpu_ms() - cpu;
  const bool is_whole = is_list(live, 0, 20'000);
  std::printf("idle for %ld s: %zu cycles, %.3f ms of CPU time\n", seconds,
              cairn::gc::read_stats().gc_cycles - cycles, used);
  return is_whole ? 0 : 1;
}
