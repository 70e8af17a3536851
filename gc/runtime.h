// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime: the one global of the gc layer, its start, and what it shares with every part of the collector.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "cairn/gc.h"
#include "gc/histogram.h"
#include "gc/marking.h"
#include "gc/options.h"
#include "gc/pacer.h"
#include "gc/specials.h"
#include "gc/work.h"
#include "heap/lock.h"
#include "heap/stopwatch.h"
#include "sched/m.h"

namespace cairn::gc {

// When cycles start. Written with the cycle lock held (percent and limit: set_percent, set_memory_limit; the rest: at
// the end of a cycle); read by allocating threads, relaxed: a stale trigger is a refill late.
struct pacing {
  std::atomic<int> percent{100};
  std::atomic<std::size_t> memory_limit{k_no_goal};
  std::atomic<std::size_t> trigger{k_minimum_heap_bytes};
  std::atomic<std::size_t> goal{k_minimum_heap_bytes};
  std::atomic<std::size_t> live_at_end{0};  // when the last cycle had marked, before it was swept
  // Marked by the last cycle, plus what was handed to runs since, plus external bytes. Added to by every refill.
  std::atomic<std::size_t> live{0};
  std::atomic<std::ptrdiff_t> external{0};

  // What `live` would be if nothing had been added since the last cycle: as that stored it, external bytes and open
  // runs with it, less what was taken away since.
  std::atomic<std::size_t> live_but_new{0};

  // At a cycle's end.
  void set_live(std::size_t n) noexcept {
    live_but_new.store(n, std::memory_order_relaxed);
    live.store(n, std::memory_order_relaxed);
  }
  void add_to_set_live(std::size_t n) noexcept {
    live_but_new.fetch_add(n, std::memory_order_relaxed);
    live.fetch_add(n, std::memory_order_relaxed);
  }
  // `n` bytes fewer are live. Not below 0: some may not have been counted yet by who allocated them.
  void subtract_live(std::size_t n) noexcept {
    for (std::atomic<std::size_t>* bytes : {&live, &live_but_new}) {
      std::size_t now = bytes->load(std::memory_order_relaxed);
      while (!bytes->compare_exchange_weak(now, now > n ? now - n : 0, std::memory_order_relaxed)) {
      }
    }
  }
  // Since the last cycle, but for what no thread has counted yet. Of a look in the middle of a change it may be untrue.
  bool was_added_to() const noexcept {
    return live.load(std::memory_order_relaxed) > live_but_new.load(std::memory_order_relaxed);
  }

  std::atomic<std::size_t> marked{0};       // by the last cycle
  std::atomic<std::size_t> floating{0};     // of that; see floating_bytes
  std::atomic<std::size_t> stack_bytes{0};  // scanned by the last cycle
  std::atomic<std::size_t> globals_bytes{0};
  std::atomic<std::uint64_t> last_cycle_end_ns{0};

  // What allocation owes to the sweeper. Written before the sweep begins, by whoever runs the cycle; read during it,
  // and by a thread that was interrupted while reading perhaps later: then it sweeps too much or too little once.
  struct {
    std::atomic<double> pages_per_byte{0};
    std::atomic<std::size_t> live_basis{0}, pages_basis{0};
  } sweep;
  void set_sweep(const sweep_pace& s) noexcept {
    sweep.pages_per_byte.store(s.pages_per_byte, std::memory_order_relaxed);
    sweep.live_basis.store(s.live_basis, std::memory_order_relaxed);
    sweep.pages_basis.store(s.pages_basis, std::memory_order_relaxed);
  }
  sweep_pace get_sweep() const noexcept {
    return {sweep.pages_per_byte.load(std::memory_order_relaxed),
            sweep.live_basis.load(std::memory_order_relaxed),
            sweep.pages_basis.load(std::memory_order_relaxed)};
  }
  std::atomic<std::size_t> pages_swept{0};

  // Of the cycles so far. Owner: the holder of the cycle lock.
  gc::cons_mark cons_mark;
  std::size_t last_scanned = 0;    // bytes of objects that the last cycle scanned
  std::size_t last_triggered = 0;  // the heap when it began
};

struct counters {
  std::atomic<std::uint64_t> cycles{0}, forced{0};
  std::atomic<std::uint64_t> mark_ns{0}, sweep_ns{0}, gc_cpu_ns{0};
  std::atomic<std::uint64_t> last_pause_ns{0}, large_bytes{0};
  // By kind; those during which others had the processor apart.
  histogram_recorder interruptions[pause_kind_count], switched[pause_kind_count];

