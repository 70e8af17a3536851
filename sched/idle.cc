// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The loop of a worker: what it runs next, from whom it steals, and how it goes to sleep. See sched/proc.h.
//
// A worker without a P sleeps on its note, in the list of idle ones: sched/idle_list.h. One of them is the sleeper
// instead: sched/sleeper.h.
#include <algorithm>
#include <climits>
#include <cstdlib>
#include <utility>

#include "cairn/detail/assert.h"
#include "heap/pause.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/idle_list.h"
#include "sched/io.h"
#include "sched/message.h"
#include "sched/preempt.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/scheduler.h"
#include "sched/sleeper.h"
#include "sched/stealing.h"
#include "sched/sysmon.h"
#include "sched/worker.h"

namespace cairn::sched {
namespace {

constexpr int k_passes = 4;
constexpr std::int64_t k_leave_next_ns = 3'000;  // its owner is likely about to run it

void answer_requests() noexcept {
  m& self = *current();
  if (self.state.load(std::memory_order_relaxed) != k_requested) return;
  leave_section();
  enter_section();
}

// ---- stealing ------------------------------------------------------------------------------------------------------

goroutine* take_half_of(m& self, p& from, p& mine) noexcept {
  goroutine* got[run_queue::k_slots / 2];
  const std::uint32_t n = from.queue.grab(got);
  if (n == 0) return nullptr;
  note_steal(self, from, n);
  for (std::uint32_t i = 0; i + 1 < n; ++i) put_local(mine, got[i]);
  return got[n - 1];
}

goroutine* take_next_of(m& self, p& from) noexcept {
  goroutine* seen = from.queue.peek_next();
  if (seen == nullptr) return nullptr;
  const std::int64_t until = now_ns() + k_leave_next_ns;
  while (now_ns() < until) {
    if (from.queue.peek_next() != seen) return steal_was_poor(from), nullptr;
    heap::cpu_relax();
  }
  goroutine* g = from.queue.take_next();
  if (g != nullptr) note_steal(self, from, 1);
  return g;
}

goroutine* run_timers_of(p& from, p& mine) noexcept {
  const std::int64_t when = from.timing.earliest();
  if (when == INT64_MAX) return nullptr;
  const std::int64_t now = now_ns();
  if (when > now) return nullptr;
  from.timing.run_due(now);
  return mine.queue.take();
}

goroutine* steal(m& self, p& mine) noexcept {
  self.stole_from = nullptr;
  const auto n = static_cast<unsigned>(sch.made.load(std::memory_order_acquire));
  for (int pass = 0; pass < k_passes; ++pass) {
    const auto start = static_cast<unsigned>(next_random(mine) % n);
    for (unsigned i = 0; i < n; ++i) {
      p& from = *sch.all[(start + i) % n];
      if (&from == &mine) continue;
      const bool is_alone = is_left_alone(from);
      goroutine* g = is_alone ? nullptr : take_half_of(self, from, mine);
      if (g == nullptr && pass == k_passes - 1) {
        g = run_timers_of(from, mine);
        if (g == nullptr && !is_alone) g = take_next_of(self, from);
      }
      if (g != nullptr) return g;
    }
  }
  return nullptr;
}

// ---- spinning ------------------------------------------------------------------------------------------------------

// Spinning workers are at most half as many as those that have work, or they would only look at each other.
bool may_spin(m& self) noexcept {
  if (self.spinning) return true;
  const std::int32_t busy = sch.limit.load(std::memory_order_relaxed) -
                            static_cast<std::int32_t>(sch.idle_ps.load(std::memory_order_relaxed));
  if (2 * sch.spinning.load(std::memory_order_relaxed) >= busy) return false;
  self.spinning = true;
  sch.spinning.fetch_add(1, std::memory_order_seq_cst);
  return true;
}

// It has found work, or has no P to look with.
void stop_spinning(m& self) noexcept {
  if (!self.spinning) return;
  self.spinning = false;
  if (sch.spinning.fetch_sub(1, std::memory_order_seq_cst) == 1) wake_one();
}

bool any_work() noexcept {
  if (sch.queued.load(std::memory_order_seq_cst) != 0) return true;
  const int n = sch.made.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i)
    if (!sch.all[i]->queue.seems_empty() && !is_left_alone(*sch.all[i])) return true;
  return false;
}

// ---- Ps that come and go -------------------------------------------------------------------------------------------

// A P beyond the limit: what it has goes to others.
void retire(p& pp) noexcept {
  while (goroutine* g = pp.queue.take()) put_global(g);
  if (goroutine* g = pp.queue.take_next()) put_global(g);
  pp.timing.move_all_to(sch.all[0]->timing);
  records::flush(pp);
  stacks::flush(pp.stacks);
  interrupt_sleeper();
}

p* acquire_p(m& self) noexcept {
  p* pp;
  {
    heap::lock_guard held(sch.lock);
    pp = take_idle();
  }
  if (pp != nullptr) adopt_p(self, *pp);
  return pp;
}

// The caller has no P. Returns with one, or false if the thread is to end.
bool stop(m& self) noexcept { return idle_list::rest(self) && !self.must_end; }

// The caller has a P and found nothing for it. Returns with another one, or false if the thread is to end.
bool go_idle(m& self) noexcept {
  p* pp = drop_p(self);
  if (pp != nullptr) {
    heap::lock_guard held(sch.lock);
    put_idle(*pp);
  }
  heap::maybe_delay("sched.idle");
  const bool has_spun = std::exchange(self.spinning, false);
  if (has_spun) sch.spinning.fetch_sub(1, std::memory_order_seq_cst);
  heap::maybe_delay("sched.idle");
  const bool looks = has_spun || sch.spinning.load(std::memory_order_seq_cst) == 0;
  if (looks && any_work() && acquire_p(self) != nullptr) {
    self.spinning = true;
    sch.spinning.fetch_add(1, std::memory_order_seq_cst);
    return true;
  }
  poll_events fetched;
  if (!sleep_for_all(self, fetched)) return stop(self);
  const bool has_p = acquire_p(self) != nullptr;
  if (has_p) {
    self.spinning = true;
    sch.spinning.fetch_add(1, std::memory_order_seq_cst);
  }
  io_poller.dispatch(fetched);
  return has_p || stop(self);
}

// One round of looking, with a P.
goroutine* look(m& self, p& pp) noexcept {
  if (const std::int64_t when = pp.timing.earliest(); when != INT64_MAX) {
    const std::int64_t now = now_ns();
    if (when <= now) pp.timing.run_due(now);
  }
  pp.preempt.store(false, std::memory_order_relaxed);
  const std::uint32_t tick = pp.tick.load(std::memory_order_relaxed);
  pp.tick.store(tick + 1, std::memory_order_relaxed);
  if (tick % 61 == 0)
    if (goroutine* g = take_global(pp, 1)) return g;
  if (goroutine* g = pp.queue.take_next()) return g;
  if (goroutine* g = pp.queue.take()) return g;
  if (sch.queued.load(std::memory_order_relaxed) != 0)
    if (goroutine* g = take_global(pp, 0)) return g;
  if (poll_io())
    if (goroutine* g = pp.queue.take()) return g;
  if (!may_spin(self)) return nullptr;
  return steal(self, pp);
}

}  // namespace

