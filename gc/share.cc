// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/share.h.
#include "gc/share.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "cairn/go.h"
#include "gc/cycle_state.h"
#include "gc/guest.h"
#include "gc/runtime.h"
#include "gc/slice.h"
#include "heap/delay.h"
#include "heap/private.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/registry.h"

namespace cairn::gc::shares {
namespace {

constexpr std::int64_t k_part = 4;  // of each processor's time one
// Longer: more of the slices meet a tick of the kernel's clock, which takes longer than they do. Shorter: coming and
// going, some 400 ns, weighs more. A slice is longer by a part of what is due, so that who comes seldom keeps up.
constexpr std::int64_t k_slice_ns = 2'000, k_most_slice_ns = 4'000, k_due_part = 256;
// Each look of the collector's thread takes the program some 25 us: a timer's interrupt and two switches.
constexpr std::int64_t k_look_ns = 2'000'000, k_most_look_ns = 4'000'000;
// What is due and was not taken, by more than this for each processor: those who come take what others should have.
constexpr std::int64_t k_others_ns = 100'000;
// The same: the collector's thread takes it. Well above where slices are longest: with 0.5 ms that thread came every
// 50 us for 20 us of marking that the program was about to do.
constexpr std::int64_t k_lag_ns = 2'000'000;
constexpr std::int64_t k_own_slice_ns = 50'000, k_own_gap_ns = 50'000;

struct state {
  std::atomic<bool> open{false};          // slices are to be taken; relaxed: late by a refill
  std::atomic<std::uint64_t> since{0};    // of what is due; written by the collector's thread
  std::atomic<std::int64_t> spent{0};     // of that, ns
  std::atomic<std::int64_t> in_cycle{0};  // ns, by threads of the program
  std::atomic<std::uint32_t> no_work{0};  // raised by who finds none; the collector's thread sleeps on it
  std::atomic<std::uint64_t> looked{0};   // when threads were counted
  std::uint64_t left = 0;                 // when leave_to_program returned; owner: who runs the cycle
};
CAIRN_PRIVATE constinit state g_state;

std::int64_t due(std::uint64_t now) noexcept {
  const auto elapsed = static_cast<std::int64_t>(now - g_state.since.load(std::memory_order_relaxed));
  return elapsed * max_procs() / k_part - g_state.spent.load(std::memory_order_relaxed);
}

// Once: until the collector's thread has come, for which it may have to wait for a processor, nobody need look again.
// A late teller may close what has been opened anew: then `no_work` is raised after it was read there, and the thread
// comes at once.
void tell_there_is_no_work() noexcept {
  if (!g_state.open.exchange(false, std::memory_order_relaxed)) return;
  g_state.no_work.fetch_add(1, std::memory_order_release);
  sched::futex_wake(g_state.no_work, 1);
}

// Returns the bytes scanned.
std::size_t mark_until(sched::m& self, std::uint64_t until) noexcept {
  std::size_t scanned = 0;
  guest a(self, for_whom::all);
  piece_clock clock(now_ns(), until);
  while (const std::size_t bytes = a.piece()) {
    scanned += bytes;
    if (clock.is_over(now_ns())) break;
  }
  return scanned;
}

// In lumps: the lines of the counts go from one processor to the other with each.
void count(sched::m& self, std::uint64_t ns) noexcept {
  constexpr std::int64_t k_lump_ns = 20'000;
  // The kernel may have given the processor to others meanwhile: that is not marking.
  const auto counted = static_cast<std::int64_t>(std::min<std::uint64_t>(ns, 2 * k_most_slice_ns));
  self.share_from += static_cast<std::uint64_t>(k_part * counted);
  self.share_spent += counted;
  if (self.share_spent < k_lump_ns) return;
  g_state.spent.fetch_add(self.share_spent, std::memory_order_relaxed);
  g_state.in_cycle.fetch_add(std::exchange(self.share_spent, 0), std::memory_order_relaxed);
}

[[gnu::noinline, gnu::cold]] void take_slice(sched::m& self, std::uint64_t now, std::int64_t due_ns) {
  const std::int64_t slice_ns = std::min(k_slice_ns + due_ns / k_due_part, k_most_slice_ns);
  heap::stopwatch watch(self.used, now);
  const std::size_t scanned = mark_until(self, watch.began() + static_cast<std::uint64_t>(slice_ns));
  const heap::interval took = watch.stop();
  count(self, took.ns);
  if (scanned == 0 && !guest::any_work() && !guest::is_anybody_inside()) tell_there_is_no_work();
  rt().count.note_slice(self.lent_last, took);
}

// What became due while nobody was to take slices is not: somebody else marked.
void go_on() noexcept {
  const std::uint64_t away = now_ns() - g_state.left;
  g_state.since.store(g_state.since.load(std::memory_order_relaxed) + away, std::memory_order_relaxed);
}

// The collector's thread marks itself, what the program has not.
void make_up(marker& m, std::int64_t wanted_ns) noexcept {
  mark_slice* const slice = std::exchange(m.slice, nullptr);
  const std::uint64_t began = now_ns();
  const std::uint64_t until = began + static_cast<std::uint64_t>(std::min(wanted_ns, k_own_slice_ns));
  while (m.drain_beside(64, SIZE_MAX) && now_ns() < until) {
  }
  g_state.spent.fetch_add(std::min(static_cast<std::int64_t>(now_ns() - began), k_own_slice_ns),
                          std::memory_order_relaxed);
  m.slice = slice;
  slice->publish(m);
}

}  // namespace

void pay(sched::m& self) {
  if (!g_state.open.load(std::memory_order_relaxed)) [[likely]]
    return;
  const std::uint64_t now = now_ns();
  const std::int64_t due_ns = due(now);
  if (due_ns < k_slice_ns) return;
  // Of its own part: paid up to some time, which may be still to come. What is long ago counts no more, nor what it has
  // done for others.
  constexpr std::uint64_t k_most_ns = 1'000'000;
  self.share_from = std::clamp(self.share_from, now - k_most_ns, now + k_most_ns);
  const auto owed_ns = static_cast<std::int64_t>(now - self.share_from);
  if (owed_ns >= k_part * k_slice_ns || due_ns >= k_others_ns * max_procs()) take_slice(self, now, due_ns);
}

bool all_processors_are_wanted() noexcept {
  std::atomic<int>& running = rt().mark.running;
  const std::uint64_t now = now_ns();
  if (now - g_state.looked.load(std::memory_order_relaxed) >= static_cast<std::uint64_t>(k_look_ns)) {
    g_state.looked.store(now, std::memory_order_relaxed);
    int n = 0;
    sched::registry_guard held;
    sched::for_each_m(held, [&n](const sched::m& thread) {
      n += thread.state.load(std::memory_order_relaxed) == sched::k_running;
    });
    running.store(n, std::memory_order_relaxed);
  }
  return running.load(std::memory_order_relaxed) >= max_procs();
}

bool leave_to_program(marker& m) noexcept {
  if (!all_processors_are_wanted()) return false;
  go_on();
  const std::uint32_t seen = g_state.no_work.load(std::memory_order_acquire);
  g_state.open.store(true, std::memory_order_relaxed);
  bool could_leave = true;
  for (std::int64_t look_ns = k_look_ns;; look_ns = std::min(2 * look_ns, k_most_look_ns)) {
    could_leave = m.try_flush();
    if (!could_leave) break;  // no memory for buffers: it marks on by itself
    heap::maybe_delay("share.rest");
    if (!guest::any_work()) break;
    const std::int64_t lag = due(now_ns()) - k_lag_ns * max_procs();
    if (lag > 0 && rt().work.is_empty())
      break;  // guests have left it all with their markers, and do not come back
    if (lag > 0) {
      make_up(m, lag);
      look_ns = k_look_ns;
    }
    sched::futex_wait(g_state.no_work, seen, sched::now_ns() + (lag > 0 ? k_own_gap_ns : look_ns));
    if (g_state.no_work.load(std::memory_order_acquire) != seen || !all_processors_are_wanted()) break;
    limit_cpu_of_marking(now_ns());
    rt().work.reserve();
  }
  g_state.open.store(false, std::memory_order_relaxed);
  g_state.left = now_ns();
  return could_leave;
}

void begin() noexcept {
  g_state.in_cycle.store(0, std::memory_order_relaxed);
  g_state.spent.store(0, std::memory_order_relaxed);
  g_state.since.store(now_ns(), std::memory_order_relaxed);
  g_state.left = now_ns();
}
std::uint64_t spent_ns() noexcept {
  return static_cast<std::uint64_t>(g_state.in_cycle.load(std::memory_order_relaxed));
}

}  // namespace cairn::gc::shares
