// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/pacer.h.
#include "gc/pacer.h"

#include <algorithm>

namespace cairn::gc {
namespace {

constexpr double k_headroom_fraction = 0.03;
// The window of the trigger on the way from live to goal. Not earlier: black allocation would make a large
// part of the heap live for a cycle. Not later: a cycle needs time to turn the barrier on before the goal
// is reached.
constexpr std::size_t k_window_parts = 64;
constexpr std::size_t k_earliest_parts = 45;
constexpr std::size_t k_latest_parts = 61;
// Assists: never less than so much work outstanding, lest the last bytes cost nothing; past the goal, 10 %
// more.
constexpr std::size_t k_least_work_bytes = 1000;
constexpr double k_overshoot = 1.1;
// Rounding 25 % of the P to whole workers may err by this much before a fraction of a worker makes up for it.
constexpr double k_rounding_error = 0.3;
constexpr std::size_t k_least_sweep_distance = 8192;  // a page
// What was born while marking may raise the goal of a heap of more than the first, and of one of the second by half of
// the growth.
constexpr std::size_t k_small_bytes = 64 << 20, k_large_bytes = 256 << 20;

std::size_t add(std::size_t a, std::size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }
std::size_t subtract(std::size_t a, std::size_t b) { return a > b ? a - b : 0; }

std::size_t from_double(double bytes) {
  if (!(bytes > 0)) return 0;
  return bytes >= 0x1p63 ? SIZE_MAX : static_cast<std::size_t>(bytes);
}

// bytes * parts / whole, saturating.
std::size_t scale(std::size_t bytes, std::size_t parts, std::size_t whole) {
  unsigned __int128 product = static_cast<unsigned __int128>(bytes) * parts / whole;
  return product > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(product);
}

}  // namespace

// ---- goal and trigger -----------------------------------------------------------------------------------

std::size_t minimum_heap(int gc_percent) {
  return gc_percent < 0 ? 0 : scale(k_minimum_heap_bytes, static_cast<std::size_t>(gc_percent), 100);
}

std::size_t percent_goal(const goal_inputs& in) {
  if (in.gc_percent < 0) return k_no_goal;
  const std::size_t kept = subtract(in.live, in.floating);
  const std::size_t scanned = add(add(kept, in.stack_bytes), in.globals_bytes);
  const auto percent = static_cast<std::size_t>(in.gc_percent);
  const std::size_t growth = scale(scanned, percent, 100);
  const std::size_t least = std::max(
      {add(kept, growth), add(in.live, growth / 4), minimum_heap(in.gc_percent)});
  const std::size_t most = add(in.live, add(growth, scale(in.live - kept, percent, 100)));
  const std::size_t room = scale(growth / 2,
                                 std::min(subtract(kept, k_small_bytes), k_large_bytes - k_small_bytes),
                                 k_large_bytes - k_small_bytes);
  const std::size_t roomy = add(kept, add(growth, room));
  return std::max(least, std::min(most, std::max(roomy, in.resident)));
}

std::size_t floating_bytes(const born_marked& b) {
  if (b.allocated == 0) return 0;
  const double grown = static_cast<double>(subtract(b.reached, b.before));
  const double lasting = std::min(grown / static_cast<double>(b.allocated), 1.0);
  return from_double(static_cast<double>(b.born) * (1 - lasting));
}

// What is mapped but neither objects nor idle (stacks, metadata, tails of spans) counts against the limit,
// and so does what is mapped beyond the limit already: a lower goal makes the scavenger's work possible.
std::size_t memory_limit_goal(const goal_inputs& in) {
  if (in.memory_limit == k_no_goal) return k_no_goal;
  std::size_t other = subtract(in.use.mapped, add(in.use.heap_in_use, in.use.heap_idle));
  std::size_t overage = subtract(in.use.mapped, in.memory_limit);
  std::size_t taken = add(other, overage);
  if (taken >= in.memory_limit) return in.live;
  std::size_t goal = in.memory_limit - taken;
  std::size_t headroom = std::max(from_double(static_cast<double>(goal) * k_headroom_fraction),
                                  k_minimum_headroom_bytes);
  return std::max({subtract(goal, headroom), std::min(goal, headroom), in.live});
}

heap_goal compute_goal(const goal_inputs& in) {
  heap_goal result;
  result.goal = percent_goal(in);
  if (std::size_t limited = memory_limit_goal(in); limited < result.goal) {
    result.goal = limited;
    return result;
  }
  result.minimum_trigger = add(in.sweep_basis, k_minimum_sweep_bytes);
  result.goal = std::max(result.goal, result.minimum_trigger);
  if (in.triggered != k_no_goal)
    result.goal = std::max(result.goal, add(in.triggered, k_minimum_runway_bytes));
  return result;
}

std::size_t compute_trigger(const heap_goal& g, std::size_t live, std::size_t runway) {
  if (live >= g.goal) return g.goal;
  if (g.goal == k_no_goal) return k_no_goal;
  std::size_t way = g.goal - live;
  std::size_t earliest = std::max(g.minimum_trigger, live + scale(way, k_earliest_parts, k_window_parts));
  std::size_t latest = live + scale(way, k_latest_parts, k_window_parts);
  // A large heap need not start 5 % early: 4 MiB of runway is time enough for the handshake.
  latest = std::max({latest, subtract(g.goal, k_minimum_heap_bytes), earliest});
  return std::min(std::clamp(subtract(g.goal, runway), earliest, latest), g.goal);
}

std::size_t stopped_trigger(const heap_goal& g, std::size_t live, bool limiting) {
  std::size_t step = k_minimum_runway_bytes;
  if (limiting) step = std::max(live / 8, k_minimum_heap_bytes);
  return std::max(g.goal, add(live, step));
}

bool is_periodic_cycle_due(std::uint64_t now_ns, std::uint64_t last_cycle_ns, std::uint64_t interval_ns,
                           bool allocated_since, int gc_percent) {
  return gc_percent >= 0 && allocated_since && now_ns > last_cycle_ns && now_ns - last_cycle_ns > interval_ns;
}

// ---- sweeping -------------------------------------------------------------------------------------------

sweep_pace pace_sweep(std::size_t live, std::size_t trigger, std::size_t pages_in_use,
                      std::size_t pages_swept) {
  sweep_pace pace;
  pace.live_basis = live;
  pace.pages_basis = pages_swept;
  std::size_t pages = subtract(pages_in_use, pages_swept);
  std::size_t end = add(live, k_minimum_sweep_bytes);
  std::size_t distance = std::max(subtract(trigger, end), k_least_sweep_distance);
  pace.pages_per_byte = static_cast<double>(pages) / static_cast<double>(distance);
  return pace;
}

std::size_t sweep_debt_pages(const sweep_pace& pace, std::size_t live, std::size_t pages_swept,
                             std::size_t bytes) {
  std::size_t allocated = add(subtract(live, pace.live_basis), bytes);
  std::size_t due = from_double(pace.pages_per_byte * static_cast<double>(allocated));
  return subtract(due, subtract(pages_swept, pace.pages_basis));
}

// ---- marking --------------------------------------------------------------------------------------------

worker_share compute_worker_share(int procs) {
  double wanted = procs * k_background_utilization;
  worker_share share;
  share.dedicated = static_cast<int>(wanted + 0.5);
  double error = share.dedicated / wanted - 1;
  if (error < -k_rounding_error || error > k_rounding_error) {
    if (share.dedicated > wanted) --share.dedicated;
    share.fraction = (wanted - share.dedicated) / procs;
  }
  return share;
}

// allocated / ((1 - u) * time) over scanned / ((u + idle) * time): u is the share of marking that the
// program pays for, background and assists; idle CPUs mark beyond it without slowing the program down.
void cons_mark::end_cycle(const cycle& c) {
  double cpu_ns = static_cast<double>(c.duration_ns) * c.procs;
  if (c.allocated == 0 || c.scanned == 0) return;
  double utilization = k_background_utilization;
  double idle = 0;
  if (cpu_ns > 0) {
    utilization += static_cast<double>(c.assist_ns) / cpu_ns;
    idle = static_cast<double>(c.idle_ns) / cpu_ns;
  }
  utilization = std::min(utilization, 0.99);
  double now = static_cast<double>(c.allocated) * (utilization + idle) /
               (static_cast<double>(c.scanned) * (1 - utilization));
  ratio_ = std::max(now, *std::max_element(last_, last_ + k_history));
  std::copy(last_ + 1, last_ + k_history, last_);
  last_[k_history - 1] = now;
}

std::size_t cons_mark::runway(std::size_t expected_scan) const {
  double program_per_collector = (1 - k_background_utilization) / k_background_utilization;
  return from_double(ratio_ * program_per_collector * static_cast<double>(expected_scan));
}

std::size_t expected_scan(std::size_t last_scanned, std::size_t last_triggered, std::size_t triggered) {
  if (last_triggered == 0 || triggered <= last_triggered) return last_scanned;
  const double growth = static_cast<double>(triggered) / static_cast<double>(last_triggered);
  return static_cast<std::size_t>(growth * static_cast<double>(last_scanned));
}

// Past the expected work the heap is growing: the runway is stretched to the largest work possible, but the
// heap to no more than what the next cycle's goal would be if everything lived.
assist_ratio compute_assist_ratio(const mark_inputs& in) {
  double goal = static_cast<double>(in.goal);
  std::size_t expected = in.expected_scan;
  if (in.scanned > expected) {
    double runway = goal - static_cast<double>(in.triggered);
    double per_byte = runway / static_cast<double>(std::max<std::size_t>(expected, 1));
    double stretched = per_byte * static_cast<double>(in.largest_scan) + static_cast<double>(in.triggered);
    double percent = in.gc_percent < 0 ? 100'000 : in.gc_percent;
    goal = std::min(stretched, (1 + percent / 100) * goal);
    expected = in.largest_scan;
  }
  double live = static_cast<double>(in.live);
  if (live > goal) {
    goal *= k_overshoot;
    expected = in.largest_scan;
  }
  double work = static_cast<double>(std::max(subtract(expected, in.scanned), k_least_work_bytes));
  double heap = std::max(goal - live, 1.0);
  return {work / heap, heap / work};
}

std::ptrdiff_t earn_credit(std::ptrdiff_t credit, std::size_t work, double bytes_per_work) {
  const double sum = static_cast<double>(credit) + static_cast<double>(work) * bytes_per_work;
  return static_cast<std::ptrdiff_t>(std::min(sum, static_cast<double>(k_most_credit_bytes)));
}

// ---- limiting -------------------------------------------------------------------------------------------

void cpu_limiter::advance(std::uint64_t now_ns, std::uint64_t gc_cpu_ns) {
  if (now_ns < last_now_ || gc_cpu_ns < last_gc_) return;
  std::uint64_t window = (now_ns - last_now_) * static_cast<std::uint64_t>(procs_);
  std::uint64_t gc = std::min(gc_cpu_ns - last_gc_, window);
  last_now_ = now_ns;
  last_gc_ = gc_cpu_ns;
  add(window - gc, gc);
}

// The bucket never goes below empty: idle hours earn no credit for a death spiral later.
void cpu_limiter::add(std::uint64_t program_ns, std::uint64_t gc_ns) {
  if (gc_ns <= program_ns) {
    fill_ -= std::min(fill_, program_ns - gc_ns);
    return;
  }
  std::uint64_t excess = gc_ns - program_ns;
  std::uint64_t room = capacity_ - fill_;
  overflow_ += excess - std::min(excess, room);
  fill_ += std::min(excess, room);
}

}  // namespace cairn::gc
