// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Blocking the thread on a word, in the safe state: for the runtime's own waits, which are short or rare. What a
// goroutine waits for is in sched/line.h.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/futex.h"
#include "sched/m.h"

namespace cairn::sched {

// Sleeps while `word` is `expected`; may return early. False once the deadline (as futex_wait's) has passed. A
// goroutine that waits keeps its thread, but may lose its P: see regain_p. At depth 0.
bool block_on(m& self, std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::int64_t deadline = k_forever);

}  // namespace cairn::sched
