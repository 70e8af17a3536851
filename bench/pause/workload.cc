// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/workload.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

namespace pause_bench {
namespace {

using std::chrono::steady_clock;
using seconds_f = std::chrono::duration<double>;

constexpr std::size_t k_table_slots = 16384;  // 128 KiB: in the L2
constexpr std::size_t k_small_slots = 1024;   // of an allocating thread: how many of its objects live
// Beyond this the stock of the control run is in no cache, and more of it would change nothing.
constexpr std::size_t k_most_stock_bytes = std::size_t{256} << 20;

std::size_t index(lap_kind kind) { return static_cast<std::size_t>(kind); }

// What is unusual is known from the warm-up: half as much again as the median. Below, a switch of threads would go
// unseen; a switch to and fro takes some microseconds, so a lower threshold finds no more of them.
void learn_thresholds(std::array<series, k_lap_kinds>& laps, const std::array<series, k_lap_kinds>& warm) {
  for (std::size_t kind = 0; kind < k_lap_kinds; kind++) {
    const interval_histogram seen = warm[kind].all();
    if (seen.count() != 0)
      laps[kind].look_from_ns = std::max<std::uint64_t>(3000, seen.percentile_ns(50) * 3 / 2);
  }
}

steady_clock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<steady_clock::duration>(seconds_f(seconds));
}

// A thread of the benchmark has nobody to tell: the process ends.
template <class F>
std::thread start_thread(F body) {
  return std::thread([body]() mutable {
    try {
      cairn::attach_thread attached;
      body();
    } catch (const std::bad_alloc&) {
      std::fputs("pause: out of memory\n", stderr);
      std::_Exit(1);
    }
  });
}

void wait_for(std::thread& thread) {
  cairn::blocking([&] { thread.join(); });
}

// Rejects what is far off, as a calibration on a busy machine must.
template <class F>
double median_ns(F f) {
  std::array<double, 101> ns;
  for (double& one : ns) {
    const std::uint64_t begin = tick_clock::now();
    f();
    one = static_cast<double>(tick_clock::to_ns(tick_clock::now() - begin));
  }
  std::nth_element(ns.begin(), ns.begin() + ns.size() / 2, ns.end());
  return ns[ns.size() / 2];
}

}  // namespace

// ---- the live heap ----

workload::workload(const plan& what) : what_(what) {
  const auto begin = steady_clock::now();
  {
    cairn::gc::no_gc_scope off;  // a cycle while it grows would be of no use
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < what.threads; i++) {
      workers_.push_back(std::make_unique<worker>());
      // Not through the vector, which goes on growing.
      threads.push_back(start_thread([this, i, &into = *workers_.back()] { build(into, i); }));
    }
    for (std::thread& thread : threads) wait_for(thread);
  }
  cairn::gc::collect();
  live_bytes_ = cairn::gc::read_stats().heap_live_bytes;
  calibrate();
  build_seconds_ = seconds_f(steady_clock::now() - begin).count();
}

void workload::build(worker& into, unsigned number) {
  into.random.state = (what_.seed * 1000 + number + 1) * 0x9E3779B97F4A7C15;
  into.shape = make_shape(what_.shape, what_.live_bytes / what_.threads, into.random.next());
  worker_objects* objects = cairn::make_gc<worker_objects>();
  into.objects = objects;
  objects->table = cairn::make_gc_array<cairn::gc_ptr<small>>(k_table_slots);
  for (auto& slot : objects->table) slot = cairn::make_gc<small>();
  objects->ring = cairn::make_gc_array<cairn::gc_ptr<message>>(what_.ring_messages / what_.threads);
  for (auto& slot : objects->ring) slot = cairn::make_gc<message>();
}

// How many exchanges fill what the walk leaves of a unit, and how many reads take as long.
void workload::calibrate() {
  if (what_.unit_us == 0) return;
  double walk = 0, with_exchanges = 0, reads = 0;
  constexpr unsigned k_tried = 2048;
  std::thread thread = start_thread([&] {
    worker& self = *workers_[0];
    cairn::gc_ptr<small>* table = self.objects->table.data();
    exchanges_ = 0;
    walk = median_ns([&] { unit(self, table); });
    exchanges_ = k_tried;
    with_exchanges = median_ns([&] { unit(self, table); });
    reads_ = k_tried;
    reads = median_ns([&] { reading(self, table); });
  });
  wait_for(thread);
  const double each = std::max((with_exchanges - walk) / k_tried, 0.01);
  exchanges_ = static_cast<unsigned>(std::max(what_.unit_us * 1000 - walk, 0.) / each);
  reads_ = static_cast<unsigned>(what_.unit_us * 1000 * k_tried / std::max(reads, 1.));
}

