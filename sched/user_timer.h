// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Timers that programs start: timer, ticker, after_func. Each lies inside a collected object.
//
// With a function: while it is active a root keeps the object, taken before it is started: by the time it fires nobody
// else may refer to it. A timer that is fired gives the object to the new goroutine's record, and the root back, in
// one section, with the barrier's work between.
//
// With a channel: the channel is a part of the same object, so whoever refers to either keeps both. The heap of timers
// refers to it weakly (sched/timers.h): the collector stops the timer when it has found the object dead. What fires
// before sends to nobody. (Rejected: Go's way, which has a timer in the heap only while somebody waits at the channel.
// Every receive and every select would have to look whether its channel is a timer's.)
//
// start and reset of sched/timers.h want to be called one after the other; the lock sees to that. What fires does
// not take it, for who stops a timer waits, with the lock, until it has fired. So `root` belongs to who has the lock
// and has stopped the timer, and between a start and the end of the firing to the latter. Without the lock: the first
// start, of which nobody knows; and who stops a timer with a channel that fires once and is active. That one has not
// fired since it was started, and whoever started it had emptied the channel: there is nothing else to do.
//
// A timer that is made inside a bubble goes by that one's clock, in its heap, and is used inside only. There one whose
// time has come fires at once, under the lock, without having been in the heap.
//
// A timer knows in which run() it was started. What comes due after its end is not run: what the function would look at
// was the run's.
#pragma once
#include <cstdint>

#include "cairn/timer.h"
#include "heap/lock.h"
#include "sched/timers.h"

namespace cairn::sched {

struct user_timer : timer {
  user_timer(timer::function fire, detail::closure* f) noexcept;
  user_timer(timer::function fire, detail::chan_core* c, bool once) noexcept;

  bool has_channel() const noexcept { return is_weak; }

  const bool fires_once;       // of one with a channel: whoever resets it resets it so
  heap::lock lock;             // in sections
  std::uint32_t run = 0;       // as runs_ended
  const std::uint32_t bubble;  // id; 0: none
  void** root = nullptr;       // of a function's timer; null: it is not active
  union {
    detail::closure* function;  // the object's first part
    detail::chan_core* channel;
  };
};
static_assert(sizeof(user_timer) == sizeof(detail::timer_core::state));

// Of a heap in which nothing fires any more: the timer has no root any more. In a section.
void abandon(timer& t) noexcept;

// Of all heaps, those of bubbles included: stops the timers that lie in collected objects that only those heaps know.
// By the collector, between the end of marking and the first sweep; `t` lies inside the object.
void stop_dead_timers(bool (*is_dead)(const timer* t) noexcept) noexcept;

}  // namespace cairn::sched
