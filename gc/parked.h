// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The stacks of goroutines that do not run. Beside the program they are scanned by the thread that runs the
// cycle, or by who resumes one before that (goroutine::scan says whose it is, sched/goroutine.h).
//
// Where there are many, and processors that the program leaves idle, helpers take part: the segments of records
// are dealt out one at a time, in a round of the work pool in which its workers mark nothing. What a helper
// finds it leaves in the pool. The round is over before the cycle goes on: the barrier is told then that no
// stack is grey.
//
// Most of the time is spent waiting for memory, four lines or more of it for each goroutine; so the top of each stack
// is fetched some records ahead. (Over 300,000 goroutines a collection takes 80 ms so, and 120 without.)
#pragma once
#include <cstddef>

#include "gc/mark.h"
#include "sched/goroutine.h"

namespace cairn::gc {

// Owner of the colour: the caller. scan(from, to) for what the library keeps for the goroutine.
template <class F>
void scan_function(const sched::goroutine& g, F&& scan) noexcept {
  scan(&g.function, &g.function + 1);
}

// The same for a goroutine that does not run, with its stack. Bytes of that.
template <class F>
std::size_t scan_parked(const sched::goroutine& g, F&& scan) noexcept {
  scan_function(g, scan);
  if (g.self.high == nullptr) return 0;
  scan(g.self.at.sp, g.self.high);
  return static_cast<std::size_t>(g.self.high - static_cast<char*>(g.self.at.sp));
}

inline bool runs(const sched::goroutine& g) noexcept {
  // Acquire: with the store of who stopped running it.
  return g.running_on.load(std::memory_order_acquire) != nullptr;
}

// Of a goroutine that does not run and cannot meanwhile: its stack goes to the work pool.
void scan_goroutine(sched::goroutine& g) noexcept;

// All goroutines that are still grey, after all threads have been scanned: so none of them runs. By the thread that
// runs the cycle. Returns bytes.
std::size_t scan_parked_goroutines(marker& m) noexcept;

namespace parked {
// The round that the caller, a helper, has joined is one of these.
bool is_dealt() noexcept;
// Takes part in it, with a marker that has nothing in hand, before and after.
void take_part(marker& m) noexcept;
}  // namespace parked

}  // namespace cairn::gc