// ---- the work ----

void workload::unit(worker& self, cairn::gc_ptr<small>* table) {
  xorshift random = self.random;
  for (unsigned i = 0; i < exchanges_; i++) {
    const std::uint64_t x = random.next();
    cairn::gc_ptr<small>&one = table[x % k_table_slots], &other = table[(x >> 20) % k_table_slots];
    small *from_one = one.get(), *from_other = other.get();
    one = from_other;
    other = from_one;
  }
  self.random = random;
  self.shape->walk(k_walk_steps, self.random);
}

void workload::reading(worker& self, const cairn::gc_ptr<small>* table) const {
  std::uint64_t sum = 0;
  for (unsigned i = 0; i < reads_; i++) sum += table[self.random.next() % k_table_slots]->words[0];
  volatile std::uint64_t used = sum;
  (void)used;
}

template <class Source>
void workload::work(session& shared, worker& self, thread_record& out, Source source) {
  worker_objects* objects = self.objects.get();
  cairn::gc_ptr<small>* table = objects->table.data();
  cairn::gc_ptr<message>* ring = objects->ring.data();
  const std::size_t messages = objects->ring.size();
  // Now everything in the ring is of this run's source.
  for (std::size_t i = 0; i < messages; i++) ring[i] = source.take_message();
  std::array<series, k_lap_kinds> unrecorded;
  shared.ready.count_down();
  cairn::blocking([&] { shared.go.wait(); });

  stopwatch watch(out.long_ones);
  bool recording = false;
  std::size_t at = 0;
  watch.start();
  for (std::uint64_t n = 0;; n++) {
    const phase now = shared.now.load(std::memory_order_relaxed);
    if (now == phase::over) break;
    if (now == phase::recording && !recording) {
      learn_thresholds(out.laps, unrecorded);
      watch.start();
      recording = true;
    }
    auto& laps = recording ? out.laps : unrecorded;
    if (what_.unit_us != 0) {
      unit(self, table);
      watch.lap(lap_kind::unit, laps[index(lap_kind::unit)]);
      reading(self, table);
      watch.lap(lap_kind::reading, laps[index(lap_kind::reading)]);
    }
    message* made = source.take_message();
    std::memset(made->words, static_cast<int>(n), sizeof made->words);
    ring[at] = made;
    if (++at == messages) at = 0;
    watch.lap(lap_kind::insert, laps[index(lap_kind::insert)]);
  }
}

template <class Source>
void workload::allocate(session& shared, thread_record& out, Source source) {
  auto slots = cairn::make_gc_array<cairn::gc_ptr<small>>(k_small_slots);
  cairn::gc_ptr<small>* ring = slots.data();
  std::array<series, k_lap_kinds> unrecorded;
  shared.ready.count_down();
  cairn::blocking([&] { shared.go.wait(); });

  const double batch_seconds = what_.rate == 0 ? 0 : k_batch_objects * what_.allocators / what_.rate;
  constexpr auto k_worth_a_sleep = std::chrono::microseconds(200);
  const auto begin = steady_clock::now();
  stopwatch watch(out.long_ones);
  bool recording = false;
  watch.start();
  for (std::uint64_t batch = 0;; batch++) {
    const phase now = shared.now.load(std::memory_order_relaxed);
    if (now == phase::over) break;
    if (now == phase::recording && !recording) {
      learn_thresholds(out.laps, unrecorded);
      watch.start();
      recording = true;
    }
    auto& laps = recording ? out.laps : unrecorded;
    for (unsigned i = 0; i < k_batch_objects; i++) {
      small* made = source.take_small();
      made->words[0] = i;
      ring[(batch * k_batch_objects + i) % k_small_slots] = made;
    }
    watch.lap(lap_kind::batch, laps[index(lap_kind::batch)]);
    if (batch_seconds == 0) continue;
    const auto due = begin + duration_of(batch_seconds * static_cast<double>(batch + 1));
    if (due - steady_clock::now() < k_worth_a_sleep) continue;
    cairn::sleep_until(due);
    watch.start();
  }
  cairn::keep_alive(ring);
}