// ---- shared with proc.cc -------------------------------------------------------------------------------------------

void put_idle(p& pp) noexcept {
  if (std::exchange(pp.is, p::use::none) == p::use::taken) sch.in_use.fetch_sub(1, std::memory_order_relaxed);
  if (pp.id >= sch.limit.load(std::memory_order_relaxed)) return;
  pp.is = p::use::idle;
  pp.next_idle = sch.idle_p;
  sch.idle_p = &pp;
  sch.idle_ps.fetch_add(1, std::memory_order_seq_cst);
}

void change_limit(int n) noexcept {
  p* surplus = nullptr;
  {
    heap::lock_guard held(sch.lock);
    sch.limit.store(n, std::memory_order_relaxed);
    p* list = std::exchange(sch.idle_p, nullptr);
    sch.idle_ps.store(0, std::memory_order_seq_cst);
    while (list != nullptr) {
      p* pp = std::exchange(list, list->next_idle);
      pp->is = p::use::none;
      if (pp->id < n) continue;
      pp->next_idle = surplus;
      surplus = pp;
    }
    for (int i = n - 1; i >= 0; --i)
      if (sch.all[i]->is == p::use::none) put_idle(*sch.all[i]);
  }
  for (p* pp = surplus; pp != nullptr; pp = pp->next_idle) retire(*pp);
  idle_list::rouse_surplus();
}

p* take_idle() noexcept {
  p* pp = sch.idle_p;
  if (pp == nullptr) return nullptr;
  sch.idle_p = pp->next_idle;
  sch.idle_ps.fetch_sub(1, std::memory_order_seq_cst);
  pp->is = p::use::taken;
  if (sch.in_use.fetch_add(1, std::memory_order_relaxed) == 0) wake_sysmon();
  return pp;
}

