// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Fences for all: of two who store first and look afterwards one needs no fence of its own, if the other makes it for
// him (membarrier). For what happens often on one side, and hardly ever on the other: who pays for all needs some
// microseconds, and interrupts every processor that runs a thread of this process.
#pragma once
#include <atomic>

namespace cairn::sched {

// Before the first P is used. False where the system forbids it.
bool prepare_fence() noexcept;

// Set by prepare_fence, for ever; read by anybody. Relaxed: who reads it early goes without. Who has seen what was done
// because it is set sees it set, too: that is one word's coherence.
extern std::atomic<bool> has_fence_for_all;

// What the sequentially consistent fence of each other thread would do: each of them either has made all its stores up
// to some point of this call visible, or sees what the caller stored before it.
// Ends the process with a message where the system forbids it later: nothing can be done instead, and going on would
// break what was relied upon.
void fence_other_threads() noexcept;

}  // namespace cairn::sched