// ---- a run ----

// As much as is allocated between two cycles.
std::size_t workload::stock_bytes() const {
  const cairn::gc::stats now = cairn::gc::read_stats();
  std::size_t room = k_most_stock_bytes;
  if (now.heap_goal_bytes > now.heap_live_bytes)
    room = std::min(room, now.heap_goal_bytes - now.heap_live_bytes);
  return std::max(room, std::size_t{4} << 20) / (what_.threads + what_.allocators);
}

void workload::start_threads(session& shared, bool collected) {
  const std::size_t stock = collected ? 0 : stock_bytes();
  auto start = [&](auto body) {
    shared.records.push_back(std::make_unique<thread_record>());
    shared.threads.push_back(start_thread([body, record = shared.records.back().get()] { body(*record); }));
  };
  for (auto& one : workers_) {
    worker& self = *one;
    start([this, &shared, &self, collected, stock](thread_record& out) {
      if (collected) work(shared, self, out, fresh_objects());
      else work(shared, self, out, reused_objects(1, stock / sizeof(message)));
    });
  }
  for (unsigned i = 0; i < what_.allocators; i++) {
    start([this, &shared, collected, stock](thread_record& out) {
      if (collected) allocate(shared, out, fresh_objects());
      else allocate(shared, out, reused_objects(stock / sizeof(small), 1));
    });
  }
}

// With the collector until a cycle has ended, too: the pacer knows nothing before. Not longer than the recording.
void workload::warm_up(bool collected) const {
  const auto begin = steady_clock::now();
  const std::size_t cycles = cairn::gc::read_stats().gc_cycles;
  cairn::sleep_until(begin + duration_of(what_.warmup_seconds));
  if (!collected || what_.warmup_seconds == 0) return;
  while (cairn::gc::read_stats().gc_cycles == cycles &&
         steady_clock::now() < begin + duration_of(what_.seconds)) {
    cairn::sleep_for(std::chrono::milliseconds(20));
  }
}

void workload::record(session& shared, run_record& out) {
  // A few hundred points in a figure; often enough to see cycles, seldom enough not to be felt.
  sampler watching(std::clamp<std::chrono::nanoseconds>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(seconds_f(what_.seconds / 1000)),
      std::chrono::milliseconds(10), std::chrono::milliseconds(200)));
  out.before = cairn::gc::read_stats();
  const disturbance_meter meter;
  const auto begin = steady_clock::now();
  out.begin_ticks = tick_clock::now();
  shared.now.store(phase::recording, std::memory_order_relaxed);
  cairn::sleep_until(begin + duration_of(what_.seconds));
  shared.now.store(phase::over, std::memory_order_relaxed);
  out.seconds = seconds_f(steady_clock::now() - begin).count();
  out.disturbed = meter.so_far();
  out.after = cairn::gc::read_stats();
  watching.stop();
  out.samples = watching.samples();
}

void workload::collect_laps(session& shared, run_record& out) const {
  for (auto& record : shared.records) {
    for (std::size_t kind = 0; kind < k_lap_kinds; kind++) out.laps[kind].merge(record->laps[kind]);
    for (const long_lap& lap : record->long_ones.laps()) {
      if (lap.end_ticks >= out.begin_ticks) out.long_laps_seen.push_back(lap);
    }
    out.long_laps_left_out += record->long_ones.left_out();
  }
  std::sort(out.long_laps_seen.begin(), out.long_laps_seen.end(),
            [](const long_lap& a, const long_lap& b) { return a.end_ticks < b.end_ticks; });
  out.objects = out.laps[index(lap_kind::insert)].all().count() +
                out.laps[index(lap_kind::batch)].all().count() * k_batch_objects;
}

run_record workload::run(bool collected) {
  std::optional<cairn::gc::no_gc_scope> off;
  if (!collected) off.emplace();
  run_record out;
  session shared(workers_.size() + what_.allocators);
  start_threads(shared, collected);
  cairn::blocking([&] { shared.ready.wait(); });
  if (collected) cairn::gc::collect();  // the stock of an earlier control run
  shared.go.count_down();
  warm_up(collected);
  record(shared, out);
  for (std::thread& thread : shared.threads) wait_for(thread);
  collect_laps(shared, out);
  return out;
}

}  // namespace pause_bench
