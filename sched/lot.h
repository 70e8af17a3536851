// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The parking lot: goroutines and threads that sleep on a word, found by its address. What tasks and wait groups are
// made of, and every word that must be small and may be gone as soon as its waiter wakes.
//
// A table of buckets, each with a lock and a queue, first in first out. A waiter looks at the word under the lock, so a
// waker that changed the word before it takes the lock either finds the waiter or is seen by it. A waker that finds a
// bucket's count 0 does not take the lock; the waiter raises the count before it looks at the word, and both are
// sequentially consistent with the change of the word, which the waker must make so or follow by a fence: unpark does.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/goroutine.h"

namespace cairn::sched {

// Sleeps while `word` is `expected`; may return early. False once the deadline (ns of CLOCK_MONOTONIC) has passed.
// Ends the goroutine if the run is ending. At depth 0; the thread may be another one afterwards.
bool park_on(std::atomic<std::uint32_t>& word, std::uint32_t expected, wait_reason why,
             std::int64_t deadline = INT64_MAX);
// Wakes up to `count` who sleep on it. Takes the address only: the word may be gone. Any thread, any depth.
void unpark(const std::atomic<std::uint32_t>& word, int count) noexcept;

// Parks the calling goroutine, or blocks the calling thread, until the deadline.
void sleep_until_ns(std::int64_t deadline);

}  // namespace cairn::sched
