// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Sleeping: a goroutine by a timer of its P, a thread in the kernel.
#pragma once
#include <cstdint>

namespace cairn::sched {

// Parks the calling goroutine, or blocks the calling thread, until the deadline (ns of CLOCK_MONOTONIC). Ends the
// goroutine if the run is ending. At depth 0; the thread may be another one afterwards.
void sleep_until_ns(std::int64_t deadline);

}  // namespace cairn::sched
