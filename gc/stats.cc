// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The public functions of namespace gc: statistics and settings.
#include <algorithm>
#include <stdexcept>

#include "cairn/gc.h"
#include "cairn/go.h"
#include "gc/cycle.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "heap/metadata.h"
#include "heap/mheap.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"
#include "sched/park.h"
#include "sched/proc.h"

namespace cairn::gc {
namespace {

struct class_counts {
  std::uint64_t taken[detail::k_span_class_count] = {};
};

// What one thread's objects are: slots in runs it took less those that its open runs still hold. Its cache may change
// meanwhile: read again until its version stands still.
void add_thread(const sched::m& thread, class_counts& sum) noexcept {
  for (;;) {
    const std::uint32_t before = thread.version.load(std::memory_order_acquire);
    class_counts mine;
    for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc) {
      const detail::alloc_run& run = thread.runs[sc];
      const std::uintptr_t end = __atomic_load_n(&run.end, __ATOMIC_RELAXED);
      const std::uintptr_t cursor = __atomic_load_n(&run.cursor, __ATOMIC_RELAXED);
      const std::size_t bytes = detail::k_class_bytes[sc / 2];
      const std::uint64_t open = bytes != 0 && end > cursor ? (end - cursor) / bytes : 0;
      mine.taken[sc] = thread.taken[sc].load(std::memory_order_relaxed) - open;
    }
    std::atomic_thread_fence(std::memory_order_acquire);  // pairs with version_guard
    if (before % 2 == 0 && thread.version.load(std::memory_order_relaxed) == before) {
      for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc) sum.taken[sc] += mine.taken[sc];
      return;
    }
  }
}

// All under the registry's lock: a thread that detaches moves its counts from its own to those of the gone, and between
// two looks it would be in neither.
class_counts count_taken() {
  class_counts sum;
  sched::registry_guard guard;
  for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc)
    sum.taken[sc] = heap::the_heap.central[sc].taken_by_gone.load(std::memory_order_relaxed);
  sched::for_each_m(guard, [&sum](const sched::m& thread) { add_thread(thread, sum); });
  return sum;
}

void read_objects(stats& s) {
  // Frees first: an object that is made and freed in between is then counted as neither.
  std::uint64_t freed[detail::k_span_class_count];
  for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc)
    freed[sc] = heap::the_heap.central[sc].freed.load(std::memory_order_acquire);
  const class_counts sum = count_taken();
  for (unsigned sc = 0; sc < detail::k_span_class_count; ++sc) {
    const std::uint64_t taken = sum.taken[sc] > freed[sc] ? sum.taken[sc] : freed[sc];
    s.total_allocs += taken;
    s.total_frees += freed[sc];
    s.total_alloc_bytes += taken * detail::k_class_bytes[sc / 2];
    if (sc < 2) continue;
    class_stats& c = s.per_class[sc / 2 - 1];
    c.objects_in_use += taken - freed[sc];
    c.objects_freed += freed[sc];
  }
  s.total_alloc_bytes += rt().count.large_bytes.load(std::memory_order_relaxed);
  s.heap_objects = s.total_allocs - s.total_frees;
}

void read_memory(stats& s) {
  const heap::mheap::usage u = heap::the_heap.read_usage();
  s.heap_mapped_bytes = u.mapped;
  s.heap_released_bytes = u.released;
  s.heap_idle_bytes = u.idle > u.released ? u.idle : u.released;
  s.metadata_bytes = heap::metadata_bytes();
  for (unsigned c = 1; c < detail::k_size_class_count; ++c) {
    s.per_class[c - 1].object_size = detail::k_class_bytes[c];
    s.per_class[c - 1].spans = heap::the_heap.central[2 * c].spans.load(std::memory_order_relaxed) +
                               heap::the_heap.central[2 * c + 1].spans.load(std::memory_order_relaxed);
  }
}

void read_interruptions(stats& s) noexcept {
  const counters& count = rt().count;
  for (std::size_t k = 0; k < pause_kind_count; ++k) {
    const auto kind = static_cast<pause_kind>(k);
    const histogram switched = count.switched[k].snapshot();
    s.by_kind[k] = count.interruptions[k].snapshot();
    if (kind == pause_kind::assist)
      for (const histogram_recorder& slices : count.slices) s.by_kind[k] += slices.snapshot();
    s.switched += switched;
    if (kind <= pause_kind::stack_scan) (s.pauses += s.by_kind[k]) += switched;
    if (kind == pause_kind::assist) (s.assists += s.by_kind[k]) += switched;
  }
}

std::chrono::nanoseconds ns(std::uint64_t n) noexcept { return std::chrono::nanoseconds(n); }

// How many no_gc_scopes the caller is in: the goroutine, or the thread that is none.
unsigned& own_no_gc_scopes() noexcept {
  sched::m& self = *sched::current();
  sched::goroutine* g = self.current_goroutine.load(std::memory_order_relaxed);
  return g != nullptr ? g->no_gc_scopes : self.no_gc_scopes;
}

bool holds_no_gc_scope() noexcept { return sched::current() != nullptr && own_no_gc_scopes() != 0; }

void refuse_in_no_gc_scope(const char* function) {
  if (holds_no_gc_scope())
    throw std::logic_error(std::string(function) +
                           " was called while the caller holds a no_gc_scope: it would wait for itself");
}