void hand(m& to, p* pp, goroutine* g) noexcept {
  to.handed = pp;
  to.handed_goroutine = g;
  to.note.store(1, std::memory_order_release);  // with sleep_on_note
  futex_wake(to.note, 1);
}

bool sleep_on_note(m& self, std::int64_t deadline) noexcept {
  leave_section();
  in_safe_state(self, [&self, deadline] {
    while (self.note.load(std::memory_order_acquire) == 0 && futex_wait(self.note, 0, deadline)) {
    }
  });
  enter_section();
  if (self.note.load(std::memory_order_acquire) == 0) return false;
  self.note.store(0, std::memory_order_relaxed);
  if (p* pp = std::exchange(self.handed, nullptr)) adopt_p(self, *pp);
  self.chosen = std::exchange(self.handed_goroutine, nullptr);
  return true;
}

void wake_one() noexcept {
  // Sequentially consistent, here and below: see "No work is left lying".
  if (sch.idle_ps.load(std::memory_order_seq_cst) == 0) return;
  std::int32_t nobody_spins = 0;
  if (sch.spinning.load(std::memory_order_seq_cst) != 0 ||
      !sch.spinning.compare_exchange_strong(nobody_spins, 1, std::memory_order_seq_cst))
    return;
  p* pp = nullptr;
  m* worker = nullptr;
  {
    heap::lock_guard held(sch.lock);
    if (sch.idle_p != nullptr && sch.idle_m != nullptr) {
      pp = take_idle();
      worker = idle_list::take();
    }
  }
  if (worker != nullptr) {
    worker->spinning = true;
    hand(*worker, pp);
  } else {
    sch.spinning.fetch_sub(1, std::memory_order_seq_cst);
    // The sleeper has no P and may be awake at once; else a new thread comes, and looks.
    if (sch.idle_ps.load(std::memory_order_seq_cst) == 0) return;
    if (has_sleeper()) interrupt_sleeper();
    else request_worker();
  }
}

void hand_off(p& pp) noexcept {
  const bool has_work = !pp.queue.seems_empty() || sch.queued.load(std::memory_order_seq_cst) != 0 ||
                        (sch.spinning.load(std::memory_order_seq_cst) == 0 &&
                         sch.idle_ps.load(std::memory_order_seq_cst) == 0 && any_work());
  // Before anybody else can have it: once in no list it is change_limit's. (If the limit falls just now what it has is
  // stolen, and the rest stays until it is used again.)
  const bool surplus = pp.id >= sch.limit.load(std::memory_order_relaxed);
  if (surplus) retire(pp);
  m* worker = nullptr;
  bool wanted = false;
  {
    heap::lock_guard held(sch.lock);
    if (pp.id < sch.limit.load(std::memory_order_relaxed) && has_work) {
      worker = idle_list::take();
      wanted = worker == nullptr;
    }
    if (worker == nullptr) put_idle(pp);
  }
  if (worker != nullptr) {
    hand(*worker, &pp);
    return;
  }
  if (surplus) {
    wake_one();
  } else if (wanted) {
    if (has_sleeper()) interrupt_sleeper();
    else request_worker();
  } else if (pp.timing.earliest() != INT64_MAX || needs_poller()) {
    interrupt_sleeper();
    request_worker();  // who sleeps until a timer, or nobody does: then a thread comes and goes to sleep
  }
}

void try_for_stack() noexcept {
  if (sch.n_without_stack.load(std::memory_order_relaxed) == 0) return;
  goroutine* g = nullptr;
  {
    heap::lock_guard held(sch.lock);
    g = sch.without_stack;
    if (g == nullptr) return;
    sch.without_stack = g->next;
    sch.n_without_stack.fetch_sub(1, std::memory_order_relaxed);
  }
  put_global(g);
  wake_one();
}

bool all_idle() noexcept {
  heap::lock_guard held(sch.lock);
  return sch.in_use.load(std::memory_order_relaxed) == 0 && sch.head == nullptr;
}

