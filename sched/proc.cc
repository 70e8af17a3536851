// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Parking and making runnable, and the switch between stacks. See sched/proc.h.
#include "sched/proc.h"

#include <algorithm>
#include <utility>

#include "cairn/detail/annotate.h"
#include "cairn/detail/assert.h"
#include "heap/pause.h"
#include "heap/private.h"
#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/hooks.h"
#include "sched/records.h"
#include "sched/run_state.h"
#include "sched/scheduler.h"
#include "sched/stealing.h"
#include "sched/sysmon.h"
#include "sched/worker.h"

namespace cairn::sched {

scheduler sch;
coarse_clock the_coarse_clock;
std::atomic<std::uint32_t> scan_epoch{0};

namespace {

const heap::private_table procs_are_private(sch.all);

// ---- colour --------------------------------------------------------------------------------------------------------

// Makes the goroutine, which does not run, black before it does.
void scan_before_run(goroutine& g) noexcept {
  for (unsigned spins = 0;;) {
    // With the release of who scanned it; he had seen the epoch, so the load that follows sees it too.
    std::uint32_t has = g.scan.load(std::memory_order_acquire);
    const std::uint32_t wanted = scan_epoch.load(std::memory_order_acquire);
    if (has == wanted) return;
    if ((has & 1) != 0) {
      heap::relax(spins);  // the collector is at it
      continue;
    }
    if (!g.scan.compare_exchange_strong(has, has | 1, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    heap::maybe_delay("sched.scan");
    hooks.scan_goroutine(g);
    g.scan.store(wanted, std::memory_order_release);
  }
}

[[gnu::noinline, gnu::cold]] void blacken_both(m& self, goroutine& g) noexcept {
  scan_before_run(g);
  const std::uint32_t now = scan_epoch.load(std::memory_order_relaxed);
  if (self.colour == now) return;
  hooks.blacken(self);
  self.colour = now;
}

// Before the goroutine runs here: it and the thread are black if anybody is. See goroutine.h.
inline void match_colours(m& self, goroutine& g) noexcept {
  const std::uint32_t now = scan_epoch.load(std::memory_order_relaxed);
  // Acquire: with the release of who scanned it, and has read its record and its stack. Sequentially consistent, for it
  // comes after the store that made it runnable (release, in start), too: with the fence in hold. (On x86-64 the CAS by
  // which it was taken from its queue lies between; on AArch64 a load of this order waits for releasing stores.)
  if (g.scan.load(std::memory_order_seq_cst) != now || self.colour != now) [[unlikely]]
    blacken_both(self, g);
}

// ---- choosing ------------------------------------------------------------------------------------------------------

constexpr std::uint32_t k_look_at_global = 61, k_look_at_timers = 8;

bool timer_is_due(const p& pp) noexcept {
  const std::int64_t when = pp.timing.earliest();
  return when != INT64_MAX && when <= now_ns();
}

// Where many are ready that have waited for long, each record and each stack is a miss of all caches, and of what
// translates its address. So these are fetched while the ones before run: first the records, which say where the stacks
// are, then what the goroutines were busy with when they parked. Some at a time, for the translations of several
// addresses are looked up beside each other. Hints: a thief may take one meanwhile, and write to it.
// (One by one they gain a third of that: a prefetch, too, keeps what follows it waiting until the address is
// translated.)
constexpr std::uint32_t k_group = 4;
// Every fourth time, while there are many.
inline bool should_prefetch(std::uint32_t left) noexcept {
  return !CAIRN_TSAN && left > 3 * k_group && left % k_group == 0;
}
[[gnu::noinline]] void prefetch_ahead(const p& pp) noexcept {
  // What a goroutine that waits in its function has on its stack. Between the first line, where it goes on, and the
  // third lies the red zone.
  constexpr std::ptrdiff_t k_stack_bytes = 704, k_line = 64;
  const char* tops[k_group];
  for (std::uint32_t i = 0; i < k_group; ++i) {
    const goroutine* g = pp.queue.peek(k_group + i);
    tops[i] = g == nullptr ? nullptr
                           : static_cast<const char*>(*const_cast<void* const volatile*>(&g->self.at.sp));
    if (tops[i] == nullptr) return;  // it is new, as are most behind it
    __builtin_prefetch(tops[i], 1);
  }
  for (std::uint32_t i = 0; i < k_group; ++i) {
    const goroutine* g = pp.queue.peek(2 * k_group + i);
    if (g == nullptr) continue;
    const char* record = reinterpret_cast<const char*>(g);
    for (std::ptrdiff_t at = 0; at < std::ptrdiff_t{sizeof *g}; at += k_line)
      __builtin_prefetch(record + at, 1);
  }
  for (const char* top : tops)
    for (std::ptrdiff_t at = 2 * k_line; at < k_stack_bytes; at += k_line) __builtin_prefetch(top + at, 1);
}

// What the P has ready. Null: the loop has to look.
goroutine* choose_here(p& pp) noexcept {
  const std::uint32_t tick = pp.tick.load(std::memory_order_relaxed);
  if (pp.id >= sch.limit.load(std::memory_order_relaxed)) return nullptr;
  if (run_ending.load(std::memory_order_relaxed)) return nullptr;
  const bool preempted = pp.preempt.load(std::memory_order_relaxed);
  if ((preempted || tick % k_look_at_timers == 0) && timer_is_due(pp)) return nullptr;
  if (preempted || is_turn_of_ring(pp)) [[unlikely]] {
    if (preempted) pp.preempt.store(false, std::memory_order_relaxed);
    if (goroutine* g = pp.queue.take_next()) put_local(pp, g);
  } else if (goroutine* g = pp.queue.take_next()) {
    return g;  // in the slice of who made it runnable
  }
  if (tick % k_look_at_global == 0 && sch.queued.load(std::memory_order_relaxed) != 0) {
    pp.tick.store(tick + 1, std::memory_order_relaxed);
    return take_global(pp, 1);
  }
  std::uint32_t left;
  goroutine* g = pp.queue.take(left);
  if (g == nullptr) return nullptr;
  pp.tick.store(tick + 1, std::memory_order_relaxed);
  if (should_prefetch(left)) [[unlikely]]
    prefetch_ahead(pp);
  return g;
}

void commit_parking(m&, goroutine*, void* arg) noexcept;
void commit_durable(m&, goroutine* g, void* arg) noexcept;

// To make it ready takes a few loads. Else it may be a stack's first page, or its scan: for that nobody should be kept
// waiting for what the one who leaves has locked until its parking is committed.
bool is_prepared_quickly(const m& self, const p& pp, const goroutine& g) noexcept {
  const std::uint32_t now = scan_epoch.load(std::memory_order_relaxed);
  if (g.scan.load(std::memory_order_relaxed) != now || self.colour != now) return false;
  return g.self.high != nullptr || (pp.stacks.has_hot() && !g.is_main);
}

// From the stack of `g` to whatever is next.
void leave(m& self, goroutine& g, bool last) noexcept {
  p* pp = own_p(self);
  goroutine* next = nullptr;
  if (pp != nullptr && g.bound == nullptr) {
    next = self.chosen != nullptr ? std::exchange(self.chosen, nullptr) : choose_here(*pp);
    if (next != nullptr &&
        (next->bound != nullptr || !is_prepared_quickly(self, *pp, *next) || !prepare(self, *pp, *next)))
      self.chosen = std::exchange(next, nullptr);
  }
  // On its way to the loop there is time for a look at the clock.
  if (next == nullptr && (self.after == commit_parking || self.after == commit_durable))
    g.since.store(now_ns(), std::memory_order_relaxed);
  g.exceptions = *self.exceptions;
  g.saved_errno = *self.error;
  heap::maybe_delay("sched.leave");
  switch_to(self, g.self, next, last);
}

// ---- what is done after the switch ---------------------------------------------------------------------------------

void commit_parking(m&, goroutine*, void* arg) noexcept {
  heap::maybe_delay("sched.commit");
  const parking how = *static_cast<const parking*>(arg);  // on a stack that may be in use again after the call
  how.commit(how.arg);
}

// In a bubble: from the commit on the goroutine may run, and end, at any moment. The bubble stays: it is active still.
void commit_durable(m&, goroutine* g, void* arg) noexcept {
  const parking how = *static_cast<const parking*>(arg);
  bubble* b = g->home.load(std::memory_order_relaxed);
  g->is_durable = b != nullptr;
  heap::maybe_delay("bubble.commit");
  how.commit(how.arg);
  heap::maybe_delay("bubble.committed");
  if (b != nullptr) count_out(*b);
}

void queue_again(m& self, goroutine* g, void*) noexcept {
  if (p* pp = own_p(self)) {
    put_local(*pp, g);
  } else {
    put_global(g);
    wake_one();
  }
}

void queue_last(m&, goroutine* g, void*) noexcept {
  put_global(g);
  wake_one();
}

// All but the record.
void give_up(m& self, goroutine* g) noexcept {
  p* pp = own_p(self);
  if (fiber& at = g->self; at.high != nullptr) {
    at.annotation.destroyed();
    const stack s{at.low, at.high};
    at = fiber{};
    if (g->is_main) {
      stacks::give_own(s);
    } else if (pp != nullptr) {
      stacks::give(pp->stacks, s);
    } else {
      stack_cache none{};
      stacks::give(none, s);
      stacks::flush(none);
    }
  }
  if (g->no_gc_scopes != 0) hooks.on_scopes_lost(std::exchange(g->no_gc_scopes, 0u));
  g->is_main = false;
  g->bound = nullptr;
  g->thread_locks = 0;
  g->preempt_off = 0;
  g->function = nullptr;
  g->task = nullptr;
  g->status.store(g_status::free, std::memory_order_release);  // with who lists goroutines
  try_for_stack();
}

void bury(m& self, goroutine* g, void*) noexcept {
  if (g->bound != nullptr) self.must_end = true;
  self.locked = nullptr;
  give_up(self, g);
  records::give(own_p(self), g);
}

// A goroutine that has not begun goes on, on the stack of one that is over: no switch.
bool go_on_with_next(m& self, goroutine& over) noexcept {
  p* pp = own_p(self);
  if (pp == nullptr || over.bound != nullptr || over.is_main) return false;
  if (self.stole_from != nullptr) [[unlikely]]
    judge_steal(self);
  goroutine* next = choose_here(*pp);
  if (next == nullptr) return false;
  if (next->bound != nullptr || next->self.high != nullptr || next->is_main) {
    self.chosen = next;
    return false;
  }
  match_colours(self, *next);
  next->status.store(g_status::running, std::memory_order_relaxed);
  next->running_on.store(&self, std::memory_order_relaxed);
  next->count_run();
  next->self.annotation.taken_over();
  next->self = over.self;
  over.self = fiber{};
  over.running_on.store(nullptr, std::memory_order_relaxed);
  give_up(self, &over);
  records::give(pp, &over);
  self.current_goroutine.store(next, std::memory_order_relaxed);
  *self.exceptions = {};
  *self.error = 0;
  return true;
}

// What an earlier goroutine left just below: a frame of this one's with a gap in it, over which it parks, would keep
// that alive. (512 bytes: two thousand that waited on stacks used before kept 2250 of 6000 dead objects, and 1 since.)
[[gnu::noinline]] void wipe_below() noexcept {
  using line
      [[gnu::vector_size(64)]] = char;  // memset of a constant size becomes rep stos, which is slow to start
  line leftovers[8];
  for (line& l : leftovers) l = line{};
  asm volatile("" : : "r"(leftovers) : "memory");
}

// In a frame that is gone afterwards: what is left to do for the goroutine that was left has addresses of its stack in
// it, which would lie on this one for good.
[[gnu::noinline]] void after_first_switch() noexcept { after_switch(*current()); }

// The bottom of every goroutine's stack.
[[noreturn]] void entry() noexcept {
  current()->current_goroutine.load(std::memory_order_relaxed)->self.annotation.after_switch();
  after_first_switch();
  for (;;) {
    goroutine* g = current()->current_goroutine.load(std::memory_order_relaxed);
    leave_section();
    wipe_below();
    run_goroutine(g);
    if (!go_on_with_next(enter_section(), *g)) leave_for_good();
  }
}

}  // namespace

// ---- switching -----------------------------------------------------------------------------------------------------

bool prepare(m& self, p& pp, goroutine& g) noexcept {
  // First: from here on the collector does not look at its stack, which it may just be getting.
  match_colours(self, g);
  if (g.self.high == nullptr) {
    const stack s = g.is_main ? stacks::take_own(main_stack_bytes()) : stacks::take(pp.stacks);
    if (!s) return false;
    make_context(g.self.at, s.high, entry);
    std::atomic_thread_fence(std::memory_order_release);  // with who looks at it: sched/inspect.cc
    g.self.low = s.low;
    g.self.high = s.high;
    g.self.annotation.created(s.low, s.high);
  }
  return true;
}

void switch_to(m& self, fiber& from, goroutine* to, bool last) noexcept {
  CAIRN_ASSERT(self.depth.load(std::memory_order_relaxed) == 1, "a switch outside the outermost section");
  fiber& target = to != nullptr ? to->self : self.own;
  if (to != nullptr) {
    CAIRN_ASSERT(to->running_on.load(std::memory_order_relaxed) == nullptr, "a goroutine is run twice");
    to->status.store(g_status::running, std::memory_order_relaxed);
    to->running_on.store(&self, std::memory_order_relaxed);
    to->count_run();
    *self.exceptions = to->exceptions;
    *self.error = to->saved_errno;
  }
  self.current_goroutine.store(to, std::memory_order_relaxed);
  self.stack_low = target.low;
  self.stack_high = target.high;
  from.annotation.before_switch(target.annotation, last);
  switch_context(from.at, target.at);
  from.annotation.after_switch();
}

void park(const parking& how) noexcept {
  m& self = *current();
  goroutine& g = *self.current_goroutine.load(std::memory_order_relaxed);
  g.cancel = how.cancel;
  g.cancel_arg = how.arg;
  g.awaited = how.awaited;
  g.why.store(how.why, std::memory_order_relaxed);
  g.since.store(coarse_now(), std::memory_order_relaxed);
  g.status.store(g_status::waiting, std::memory_order_release);
  if (self.stole_from != nullptr) [[unlikely]]
    judge_steal(self);
  self.left = &g;
  self.after_arg = const_cast<parking*>(&how);
  const bool is_durable = how.is_durable && g.home.load(std::memory_order_relaxed) != nullptr;
  self.after = is_durable ? commit_durable : commit_parking;
  leave(self, g, false);
  after_switch(*current());
  leave_section();
}

void yield_now() noexcept {
  m& self = enter_section();
  goroutine& g = *self.current_goroutine.load(std::memory_order_relaxed);
  p* pp = own_p(self);
  if (pp != nullptr && pp->queue.size() == 0 && pp->queue.peek_next() == nullptr &&
      sch.queued.load(std::memory_order_relaxed) == 0 && !timer_is_due(*pp) &&
      !run_ending.load(std::memory_order_relaxed) && pp->id < sch.limit.load(std::memory_order_relaxed)) {
    // Who waited when it was asked has been stolen meanwhile. A new slice: nobody insists.
    pp->preempt.store(false, std::memory_order_relaxed);
    pp->tick.store(pp->tick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    leave_section();
    return;
  }
  g.status.store(g_status::runnable, std::memory_order_relaxed);
  self.stole_from = nullptr;
  self.left = &g;
  // Who has had its slice makes way for what others have put into the global queue, too.
  self.after = pp != nullptr && pp->preempt.load(std::memory_order_relaxed) ? queue_last : queue_again;
  leave(self, g, false);
  after_switch(*current());
  leave_section();
}

void make_room() noexcept {
  if (goroutine* g = parkable(); g != nullptr && g->preempt_off == 0) yield_now();
}

void take_long_way() {
  const m& thread = self();
  check_ending();
  // Called inside blocking() it does nothing: a mistake that the next entry into the safe state names.
  const std::uint32_t state = thread.state.load(std::memory_order_relaxed);
  const bool is_asked = (long_ways.load(std::memory_order_relaxed) & k_room_is_wanted) != 0 &&
                        (state == k_running || state == k_requested) &&
                        thread.depth.load(std::memory_order_relaxed) == 0 && is_asked_to_yield(thread);
  if (is_asked) make_room();
}

void regain_p() noexcept {
  m* self = current();
  if (self == nullptr || !self->is_worker) return;
  enter_section();
  goroutine* g = self->current_goroutine.load(std::memory_order_relaxed);
  const bool has = g == nullptr || g->is_orphan() || own_p(*self) != nullptr;
  leave_section();
  if (!has) yield_now();
}

void leave_for_good() noexcept {
  m& self = *current();
  goroutine& g = *self.current_goroutine.load(std::memory_order_relaxed);
  self.left = &g;
  self.after = bury;
  leave(self, g, true);
  __builtin_unreachable();
}

// ---- runnable ------------------------------------------------------------------------------------------------------

goroutine* parkable() noexcept {
  m* self = current();
  if (self == nullptr || !self->is_worker) return nullptr;
  goroutine* g = self->current_goroutine.load(std::memory_order_relaxed);
  return g != nullptr && !g->is_orphan() ? g : nullptr;
}

namespace {

void queue_first(p& pp, goroutine* g) noexcept {
  if (goroutine* was = pp.queue.put_next(g)) {
    put_local(pp, was);
    if (may_be_helped(pp)) wake_one();
    return;
  }
  // It runs as soon as this one parks, and waking a worker costs microseconds: a pair that takes turns would pay them
  // every time. So help is called for once in a while; sysmon does if this one runs on.
  if (sch.idle_ps.load(std::memory_order_seq_cst) == 0 || !may_be_helped(pp)) return;
  const std::uint64_t now = ticks();
  if (now - pp.last_wake < wake_ticks()) return;
  pp.last_wake = now;
  wake_one();
}

}  // namespace

void ready(goroutine* g) noexcept {
  CAIRN_ASSERT(g->status.load(std::memory_order_relaxed) == g_status::waiting,
               "ready() of what does not wait");
  g->why.store(wait_reason::none, std::memory_order_relaxed);
  g->since.store(0, std::memory_order_relaxed);
  if (g->is_durable) [[unlikely]]
    count_in(*g);
  start(g);
}

void start(goroutine* g) noexcept {
  g->self.annotation.hand_over();
  g->status.store(g_status::runnable, std::memory_order_release);  // with who lists goroutines
  m* self = current();
  p* pp = self != nullptr ? own_p(*self) : nullptr;
  if (pp == nullptr) {
    put_global(g);
    wake_one();
  } else if (self->current_goroutine.load(std::memory_order_relaxed) != nullptr) {
    queue_first(*pp, g);
  } else {
    put_local(*pp, g);
    wake_one();
  }
}

goroutine* new_goroutine() noexcept {
  m* self = current();
  p* pp = self != nullptr ? own_p(*self) : nullptr;
  goroutine* g = records::take(pp);
  if (g == nullptr) return nullptr;
  static std::atomic<std::uint64_t> ids{0};  // relaxed: a counter
  constexpr std::uint64_t k_ids = 16;
  if (pp == nullptr) {
    g->id = ids.fetch_add(1, std::memory_order_relaxed) + 1;
    sch.started.fetch_add(1, std::memory_order_relaxed);
  } else {
    if (pp->next_id == pp->last_id) {
      pp->next_id = ids.fetch_add(k_ids, std::memory_order_relaxed) + 1;
      pp->last_id = pp->next_id + k_ids;
    }
    g->id = pp->next_id++;
    pp->started.store(pp->started.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  g->exiting = false;
  g->end_later = 0;
  g->since.store(0, std::memory_order_relaxed);
  g->exceptions = {};
  g->saved_errno = 0;
  g->cancel = nullptr;
  g->became.store(goroutine::fate::alive, std::memory_order_relaxed);
  // Black: it has no stack, and its function is shaded by who makes it. Before it is no free record any more.
  // Not a plain store: somebody may hold the record for the goroutine that it was.
  g->set_colour(scan_epoch.load(std::memory_order_relaxed));
  return g;
}

void count_ended() noexcept {
  m* self = current();
  if (p* pp = self != nullptr ? own_p(*self) : nullptr)
    pp->ended.store(pp->ended.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  else sch.ended.fetch_add(1, std::memory_order_release);
}

counts count_goroutines() noexcept {
  // Those that have ended first: then started >= ended, whatever happens meanwhile.
  counts c{0, sch.ended.load(std::memory_order_acquire)};
  const int n = sch.made.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i) c.ended += sch.all[i]->ended.load(std::memory_order_acquire);
  c.started = sch.started.load(std::memory_order_relaxed);
  for (int i = 0; i < n; ++i) c.started += sch.all[i]->started.load(std::memory_order_relaxed);
  return c;
}

void hold(goroutine& g) noexcept {
  for (unsigned spins = 0;;) {
    std::uint32_t has = g.scan.load(std::memory_order_relaxed);
    // Acquire: with the release of who held it before.
    if ((has & 1) == 0 &&
        g.scan.compare_exchange_weak(has, has | 1, std::memory_order_acquire, std::memory_order_relaxed))
      break;
    heap::relax(spins);
  }
  // Before the caller looks whether it waits: who makes it runnable says so first, and it is held then before it runs.
  // With match_colours.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void release(goroutine& g) noexcept { g.scan.fetch_and(~std::uint32_t{1}, std::memory_order_release); }

void discard(goroutine* g) noexcept {
  hold(*g);  // not while the collector scans it
  m* bound = g->bound;
  m* self = current();
  give_up(self != nullptr ? *self : nobody, g);
  release(*g);  // before the record has its next goroutine
  records::give(self != nullptr ? own_p(*self) : nullptr, g);
  if (bound != nullptr) {
    bound->locked = nullptr;
    bound->must_end = true;
    hand(*bound, nullptr);
  }
}

// ---- queues --------------------------------------------------------------------------------------------------------

void put_local(p& pp, goroutine* g) noexcept {
  while (!pp.queue.put(g)) {
    goroutine* half[run_queue::k_slots / 2 + 1];
    std::uint32_t n = pp.queue.take_half(half);
    if (n == 0) continue;
    half[n++] = g;
    for (std::uint32_t i = 0; i + 1 < n; ++i) half[i]->next = half[i + 1];
    put_global(half[0], half[n - 1], n);
    return;
  }
}

void put_global(goroutine* first, goroutine* last, std::uint32_t n) noexcept {
  last->next = nullptr;
  heap::lock_guard held(sch.lock);
  if (sch.tail != nullptr) sch.tail->next = first;
  else sch.head = first;
  sch.tail = last;
  // Sequentially consistent: put before `spinning` is looked at.
  sch.queued.fetch_add(n, std::memory_order_seq_cst);
}

goroutine* take_global(p& pp, std::uint32_t most) noexcept {
  heap::lock_guard held(sch.lock);
  const std::uint32_t there = sch.queued.load(std::memory_order_relaxed);
  if (there == 0) return nullptr;
  std::uint32_t n = most;
  if (n == 0) n = there / static_cast<std::uint32_t>(sch.limit.load(std::memory_order_relaxed)) + 1;
  n = std::min({n, there, run_queue::k_slots / 2});
  sch.queued.store(there - n, std::memory_order_seq_cst);
  goroutine* first = sch.head;
  sch.head = first->next;
  for (std::uint32_t i = 1; i < n; ++i) {
    goroutine* g = sch.head;
    sch.head = g->next;
    if (!pp.queue.put(g)) {  // thieves are slow to let go of the slots
      g->next = sch.head;
      sch.head = g;
      sch.queued.fetch_add(n - i, std::memory_order_seq_cst);
      break;
    }
  }
  if (sch.head == nullptr) sch.tail = nullptr;
  return first;
}

// ---- Ps ------------------------------------------------------------------------------------------------------------

p* drop_p(m& self) noexcept {
  p* pp = own_p(self);
  if (pp == nullptr) return nullptr;
  std::uintptr_t word = reinterpret_cast<std::uintptr_t>(pp);
  // In a section: nobody succeeds in taking it, but somebody may try.
  while (!self.proc.compare_exchange_weak(word, 0, std::memory_order_relaxed, std::memory_order_relaxed)) {
    if ((word & ~std::uintptr_t{1}) == 0) return nullptr;
  }
  pp->owner.store(nullptr, std::memory_order_relaxed);
  return pp;
}

p* proc_at(int i) noexcept { return sch.all[i]; }
int procs_made() noexcept { return sch.made.load(std::memory_order_acquire); }
int proc_limit() noexcept { return sch.limit.load(std::memory_order_relaxed); }

}  // namespace cairn::sched
