// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/concurrent.h for the protocol.
#include "gc/concurrent.h"

#include <utility>

#include "cairn/detail/assert.h"
#include "cairn/go.h"
#include "gc/barrier.h"
#include "gc/guest.h"
#include "gc/parked.h"
#include "gc/runtime.h"
#include "gc/share.h"
#include "gc/slice.h"
#include "heap/delay.h"
#include "heap/fatal.h"
#include "heap/mheap.h"
#include "heap/pause.h"
#include "sched/futex.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"

namespace cairn::gc {
namespace {

void set_phase(phase p) noexcept {
  rt().mark.phase_word.store(static_cast<std::uint32_t>(p), std::memory_order_release);
  sched::futex_wake(rt().mark.phase_word, INT32_MAX);  // see await_start
}

// All bytes marked so far by anybody, behind the closed door: changes whenever something white was marked.
std::size_t all_marked(const marker& m) noexcept {
  return m.bytes_marked + helpers::bytes_marked() + guests::bytes_marked();
}

// ---- what threads do in the handshakes -----------------------------------------------------------------------------

// Not in the middle of an allocation: in the safe state, or the thread that runs the cycle.
bool is_at_rest(const sched::m& thread) noexcept {
  return thread.state.load(std::memory_order_relaxed) != sched::k_requested && !thread.interrupted;
}

// Before a forced cycle: caches of threads at rest are emptied, so that what they hold can be counted and freed. Those
// of the others are too small to wait for.
void settle(sched::m& thread, void*) noexcept {
  if (is_at_rest(thread)) heap::flush(thread, false);
}

void count_running(const sched::m& thread) noexcept {
  if (thread.state.load(std::memory_order_relaxed) != sched::k_requested) return;
  rt().mark.running.fetch_add(1, std::memory_order_relaxed);
}

void begin(sched::m& thread, void*) noexcept {
  heap::sweep_cached(thread, heap::the_heap.sweepgen());
  thread.assist_credit = 0;
  thread.black_bytes = 0;
}

void scan(sched::m& thread, void* stacks) noexcept {
  heap::maybe_delay("cycle.scan");
  const std::uint32_t epoch = sched::scan_epoch.load(std::memory_order_relaxed);
  if (std::exchange(thread.colour, epoch) != epoch) thread.black_bytes += heap::mark_open(thread);
  static_cast<std::atomic<std::size_t>*>(stacks)->fetch_add(scan_thread(thread), std::memory_order_relaxed);
  flush_barrier(thread);
  count_running(thread);
}

void hand_over(sched::m& thread, void*) noexcept {
  heap::maybe_delay("cycle.round");
  count_running(thread);
  if (thread.interrupted) scan_top(thread);
  flush_barrier(thread);
}

void end(sched::m& thread, void*) noexcept {
  heap::maybe_delay("cycle.end");
  drop_barrier(thread);
  thread.uncounted = 0;
  thread.most_run_bytes = heap::k_most_run_bytes;
  rt().mark.black_bytes.fetch_add(thread.black_bytes, std::memory_order_relaxed);
  rt().pace.add_to_set_live(thread.black_bytes);
  thread.black_bytes = 0;
}

void step(const char* delay_point, void (*fn)(sched::m&, void*), void* arg = nullptr,
          sched::interruption why = sched::interruption::handshake) {
  heap::maybe_delay(delay_point);
  sched::handshake(fn, arg, why);
}

// ---- the steps of the cycle ---------------------------------------------------------------------------------------

// Cycles that follow each other without pause interrupt a thread again before it gets to an instruction of its own, and
// one that sleeps in the kernel again before its timer has fired, whose slack is 50 us.
void await_gap() {
  constexpr std::uint64_t k_gap_ns = 100'000;
  const auto until = static_cast<std::int64_t>(rt().pace.last_cycle_end_ns.load(std::memory_order_relaxed) +
                                               k_gap_ns);
  if (sched::now_ns() >= until) return;
  auto wait = [until] {
    std::atomic<std::uint32_t> never{0};
    while (sched::futex_wait(never, 0, until)) {
    }
  };
  if (sched::m* self = sched::current()) sched::in_safe_state(*self, wait);
  else wait();
}

void start_pace(cycle& c) noexcept {
  marking& mark = rt().mark;
  shares::begin();
  const std::size_t triggered = rt().pace.live.load(std::memory_order_relaxed);
  mark.triggered.store(triggered, std::memory_order_relaxed);
  mark.expected_scan.store(expected_scan(rt().pace.last_scanned, rt().pace.last_triggered, triggered),
                           std::memory_order_relaxed);
  mark.scanned.store(0, std::memory_order_relaxed);
  mark.credit.store(0, std::memory_order_relaxed);
  guests::begin_cycle();
  mark.assist_ns.store(0, std::memory_order_relaxed);
  mark.black_bytes.store(0, std::memory_order_relaxed);
  mark.longest_pause_ns.store(0, std::memory_order_relaxed);
  mark.last_update.store(now_ns(), std::memory_order_relaxed);
  c.record.heap_at_start = triggered;
  mark.update_pace();
}

void mark_shared_roots(cycle& c, marker& m) {
  struct call {
    cycle& c;
    marker& m;
  } both{c, m};
  with_loaded_objects(
      [](void* p) {
        call& to = *static_cast<call*>(p);
        to.c.roots.globals = mark_static(to.m);
      },
      &both);
  mark_kept(m);
  m.flush();  // for whoever is quicker
}

void scan_threads(cycle& c, marker& m) {
  std::atomic<std::size_t> stacks{0};
  rt().mark.running.store(0, std::memory_order_relaxed);
  // From here on who runs a goroutine that is grey makes it black first.
  sched::scan_epoch.fetch_add(2, std::memory_order_release);
  step("cycle.roots", scan, &stacks, sched::interruption::stack_scan);
  heap::maybe_delay("cycle.goroutines");
  guests::open_door();  // over many it takes long, and what the program shades meanwhile is to be marked soon
  mark_slice slice;
  slice.begin(m);
  m.slice = c.is_forced() ? nullptr : &slice;
  c.roots.stacks = stacks.load(std::memory_order_relaxed) + scan_parked_goroutines(m);
  m.slice = nullptr;
  set_barrier(k_marking);  // no stack is grey any more
}

// Until there is nothing in the pool or in hand. The door is open.
void mark_beside(marker& m) {
  const bool may_leave = m.slice != nullptr && sched::current() == nullptr;
  while (m.has_work() || !rt().work.is_empty())
    if (!may_leave || !shares::leave_to_program(m)) drain_some_beside(m);
}

// Until a round is quiet and no weak reference was locked in it.
void mark_to_the_end(marker& m) {
  runtime& r = rt();
  for (;;) {
    guests::open_door();
    mark_beside(m);
    guests::close_door();
    if (guests::collect_left()) continue;
    drain_beside(m);  // what was handed over meanwhile
    r.specials.open_weak();
    const std::size_t before = all_marked(m);
    r.mark.running.store(0, std::memory_order_relaxed);
    step("cycle.round_begin", hand_over);
    drain_beside(m);
    heap::maybe_delay("cycle.decide");
    if (all_marked(m) == before && r.specials.decide_weak()) return;
  }
}

void check_marked(cycle&) {
  if (rt().options.debug.gccheckmark == 0) return;
  sched::with_world_stopped("gccheckmark", [](const sched::world_stopped& stopped) {
    if (!check_closed(stopped))
      heap::fatal_error("gccheckmark: a marked object refers to one that is not (see above)");
  });
}

void check_structures() {
  if (cairn::detail::check_level < 3) return;
  sched::with_world_stopped("check=3", [](const sched::world_stopped& stopped) {
    check_heap(stopped);
    if (!rt().specials.check(
            [](const void* p, const char* what) { heap::report("check: the object at {} {}", p, what); }))
      heap::fatal_error("check=3: specials disagree with the heap (see above)");
  });
}

void finish(cycle& c) {
  runtime& r = rt();
  pacing& p = r.pace;
  const std::ptrdiff_t external = p.external.load(std::memory_order_relaxed);
  const std::size_t outside = external > 0 ? static_cast<std::size_t>(external) : 0;
  c.record.heap_at_end = p.live.load(std::memory_order_relaxed);
  heap::maybe_delay("cycle.white");
  heap::the_heap.advance_generation();
  heap::maybe_delay("cycle.barrier_off");
  set_barrier(0);
  // Threads add what they made themselves, below; what some count twice in between is little and soon corrected.
  p.set_live(c.marked_bytes + outside + r.mark.black_bytes.load(std::memory_order_relaxed));
  step("cycle.end_begin", end);
  r.work.discard();
  born_marked born;
  born.reached = c.marked_bytes;
  born.born = r.mark.black_bytes.load(std::memory_order_relaxed);
  born.before = p.marked.load(std::memory_order_relaxed);
  born.allocated = c.record.heap_at_start > born.before ? c.record.heap_at_start - born.before : 0;
  p.floating.store(floating_bytes(born), std::memory_order_relaxed);
  c.marked_bytes += born.born;
  c.record.heap_live = c.marked_bytes;
  p.marked.store(c.marked_bytes, std::memory_order_relaxed);
  p.stack_bytes.store(c.roots.stacks, std::memory_order_relaxed);
  p.globals_bytes.store(c.roots.globals, std::memory_order_relaxed);
  p.pages_swept.store(0, std::memory_order_relaxed);
}

void learn_pace(cycle& c, const marker& m) noexcept {
  runtime& r = rt();
  c.scanned_bytes = r.mark.scanned.load(std::memory_order_relaxed);
  r.pace.last_scanned = c.scanned_bytes;
  r.pace.last_triggered = c.record.heap_at_start;
  cons_mark::cycle learned;
  learned.allocated = c.record.heap_at_end > c.record.heap_at_start
                          ? c.record.heap_at_end - c.record.heap_at_start
                          : 0;
  learned.scanned = c.scanned_bytes + c.roots.stacks + c.roots.globals;
  learned.duration_ns = c.marked - c.mark_began;
  learned.assist_ns = r.mark.assist_ns.load(std::memory_order_relaxed);
  learned.procs = max_procs();
  const std::uint64_t workers = c.cpu_ns + helpers::cpu_ns() + shares::spent_ns();
  const auto share = static_cast<std::uint64_t>(static_cast<double>(learned.duration_ns) * learned.procs *
                                                k_background_utilization);
  learned.idle_ns = workers > share ? workers - share : 0;
  r.pace.cons_mark.end_cycle(learned);
  c.record.assist_cpu = learned.assist_ns;
  c.record.worker_cpu = workers - learned.idle_ns;
  c.record.idle_cpu = learned.idle_ns;
  (void)m;
}

}  // namespace

void run_concurrent(cycle& c) {
  CAIRN_CHECK(!heap::the_heap.needs_sweep(), "a cycle starts with spans still to sweep");
  await_gap();
  if (c.is_forced()) step("cycle.settle", settle);
  check_structures();
  marker& m = the_marker();
  m.bytes_marked = m.objects_marked = m.bytes_scanned = 0;
  helpers::reset_counts();

  heap::maybe_delay("cycle.barrier_on");
  set_barrier(k_marking | k_grey_stacks);
  step("cycle.h1", begin);
  c.mark_began = now_ns();
  heap::the_heap.begin_black();
  start_pace(c);
  set_phase(phase::mark);
  const std::uint64_t cpu = thread_cpu_ns();
  mark_shared_roots(c, m);
  scan_threads(c, m);
  c.cpu_ns = thread_cpu_ns() - cpu;
  continue_marking(c);
}

void begin_marking_stopped(cycle& c, marker& m, const sched::world_stopped& stopped) noexcept {
  set_barrier(k_marking);
  heap::the_heap.begin_black();
  sched::for_each_m(stopped, [](sched::m& thread) {
    thread.assist_credit = 0;
    thread.black_bytes = heap::mark_open(thread);
  });
  start_pace(c);
  rt().mark.running.store(1, std::memory_order_relaxed);  // the caller: nobody else did when it began
  m.flush();
  set_phase(phase::mark);
}

void continue_marking(cycle& c) {
  runtime& r = rt();
  marker& m = the_marker();
  mark_slice slice;
  slice.begin(m);
  m.slice = c.is_forced() ? nullptr : &slice;
  mark_to_the_end(m);
  set_phase(phase::mark_termination);
  decide_fates(m, drain_beside);
  m.slice = nullptr;
  c.cpu_ns += slice.end(m);
  c.marked = now_ns();
  c.marked_bytes = all_marked(m);
  check_marked(c);
  finish(c);
  learn_pace(c, m);
  update_goal();
  r.pace.set_sweep(pace_sweep(r.pace.live.load(std::memory_order_relaxed),
                              r.pace.trigger.load(std::memory_order_relaxed), heap::the_heap.pages_in_use(),
                              0));
  heap::maybe_delay("cycle.sweep");
  heap::the_heap.begin_sweep();
  r.specials.open_weak();
  set_phase(phase::off);
}

}  // namespace cairn::gc
