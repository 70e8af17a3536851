// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The threads of the benchmark: their live heap, their work, and one run of it.
//
// A working thread alternates a unit (exchanges of pointers in a table that is in the cache, and a walk that
// changes the live shape), a reading of as long, which stores no pointer, and an insert of a new message into
// its part of the ring. An allocating thread makes batches of objects that die soon. Each of these is a lap
// (recorder.h). A run without the collector does the same with reused objects (objects.h) inside a no_gc_scope.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include <cairn/cairn.h>

#include "bench/pause/command_line.h"
#include "bench/pause/disturbance.h"
#include "bench/pause/recorder.h"
#include "bench/pause/sampler.h"
#include "bench/pause/shapes.h"

namespace pause_bench {

constexpr unsigned k_batch_objects = 256;
constexpr unsigned k_walk_steps = 16;

// What one run recorded.
struct run_record {
  std::array<series, k_lap_kinds> laps;
  std::vector<long_lap> long_laps_seen;
  std::uint64_t long_laps_left_out = 0;
  std::uint64_t begin_ticks = 0;
  double seconds = 0;
  disturbance disturbed;
  std::uint64_t objects = 0;  // allocated, or taken from the stock
  cairn::gc::stats before{}, after{};
  std::vector<sample> samples;
  series slices;  // of a control run: what the machine does to some (machine.h)
};

class workload {
 public:
  // Builds the live heap and measures how much work a unit of the wanted length is.
  explicit workload(const plan& what);

  run_record run(bool collected);

  unsigned exchanges_per_unit() const { return exchanges_; }
  unsigned reads_per_reading() const { return reads_; }
  std::size_t live_bytes() const { return live_bytes_; }  // all that is reachable
  double build_seconds() const { return build_seconds_; }

 private:
  enum class phase { warming, recording, over };

  struct worker_objects {
    cairn::gc_slice<cairn::gc_ptr<small>> table;
    cairn::gc_slice<cairn::gc_ptr<message>> ring;
  };
  // One thread at a time uses it.
  struct worker {
    std::unique_ptr<live_shape> shape;
    cairn::root<worker_objects> objects;
    xorshift random;
  };
  struct thread_record {
    std::array<series, k_lap_kinds> laps;
    long_laps long_ones;
  };
  // What a run's threads share.
  struct session {
    explicit session(std::size_t count) : ready(static_cast<std::ptrdiff_t>(count)) {}
    std::latch ready, go{1};
    // Written by the caller of run; only a flag, join orders the rest.
    std::atomic<phase> now{phase::warming};
    std::vector<std::unique_ptr<thread_record>> records;
    std::vector<std::thread> threads;
  };

  void build(worker& into, unsigned number);
  void calibrate();
  void unit(worker& self, cairn::gc_ptr<small>* table);
  void reading(worker& self, const cairn::gc_ptr<small>* table) const;
  void start_threads(session& shared, bool collected);
  void warm_up(bool collected) const;
  void record(session& shared, run_record& out);
  void collect_laps(session& shared, run_record& out) const;
  std::size_t stock_bytes() const;
  template <class Source>
  void work(session& shared, worker& self, thread_record& out, Source source);
  template <class Source>
  void allocate(session& shared, thread_record& out, Source source);

  plan what_;
  std::vector<std::unique_ptr<worker>> workers_;
  unsigned exchanges_ = 0, reads_ = 0;
  std::size_t live_bytes_ = 0;
  double build_seconds_ = 0;
};

}  // namespace pause_bench
