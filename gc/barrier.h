// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The write barrier as the collector's own parts use it. What it is for: gc/barrier.cc.
#pragma once
#include "cairn/detail/entry.h"
#include "sched/m.h"

namespace cairn::gc {

// Bits of cairn_barrier_flags. The first is changed by whoever runs the cycle, the others before the first cycle.
inline constexpr unsigned char k_marking = 1;
inline constexpr unsigned char k_check_location = 2;  // ptrcheck=1
inline constexpr unsigned char k_check_value = 4;     // invalidptr=1
inline constexpr unsigned char k_grey_stacks = 8;     // with the first: some stack has not been scanned

// Acquire: what the cycle did before it turned the barrier off is seen by who finds it off. Inside a section the answer
// "on" holds until its end, and "off" as far as a handshake has to wait for this section.
inline bool barrier_is_on() noexcept {
  return (__atomic_load_n(&cairn_barrier_flags, __ATOMIC_ACQUIRE) & k_marking) != 0;
}
// By whoever runs the cycle: k_marking, k_grey_stacks or neither. Seen by all after the next handshake.
void set_barrier(unsigned bits) noexcept;

// What a part of the runtime stores, or returns, where no barrier sees it. Inside a section; nothing if it is off.
void shade(sched::m& self, const void* p) noexcept;

// What the thread's barrier buffer holds goes to the markers. Inside a section, or by its stopper.
void flush_barrier(sched::m& thread) noexcept;
// When marking is over: forgets it.
void drop_barrier(sched::m& thread) noexcept;

}  // namespace cairn::gc
