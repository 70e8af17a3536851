// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The start of a call into the library that is compiled into the program: may it go on by itself?
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/detail/entry.h"

namespace cairn::sched {
struct m;
extern m nobody;
extern std::atomic<std::uint8_t> long_ways;
// How many bubbles of cairn::synctest there are. Relaxed: whoever is in one was started after it was counted.
extern std::atomic<std::uint32_t> live_bubbles;
}  // namespace cairn::sched

namespace cairn::detail {

// False: the call has to go the long way. Either the thread is to be attached: while it holds something it is
// one that can wake goroutines, which is then no deadlock. Or a run is ending: else a goroutine that only ever
// locks and unlocks would not end. Or somebody has been asked to make room for others: here he holds nothing of
// this call's yet, whereas who is frozen where he happens to be may have the mutex that all others want.
// (try_lock and try_acquire, which are for who has no time, do not make room. Relaxed: see sched/goroutine.h.)
inline bool has_short_way() noexcept {
  const bool is_attached = static_cast<void*>(this_cache()) != static_cast<void*>(&sched::nobody);
  return is_attached && sched::long_ways.load(std::memory_order_relaxed) == 0;
}

inline bool are_bubbles_live() noexcept { return sched::live_bubbles.load(std::memory_order_relaxed) != 0; }
// Of the bubble that the calling goroutine is in; 0: in none.
[[nodiscard]] std::uint32_t own_bubble_id_slow() noexcept;
[[nodiscard]] inline std::uint32_t own_bubble_id() noexcept {
  return are_bubbles_live() ? own_bubble_id_slow() : 0;
}

// Attaches the thread; ends the goroutine, if its run is ending; makes room, if it was asked to.
[[gnu::cold]] void begin_call_slow();
// For a call that has no long way of its own.
inline void begin_call() {
  if (!has_short_way()) [[unlikely]]
    begin_call_slow();
}

}  // namespace cairn::detail
