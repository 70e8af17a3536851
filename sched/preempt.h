// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Preemption of goroutines that do not call the library.
//
// A goroutine that has run for a slice while others wait is asked first: p::preempt, which every park, yield
// and slow path of allocation looks at, and the calls of channels, select and sync but for try_lock and
// try_acquire, which do not go the short way meanwhile (cairn/detail/library_call.h). If it goes on, and has
// had a processor meanwhile, its thread is frozen: sysmon sends the runtime's signal, and the handler puts the
// goroutine into the global queue, gives the P to another worker, and sleeps, with everything that the
// goroutine has in registers beside it on its own stack. When its turn comes, whoever takes it from the queue
// hands the P to that same thread. No register and no thread-local variable moves to another thread, so the
// goroutine may be inside libc, hold a std::mutex, or have taken a thread-local's address. (Shiina, Iwasaki,
// Taura, Balaji: Lightweight Preemptive User-Level Threads, PPoPP 2021, call it KLT-switching.)
//
// A thread that sleeps in the kernel is not signalled, for calls like nanosleep would return early: its P is taken
// (sched/proc.h). It goes on without one when it wakes; if it then runs for a slice it is frozen too.
//
// Why nothing hangs. What a frozen goroutine holds may be waited for, so:
//   D1  nobody who is needed to make it run again takes a lock that a goroutine can hold outside a section: no
//       malloc, stdio, dl*, pthread_create in the scheduler, the handler, sysmon. New threads come from the maker,
//       and do call malloc: they may have to wait until the holder has run, and nobody waits for them, because of
//   D2  a thread is frozen only if a worker that sleeps takes its P, so that the queue is looked at; and that worker,
//       the spare, stays one: while threads are frozen it runs no goroutine but gives its P to a frozen one and sleeps
//       again, unless there is another spare (may_run). So there is always one, in the list or on its way back to
//       it, however long a new thread takes. Of those in the list only such end as are more than the spares and
//       the Ps (idle_list.h).
//   D3  whoever waits for what it holds loses its P after a slice: by being frozen if it spins, by having the P taken
//       if it sleeps. That goes on when very many are frozen, each of which takes a thread: beyond a cap a
//       spare gives its P to a frozen one as in D2, so as many are frozen as before. What is not, a goroutine
//       that has not begun, say, has to wait until one of those calls the library or ends.
//   D4  frozen ones wait in the global queue, first in first out, which every 61st slice of a P begins with.
//   D5  the handler blocks no signal that the C library sends to all threads (setuid).
// Who holds a lock of the runtime outside sections (the registry's), or is a guest of the cycle's (gc/guest.h), is not
// frozen: no_freeze.
//
// Rejected: that holders of locks come first. Nothing tells who holds a std::mutex; each frozen one has its slice in a
// round through the queue, in which those that spin for the lock have theirs.
//
// For the collector a frozen thread is one in the safe state that was interrupted: each handshake shades what its saved
// registers hold, and its caches are left alone.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/m.h"

namespace cairn::sched {

struct p;

// By sysmon: asks `thread`, whose goroutine has had its slice, to be frozen.
void request_freeze(m& thread) noexcept;
// In the handler of the runtime's signal, which has interrupted `self` on its goroutine's stack.
void freeze_if_asked(m& self) noexcept;
// The cap of D3, or 8 for each P where that is more. Tests make it smaller. Relaxed.
extern std::atomic<unsigned> least_cap_of_frozen;
// Of a goroutine that was taken from a queue: its thread is frozen.
bool is_frozen(const goroutine& g) noexcept;

// ns of processor time that the thread has used; 0 if it is gone. Some 300 ns.
std::int64_t cpu_time_of(const m& thread) noexcept;
// It waits in the kernel for something, and not for a processor. Without /proc: true. Some 10 us; not on a thread that
// may be stopped.
bool is_asleep(const m& thread) noexcept;

// The calling thread is not frozen while one exists. It must not park.
class no_freeze {
 public:
  no_freeze() noexcept : self_(current()) {
    if (self_ != nullptr) ++self_->freeze_off;
  }
  ~no_freeze() {
    if (self_ != nullptr) --self_->freeze_off;
  }
  no_freeze(const no_freeze&) = delete;
  no_freeze& operator=(const no_freeze&) = delete;

 private:
  m* self_;
};

}  // namespace cairn::sched
