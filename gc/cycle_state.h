// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A cycle's figures while it runs, shared by the two ways of running one. Owner: the holder of the cycle lock.
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/cycle.h"
#include "gc/gctrace.h"
#include "gc/roots.h"

namespace cairn::gc {

struct cycle {
  cycle_reason reason = cycle_reason::heap;
  cycle_record record;
  root_sizes roots;
  std::size_t marked_bytes = 0;   // of objects that were reached, or born marked
  std::size_t scanned_bytes = 0;  // of these
  // When it began; when marking began (stopped: the world stood still); when marking was over; the end.
  std::uint64_t began = 0, mark_began = 0, marked = 0, ended = 0;
  std::uint64_t cpu_ns = 0;  // of the thread that runs it, from mark_began to marked

  bool is_forced() const noexcept {
    return reason == cycle_reason::forced || reason == cycle_reason::out_of_memory;
  }
};

// The rest of a cycle that collector::take_over was given; gives the cycle lock up.
void finish_cycle(cycle& c);

// Every now and then while it marks beside the program, by the thread that runs it: whether assists go on.
void limit_cpu_of_marking(std::uint64_t now) noexcept;

// Marks everything reachable from what `m` and the pool hold, with the helpers if it is more than a little. With the
// world stopped, or beside the program; then the helpers' and the assists' marks are not waited for.
void drain_stopped(marker& m) noexcept;
void drain_beside(marker& m) noexcept;
// Marking is done: what hangs on the dead is decided, for which `drain` marks what has to be kept.
void decide_fates(marker& m, void (*drain)(marker&)) noexcept;
// A part of it, some 4096 objects, with helpers as long as it takes.
void drain_some_beside(marker& m) noexcept;

}  // namespace cairn::gc
