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
// refers to it weakly: nothing there is looked at by the collector, and the object's destructor stops the timer. Until
// that has run the object is not freed, so what fires meanwhile finds it, and sends to nobody. (Rejected: Go's way,
// which has a timer in the heap only while somebody waits at the channel. Every receive and every select would have to
// look whether its channel is a timer's.)
//
// start, stop and reset of sched/timers.h want to be called one after the other; the lock sees to that. What fires does
// not take it, for who stops a timer waits, with the lock, until it has fired. So `root` belongs to who has the lock
// and has stopped the timer, and between a start and the end of the firing to the latter.
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
  user_timer(timer::function fire, detail::chan_core* c) noexcept;

  heap::lock lock;             // in sections
  std::uint32_t run = 0;       // as runs_ended
  void** root = nullptr;       // of a function's timer; null: it is not active
  const std::uint32_t bubble;  // id; 0: none
  const bool has_channel;
  union {
    detail::closure* function;  // the object's first part
    detail::chan_core* channel;
  };
};
static_assert(sizeof(user_timer) == sizeof(detail::timer_core::state));

// Of a heap in which nothing fires any more: the timer has no root any more. In a section.
void abandon(timer& t) noexcept;

}  // namespace cairn::sched
