// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Lines of goroutines and threads that wait their turn, found by the address of what they wait at: what the blocking
// structures of cairn::sync are made of.
//
// Whoever changes the object's word chooses: it looks at who is first, since when and for how much, and changes the
// word accordingly, all under the lock of the hall. That change is the last time it touches the object, so whoever is
// let in by it may destroy the object at once.
//
// Who is called stays in line until it has what it came for, keeps its place if somebody was faster, and takes
// what it gets by itself. So nothing is lost with a goroutine that is dropped on its way: its place is given
// up, and the next one is called in its stead. That happens without a look at the object, which may be gone
// with the run; what it says of waiters that are no more must do no harm, and whoever comes next finds out.
#pragma once
#include <atomic>
#include <cstdint>

#include "heap/lock.h"
#include "sched/goroutine.h"

namespace cairn::sched {

struct hall;
struct place;

// Who is to be called when one gives up its place in the line at `address`, which was in `h`; null: nobody. With the
// lock. It must not look at the object. To call one in vain does no harm.
using heir_of = place* (*)(hall& h, const void* address);
place* first_of_line(hall& h, const void* address) noexcept;

// On the stack of who waits, at depth 0 when it is made and destroyed, and in no line then. All but `woken` is under
// the lock of the hall.
struct place : loose_end {
  // `heir` may be null: what it would have got is lost. The second form: in the hall of another address.
  place(const void* at, wait_reason reason, heir_of heir) noexcept;
  place(const void* at, hall& in, wait_reason reason, heir_of heir) noexcept;
  ~place();
  place(const place&) = delete;
  place& operator=(const place&) = delete;

  const void* const address;
  hall& home;
  goroutine* const owner;  // null: a thread
  const wait_reason why;
  const heir_of heir;
  std::int64_t since = 0;    // in line; as now_ns()
  std::uint64_t amount = 0;  // of what it waits for; the user's own
  bool queued = false;
  bool asleep = false;
  bool is_durable = false;              // as in parking
  goroutine* sleeper = nullptr;         // while asleep; null: a thread, on `woken`
  std::atomic<std::uint32_t> woken{0};  // release by the waker, acquire by the thread
  place* next = nullptr;                // in a ring
  place* previous = nullptr;
  std::uintptr_t earlier = 0;  // see hall::latest
  place* next_line = nullptr;  // of the first one in a line
};

// What is left to do for one that was called, once the lock is released.
struct wake_up {
  goroutine* g = nullptr;
  std::atomic<std::uint32_t>* word = nullptr;
  void deliver() const noexcept;
};

// The lines of all addresses that hash alike. Its lock is taken inside sections.
struct alignas(64) hall {
  heap::lock lock;
  place* lines CAIRN_GUARDED_BY(lock) = nullptr;  // the first one of each
  // Those appended last, of any line, each in the stead of the one k_latest before. A place keeps that one's address:
  // who wakes a whole line prefetches there. Nobody looks, for it may be gone. As complements, 0 for none: a report of
  // leaks must not take them for references into the stacks on which those places were.
  static constexpr unsigned k_latest = 8;
  std::uintptr_t latest[k_latest] CAIRN_GUARDED_BY(lock) = {};
  unsigned n_appended CAIRN_GUARDED_BY(lock) = 0;

  place* first_at(const void* address) noexcept CAIRN_REQUIRES(lock);
  void append(place& w) noexcept CAIRN_REQUIRES(lock);
  void remove(place& w) noexcept CAIRN_REQUIRES(lock);
  // The whole line: returns its first one, whose ring stays. Null: there is none.
  place* detach(const void* address) noexcept CAIRN_REQUIRES(lock);

 private:
  place** line_at(const void* address) noexcept CAIRN_REQUIRES(lock);
};
hall& hall_of(const void* address) noexcept;

// Where on the stack of a goroutine that waits in a line, if it does, the links to its neighbours lie: these belong to
// the line, and are no references that the goroutine has.
struct line_links {
  const void* from = nullptr;
  const void* to = nullptr;
};
line_links links_on_stack(const goroutine& g) noexcept;

// Takes the first or all out of the line, so that they have what they came for. With the lock. Those that sleep are in
// the chain, which is woken once the lock is released. Goroutines by their records: those lie close together, while
// each look at a stack that has not run for long costs a miss of all caches and of what translates its address.
struct chain {
  goroutine *first = nullptr, *last = nullptr;  // by goroutine::next
  place* threads = nullptr;                     // by place::next; in no order
  void wake() const noexcept;
};
chain let_in(hall& h, const void* address, bool all) noexcept;

// Wakes it if it sleeps; else it is about to look by itself. Under the lock of its hall.
wake_up call(place& w) noexcept;
// Until it is called. With the lock, in the only section; so again on return, but maybe on another thread.
void sleep_in_line(place& w) CAIRN_REQUIRES(w.home.lock);
// Where nobody is called (its places have no heir), until it is let in. With the lock, in the only section; both are
// over on return. Without another look under the lock: who wakes it has taken it out before.
void sleep_until_let_in(place& w) CAIRN_RELEASE(w.home.lock);
// Takes it out of the line, if it is in one. In a section, or on a thread without an m.
void give_up(place& w) noexcept;

}  // namespace cairn::sched
