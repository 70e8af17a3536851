// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Assists: a thread that allocates faster than the workers mark does some of the marking itself, so that the heap does
// not grow past its goal.
//
// Each thread has a credit in bytes. Memory taken while a cycle marks is subtracted from it; who is below zero
// marks before it takes more, `work_per_byte` bytes of scanning for each byte it owes. First it takes over what
// the workers have done beyond anybody's assists. Then it marks itself (gc/guest.h), for a quantum at most. What is
// left of the debt it carries.
//
// A quantum is k_quantum_ns, and longer the more is owed, up to k_most_quantum_ns. Short ones, for the kernel's
// clock ticks 250 times a second, which takes 20 to 25 us with cold caches: of slices of 10 us one in 400 has a
// tick in it, of slices of 3 us one in 1300. Longer ones for debts that stay: where an object takes more than a
// short one pays for, as objects of 1 KiB may beside a large heap, the debt grows to where the quantum does: by
// 1 us for each 64 KiB. (For each 16 KiB: one in a hundred was of 10 us.) Past the goal they are long.
//
// What one refill costs is bounded so; that the heap does not outgrow its goal all the same comes from the
// other end: a thread that could not pay within its quantum gets half as much memory at the next refill, down
// to k_least_run_bytes, and one that could twice as much. So a thread that allocates at full speed beside a
// large heap is interrupted often, and each time for about a quantum, instead of seldom and for long.
//
// Past the goal a thread that finds nothing to mark, because all grey objects are in others' hands, waits for
// them, but no longer than until k_most_ns are over. Runs of large objects cannot be shortened: who wants one
// waits without a bound when the heap is a quarter over the goal, asleep for 20 us at a time, in which sysmon
// may take its P. Rejected: parking there, as Go's assists do. What allocates may hold a std::mutex. A
// goroutine that is given the P and wants that mutex blocks with the P, and the holder, awake after 20 us, has
// none until that one is frozen.
//
// The price changes as marking goes on, and is near nothing when all that was expected has been scanned. So a thread
// keeps little of what it has done beyond its debt, and sees to it that the price is a fresh one: the workers, who do
// that else, may be off their processors. (Without, a cycle whose worker got no processor for 30 ms ended at twice its
// goal: a piece of 4 KiB marked shortly before had paid for megabytes.)
//
// The CPU limiter (gc/pacer.h) turns assists off, and what is allocated meanwhile is not charged: then a program that
// would do nothing but mark grows instead.
#include <algorithm>
#include <utility>

#include "gc/cycle.h"
#include "gc/guest.h"
#include "gc/runtime.h"
#include "heap/pause.h"
#include "sched/handshake.h"
#include "sched/park.h"

