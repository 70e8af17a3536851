// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The threads that goroutines run on. One runs a goroutine to its end, then waits in the safe state for another; at
// most max(4, 4 * max_procs()) wait, the last to come served first, and none longer than some seconds.
#pragma once
#include "sched/goroutine.h"

namespace cairn::sched {

// Hands the goroutine to a waiting thread. False when there is none.
bool give_to_idle(goroutine* g) noexcept;
// Starts a thread for it. Returns an errno value, 0 for success. At depth 0.
int start_worker(goroutine* g);

// Runs it to its end and frees its record (goroutine.cc). False if the thread must not run another one.
bool run_goroutine(m& self, goroutine* g);

}  // namespace cairn::sched
