// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// When stealing does not pay. To run a goroutine on another processor costs it and the one who made it runnable some
// ten misses of the cache each, half a microsecond and more; what goroutines do between two communications is often a
// tenth of that. Four senders and a select over their channels are three times as fast on one P as on two that steal
// them from each other all the time, one by one, and both processors are busy with it.
//
// Whether it pays is not guessed but seen. Who steals few goroutines looks, when the first of them parks or ends, how
// long that has run, without what it has waited for locks: paying_ticks() and more has paid, less was poor; so is a
// `next` that its P has taken itself while the thief waited for it. Who yields says nothing. Each poor steal counts
// one, each that has paid takes two off: one that pays makes good for two. At k_tries the P is left alone for a while,
// which gets longer with each further poor steal, up to most_alone_ticks().
//
// A P that is left alone
//   is stolen from by nobody, but what its timers have due is run by others as before
//   does not keep the last worker awake, nor makes sysmon wake one
//   calls for help only when its ring gets long; that ends it at once
//   lets the ring have its turn: `next` inherits the slice k_turns times, not for ten milliseconds
//
// So what it has is run by its owner, or, should that not come to it, by who comes after most_alone_ticks(): the
// owner that calls once more, or sysmon in its next round, which ends what is over.
//
// An owner that computes does not come to it, and each poor steal from beside it would begin another while,
// which sysmon ends a millisecond later: of eight that lie there the last would wait for five of them. So when
// sysmon finds the same goroutine running as in its last round, without a switch in between, and work waiting,
// all poor steals are forgotten (end_beside_computing). That a P has begun no new slice says less: two that
// hand over to each other share one.
//
// Only a P that somebody has is left alone: all of the above stands on its owner, and on sysmon, which is awake while a
// P is in use. One that was given back with work (hand_off, where no worker sleeps) is in the idle list, and the worker
// that comes for it may be given another one, which lies above it: that worker must find the work and steal it, or all
// go to sleep beside it. The owner is taken off before the P is put into the list; who takes a P from the list, or is
// woken for it, comes after that by the scheduler's lock.
//
// All of it are hints, relaxed: a lost update is a steal more or less. Written by thieves, on a line of their own; the
// times are of different processors, so what is later than it can be is none.
//
// Rejected: to wait whether the P takes it itself, as for `next`. It does in a while, in most cases, but what lies in
// the ring may have to wait for all of a slice, in which two others play ping-pong; and whether to steal it does not
// depend on that. To count all that a thief runs until it has nothing left: what was stolen makes others runnable,
// which come with it, and in the end all have moved and it looks like work.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include "sched/scheduler.h"

namespace cairn::sched {

inline constexpr std::uint32_t k_tries = 8, k_doublings = 3;
inline constexpr std::uint32_t k_few = 4;   // more at once pay together
inline constexpr std::uint32_t k_long = 8;  // a ring
inline constexpr std::uint32_t k_turns = 32;

inline std::uint64_t paying_ticks() noexcept { return wake_ticks() / 40; }  // about a microsecond
inline std::uint64_t most_alone_ticks() noexcept { return wake_ticks() << k_doublings; }

inline bool is_left_alone(const p& pp) noexcept {
  const std::uint64_t until = pp.left_alone_until.load(std::memory_order_relaxed);
  return until != 0 && until - ticks() <= most_alone_ticks() &&
         pp.owner.load(std::memory_order_relaxed) != nullptr && pp.queue.size() <= k_long;
}

// ---- by thieves

inline void steal_was_poor(p& from) noexcept {
  const std::uint32_t n = std::min(from.poor_steals.load(std::memory_order_relaxed) + 1,
                                   k_tries + k_doublings);
  from.poor_steals.store(n, std::memory_order_relaxed);
  if (n >= k_tries)
    from.left_alone_until.store(ticks() + (wake_ticks() << (n - k_tries)), std::memory_order_relaxed);
}
inline void steal_has_paid(p& from) noexcept {
  const std::uint32_t before = from.poor_steals.load(std::memory_order_relaxed);
  if (before == 0) return;
  const std::uint32_t n = before - std::min(before, 2u);
  from.poor_steals.store(n, std::memory_order_relaxed);
  if (n < k_tries) from.left_alone_until.store(0, std::memory_order_relaxed);
}
// `n`: how many it has got.
inline void note_steal(m& self, p& from, std::uint32_t n) noexcept {
  if (n > k_few) return steal_has_paid(from);
  self.stole_from = &from;
  self.stole_at = ticks();
}
// What was stolen parks or ends.
[[gnu::cold, gnu::noinline]] inline void judge_steal(m& self) noexcept {
  p& from = *std::exchange(self.stole_from, nullptr);
  if (ticks() - self.stole_at >= paying_ticks()) steal_has_paid(from);
  else steal_was_poor(from);
}

// What the thread does while one exists is no work of the goroutine's.
class no_work {
 public:
  explicit no_work(m* self) noexcept
      : self_(self != nullptr && self->stole_from != nullptr ? self : nullptr),
        began_(self_ != nullptr ? ticks() : 0) {}
  ~no_work() {
    if (self_ != nullptr) self_->stole_at += ticks() - began_;
  }
  no_work(const no_work&) = delete;
  no_work& operator=(const no_work&) = delete;

 private:
  m* const self_;
  const std::uint64_t began_;
};

// ---- by the owner

// After it was given work. The clock is looked at now and then only: it is a tenth of a round of ping-pong.
inline bool may_be_helped(p& pp) noexcept {
  if (pp.left_alone_until.load(std::memory_order_relaxed) == 0) [[likely]]
    return true;
  if (pp.queue.size() > k_long) {
    pp.poor_steals.store(0, std::memory_order_relaxed);
    pp.left_alone_until.store(0, std::memory_order_relaxed);
    return true;
  }
  return ++pp.calls_for_help % k_turns == 0 && !is_left_alone(pp);
}
// Instead of `next`.
inline bool is_turn_of_ring(p& pp) noexcept {
  if (pp.left_alone_until.load(std::memory_order_relaxed) == 0) [[likely]]
    return false;
  return ++pp.turns % k_turns == 0 && pp.queue.size() != 0;
}

// ---- by sysmon

inline void end_if_over(p& pp) noexcept {
  std::uint64_t until = pp.left_alone_until.load(std::memory_order_relaxed);
  if (until != 0 && !is_left_alone(pp))
    pp.left_alone_until.compare_exchange_strong(until, 0, std::memory_order_relaxed);
}

// The owner has been with one goroutine since the last look.
inline void end_beside_computing(p& pp) noexcept {
  if (pp.poor_steals.load(std::memory_order_relaxed) == 0 || pp.queue.seems_empty()) return;
  pp.poor_steals.store(0, std::memory_order_relaxed);
  pp.left_alone_until.store(0, std::memory_order_relaxed);
}

}  // namespace cairn::sched