namespace cairn::gc {

// ---- the pace ------------------------------------------------------------------------------------------------------

void marking::add_background_work(std::size_t bytes) noexcept {
  scanned.fetch_add(bytes, std::memory_order_relaxed);
  add_credit(bytes);
}

void marking::add_credit(std::size_t bytes) noexcept {
  credit.fetch_add(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed);
  keep_pace(now_ns());
}

void marking::keep_pace(std::uint64_t now) noexcept {
  constexpr std::uint64_t k_update_ns = 100'000;
  std::uint64_t last = last_update.load(std::memory_order_relaxed);
  if (now > last && now - last > k_update_ns &&
      last_update.compare_exchange_strong(last, now, std::memory_order_relaxed))
    update_pace();
}

void marking::update_pace() noexcept {
  const pacing& p = rt().pace;
  mark_inputs in;
  in.gc_percent = p.percent.load(std::memory_order_relaxed);
  in.live = p.live.load(std::memory_order_relaxed);
  in.goal = p.goal.load(std::memory_order_relaxed);
  in.triggered = triggered.load(std::memory_order_relaxed);
  in.scanned = scanned.load(std::memory_order_relaxed);
  in.expected_scan = expected_scan.load(std::memory_order_relaxed);
  in.largest_scan = in.live;
  const assist_ratio ratio = compute_assist_ratio(in);
  work_per_byte.store(ratio.work_per_byte, std::memory_order_relaxed);
  bytes_per_work.store(ratio.bytes_per_work, std::memory_order_relaxed);
}

namespace assists {
namespace {

constexpr std::uint64_t k_quantum_ns = 2'000, k_most_quantum_ns = 10'000;
constexpr std::ptrdiff_t k_bytes_per_ns = 64;  // of debt, to lengthen the quantum
constexpr std::size_t k_least_run_bytes = 256;
constexpr std::uint64_t k_most_ns = 18'000;
constexpr std::int64_t k_sleep_ns = 20'000;
constexpr std::size_t k_large_bytes = 32 << 10;

// Takes over what workers did. Returns the bytes.
std::ptrdiff_t take_credit(std::ptrdiff_t wanted) noexcept {
  std::atomic<std::ptrdiff_t>& credit = rt().mark.credit;
  std::ptrdiff_t have = credit.load(std::memory_order_relaxed);
  while (have > 0) {
    const std::ptrdiff_t taken = have < wanted ? have : wanted;
    if (credit.compare_exchange_weak(have, have - taken, std::memory_order_relaxed)) return taken;
  }
  return 0;
}

bool is_far_past_goal() noexcept {
  const std::size_t limit = overshoot_limit();
  return limit != k_no_goal && rt().pace.live.load(std::memory_order_relaxed) > limit + limit / 4;
}

bool is_past_goal() noexcept { return rt().pace.live.load(std::memory_order_relaxed) > overshoot_limit(); }

void credit(sched::m& self, std::size_t work) noexcept {
  self.assist_credit = earn_credit(self.assist_credit, work,
                                   rt().mark.bytes_per_work.load(std::memory_order_relaxed));
}

bool owes(const sched::m& self) noexcept {
  return self.assist_credit < 0 && rt().mark.current() == phase::mark;
}

// Takes over what others did, and marks, until the debt is paid, the time is about up, or nothing is left. True
// if the last is not so.
bool pay_until(sched::m& self, std::uint64_t until) noexcept {
  const double per_byte = rt().mark.work_per_byte.load(std::memory_order_relaxed);
  const auto debt = static_cast<std::ptrdiff_t>(static_cast<double>(-self.assist_credit) * per_byte) + 1;
  credit(self, static_cast<std::size_t>(take_credit(debt)));
  if (!owes(self)) return true;
  guest a(self, for_whom::itself);
  piece_clock clock(now_ns(), until);
  while (const std::size_t work = a.piece()) {
    credit(self, work);
    if (self.assist_credit >= 0 || clock.is_over(now_ns())) return true;
  }
  return false;
}

// Others have grey objects in hand, and share them when asked. Not asleep: when the processors are busy a thread that
// wakes waits for the end of somebody's slice, some milliseconds.
void spin_for_work(std::uint64_t until) noexcept {
  rt().work.ask();
  while (!guest::any_work() && now_ns() < until)
    for (int i = 0; i < 8; ++i) heap::cpu_relax();
}

// Who owes.
std::uint64_t quantum_of(const sched::m& self) noexcept {
  if (is_past_goal()) return k_most_quantum_ns;
  const auto more = static_cast<std::uint64_t>(-self.assist_credit / k_bytes_per_ns);
  return std::min(k_quantum_ns + more, k_most_quantum_ns);
}

// In the safe state, so that the processor is there for who has the work.
void sleep_for_others(sched::m& self) {
  std::atomic<std::uint32_t> never{0};
  sched::in_safe_state(self, [&] { sched::futex_wait(never, 0, sched::now_ns() + k_sleep_ns); });
}

void count_time(std::uint64_t ns) noexcept { rt().mark.assist_ns.fetch_add(ns, std::memory_order_relaxed); }

// In lumps, as in gc/share.cc.
void count_time_later(sched::m& self, std::uint64_t ns) noexcept {
  constexpr std::uint64_t k_lump_ns = 20'000;
  self.assist_ns += ns;
  if (self.assist_ns >= k_lump_ns) count_time(std::exchange(self.assist_ns, 0));
}

[[gnu::noinline, gnu::cold]] void pay_slow(sched::m& self, std::size_t wanted) {
  marking& mark = rt().mark;
  heap::stopwatch watch(self.used);
  std::uint64_t counted = watch.began();
  mark.keep_pace(counted);
  if (!pay_until(self, counted + quantum_of(self)) && owes(self) && is_past_goal()) {
    spin_for_work(watch.began() + k_most_ns);
    pay_until(self, watch.began() + k_most_ns);
  }
  while (wanted > k_large_bytes && owes(self) && is_far_past_goal()) {
    if (!pay_until(self, now_ns() + k_most_quantum_ns)) sleep_for_others(self);
    // As it goes: the cycle may end, and be reckoned up, while this thread waits.
    const std::uint64_t now = now_ns();
    count_time(now - std::exchange(counted, now));
  }
  self.most_run_bytes = owes(self) ? std::max(self.most_run_bytes / 2, k_least_run_bytes)
                                   : std::min(self.most_run_bytes * 2, heap::k_most_run_bytes);
  const heap::interval took = watch.stop();
  count_time_later(self, watch.began() + took.ns - counted);
  rt().count.note_slice(self.lent_last, took);
}

}  // namespace

void pay(sched::m& self, std::size_t wanted) {
  if (owes(self) && !rt().is_limiting.load(std::memory_order_relaxed)) [[unlikely]]
    pay_slow(self, wanted);
}

void charge(sched::m& self, std::size_t bytes) noexcept {
  // Not while the limiter has assists turned off: a debt of megabytes would be called in when it turns them on.
  if (rt().mark.current() == phase::mark && !rt().is_limiting.load(std::memory_order_relaxed))
    self.assist_credit -= static_cast<std::ptrdiff_t>(bytes);
}

}  // namespace assists
}  // namespace cairn::gc
