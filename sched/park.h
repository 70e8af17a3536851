// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Waiting on a word in the safe state: what everything is made of that parks a goroutine or blocks an attached thread.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/futex.h"
#include "sched/m.h"

namespace cairn::sched {

// Sleeps while `word` is `expected`, in the safe state; may return early. False once the deadline (as futex_wait's)
// has passed. Ends the goroutine if the run is ending. At depth 0.
bool park(m& self, std::atomic<std::uint32_t>& word, std::uint32_t expected,
          std::int64_t deadline = k_forever);

}  // namespace cairn::sched
