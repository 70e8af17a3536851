// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The start of a call into the library that is compiled into the program: may it go on by itself?
#pragma once
#include <atomic>

#include "cairn/detail/entry.h"

namespace cairn::sched {
struct m;
extern m nobody;
extern std::atomic<bool> run_ending;
}  // namespace cairn::sched

namespace cairn::detail {

// False: the call has to go the long way. Either the thread is to be attached: while it holds something it is
// one that can wake goroutines, which is then no deadlock. Or the run is ending (relaxed: see
// sched/goroutine.h): else a goroutine that only ever locks and unlocks would not end.
inline bool has_short_way() noexcept {
  const bool is_attached = static_cast<void*>(this_cache()) != static_cast<void*>(&sched::nobody);
  return is_attached && !sched::run_ending.load(std::memory_order_relaxed);
}

// Attaches the thread; ends the goroutine, whose run is ending.
[[gnu::cold]] void begin_call_slow();
// For a call that has no long way of its own.
inline void begin_call() {
  if (!has_short_way()) [[unlikely]]
    begin_call_slow();
}

}  // namespace cairn::detail
