// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How a thread times itself: a stopwatch of which every lap goes to a series.
//
// Laps follow each other without a gap, so nothing that keeps the thread from running falls between two of them. A lap
// longer than its series is used to is looked at: if the kernel has taken the thread off its core meanwhile (its
// involuntary context switches have increased), the lap counts as `switched`. A thread that waits for the collector, or
// for a lock of the runtime, gives its core up itself; the work that is timed never does. So a lap with a voluntary
// switch is never `switched`, whatever the kernel did as well: rather too much is held against the collector. On
// the other hand a collector that wants the core for its own threads causes involuntary switches; so
// reports show the two apart and together. What the look itself costs is in no lap.
#pragma once
#include <cstdint>
#include <vector>

#include "bench/pause/histogram.h"
#include "bench/pause/tick_clock.h"

namespace pause_bench {

enum class lap_kind : std::uint8_t { unit, reading, insert, batch };
constexpr std::size_t k_lap_kinds = 4;

// The laps of one kind. `alone`: all but the switched ones.
struct series {
  std::uint64_t look_from_ns = 5'000;  // laps below are not looked at: a switch to and fro takes longer
  interval_histogram alone, switched;

  void merge(const series& other) {
    alone.merge(other.alone);
    switched.merge(other.switched);
  }
  interval_histogram all() const {
    interval_histogram out = alone;
    out.merge(switched);
    return out;
  }
};

struct long_lap {
  std::uint64_t end_ticks, ns;
  lap_kind kind;
  bool switched;
};

// The long laps of a thread, in order, as many as there is room for from the start.
class long_laps {
 public:
  static constexpr std::uint64_t k_from_ns = 100'000;
  static constexpr std::size_t k_room = 20'000;

  long_laps() { laps_.reserve(k_room); }
  void add(const long_lap& lap) {
    if (laps_.size() < k_room) laps_.push_back(lap);
    else left_out_++;
  }
  const std::vector<long_lap>& laps() const { return laps_; }
  std::uint64_t left_out() const { return left_out_; }

 private:
  std::vector<long_lap> laps_;
  std::uint64_t left_out_ = 0;
};

// Context switches of the calling thread so far.
struct switch_counts {
  std::uint64_t involuntary, voluntary;
};
switch_counts switches_of_thread();

class stopwatch {
 public:
  using switch_counter = switch_counts (*)();

  explicit stopwatch(long_laps& long_ones, switch_counter counter = &switches_of_thread)
      : long_ones_(long_ones), counter_(counter) {}

  // Begins anew: what lies before is in no lap.
  void start() {
    switches_ = counter_();
    last_ = tick_clock::now();
  }
  void lap(lap_kind kind, series& into) {
    const std::uint64_t now = tick_clock::now();
    const std::uint64_t ns = tick_clock::to_ns(now - last_);
    if (ns >= into.look_from_ns) [[unlikely]] {
      look(kind, into, now, ns);
    } else {
      into.alone.add(ns);
      last_ = now;
    }
  }

 private:
  [[gnu::noinline]] void look(lap_kind kind, series& into, std::uint64_t now, std::uint64_t ns);

  long_laps& long_ones_;
  switch_counter counter_;
  switch_counts switches_{};
  std::uint64_t last_ = 0;
};

}  // namespace pause_bench