// Waits for the end of other threads' scopes.
void await_no_gc_scopes() {
  sched::m& self = sched::self();
  for (std::uint32_t n; (n = rt().no_gc_scopes.load(std::memory_order_acquire)) != 0;)
    sched::block_on(self, rt().no_gc_scopes, n);
}

}  // namespace

void force_cycle(const char* function) {
  sched::self();
  refuse_in_no_gc_scope(function);
  const std::uint64_t forced = rt().count.forced.load(std::memory_order_relaxed);
  do {
    await_no_gc_scopes();
    run_cycle(cycle_reason::forced);
  } while (rt().count.forced.load(std::memory_order_relaxed) == forced &&
           !rt().exiting.load(std::memory_order_relaxed));
  finish_sweep();
  sched::regain_p();
}

namespace {

void verify_spilled(void* result) {
  cycle_guard guard;
  finish_sweep();
  with_loaded_objects(
      [](void* arg) {
        const sched::world_stopped stopped = sched::stop_the_world("gc::verify");
        sched::for_each_m(stopped,
                          [](sched::m& thread) { heap::sweep_cached(thread, heap::the_heap.sweepgen()); });
        bool& good = *static_cast<bool*>(arg);
        good = check_marks(stopped, false);
        good &= check_heap(stopped);
      },
      result);
}

}  // namespace

stats read_stats() {
  sched::self();
  stats s{};
  const runtime& r = rt();
  const pacing& p = r.pace;
  read_objects(s);
  {
    sched::runtime_section section;
    read_memory(s);
  }
  s.heap_live_bytes = p.live.load(std::memory_order_relaxed);
  s.heap_goal_bytes = p.goal.load(std::memory_order_relaxed);
  s.stack_bytes = p.stack_bytes.load(std::memory_order_relaxed);
  s.gc_cycles = r.count.cycles.load(std::memory_order_relaxed);
  s.forced_cycles = r.count.forced.load(std::memory_order_relaxed);
  // The part first, then the whole: a thread that is taken off its processor in between must not see more than all. A
  // time with the world stopped counts for all processors, and may overlap with the sweeper's.
  const auto gc_cpu = static_cast<double>(r.count.gc_cpu_ns.load(std::memory_order_acquire));
  const double available = static_cast<double>(now_ns() - r.start_ns) * max_procs();
  s.gc_cpu_fraction = available > 0 ? std::min(gc_cpu / available, 1.0) : 0;
  read_interruptions(s);
  s.assist_time = s.assists.total();
  s.mark_time = ns(r.count.mark_ns.load(std::memory_order_relaxed));
  s.sweep_time = ns(r.count.sweep_ns.load(std::memory_order_relaxed));
  s.last_pause = ns(r.count.last_pause_ns.load(std::memory_order_relaxed));
  s.max_pause = s.pauses.max();
  s.total_pause = s.pauses.total();
  return s;
}

void collect() { force_cycle("gc::collect"); }

void free_os_memory() {
  force_cycle("gc::free_os_memory");
  std::size_t returned = 0;
  do {
    sched::runtime_section section;
    returned = heap::the_heap.scavenger.step(true);
  } while (returned != 0);
}

int set_percent(int percent) {
  if (percent < gc_off) throw std::invalid_argument("gc::set_percent: below -1 (gc_off)");
  sched::self();
  int old = 0;
  {
    cycle_guard guard;
    old = rt().pace.percent.exchange(percent, std::memory_order_relaxed);
    update_goal();
  }
  collect_if_due(cycle_reason::heap);
  return old;
}

std::size_t set_memory_limit(std::size_t bytes) {
  sched::self();
  std::size_t old = 0;
  {
    cycle_guard guard;
    old = rt().pace.memory_limit.exchange(bytes, std::memory_order_relaxed);
    update_goal();
  }
  collect_if_due(cycle_reason::heap);
  background::wake();
  return old;
}

void adjust_external_bytes(std::ptrdiff_t n) {
  sched::self();
  rt().pace.external.fetch_add(n, std::memory_order_relaxed);
  if (n >= 0) rt().pace.live.fetch_add(static_cast<std::size_t>(n), std::memory_order_relaxed);
  else rt().pace.subtract_live(static_cast<std::size_t>(-(n + 1)) + 1);
  collect_if_due(cycle_reason::heap);
}

phase current_phase() { return rt().mark.current(); }

bool verify() {
  sched::m& self = sched::self();
  refuse_in_no_gc_scope("gc::verify");
  await_no_gc_scopes();
  bool good = true;
  sched::spill_and_call(self, verify_spilled, &good);
  return good;
}

no_gc_scope::no_gc_scope() {
  sched::self();
  cycle_guard guard;  // a cycle that runs ends first
  ++own_no_gc_scopes();
  rt().no_gc_scopes.fetch_add(1, std::memory_order_relaxed);
}

no_gc_scope::~no_gc_scope() {
  if (holds_no_gc_scope()) --own_no_gc_scopes();
  // Release: pairs with await_no_gc_scopes.
  if (rt().no_gc_scopes.fetch_sub(1, std::memory_order_release) == 1)
    sched::futex_wake(rt().no_gc_scopes, INT32_MAX);
}

}  // namespace cairn::gc