  // More of assists: their threads come every few microseconds, each to an entry of its own.
  struct alignas(64) of_slices : histogram_recorder {};
  of_slices slices[8];

  void note_slice(unsigned place, heap::interval took) noexcept {
    if (took.switched) return note(pause_kind::assist, took);
    slices[place % std::size(slices)].add(took.ns);
  }
  // Any thread, in a signal handler too.
  void note(pause_kind kind, heap::interval took) noexcept {
    (took.switched ? switched : interruptions)[static_cast<std::size_t>(kind)].add(took.ns);
  }
};

struct cycle;

struct runtime {
  runtime_options options;     // Immutable after start; percent, limit and procs live on elsewhere.
  std::uint64_t start_ns = 0;  // Immutable after start.
  std::atomic<bool> started{false};
  // exit() has begun: no cycle starts any more, for what static destructors use must stay.
  std::atomic<bool> exiting{false};

  work_pool work;
  gc::specials specials;
  pacing pace;
  marking mark;
  // Owner: the holder of the cycle lock; its answer, for all.
  cpu_limiter limiter{1};
  std::atomic<bool> is_limiting{false};
  counters count;

  // Serialises cycles and whatever else stops the world. Waited for in the safe state.
  heap::lock cycle_lock;
  // Raised and woken whenever cycle_lock was given up: see collect_if_due.
  std::atomic<std::uint32_t> cycle_lock_released{0};
  // no_gc_scopes that exist. Changed under cycle_lock, so that none begins during a cycle.
  std::atomic<std::uint32_t> no_gc_scopes{0};
};

runtime& rt() noexcept;

// ns of the monotonic clock.
inline std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// The marker of the thread that runs the cycle. Cycle lock held.
marker& the_marker() noexcept;

// The thread that runs the cycles that allocation asks for, beside the program. Never attached, so never stopped.
namespace collector {
void start();             // at depth 0
void request() noexcept;  // a cycle is due
// The rest of a cycle that its thread has begun, with the cycle lock, which the collector's thread gives up.
void take_over(const cycle& c) noexcept;
bool has_taken_over() noexcept;  // and its thread has not begun
// Its own stack, full of addresses of others that it has scanned. Both null until it has begun.
void find_own_stack(const char*& low, const char*& high) noexcept;
}  // namespace collector

// Threads that mark besides the one that runs the cycle: one less than max_procs(). Started at the first cycle of a
// large heap, or after one that could have used them. Never attached, so never stopped.
namespace helpers {
// A cycle has asked for them, or `surely` will, and there are not as many yet as there might be.
bool are_wanted(bool surely) noexcept;
void start(unsigned n);  // cycle lock held, depth 0
// World stopped. There are some; else they are wanted from now on.
bool available() noexcept;
// World stopped, after work_pool::begin_round: they join the round.
void wake(int n) noexcept;  // as many of them
// Of this cycle.
void reset_counts() noexcept;
std::size_t bytes_marked() noexcept;
std::uint64_t cpu_ns() noexcept;
}  // namespace helpers

// Marking by who allocates: gc/assist.cc.
namespace assists {
void pay(sched::m& self, std::size_t wanted);             // before so many bytes are taken, depth 0
void charge(sched::m& self, std::size_t bytes) noexcept;  // after it was
}  // namespace assists

// The thread that sweeps, gives memory back and starts the periodic cycle. Never attached, so never stopped.
namespace background {
// Between two periodic cycles. Tests make it shorter, before the first allocation. Relaxed.
extern std::atomic<std::uint64_t> periodic_ns;
void start();          // at depth 0
void wake() noexcept;  // there is something to sweep
}  // namespace background

// The thread that runs destructors, finalizers and cleanups; attached.
namespace finalizers {
void ensure_started();  // at depth 0
void wake() noexcept;
bool busy() noexcept;  // a function runs, or may be about to
}  // namespace finalizers

}  // namespace cairn::gc
