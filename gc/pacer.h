// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// When cycles start, how fast they mark and sweep, and how much of that allocating threads do: pure
// functions of numbers, with no clock, no lock and no global, so that tests can simulate a program
// (tests/gc/pacer_test.cc).
//
// The rules are Go 1.19's and later ones (design/44167 and 48409 of its proposals). In one paragraph: the heap
// may grow to a goal, live + (live + stacks + globals) * percent / 100 (of what was born while marking most does
// not count as live where the heap would need more memory than it has: floating_bytes), or less when a memory
// limit says so. The cycle starts at a trigger
// below the goal, so far below that workers with 25 % of the CPU finish just when the goal is reached. How far
// is the runway: what the program allocates per unit of marking (cons/mark), measured in the cycles before,
// times the marking expected. Threads that allocate faster than that pay with assists.
//
//   live <= trigger <= goal
//
// These, and everything compared with them, count bytes in the same way: slots of marked objects, plus what was
// handed to runs since, plus adjust_external_bytes.
//
// With the world stopped (gcstoptheworld=1) nothing is allocated during a cycle: there is no runway,
// stopped_trigger(). Sizes saturate: SIZE_MAX is "no goal".
#pragma once
#include <cstddef>
#include <cstdint>

namespace cairn::gc {

inline constexpr std::size_t k_no_goal = SIZE_MAX;
inline constexpr std::size_t k_minimum_heap_bytes = 4 << 20;      // times percent / 100
inline constexpr std::size_t k_minimum_runway_bytes = 64 << 10;   // between trigger and goal
inline constexpr std::size_t k_minimum_sweep_bytes = 1 << 20;     // allocated between two cycles, at least
inline constexpr std::size_t k_minimum_headroom_bytes = 1 << 20;  // below the memory limit, or 3 %
inline constexpr double k_background_utilization = 0.25;  // of the CPUs, for marking beside the program
inline constexpr std::uint64_t k_periodic_cycle_ns = 120'000'000'000;

// ---- goal and trigger -----------------------------------------------------------------------------------

// What the limit applies to, each in bytes: mapped >= heap_in_use + heap_idle.
struct memory_use {
  std::size_t mapped = 0;       // backed by memory: the heap without what was given back, stacks, metadata
  std::size_t heap_in_use = 0;  // allocated objects, swept or not
  std::size_t heap_idle = 0;    // mapped pages of the heap that hold no object
};

struct goal_inputs {
  int gc_percent = 100;                  // < 0: no heap trigger
  std::size_t memory_limit = k_no_goal;  // k_no_goal: none
  std::size_t live = 0;                  // what the last cycle left
  std::size_t floating = 0;              // of that, see floating_bytes
  std::size_t stack_bytes = 0;           // what is scanned of stacks
  std::size_t globals_bytes = 0;
  std::size_t resident = 0;  // pages of the heap that have memory, in use or idle
  memory_use use;
  std::size_t sweep_basis = 0;        // allocated bytes when the sweep was paced last
  std::size_t triggered = k_no_goal;  // where the running cycle started; k_no_goal outside one
};

struct heap_goal {
  std::size_t goal = k_no_goal;
  std::size_t minimum_trigger = 0;  // below, the sweep would not be done in time
};

std::size_t minimum_heap(int gc_percent);
// What was allocated while a cycle marked is live for that cycle, born marked, and most of it is garbage in
// most programs. A goal that doubles it makes the heap as large as if it were live, and the next cycle's share
// of born objects larger still. How much of it is garbage is seen from what was allocated since the last cycle:
// by how much marked objects have become more, of all that. A goal without it costs cycles and saves memory: so
// it is left out where the goal would exceed the memory that the heap has already, and counts up to there,
// where nothing is to be saved. In a large heap a mark takes long, and all the while stores go through the
// barrier and who allocates assists: there it counts for half of the growth in any case. (Beside 1 GiB of
// graph: 13.0 to 16.4 million objects of 64 bytes a second, and 2.7 GB of memory instead of 2.2, Go 3.0.)
// (binary-trees 18, medians of 8: 84 cycles, 732 ms, 1174 ms of CPU, 42 MB. Half of it left out everywhere:
// 106, 828, 1381, 45; all of it everywhere: 143, 1015, 1768, 46. Go beside it 103, 1818, 2826, 43.)
struct born_marked {
  std::size_t reached = 0;    // bytes that this cycle reached
  std::size_t born = 0;       // and what was born marked in it
  std::size_t before = 0;     // reached or born in the last cycle
  std::size_t allocated = 0;  // from then until this one began
};
// The part of `born` that is garbage by now.
std::size_t floating_bytes(const born_marked&);

// kept + (kept + stacks + globals) * percent / 100 with kept = live - floating; or with kept = live, but then
// no more than what is resident, or than half of the growth more (from 256 MiB on; nothing up to 64 MiB). At
// least the minimum heap, and a quarter of the growth above what is live. k_no_goal when off.
std::size_t percent_goal(const goal_inputs&);
// The heap size at which all that is mapped reaches the limit less headroom; never below `live`.
std::size_t memory_limit_goal(const goal_inputs&);
heap_goal compute_goal(const goal_inputs&);

// Where a concurrent cycle starts: `runway` below the goal, within a window between live and goal.
std::size_t compute_trigger(const heap_goal&, std::size_t live, std::size_t runway);
// Where a stopped cycle starts: at the goal. `limiting`: the CPU limiter's word; then collecting may not be
// driven by a memory limit that cannot be held, and the heap grows by an eighth first.
std::size_t stopped_trigger(const heap_goal&, std::size_t live, bool limiting);

// A cycle for its own sake: the last one ended more than `interval_ns` ago and something was allocated since.
bool is_periodic_cycle_due(std::uint64_t now_ns, std::uint64_t last_cycle_ns, std::uint64_t interval_ns,
                           bool allocated_since, int gc_percent);

// ---- sweeping -------------------------------------------------------------------------------------------

// Made when a cycle ends, and whenever the trigger changes: each page handed out obliges to so many swept
// ones that the last span is swept 1 MiB before the trigger.
struct sweep_pace {
  double pages_per_byte = 0;  // 0: nothing to sweep
  std::size_t live_basis = 0;
  std::size_t pages_basis = 0;  // pages swept already
};
sweep_pace pace_sweep(std::size_t live, std::size_t trigger, std::size_t pages_in_use,
                      std::size_t pages_swept);
// How many pages must be swept before another `bytes` are handed out. The caller sweeps until it is 0 or
// nothing is left.
std::size_t sweep_debt_pages(const sweep_pace&, std::size_t live, std::size_t pages_swept, std::size_t bytes);

// ---- marking --------------------------------------------------------------------------------------------

// How the work of 25 % of `procs` is laid out: `dedicated` workers, and of each other P this fraction of
// its time.
struct worker_share {
  int dedicated = 0;
  double fraction = 0;
};
worker_share compute_worker_share(int procs);

// Bytes allocated per byte marked if both had the same CPU time: the larger of the last cycle's and the
// four before.
class cons_mark {
 public:
  struct cycle {
    std::size_t allocated = 0;  // between trigger and end
    std::size_t scanned = 0;    // heap, stacks and globals
    std::uint64_t duration_ns = 0;
    std::uint64_t assist_ns = 0;  // CPU time
    std::uint64_t idle_ns = 0;    // of workers on idle CPUs
    int procs = 1;
  };
  void end_cycle(const cycle&);
  double ratio() const { return ratio_; }
  // What the program will have allocated when `expected_scan` bytes are marked at the background share.
  std::size_t runway(std::size_t expected_scan) const;

