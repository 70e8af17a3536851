// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Starting the runtime, and what the layers below ask of it. See gc/runtime.h.
#include "gc/runtime.h"

#include <dlfcn.h>
#include <unwind.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "cairn/detail/assert.h"
#include "cairn/detail/barrier.h"
#include "cairn/detail/entry.h"
#include "cairn/gc.h"
#include "cairn/go.h"
#include "gc/barrier.h"
#include "gc/batch.h"
#include "gc/cpu_count.h"
#include "gc/cycle.h"
#include "gc/filter.h"
#include "gc/parked.h"
#include "gc/roots.h"
#include "gc/vectors.h"
#include "heap/delay.h"
#include "heap/mheap.h"
#include "heap/private.h"
#include "sched/futex.h"
#include "sched/hooks.h"
#include "sched/traceback.h"

namespace cairn::gc {
namespace {

CAIRN_PRIVATE constinit runtime g_runtime;

// What exit() calls first of what was registered last: a static that is made after the runtime's start is destroyed
// before this, one made earlier after it.
void on_exit() {
  g_runtime.exiting.store(true, std::memory_order_relaxed);
  sched::traceback::await_last_report();
}

void apply_debug(const debug_options& d) {
  detail::check_level = static_cast<int>(d.check);
  heap::clobber_free = d.clobberfree != 0;
  sched::set_schedtrace(d.schedtrace, d.scheddetail != 0);
  heap::set_delays(static_cast<unsigned>(d.delay), static_cast<std::uint64_t>(d.seed));
  const unsigned checks = (d.ptrcheck != 0 ? k_check_location : 0) | (d.invalidptr != 0 ? k_check_value : 0);
  // Relaxed: a thread that stores before it has attached may not see it yet.
  __atomic_store_n(&cairn_barrier_flags, static_cast<unsigned char>(checks), __ATOMIC_RELAXED);
}

// exit() is on the stack: a static's destructor is the first to use the library.
bool is_inside_exit() {
  auto look = [](_Unwind_Context* frame, void* found) {
    // The return address belongs to the call before it; exit() does not return, so it may lie behind the function.
    void* ip = reinterpret_cast<void*>(_Unwind_GetIP(frame) - 1);
    if (_Unwind_FindEnclosingFunction(ip) != dlsym(RTLD_DEFAULT, "exit")) return _URC_NO_REASON;
    *static_cast<bool*>(found) = true;
    return _URC_END_OF_STACK;
  };
  bool found = false;
  _Unwind_Backtrace(look, &found);
  return found;
}

// Once per process.
void first_start() {
  runtime& r = g_runtime;
  r.options = options_from_environment();
  apply_debug(r.options.debug);
  r.start_ns = now_ns();
  r.pace.last_cycle_end_ns.store(r.start_ns, std::memory_order_relaxed);
  if (!heap::the_heap.init()) throw std::bad_alloc();
  find_thread_locals();
  the_marker();
  choose_filter();
  choose_batch_kernels();
  choose_forget_vectors();
  r.pace.percent.store(r.options.gc_percent, std::memory_order_relaxed);
  r.pace.memory_limit.store(r.options.memory_limit, std::memory_order_relaxed);
  sched::set_max_procs(r.options.max_procs > 0 ? r.options.max_procs : usable_cpus());
  sched::set_stack_size(r.options.stack_size);
  sched::initialise(r.options.signal);
  if (is_inside_exit()) on_exit();
  std::atexit(on_exit);
  update_goal();
  background::start();
  if (r.options.debug.gcstoptheworld == 0) collector::start();
  r.started.store(true, std::memory_order_release);
}

void check_options(const options& o) {
  if (o.max_procs && *o.max_procs < 1) throw std::invalid_argument("options::max_procs must be at least 1");
  if (o.gc_percent && *o.gc_percent < gc_off)
    throw std::invalid_argument("options::gc_percent must be at least -1 (gc_off)");
}

void start(const options& chosen, bool) {
  check_options(chosen);
  runtime& r = g_runtime;
  if (!r.started.load(std::memory_order_acquire)) first_start();
  if (chosen.gc_percent) r.pace.percent.store(*chosen.gc_percent, std::memory_order_relaxed);
  if (chosen.memory_limit) r.pace.memory_limit.store(*chosen.memory_limit, std::memory_order_relaxed);
  if (chosen.max_procs) sched::set_max_procs(*chosen.max_procs);
  if (chosen.stack_size) sched::set_stack_size(*chosen.stack_size);
  if (chosen.gc_percent || chosen.memory_limit) {
    cycle_guard guard;
    update_goal();
  }
}

// Its frames and thread-local variables go to the markers: a thread that comes or goes while a cycle marks is not
// there when the others are scanned.
void scan_self(sched::m& self) noexcept {
  if (!barrier_is_on() || sched::current() != &self) return;
  sched::spill_and_call(
      self, [](void* p) { scan_thread(*static_cast<sched::m*>(p)); }, &self);
}

void leave_no_gc_scopes(unsigned n) noexcept {
  // Release: pairs with await_no_gc_scopes.
  if (rt().no_gc_scopes.fetch_sub(n, std::memory_order_release) == n)
    sched::futex_wake(rt().no_gc_scopes, INT32_MAX);
}

void on_attach(sched::m& self) noexcept {
  self.assist_credit = 0;
  self.black_bytes = 0;
  // The last thread's. Of what it had not counted yet in share_spent and assist_ns, at most 20 us each, the
  // rest follows.
  self.used = {};
  self.share_from = 0;
  scan_self(self);
}

void on_detach(sched::m& self) noexcept {
  scan_self(self);
  flush_barrier(self);
  heap::flush(self, barrier_is_on());
  rt().mark.black_bytes.fetch_add(self.black_bytes, std::memory_order_relaxed);
  rt().pace.live.fetch_add(self.uncounted, std::memory_order_relaxed);
  self.uncounted = 0;
  root_slots::flush(self);
  for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc) {
    heap::the_heap.central[sc].taken_by_gone.fetch_add(self.taken[sc].load(std::memory_order_relaxed),
                                                       std::memory_order_relaxed);
    self.taken[sc].store(0, std::memory_order_relaxed);
  }
  // Scopes that their thread did not live to end.
  if (self.no_gc_scopes != 0) leave_no_gc_scopes(std::exchange(self.no_gc_scopes, 0u));
}

void blacken(sched::m& self) noexcept {
  if (barrier_is_on()) self.black_bytes += heap::mark_open(self);
}

bool may_wake() noexcept {
  return g_runtime.mark.current() != phase::off || !g_runtime.specials.queue.empty() || finalizers::busy();
}

pause_kind kind_of(sched::interruption why) noexcept {
  switch (why) {
    case sched::interruption::handshake:
      return pause_kind::handshake;
    case sched::interruption::stack_scan:
      return pause_kind::stack_scan;
    case sched::interruption::stop:
      break;
  }
  return pause_kind::stop;
}

void on_pause(sched::m&, sched::interruption why, heap::interval took) noexcept {
  g_runtime.count.note(kind_of(why), took);
  std::atomic<std::uint64_t>& longest = g_runtime.mark.longest_pause_ns;
  std::uint64_t now = longest.load(std::memory_order_relaxed);
  while (took.ns > now && !longest.compare_exchange_weak(now, took.ns, std::memory_order_relaxed)) {
  }
}

}  // namespace

