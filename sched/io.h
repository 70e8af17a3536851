// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines and threads that wait for descriptors, and who polls for them.
//
// There is one poller (sched/netpoll.h). As long as somebody waits, these look at it:
//
//   the sleeper (sched/sleeper.h), blocking, when a worker has nothing to do
//   a worker that finds nothing in its own queue and the global one, before it steals, if nobody blocks in it
//   sysmon, if nobody has for 10 ms: all workers are busy then
//
// How a wait ends is decided by one word of it, which whoever comes first changes: the event, the close, the deadline,
// or who drops the goroutine at the end of a run. So a goroutine is made runnable once.
//
//   running -> parked     after the goroutine has left its stack
//   running -> an outcome it was decided before: the goroutine does not stop, or is made runnable by itself
//   parked -> an outcome  by who then makes it runnable; `dropped`: by who then drops it
//
// A thread stays at `running` and sleeps on the word. The record lies on the stack of who waits. Its owner leaves only
// when neither the poller nor the timer can touch it any more, and ties it up as a loose end where it does not leave.
#pragma once
#include "sched/netpoll.h"

namespace cairn::sched {

// Initialised as a constant; not used in the child of a fork.
extern netpoll io_poller;

// Looks once, if somebody waits and nobody else looks. True if somebody was woken. In a section, or on a thread without
// an m.
bool poll_io() noexcept;
// When somebody looked last.
std::int64_t last_io_poll() noexcept;
void note_io_poll() noexcept;
// Looks for descriptors that were closed while somebody waits. Likewise.
void check_closed_io() noexcept;

}  // namespace cairn::sched
