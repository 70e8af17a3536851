// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The scheduler: which goroutine runs where.
//
// Shape. G, M and P as in Go: goroutines, threads, and max_procs() rights to run (sched/p.h). A worker M runs the
// scheduler's loop on its own stack and goroutines on theirs. Where a goroutine stops and its P has another one ready,
// the switch goes straight from stack to stack; else it goes to the loop, which looks further, and sleeps in the end.
//
// Leaving a stack. A goroutine that parks can be made runnable by others, and run, as soon as they can find it; its
// stack must not be in use then. So what makes it findable (a lock released, a queue filled) is done after the
// switch, on the next stack: m::after. All of it happens inside one section, so a handshake never meets a thread
// between two stacks.
//
// Taking a P away. A thread uses its P inside sections only, and looks at m::proc first. Somebody else takes the P
// of a thread that is in no section by (1) setting bit 0 of that word, (2) making the thread's processor see it
// (membarrier), (3) looking at the thread's depth: 0, and (4) exchanging the marked word for none. The thread that
// finds the bit set takes the P back by a CAS of its own; one of the two wins. If the depth is not 0 the bit is taken
// off again. A thread cannot miss it: its store of the depth comes before its load of the word, the other's store of
// the word before its load of the depth, and the membarrier stands for the fence that the thread does without.
// A thread whose P was taken goes on, without one, to its next call into the scheduler.
//
// No work is left lying. Work is put into a queue first, then `spinning` is looked at: if nobody spins and a P
// is idle, a worker is woken, and counts as spinning from there on (wake_one). A worker that finds nothing
// gives its P to the idle list, then stops counting as spinning, and then looks at all queues once more. All
// four are sequentially consistent, so either the first sees that nobody spins, or the second sees the work.
// All but one: a P's own queue is filled by a store that may still be on its way when `spinning` is looked at
// (a fence would cost every start and every wake 10 ns). Should both miss each other so, sysmon, which is awake
// while a P is in use, finds work beside an idle P within a millisecond. Who stops spinning because it found
// work wakes another one if it was the last, for it may have been woken for more than one piece. A worker that
// goes idle without having spun did so because others spin. After its P is in the list it looks whether that is
// still so: if not, the last of them may have looked for an idle P before, and it looks at the queues itself.
// All this is for Ps from which it pays to steal, and for those that nobody has; the others are left alone for a while,
// and what they have is found by sysmon if not by them: sched/stealing.h.
// What comes with time or from outside, timers and descriptors, one of the idle workers waits for:
// sched/sleeper.h has the rest of the proof.
//
// Fairness. Every 61st slice begins with a look at the global queue. `next` inherits the slice of who made it
// runnable, so that a pair that plays ping-pong does not keep the ring waiting for ever: when sysmon finds a slice of
// 10 ms it asks for the P, and then `next` goes to the ring's end; so it does now and then on a P that is left alone.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sched/goroutine.h"
#include "sched/p.h"