 private:
  static constexpr int k_history = 4;
  double ratio_ = 0;
  double last_[k_history] = {};  // oldest first
};

// What a cycle will scan that begins at a heap of `triggered` bytes, by the last one: of a heap that grows more than of
// the last, in the same proportion. (A program that builds something up keeps all of it; told of it only when the last
// cycle's bytes were scanned, assists would let the second cycle end a third above its goal.)
std::size_t expected_scan(std::size_t last_scanned, std::size_t last_triggered, std::size_t triggered);

struct mark_inputs {
  int gc_percent = 100;
  std::size_t live = 0;  // now
  std::size_t goal = k_no_goal;
  std::size_t triggered = 0;
  std::size_t scanned = 0;  // so far: heap, stacks, globals
  std::size_t expected_scan = 0;
  std::size_t largest_scan = 0;  // if everything allocated that can hold pointers is reachable
};
// What an allocating thread owes: so many bytes of scanning per byte allocated, and its inverse.
struct assist_ratio {
  double work_per_byte = 0;
  double bytes_per_work = 0;
};
// Computed at the start of a cycle and again whenever its inputs moved.
assist_ratio compute_assist_ratio(const mark_inputs&);
// What a thread that has scanned `work` bytes may allocate. Most of what is beyond its debt is dropped: near the end of
// a cycle work is almost free, and if then it turns out that there is more to do, a piece of 4 KiB must not have paid
// for megabytes.
inline constexpr std::ptrdiff_t k_most_credit_bytes = 128 << 10;
std::ptrdiff_t earn_credit(std::ptrdiff_t credit, std::size_t work, double bytes_per_work);

// ---- limiting -------------------------------------------------------------------------------------------

// A leaky bucket that holds collection's CPU time to half: it fills with collector time and drains with the
// program's, one CPU-second deep for each P. Full, it is `limiting`: assists stop and a memory limit may be
// exceeded, which is better than a program that only collects. Owner: whoever holds the cycle lock.
class cpu_limiter {
 public:
  constexpr explicit cpu_limiter(int procs) { set_procs(procs); }
  constexpr void set_procs(int procs) {
    procs_ = procs;
    capacity_ = static_cast<std::uint64_t>(procs) * k_ns_per_proc;
    fill_ = fill_ < capacity_ ? fill_ : capacity_;
  }
  // Everything up to `now_ns`: `gc_cpu_ns` is the collector's CPU time since the start, stops counted on
  // every P. Times that run backwards are ignored.
  void advance(std::uint64_t now_ns, std::uint64_t gc_cpu_ns);
  bool limiting() const { return fill_ == capacity_; }
  std::uint64_t overflow_ns() const { return overflow_; }

 private:
  void add(std::uint64_t program_ns, std::uint64_t gc_ns);

  static constexpr std::uint64_t k_ns_per_proc = 1'000'000'000;

  std::uint64_t fill_ = 0;
  std::uint64_t capacity_ = 0;
  std::uint64_t overflow_ = 0;  // collector time beyond the bucket
  std::uint64_t last_now_ = 0;
  std::uint64_t last_gc_ = 0;
  int procs_ = 0;
};

}  // namespace cairn::gc
