// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A thread that reads the collector's statistics at regular times, for the figures over time. It runs in the control
// run too, so that what it costs the others is the same there.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace pause_bench {

struct sample {
  std::uint64_t due_ticks, end_ticks;  // of the reading, which a stopped world holds up
  std::size_t live_bytes;
  std::size_t goal_bytes;  // SIZE_MAX: none
  std::size_t cycles;
  bool marking;
  std::uint64_t assist_ns;  // since the process began
  std::uint64_t assists;
};

class sampler {
 public:
  explicit sampler(std::chrono::nanoseconds period);
  ~sampler() { stop(); }
  sampler(const sampler&) = delete;
  sampler& operator=(const sampler&) = delete;

  // Ends the thread. Samples may be read afterwards.
  void stop();
  const std::vector<sample>& samples() const { return samples_; }

 private:
  void run(std::chrono::nanoseconds period);

  std::vector<sample> samples_;    // the thread's until it has ended
  std::atomic<bool> stop_{false};  // only a flag; join orders the rest
  std::thread thread_;
};

// A point of time and size of a cycle, as the samples show it.
struct cycle_seen {
  std::uint64_t begin_ticks, end_ticks;
  double heap_to_goal;  // the largest heap while it ran, against its goal; 0: no goal, or not over yet
};
// A stopped cycle is seen as the time from when one reading was due to the end of the next.
std::vector<cycle_seen> cycles_in(const std::vector<sample>& samples);

}  // namespace pause_bench
