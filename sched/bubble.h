// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Bubbles of cairn::synctest: goroutines with a clock of their own, which stands still until all of them wait.
//
// Who is in it. The root, which is the goroutine that called synctest::bubble (of a thread: one that is started for
// it), and all that are started by a member. The root only moves the clock. A goroutine's `home` is its bubble from
// before it is made runnable until it has ended, was dropped, or is an orphan: whoever counts it off takes it out.
//
// Who is active. Every member is, unless it is *durably blocked*: parked where only another member, or the bubble's
// clock, makes it runnable (parking::is_durable), in synctest::wait, or as the root. `active` is exact, under the lock:
//
//   active == members - those with goroutine::is_durable - the waiter and the root where they are parked
//
// A goroutine that parks counts as active until its commit is over, so that it can be found by then: no timer is missed
// by who looks whether there is one. Whoever makes it runnable counts it in before it can run: before that comes to
// the count. So between the two it may be counted twice, never not at all.
//
// The last one. Whoever would bring `active` to zero leaves it at one instead, and hands this one on: to the goroutine
// in wait(), or else to the root, which it makes runnable. Only one can be the last, for its successor counts as active
// from the same moment on; and it finds one of the two parked, for neither counts as active otherwise. The root, when
// it gets it, moves the clock to the next timer and fires what is due. Meanwhile it is active, so nobody returns from
// wait(); and it moves the clock once more only while it is the only one that is active, and nobody is in wait(), all
// in one look under the lock. Else it parks again, which hands on what it has. Where main is over, or there is no
// timer, that was the end, or a deadlock if there are members left.
//
// What comes from outside. Channels, timers, semaphores and wait groups that belong to a bubble throw std::logic_error
// when they are used elsewhere, and so does waking somebody in it by a cond. What remains, a context that is cancelled
// from outside and the end of the run, makes goroutines runnable as a member would: `active` is right, and if the root
// has just been called it finds that it is not alone, and goes back to sleep. Only the order is not determined then.
//
// The end of a run. Members are dropped in any order, the root and the waiter among them; whoever is the last active
// one and finds neither of the two brings `active` to zero, and nobody looks at it any more.
//
// After a deadlock the members that are left wait for ever: they are taken out of what they wait in, so that nobody
// who uses the same address later meets them there, and are dropped with their run.
//
// Memory. Records are never unmapped, for slots of timers name their heap for ever; one is free again when the last
// member has left it. Nobody touches it after he has left, or has handed on; wakes are delivered after the unlock.
// Collected objects are not referred to from here: as with the timers of a P, a timer with a function has a root of its
// own, and one with a channel is known weakly.
//
// The heap's order among timers of one instant is random, as in Go: a test must not depend on it.
//
// Rejected: a word for `members` and `active`, changed without a lock (who takes both has to choose whom to call, too,
// and bubbles are for tests). A thread's or P's clock: goroutines migrate.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/library_call.h"
#include "heap/lock.h"
#include "sched/goroutine.h"
#include "sched/timers.h"

namespace cairn::sched {

struct bubble {
  explicit bubble(std::uint32_t seed) noexcept : timing(seed) {}

  std::uint32_t id = 0;              // 1 and up, below 2^31; written before the first member knows of it
  std::atomic<std::int64_t> now{0};  // ns. Written by the root while nobody else is active; relaxed
  timers timing;
  bool main_is_over = false;  // written by main's goroutine, read by the root when all others are blocked

  heap::lock lock;  // a leaf; in sections
  std::size_t members CAIRN_GUARDED_BY(lock) = 0;
  std::size_t active CAIRN_GUARDED_BY(lock) = 0;
  goroutine* root CAIRN_GUARDED_BY(lock) = nullptr;    // while it is parked
  goroutine* waiter CAIRN_GUARDED_BY(lock) = nullptr;  // likewise
  bool is_waited_for CAIRN_GUARDED_BY(lock) = false;   // by synctest::wait, parked or not yet
  bubble* next_free = nullptr;                         // under the lock of the list
  bubble* next_made = nullptr;                         // constant: of all that there ever were
};

// The last one made.
extern std::atomic<bubble*> newest_bubble;
// f(bubble&) for all, free ones too. Of one that is made meanwhile or not.
template <class F>
void for_each_bubble(F&& f) {
  // Acquire: with make_bubble.
  for (bubble* b = newest_bubble.load(std::memory_order_acquire); b != nullptr; b = b->next_made) f(*b);
}

// The calling goroutine's; null: it is in none, or the thread runs none.
bubble* own_bubble_slow() noexcept;
inline bubble* own_bubble() noexcept { return detail::are_bubbles_live() ? own_bubble_slow() : nullptr; }
// The caller may wake this one, which waits as only members of its bubble are to end it; null: a thread. With what
// keeps it waiting.
inline bool may_wake(const goroutine* g) noexcept {
  const bubble* b = g != nullptr ? g->home.load(std::memory_order_relaxed) : nullptr;
  return b == nullptr || b == own_bubble();
}
// The time by which the caller lives: now_ns(), or its bubble's. `b`: own_bubble().
std::int64_t time_in(const bubble* b) noexcept;

// ---- for goroutines; in a section, or on a thread without an m -----------------------------------------------------

// A new one is started by a member, and nobody knows of it yet.
void join_bubble(bubble& b, goroutine& g) noexcept;
// It has ended, or was given up. Whoever runs it, or has it in hand; nothing if it has left, or was in none.
void leave_bubble_slow(goroutine& g) noexcept;
inline void leave_bubble(goroutine& g) noexcept {
  if (g.home.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
    leave_bubble_slow(g);
}
// It is durably blocked from here on: after the commit of its park, when it may run again already.
void count_out(bubble& b) noexcept;
// It is about to be made runnable, and was durably blocked.
void count_in(goroutine& g) noexcept;

}  // namespace cairn::sched
