// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/tick_clock.h"

#include <cmath>
#include <fstream>
#include <string>
#include <thread>

namespace pause_bench {
namespace {

#if defined(__x86_64__)
bool counter_runs_evenly() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags")) continue;
    return line.find(" constant_tsc") != line.npos && line.find(" nonstop_tsc") != line.npos;
  }
  return false;
}
#endif

}  // namespace

void tick_clock::calibrate() {
#if defined(__x86_64__)
  if (!counter_runs_evenly()) return;
  // Two stretches that must agree: else something took the thread away between two reads, so once more.
  for (int attempt = 0; attempt < 5; attempt++) {
    double rates[2];
    for (double& rate : rates) {
      const std::uint64_t ns0 = steady_ns(), ticks0 = __builtin_ia32_rdtsc();
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
      const std::uint64_t ns1 = steady_ns(), ticks1 = __builtin_ia32_rdtsc();
      rate = static_cast<double>(ns1 - ns0) / static_cast<double>(ticks1 - ticks0);
    }
    if (std::abs(rates[0] / rates[1] - 1) > 0.001) continue;
    scale_ = static_cast<std::uint64_t>((rates[0] + rates[1]) / 2 * std::ldexp(1.0, k_shift));
    uses_counter_ = true;
    return;
  }
#endif
}

const char* tick_clock::name() { return uses_counter_ ? "time stamp counter" : "clock_gettime"; }

}  // namespace pause_bench