namespace {

// Beyond the cap by one for each P, as they are exchanged.
bool too_many_are_frozen() noexcept CAIRN_REQUIRES(sch.lock) {
  const unsigned by_ps = 8u * static_cast<unsigned>(sch.limit.load(std::memory_order_relaxed));
  return sch.frozen > std::max(least_cap_of_frozen.load(std::memory_order_relaxed), by_ps);
}

// D2 and D3 in preempt.h: whether the worker may run a goroutine that is not frozen.
bool may_run(m& self) noexcept {
  if (!self.was_idle) [[likely]]
    return true;
  heap::lock_guard held(sch.lock);
  self.was_idle = sch.frozen != 0 && (sch.n_idle_m == 0 || too_many_are_frozen());
  return !self.was_idle;
}

// It may not, has a P, and was given `g` to run. True: it goes on looking; frozen ones come in their turn. False: it
// has looked for long enough, and has given up the P. They are where it does not see them, and the worker that
// has them has to be frozen, for which it takes a spare; sysmon sees to what is queued.
bool look_for_frozen(m& self, goroutine* g, unsigned& tries) noexcept {
  constexpr unsigned k_most = 1024;
  put_global(g);
  if (++tries < k_most) return true;
  tries = 0;
  if (p* pp = drop_p(self)) {
    heap::lock_guard held(sch.lock);
    put_idle(*pp);
  }
  return false;
}

}  // namespace

goroutine* find_runnable(m& self) noexcept {
  unsigned tries = 0;
  for (;;) {
    answer_requests();
    if (self.chosen != nullptr) {
      if (own_p(self) != nullptr) return std::exchange(self.chosen, nullptr);
      put_global(std::exchange(self.chosen, nullptr));
      wake_one();
      if (self.locked != nullptr) {  // nothing else runs here; whoever takes it hands it to this thread again
        sleep_on_note(self);
        if (self.must_end) return nullptr;
        continue;
      }
    }
    p* pp = own_p(self);
    if (pp == nullptr) {
      pp = acquire_p(self);
      if (pp != nullptr) continue;
      stop_spinning(self);
      if (!stop(self)) return nullptr;
      continue;
    }
    if (pp->id >= sch.limit.load(std::memory_order_relaxed)) {
      retire(*drop_p(self));
      {
        heap::lock_guard held(sch.lock);
        put_idle(*pp);
      }
      stop_spinning(self);
      continue;
    }
    if (goroutine* g = look(self, *pp)) {
      stop_spinning(self);
      if (!is_frozen(*g) && !may_run(self)) {
        if (look_for_frozen(self, g, tries)) continue;
        if (!stop(self)) return nullptr;
        continue;
      }
      if (is_frozen(*g) && g->is_orphan()) {
        hand(*g->bound, nullptr);
        continue;
      }
      if (!run_ending.load(std::memory_order_relaxed) || is_frozen(*g) || g->end_later != 0) return g;
      drop(g);
      continue;
    }
    if (!go_idle(self)) return nullptr;
  }
}

// ---- the loop ------------------------------------------------------------------------------------------------------

namespace {

// Its goroutine has parked, and nothing else may run on this thread.
void await_locked(m& self) noexcept {
  if (p* pp = drop_p(self)) hand_off(*pp);
  else rouse_sleeper();  // what it waits for may be a timer or a descriptor, and this thread does not come by
  sleep_on_note(self);
}

void give_to_bound(m& self, goroutine& g) noexcept {
  p* pp = drop_p(self);
  m& to = *g.bound;
  g.is_frozen = false;
  hand(to, pp, &g);
}

// There is no memory for its stack. It waits until another one leaves its own; sysmon tries too.
void await_stack(goroutine* g) noexcept {
  heap::lock_guard held(sch.lock);
  g->next = sch.without_stack;
  sch.without_stack = g;
  sch.n_without_stack.fetch_add(1, std::memory_order_relaxed);
}

void run_one(m& self, goroutine* g) noexcept {
  if (g->bound != nullptr && g->bound != &self) return give_to_bound(self, *g);
  if (!prepare(self, *own_p(self), *g)) return await_stack(g);
  switch_to(self, self.own, g, false);
  after_switch(self);
}

}  // namespace

void work(m& self) noexcept {
  enter_section();
  if (acquire_p(self) != nullptr) {
    self.spinning = true;
    sch.spinning.fetch_add(1, std::memory_order_seq_cst);
  }
  while (!self.must_end) {
    if (self.locked != nullptr && self.chosen == nullptr) {
      await_locked(self);
      continue;
    }
    goroutine* g = find_runnable(self);
    if (g == nullptr) break;
    run_one(self, g);
  }
  // Destructors of thread-local objects are still to come. They are the program's, may use the library, and may wake a
  // goroutine for which all others wait: from here on it is a thread like the program's own, until it detaches.
  CAIRN_ASSERT(!self.spinning, "a worker that ends still counts as spinning");
  count_foreign(1);
  if (p* pp = drop_p(self)) hand_off(*pp);
  self.is_worker = self.is_runtimes = false;
  leave_section();
}

}  // namespace cairn::sched
