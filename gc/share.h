// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The background's share of the processors, a quarter, while the program wants all of them.
//
// A thread of the collector's own would be one more than there are processors: the kernel would make room for
// it by taking some thread off its processor for milliseconds, a thread perhaps that has never allocated
// anything, or one that holds a lock. So the marking is done by who has a processor anyway, in slices of some
// microseconds, where it comes by: when it takes memory, and after every 256th store of a pointer that the barrier
// looks at. Each thread gives a quarter of its own time, as far as a quarter of all processors' time has not been
// spent; that, too, where more threads run than there are processors. If much of it stays unspent, because some
// thread does neither, those who come give more: who allocates most comes most often. What is marked is the
// background's work, for which everybody owes less. The collector's thread sleeps meanwhile, and looks every two
// to four milliseconds how things are; if slices are not taken, because the program computes and does little else,
// it marks itself as much as is due.
//
// A slice is short, and there are many: so what a thread does at each is done to its own counts and its own marker,
// and added up for all when it is 20 us, or 16 KiB.
//
// When a processor is free, the collector's thread and its helpers have it, and nobody takes slices.
//
// Rejected: that only those who allocate take slices. Beside a goroutine that computes, one that allocates at
// full speed did nearly all of the marking, and got a fifth less memory a second; the other was interrupted
// less, but its stores cost more for as long as the marking took. Rejected for the same: the collector's
// thread, moved to the processor of who computes. It took as much, in slices of 50 us, and sometimes the kernel
// left both on the one processor for milliseconds.
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

// Before memory is taken, or after a store; depth 0: a slice of marking, if one is due.
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
