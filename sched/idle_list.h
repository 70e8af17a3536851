// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The workers that have no P and sleep, each on its note, until somebody has something for them; and the end of those
// that nobody needs.
//
// A burst of calls in blocking(), or of goroutines that have to be frozen, takes a thread each. Afterwards they lie
// here. The list is last in, first out, so whoever lies deep has not been needed for long. All but the lowest few sleep
// with a deadline, and a worker whose deadline passes takes itself out and ends. Nobody has to wake for it: not sysmon,
// and no thread of a program that has been idle for longer than that.
//
// Invariants, under the scheduler's lock:
//   1. A listed worker is in rest(): it has no P and no goroutine, does not spin, and is not the sleeper.
//   2. Who takes out another one raises its note (hand). A worker that finds itself taken out waits for that, however
//      late it is.
//   3. A worker takes out itself, to end, only while more are listed than needed: one for each P below the limit, for
//      these may all be idle, and the spares (D2 in preempt.h). So neither a P nor a freeze ever lacks a worker
//      because one has ended, and threads are not made and ended in turns.
//   4. Who sleeps without a deadline is among the lowest that are needed: nobody is ever put in below another. When
//      fewer are needed (a lower limit) those above are woken, and put themselves in again.
// But for 4: while the system refuses new threads those that there are stay, for what is given up then may not come
// back.
//
// Rejected: ending them by sysmon, which sleeps when all is idle and would have to be woken for it; and counting the
// idle Ps only instead of all: a program that computes on all Ps for seconds and then waits in blocking() on as many
// goroutines would make the threads anew each time.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/scheduler.h"

namespace cairn::sched::idle_list {

// For how long a worker sleeps before it ends. Tests make it shorter. Relaxed.
inline constexpr std::int64_t k_rest_ns = 5'000'000'000;
extern std::atomic<std::int64_t> rest_ns;

// The calling worker sleeps in the list, until it is handed something (true) or is needed no more: then it is in no
// list, and nobody knows of it. In a section before and after.
bool rest(m& self) noexcept;
// The one that was put in last; null if there is none. The caller hands it something when it has released the lock.
m* take() noexcept CAIRN_REQUIRES(sch.lock);
// After fewer are needed. In a section, or on a thread without an m.
void rouse_surplus() noexcept;
// The system has just refused a thread, or given one. The maker of workers.
void note_refusal(bool refused) noexcept;

}  // namespace cairn::sched::idle_list
