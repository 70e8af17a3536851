// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A cycle beside the program. There is no moment at which all threads stand still: each step from one phase to the next
// is a ragged handshake (sched/handshake.h), in which every thread does something for itself, when it gets there.
//
//   1. Everything is swept. All mark bits are zero, but for those of spans in caches from before the last mark.
//   2. The barrier goes on. H1: each thread sweeps what its cache holds. Nothing is scanned before the last thread has
//      answered: one that has not would store a white object into a black one and tell nobody.
//   3. Objects are born marked from here on, in runs that are opened from here on.
//   4. Roots that are no thread's are scanned: static data, root<T>s, what the runtime keeps.
//   5. H2: each thread scans the stack that it runs on, its registers and thread-local blocks, or has them
//      scanned if it waits in the safe state, and marks what is left of its runs. It is black now, and all it
//      makes is. The stacks of goroutines that do not run are scanned by the cycle's thread with helpers
//      (gc/parked.h), or by who resumes one that is still grey, before it does: a goroutine has a colour, and a
//      black one runs on a black thread only (sched/goroutine.h). The step is over when every thread and every
//      goroutine is black. Assists mark already while goroutines are scanned.
//   6. Marking, by the thread that runs the cycle, helpers, shares (gc/share.h) and assists, while the barrier
//      brings more.
//   7. When there is nothing left: a round. Every thread hands over its barrier's buffer, and what a signal
//      found in its registers. If nothing new was marked by anybody from before the handshake until all of it
//      was looked at, marking is over; else from 6 again.
//   8. What hangs on dead objects is decided (gc/specials.h).
//   9. The end, below.
//
// Why nothing is lost. A white object that the program can reach is always reached through a grey one, or grey itself:
//   - the barrier shades what a store overwrites; so what was reachable when a stack turned black stays grey or marked
//     however the heap is rewired, and a black stack only ever loads such objects;
//   - and what it writes, as long as some stack is grey; so a grey stack cannot hide a white object in what was
//     scanned already, be it an object, static data or a root<T>. That is why 4 comes before 5: a root that is
//     overwritten after a thread turned black, without telling (root<T>s are, and statics that are raw
//     pointers), has been scanned by then.
//   - new objects are marked, or belong to a stack that is grey: for a thread is black before a goroutine that
//     it runs is, and nobody black comes to run on one that is not.
// Why one quiet round is enough. At its start no marker holds anything, and every stack and thread is black, so a white
// reachable object needs a grey one in some buffer, or in the registers of a thread between its store and its
// look at the flag. All these are handed over in the handshake. If all were marked already, there was no grey
// object when the round began; and without a grey object none can come about, but by gc_weak::lock, which has a
// word of its own for that.
//
// The end of a cycle. Births turn white and the sweep generation advances in one store, and the barrier goes off; then
// H3. Until it is through some sections still work with the old generation in hand. They open runs that are marked, and
// take and file spans under the lists that were the swept ones and are the unswept ones now; that is right either way,
// for these runs' marks are their allocation bits when the span is swept. They look at no other list. Only when H3 is
// through is sweeping declared begun, for only then can it be found done.
//
// What must not happen while the barrier is on: a slot or a span becoming free (a marker may have an address in it in
// hand; heap::flush and free_object leave them to the next cycle), and a special being added without shading what it
// calls.
//
// A cycle at once. Most programs begin small, and many stay so: one thread runs, a few objects live. Then the
// six handshakes cost more than marking does. So where no other thread runs and the last cycle had next to
// nothing to mark, the thread that comes to the trigger runs a stopped cycle itself, which takes it some 15 us
// and nobody else anything. For that it marks as much as takes some 20 us, k_at_once_objects or k_at_once_bytes.
// If there turns out to be more to mark, all threads stand still at that moment, as if 2 to 5 had just been
// done: so the barrier goes on, births turn black, the thread goes on with its own work and the collector's
// continues at 6. A large heap is never marked at once, then, however little the last cycle found.
//
// Rejected: stopping the world for 2 to 5 and for 7, as Go does. It is simpler, and what it costs grows with the number
// of threads, the slowest of which decides.
#pragma once
#include "gc/cycle_state.h"

namespace cairn::gc {

// What a cycle at once marks before it leaves the rest to the collector's thread: objects, or bytes scanned.
inline constexpr std::size_t k_at_once_objects = 2048, k_at_once_bytes = 64 << 10;

// Runs it. Cycle lock held, depth 0; what is left of the last cycle is swept.
void run_concurrent(cycle& c);

// World stopped, roots marked, and the marker holds what has not been looked at: from here on the cycle is one beside
// the program.
void begin_marking_stopped(cycle& c, marker& m, const sched::world_stopped& stopped) noexcept;
// The rest of it. Cycle lock held, depth 0.
void continue_marking(cycle& c);

}  // namespace cairn::gc