runtime& rt() noexcept { return g_runtime; }

void update_goal() noexcept {
  pacing& p = g_runtime.pace;
  goal_inputs in;
  in.gc_percent = p.percent.load(std::memory_order_relaxed);
  in.memory_limit = p.memory_limit.load(std::memory_order_relaxed);
  in.live = p.marked.load(std::memory_order_relaxed);
  in.floating = p.floating.load(std::memory_order_relaxed);
  const std::ptrdiff_t external = p.external.load(std::memory_order_relaxed);
  if (external > 0) in.live += static_cast<std::size_t>(external);
  in.stack_bytes = p.stack_bytes.load(std::memory_order_relaxed);
  in.globals_bytes = p.globals_bytes.load(std::memory_order_relaxed);
  const heap::mheap::usage u = heap::the_heap.read_usage();
  in.use.mapped = u.mapped - u.released + heap::metadata_bytes() + in.stack_bytes;
  in.use.heap_in_use = p.live.load(std::memory_order_relaxed);
  in.use.heap_idle = u.idle > u.released ? u.idle - u.released : 0;
  in.resident = u.mapped - u.released;
  in.sweep_basis = p.live.load(std::memory_order_relaxed);
  const heap_goal goal = compute_goal(in);
  p.goal.store(goal.goal, std::memory_order_relaxed);
  const std::size_t runway = p.cons_mark.runway(p.last_scanned + in.stack_bytes + in.globals_bytes);
  const bool limiting = g_runtime.is_limiting.load(std::memory_order_relaxed);
  const bool at_goal = g_runtime.options.debug.gcstoptheworld != 0 || limiting;
  std::size_t trigger = stopped_trigger(goal, in.live, limiting);
  // Something at least between two cycles, where a memory limit cannot be held.
  if (!at_goal)
    trigger = std::max(compute_trigger(goal, in.live, runway), stopped_trigger({0, 0}, in.live, false));
  p.trigger.store(trigger, std::memory_order_relaxed);
}

}  // namespace cairn::gc

namespace cairn::sched {

constinit const hook_table hooks = {
    gc::start,   gc::on_attach, gc::on_detach, gc::scan_goroutine,
    gc::blacken, gc::may_wake,  gc::on_pause,  gc::leave_no_gc_scopes,
};

}  // namespace cairn::sched

namespace cairn::detail {

void** root_acquire(void* value) {
  void** slot = gc::root_slots::acquire();
  store_word<void>(*slot, value);  // a root may be scanned already
  return slot;
}

void root_release(void** slot) noexcept { gc::root_slots::release(slot); }

}  // namespace cairn::detail