namespace cairn::sched {

// ---- for what parks ----------------------------------------------------------------------------------------------

// In a word of its own, all of it written. What waits lies on a stack that is scanned meanwhile: of a byte and seven
// of padding, in which a pointer lay before, the collector would make the address of that object's neighbour.
template <class T>
struct whole_word {
  constexpr whole_word(T value) noexcept : word(static_cast<std::uint64_t>(value)) {}
  constexpr operator T() const noexcept { return static_cast<T>(word); }
  std::uint64_t word;
};

// Stops the calling goroutine until somebody calls ready() of it. In a section (enter_section), which is over
// when it returns; the thread may be another one then. `commit` is called with `arg` after the switch, and is
// what lets others find the goroutine: it releases the lock of the queue that the goroutine has been put into.
// `cancel`, `awaited`: as in goroutine.
struct parking {
  whole_word<wait_reason> why = wait_reason::none;
  void (*commit)(void* arg) noexcept = nullptr;
  bool (*cancel)(goroutine& g, void* arg) noexcept = nullptr;
  void* arg = nullptr;
  awaited_objects awaited = nullptr;
  // In a bubble: only its other members, or its clock, make the goroutine runnable again (sched/bubble.h).
  whole_word<bool> is_durable = false;
};
void park(const parking& how) noexcept;

// Makes a goroutine that waits runnable. Whoever calls it has taken it out of its queue. In a section, or on a thread
// without an m.
void ready(goroutine* g) noexcept;

// The goroutine that may park here; null on a thread that is no worker, and for an orphan: those block.
goroutine* parkable() noexcept;

// Lets others run. In no section.
void yield_now() noexcept;
// The goroutine has had its slice, or its P was taken while it waited for the collector. At depth 0.
inline bool is_asked_to_yield(const m& self) noexcept {
  if (!self.is_worker) return false;
  // Relaxed: a hint. The P is its own, or was until now; Ps are never unmapped.
  const std::uintptr_t word = self.proc.load(std::memory_order_relaxed);
  const auto* pp = reinterpret_cast<const p*>(word & ~std::uintptr_t{1});
  return pp == nullptr || pp->preempt.load(std::memory_order_relaxed);
}
// Then: lets others run. The thread may be another one afterwards.
void make_room() noexcept;
// What a call that has no short way begins with: attaches the thread, ends the goroutine if its run is ending, makes
// room if it was asked to. At depth 0; the goroutine may be on another thread afterwards.
void take_long_way();
// Goes on with a P, if the thread has lost its one. In no section; the thread may be another one afterwards.
void regain_p() noexcept;

// Some time within the last millisecond, as now_ns(), for what is measured in longer times and must cost nothing.
// Written by sysmon in each of its rounds, and when a P comes into use after none was. Relaxed: a clock.
struct alignas(64) coarse_clock {
  std::atomic<std::int64_t> now{0};
};
extern coarse_clock the_coarse_clock;
inline std::int64_t coarse_now() noexcept { return the_coarse_clock.now.load(std::memory_order_relaxed); }

// ---- for the life of a goroutine ---------------------------------------------------------------------------------

// A new goroutine, not yet known to anybody. In a section or on a thread without an m. Null: no memory.
goroutine* new_goroutine() noexcept;
// Makes it runnable. Likewise.
void start(goroutine* g) noexcept;
// Gives up the record and the stack of a goroutine that does not run. Part of drop().
void discard(goroutine* g) noexcept;
// Keeps a goroutine that does not run from being run, until release. For microseconds: who wants to run it spins.
void hold(goroutine& g) noexcept;
void release(goroutine& g) noexcept;
// The entry of every goroutine's stack, and what it calls: goroutine.cc.
void run_goroutine(goroutine* g) noexcept;
// The calling goroutine is over, wherever on its stack it stands. In a section.
[[noreturn]] void leave_for_good() noexcept;

// ---- workers -----------------------------------------------------------------------------------------------------

// The body of a worker's thread: returns when there is nothing to do for it any more.
void work(m& self) noexcept;

// A look at the world by sysmon and by the end of a run.
struct counts {
  std::uint64_t started, ended;
};
counts count_goroutines() noexcept;
void count_ended() noexcept;  // by who ends one, in a section or on a thread without an m

int proc_limit() noexcept;
// Sets how many Ps there are. At depth 0. Throws std::bad_alloc. The surplus goes as soon as those that run on them
// come into the scheduler.
void set_proc_limit(int n);
// Takes its P away from `victim`; see above. False: it is in a section, or has given the P back. In a
// section, or on a thread without an m.
bool take_p_away(m& victim, p& pp) noexcept;
p* proc_at(int i) noexcept;
int procs_made() noexcept;

// True when no P is in use and nothing is queued.
bool all_idle() noexcept;

// Raised when anybody may have put a timer earlier than who sleeps until one knows, or given the sleeper work.
void interrupt_sleeper() noexcept;

}  // namespace cairn::sched
