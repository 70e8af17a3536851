// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The background's share of the processors, a quarter, while the program wants all of them.
//
// A thread of the collector's own would be one more than there are processors: the kernel would make room for
// it by taking some thread off its processor for milliseconds, a thread perhaps that has never allocated
// anything, or one that holds a lock. So the marking is done by who has a processor anyway. A thread that comes
// for memory looks whether a slice is due, which is when a quarter of all processors' time since the last look
// exceeds what was spent by k_slice_ns, and marks for that long, or for longer if much is due. What it marks is
// the background's work, for which everybody owes less; who allocates most comes most often. The collector's
// thread sleeps meanwhile, and looks every two milliseconds how things are; if slices are not taken, because
// the program computes and allocates little, it marks itself as much as is due.
//
// When a processor is free, the collector's thread and its helpers have it, and nobody takes slices.
//
// Rejected: threads of the collector's in slices of 50 us each followed by a sleep (gc/slice.h, which is still what
// they do if they must). Each slice costs some thread of the program a switch away and back and its caches, at an
// instruction not of its choosing: of units of 20 us, one in a thousand took 0.4 to 1.1 ms.
#pragma once
#include <cstdint>

#include "sched/m.h"

namespace cairn::gc {

class marker;

namespace shares {

// Before memory is taken, depth 0: a slice of marking, if one is due.
void pay(sched::m& self);

// By the collector's thread, which is not attached: leaves what `m` has in hand to the program, until there is nothing
// more to mark or a processor is free. False: there is one, or no memory to leave it in.
bool leave_to_program(marker& m) noexcept;

// For the next cycle. Spent in this one, ns.
void begin() noexcept;
std::uint64_t spent_ns() noexcept;

// The program has as many threads that run as there are processors. Looks again if the last look is a
// millisecond old. On a thread that is not attached, outside a handshake.
bool all_processors_are_wanted() noexcept;

}  // namespace shares
}  // namespace cairn::gc
