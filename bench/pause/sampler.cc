// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/sampler.h"

#include <algorithm>

#include <cairn/cairn.h>

#include "bench/pause/tick_clock.h"

namespace pause_bench {

sampler::sampler(std::chrono::nanoseconds period) {
  samples_.reserve(4096);
  thread_ = std::thread([this, period] { run(period); });
}

void sampler::stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) cairn::blocking([this] { thread_.join(); });
}

void sampler::run(std::chrono::nanoseconds period) {
  using std::chrono::steady_clock;
  auto next = steady_clock::now();
  std::uint64_t due = tick_clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool marking = cairn::gc::current_phase() != cairn::gc::phase::off;
    const cairn::gc::stats now = cairn::gc::read_stats();
    samples_.push_back({due, tick_clock::now(), now.heap_live_bytes, now.heap_goal_bytes, now.gc_cycles,
                        marking, static_cast<std::uint64_t>(now.assists.total().count()),
                        now.assists.count()});
    next = std::max(next + period, steady_clock::now());
    const std::uint64_t asleep = tick_clock::now();
    const steady_clock::duration wait = next - steady_clock::now();
    cairn::sleep_until(next);
    due = std::min(tick_clock::now(), asleep + tick_clock::of(wait));
  }
}

std::vector<cycle_seen> cycles_in(const std::vector<sample>& samples) {
  std::vector<cycle_seen> out;
  // Where the cycle that is going on was first seen, or last not seen.
  std::size_t begin = 0;
  for (std::size_t i = 1; i < samples.size(); i++) {
    if (samples[i].cycles == samples[i - 1].cycles) {
      if (!samples[i].marking || !samples[i - 1].marking) begin = i;
      continue;
    }
    double ratio = 0;
    const std::size_t goal = samples[i - 1].goal_bytes;
    if (goal != SIZE_MAX && goal != 0) {
      std::size_t most = 0;
      for (std::size_t at = begin; at < i; at++) most = std::max(most, samples[at].live_bytes);
      ratio = static_cast<double>(most) / static_cast<double>(goal);
    }
    out.push_back({samples[begin].due_ticks, samples[i].end_ticks, ratio});
    begin = i;
  }
  if (!samples.empty() && samples.back().marking) {
    out.push_back({samples[begin].due_ticks, samples.back().end_ticks, 0});
  }
  return out;
}

}  // namespace pause_bench
