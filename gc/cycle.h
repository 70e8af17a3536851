// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// One cycle of the collector. It runs beside the program, as gc/concurrent.h describes; or, with gcstoptheworld=1, as
// follows:
//
//   1. What is left to sweep of the last cycle is swept, beside the program. All mark bits are zero now.
//   2. The world stops, under the dynamic loader's lock (gc/roots.h). Spans in caches that still need it are swept.
//   3. Roots are marked, then everything reachable: by the thread that runs the cycle alone if that is little, else
//      together with helper threads (gc/mark.h, gc/work.h).
//   4. The fate of what is unreachable and has a weak reference, a finalizer, a destructor or a cleanup is decided
//      (gc/specials.h), and timers that are unreachable are stopped. With gccheckmark=1 a second mark compares.
//   5. The open runs of all threads are marked: their slots are in use. The sweep generation advances, so from now on
//      every span needs sweeping; the next goal is set (gc/pacer.h).
//   6. The world goes on. Spans are swept by whoever needs one, by a background thread, and in proportion to
//      allocation (gc/sweep.cc).
//
// A cycle that collect() asks for runs on the caller's thread, one beside the program that allocation asks for on the
// collector's (gc/collector.cc), a stopped one on the thread that crossed the trigger. Cycles are serialised by
// runtime::cycle_lock.
//
// Invariants of the stopped one: no mark bit is set outside steps 3 to 6's sweep of its span; nothing is allocated
// between 2 and 6; no thread is inside a runtime section between 2 and 6, so no runtime lock is held by a stopped
// thread.
#pragma once
#include <cstdint>

#include "gc/mark.h"
#include "sched/handshake.h"

namespace cairn::gc {

// Holds runtime::cycle_lock, waited for in the safe state.
class [[nodiscard]] cycle_guard {
 public:
  cycle_guard();
  ~cycle_guard();
  cycle_guard(const cycle_guard&) = delete;
  cycle_guard& operator=(const cycle_guard&) = delete;
};

enum class cycle_reason { heap, forced, periodic, out_of_memory };

// A cycle if one is due: heap_live has reached the trigger. Depth 0. Cheap when not.
void collect_if_due(cycle_reason reason);
// A full cycle that starts after the call.
void run_cycle(cycle_reason reason);
// The same with its sweep, for who calls `function` of the public interface: after the end of all no_gc_scopes. Throws
// std::logic_error where the caller holds one. The thread may be another one afterwards. (gc/stats.cc)
void force_cycle(const char* function);
// False after exit() has begun, and while a no_gc_scope exists.
bool cycles_allowed() noexcept;

// Who allocates waits, or marks without an end, when the heap is as large as this: a twentieth over its goal, or 2 MiB,
// which a single thread allocates in the 200 us that a cycle with nothing to mark takes.
std::size_t overshoot_limit() noexcept;
// Sets goal and trigger from the last cycle's figures and today's settings. Cycle lock held, or the runtime starting.
void update_goal() noexcept;

// Sweeps until nothing needs it. Any thread at depth 0, or one that is not attached.
void finish_sweep() noexcept;
// The proportional part: called before `bytes` are handed out. Depth 0.
void pay_sweep_debt(sched::m& self, std::size_t bytes) noexcept;

// gc/verify.cc. World stopped, inside with_loaded_objects: a second mark from the roots with bits of its own; prints
// what is reachable and not allocated, or (`compare_marks`) not marked. True if there is nothing.
bool check_marks(const sched::world_stopped& stopped, bool compare_marks) noexcept;
// World stopped, after a cycle's decision: what a marked object, a root<T> or something that the runtime keeps
// refers to is marked. (Stacks and static data are not looked at: they may hold old words, which turn up at any
// time.) Prints what is not. True if there is nothing.
bool check_closed(const sched::world_stopped& stopped) noexcept;
// World stopped: compares the heap's structures with each other. True if all agree.
bool check_heap(const sched::world_stopped& stopped) noexcept;

}  // namespace cairn::gc
