// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Fences for all: of two who store first and look afterwards one needs no fence of its own, if the other makes it for
// him (membarrier). For what happens often on one side, and hardly ever on the other: who pays for all needs some
// microseconds, and interrupts every processor that runs a thread of this process.
#pragma once
#include <atomic>

namespace cairn::sched {

// Once, before the first P is used. False where the system forbids it.
bool prepare_fence() noexcept;

// Written by prepare_fence; read by anybody. Relaxed: who reads it early goes without.
extern std::atomic<bool> has_fence_for_all;

// What the sequentially consistent fence of each other thread would do: each of them either has made all its stores up
// to some point of this call visible, or sees what the caller stored before it.
void fence_other_threads() noexcept;

}  // namespace cairn::sched
