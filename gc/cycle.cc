// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Running a cycle. See gc/cycle.h for overview.
#include "gc/cycle.h"

#include <algorithm>
#include <utility>

#include "cairn/detail/assert.h"
#include "cairn/gc.h"
#include "cairn/go.h"
#include "gc/concurrent.h"
#include "gc/cycle_state.h"
#include "gc/gctrace.h"
#include "gc/guest.h"
#include "gc/pool.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "gc/share.h"
#include "gc/vectors.h"
#include "heap/delay.h"
#include "heap/fatal.h"
#include "heap/mheap.h"
#include "heap/pause.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/park.h"
#include "sched/records.h"
#include "sched/sysmon.h"
#include "sched/user_timer.h"

namespace cairn::gc {
namespace {

// Marking more objects than this is worth waking helpers for: some 40 us of work against 5 to 50 us until they run.
constexpr std::size_t k_alone_objects = 4096;

void drain_with_helpers(marker& m, int helpers) noexcept {
  work_pool& pool = rt().work;
  pool.begin_round();
  helpers::wake(helpers);
  m.drain_shared();
  pool.leave();
  pool.await_others();
}

}  // namespace

void drain_stopped(marker& m) noexcept {
  if (!m.drain_alone(k_alone_objects)) return;
  if (helpers::available()) drain_with_helpers(m, max_procs() - 1);
  else m.drain_alone(SIZE_MAX);
}

// Helpers only for processors that the program leaves idle: as a third thread on two they would take from it what the
// cycle gains.
void drain_some_beside(marker& m) noexcept {
  if (!m.drain_beside(k_alone_objects, SIZE_MAX)) {
    // Somebody may be just putting or taking it, who waits for a processor.
    if (!rt().work.is_empty()) heap::yield_cpu();
    return;
  }
  const int idle = max_procs() - 1 - rt().mark.running.load(std::memory_order_relaxed);
  if (idle > 0 && helpers::available()) drain_with_helpers(m, idle);
}

void drain_beside(marker& m) noexcept {
  while (m.has_work() || !rt().work.is_empty()) drain_some_beside(m);
}

void decide_fates(marker& m, void (*drain)(marker&)) noexcept {
  rt().specials.decide(m, drain);
  sched::stop_dead_timers([](const sched::timer* t) noexcept {
    heap::object_ref o;
    return heap::find_object(reinterpret_cast<std::uintptr_t>(t), o) && !heap::is_marked(o);
  });
}

namespace {

// ---- the stopped cycle ----------------------------------------------------------------------------------------------

// The heap's state before marking: every span swept, every mark bit zero.
void prepare(const cycle& c, const sched::world_stopped& stopped) noexcept {
  const std::uint32_t h = heap::the_heap.sweepgen();
  CAIRN_CHECK(!heap::the_heap.needs_sweep(), "a cycle starts with spans still to sweep");
  sched::for_each_m(stopped, [&](sched::m& thread) {
    heap::sweep_cached(thread, h);
    // Threads in the safe state, and the caller, are not in the middle of an allocation: what their caches hold can go
    // back. Only where exactness matters more than speed.
    const std::uint32_t state = thread.state.load(std::memory_order_relaxed);
    // A frozen one is held too, but where its handler interrupted it.
    const bool at_rest = &thread == sched::current() ||
                         (!thread.interrupted && (state == sched::k_held || state == sched::k_held_waited));
    if (!at_rest) return;
    thread.tiny = thread.tiny_end = 0;
    if (c.is_forced()) heap::flush(thread, false);
  });
}

// After marking: the next cycle's figures, and every span needs sweeping.
void finish(cycle& c, const sched::world_stopped& stopped) noexcept {
  pacing& p = rt().pace;
  std::size_t open_bytes = 0;
  sched::for_each_m(stopped, [&](sched::m& thread) {
    open_bytes += heap::mark_open(thread);
    thread.uncounted = 0;
  });
  c.record.heap_at_end = p.live.load(std::memory_order_relaxed);
  c.record.heap_live = c.marked_bytes;
  p.marked.store(c.marked_bytes, std::memory_order_relaxed);
  p.floating.store(0, std::memory_order_relaxed);
  p.stack_bytes.store(c.roots.stacks, std::memory_order_relaxed);
  p.globals_bytes.store(c.roots.globals, std::memory_order_relaxed);
  const std::ptrdiff_t external = p.external.load(std::memory_order_relaxed);
  p.set_live(c.marked_bytes + open_bytes + static_cast<std::size_t>(external > 0 ? external : 0));
  p.pages_swept.store(0, std::memory_order_relaxed);
  update_goal();
  p.set_sweep(pace_sweep(p.live.load(std::memory_order_relaxed), p.trigger.load(std::memory_order_relaxed),
                         heap::the_heap.pages_in_use(), 0));
  heap::the_heap.advance_generation();
  heap::the_heap.begin_sweep();
}

marker& mark_roots_stopped(cycle& c, const sched::world_stopped& stopped) noexcept {
  c.mark_began = now_ns();
  prepare(c, stopped);
  if (cairn::detail::check_level >= 3) check_heap(stopped);
  marker& m = the_marker();
  m.bytes_marked = m.objects_marked = m.bytes_scanned = 0;
  helpers::reset_counts();
  c.roots = mark_roots(m, stopped);
  return m;
}

// All is marked.
void end_stopped(cycle& c, marker& m, const sched::world_stopped& stopped) noexcept {
  runtime& r = rt();
  heap::maybe_delay("cycle.marked");
  decide_fates(m, drain_stopped);
  CAIRN_ASSERT(!m.has_work(), "marking ended with work left");
  c.marked_bytes = m.bytes_marked + helpers::bytes_marked();
  c.marked = now_ns();
  if (r.options.debug.gccheckmark != 0 && !check_marks(stopped, true))
    heap::fatal_error("gccheckmark: the second mark does not agree (see above)");
  finish(c, stopped);
  if (cairn::detail::check_level >= 3 && !r.specials.check([](const void* p, const char* what) {
        heap::report("check: the object at {} {}", p, what);
      }))
    heap::fatal_error("check=3: specials disagree with the heap (see above)");
}

void run_stopped(cycle& c, const sched::world_stopped& stopped) noexcept {
  marker& m = mark_roots_stopped(c, stopped);
  drain_stopped(m);
  end_stopped(c, m, stopped);
}

// ---- either ---------------------------------------------------------------------------------------------------------

bool stops_the_world() noexcept { return rt().options.debug.gcstoptheworld != 0; }

void count_stopped(cycle& c) noexcept {
  const auto procs = static_cast<std::uint64_t>(max_procs());
  const std::uint64_t stopped_ns = c.ended - c.mark_began;
  rt().count.mark_ns.fetch_add(c.marked - c.mark_began + helpers::cpu_ns(), std::memory_order_relaxed);
  rt().count.gc_cpu_ns.fetch_add(stopped_ns * procs, std::memory_order_relaxed);
  rt().count.last_pause_ns.store(stopped_ns, std::memory_order_relaxed);
  c.record.worker_cpu = (c.marked - c.mark_began) * procs;
  c.record.end_cpu = (c.ended - c.marked) * procs;
}

void count_concurrent(cycle& c) noexcept {
  const std::uint64_t cpu = c.cpu_ns + helpers::cpu_ns() + shares::spent_ns() + c.record.assist_cpu;
  c.record.end_cpu = c.ended - c.marked;
  rt().count.mark_ns.fetch_add(cpu, std::memory_order_relaxed);
  rt().count.gc_cpu_ns.fetch_add(cpu + c.record.end_cpu, std::memory_order_relaxed);
  rt().count.last_pause_ns.store(rt().mark.longest_pause_ns.load(std::memory_order_relaxed),
                                 std::memory_order_relaxed);
}

void trace(cycle& c) noexcept {
  runtime& r = rt();
  cycle_record& line = c.record;
  const auto procs = static_cast<std::uint64_t>(max_procs());
  line.number = r.count.cycles.load(std::memory_order_relaxed);
  line.since_start = c.began - r.start_ns;
  const std::uint64_t elapsed = c.ended - r.start_ns;
  line.cpu_fraction = elapsed == 0 ? 0
                                   : static_cast<double>(r.count.gc_cpu_ns.load(std::memory_order_relaxed)) /
                                         static_cast<double>(elapsed * procs);
  line.sweep_clock = c.mark_began - c.began;
  line.mark_clock = c.marked - c.mark_began;
  line.end_clock = c.ended - c.marked;
  line.sweep_cpu = line.sweep_clock;
  line.stack_bytes = c.roots.stacks;
  line.globals_bytes = c.roots.globals;
  line.procs = max_procs();
  line.forced = c.is_forced();
  if (r.options.debug.gctrace != 0) write_gctrace(line);
  if (r.options.debug.gcpacertrace != 0) {
    const pacing& p = r.pace;
    heap::report(
        "pacer: cycle {}: {} bytes marked, {} of stacks, {} of globals; {} scanned, {:.4f} allocated a byte "
        "of that; "
        "the next at {}, goal {}; sweep {:.4f} pages a byte",
        line.number, p.marked.load(std::memory_order_relaxed), p.stack_bytes.load(std::memory_order_relaxed),
        p.globals_bytes.load(std::memory_order_relaxed), p.last_scanned, p.cons_mark.ratio(),
        p.trigger.load(std::memory_order_relaxed), p.goal.load(std::memory_order_relaxed),
        p.get_sweep().pages_per_byte);
  }
}

// What the CPU limiter has been told. Owner: the holder of the cycle lock.
struct {
  std::uint64_t now = 0;
  std::uint64_t gc_ns = 0;      // up to then
  std::uint64_t assist_ns = 0;  // of that, assists of the running cycle
  bool goal_knows = false;      // what the goal was computed with
} g_limited;

void tell_limiter(std::uint64_t now, std::uint64_t gc_ns) noexcept {
  runtime& r = rt();
  g_limited.now = now;
  g_limited.gc_ns += gc_ns;
  r.limiter.set_procs(max_procs());
  r.limiter.advance(now - r.start_ns, g_limited.gc_ns);
  r.is_limiting.store(r.limiter.limiting(), std::memory_order_relaxed);
}

// Marking beside the program, since the last call. What workers do on processors that would be idle is not counted.
void tell_limiter_of_marking(std::uint64_t now) noexcept {
  const std::uint64_t assisted = rt().mark.assist_ns.load(std::memory_order_relaxed);
  const std::uint64_t more = assisted - std::min(assisted, g_limited.assist_ns);
  g_limited.assist_ns = assisted;
  const double background = static_cast<double>(now - std::min(now, g_limited.now)) * max_procs() *
                            k_background_utilization;
  tell_limiter(now, more + static_cast<std::uint64_t>(background));
}

// Cycle lock held, depth 0: what comes before the stop or the first handshake.
void begin_cycle(cycle& c, cycle_reason reason) {
  runtime& r = rt();
  c.reason = reason;
  c.began = now_ns();
  tell_limiter(c.began, 0);
  g_limited.assist_ns = 0;
  c.record.heap_at_start = r.pace.live.load(std::memory_order_relaxed);
  c.record.heap_goal = r.pace.goal.load(std::memory_order_relaxed);
  // With random delays each other cycle sorts all it can, as else only large heaps do.
  const bool always = heap::delays.permille.load(std::memory_order_relaxed) != 0 &&
                      r.count.cycles.load(std::memory_order_relaxed) % 2 != 0;
  r.work.regions().fit(heap::g_space.committed.load(std::memory_order_relaxed), c.record.heap_at_start,
                       always ? sorting_limits::always() : sorting_limits{});
  r.work.begin_cycle(c.record.heap_at_start);
  r.work.reserve();
  r.specials.reserve();
  if (!stops_the_world()) guests::prepare();
  // A cycle that turned out to be worth it has asked for them; of a large heap, and of many stacks, that is known
  // before: 8192 take some milliseconds.
  constexpr std::size_t k_large_heap = 16 << 20, k_many_segments = 32;
  if (helpers::are_wanted(c.record.heap_at_start >= k_large_heap ||
                          sched::records::segment_count.load(std::memory_order_relaxed) >= k_many_segments))
    helpers::start(static_cast<unsigned>(max_procs() - 1));
  finish_sweep();
  pools::grow_old();
}

// Goal and trigger are set anew when the answer changes.
void limit_cpu(const cycle& c, bool was_stopped) noexcept {
  if (was_stopped) tell_limiter(c.ended, (c.ended - c.mark_began) * static_cast<std::uint64_t>(max_procs()));
  else tell_limiter_of_marking(c.ended);
  const bool limiting = rt().is_limiting.load(std::memory_order_relaxed);
  if (std::exchange(g_limited.goal_knows, limiting) != limiting) update_goal();
}

void end_cycle(cycle& c, bool was_stopped) noexcept {
  runtime& r = rt();
  c.ended = now_ns();
  if (was_stopped) count_stopped(c);
  else count_concurrent(c);
  r.count.cycles.fetch_add(1, std::memory_order_relaxed);
  if (c.reason == cycle_reason::forced) r.count.forced.fetch_add(1, std::memory_order_relaxed);
  r.pace.last_cycle_end_ns.store(c.ended, std::memory_order_relaxed);
  r.pace.live_at_end.store(c.record.heap_at_end, std::memory_order_relaxed);
  limit_cpu(c, was_stopped);
  trace(c);
}

// Cycle lock held, depth 0.
void run_locked(cycle_reason reason) {
  cycle c;
  begin_cycle(c, reason);
  if (stops_the_world()) {
    with_loaded_objects(
        [](void* p) {
          const sched::world_stopped stopped = sched::stop_the_world("a collection");
          run_stopped(*static_cast<cycle*>(p), stopped);
        },
        &c);
  } else {
    run_concurrent(c);
  }
  end_cycle(c, stops_the_world());
}

}  // namespace

// Not only when a cycle ends: one of a large heap takes seconds, in which nobody would assist because the cycle
// before was expensive, and the heap would outgrow its goal several times.
void limit_cpu_of_marking(std::uint64_t now) noexcept {
  constexpr std::uint64_t k_interval_ns = 1'000'000;
  if (now - g_limited.now >= k_interval_ns) tell_limiter_of_marking(now);
}

marker& the_marker() noexcept {
  static marker& m = *new marker(rt().work,
                                 true);  // first used before the first stop: see start of the runtime
  return m;
}

bool cycles_allowed() noexcept {
  return !rt().exiting.load(std::memory_order_relaxed) &&
         rt().no_gc_scopes.load(std::memory_order_relaxed) == 0;
}

namespace {

void acquire_cycle_lock() {
  heap::lock& lock = rt().cycle_lock;
  if (lock.try_lock()) return;
  if (sched::m* self = sched::current()) sched::in_safe_state(*self, [&lock] { lock.lock(); });
  else lock.lock();
}

void release_cycle_lock() noexcept {
  rt().cycle_lock.unlock();
  rt().cycle_lock_released.fetch_add(1, std::memory_order_release);  // pairs with wait_or_lock
  sched::futex_wake(rt().cycle_lock_released, INT32_MAX);
}

// The cycle lock is given up, and those who work on are told.
void after_cycle() noexcept {
  forget_vectors();
  release_cycle_lock();
  background::wake();
  if (!rt().specials.queue.empty()) finalizers::wake();
  sched::wake_sysmon();  // which may find that nobody can go on
}

bool is_due() noexcept {
  const pacing& p = rt().pace;
  return p.live.load(std::memory_order_relaxed) >= p.trigger.load(std::memory_order_relaxed);
}

// The cycle lock, unless the cycle that was due has been run by somebody else meanwhile: then false. Not simply
// the lock: threads that collect in a loop would keep the others waiting for cycles that they have no use for.
bool lock_while_due() {
  runtime& r = rt();
  while (is_due()) {
    const std::uint32_t seen = r.cycle_lock_released.load(std::memory_order_acquire);
    if (r.cycle_lock.try_lock()) return true;
    if (sched::m* self = sched::current()) {
      sched::block_on(*self, r.cycle_lock_released, seen);
      continue;
    }
    // The collector's thread. It must not become an attached one; and who holds the lock may hand it a cycle.
    if (collector::has_taken_over()) return false;
    sched::futex_wait(r.cycle_lock_released, seen);
  }
  return false;
}

// As run_cycle, the caller's registers spilled.
void run_cycle_spilled(cycle_reason reason) {
  if (reason == cycle_reason::heap) {
    if (!lock_while_due()) return;
  } else {
    acquire_cycle_lock();
  }
  if (cycles_allowed()) run_locked(reason);
  after_cycle();
}

}  // namespace

cycle_guard::cycle_guard() { acquire_cycle_lock(); }
cycle_guard::~cycle_guard() { release_cycle_lock(); }

// The scan of this thread's stack begins here, at the library's edge: the frames below hold leftovers of earlier calls
// in their gaps, the same ones each time, and would keep what these point to for good.
void run_cycle(cycle_reason reason) {
  sched::m* self = sched::current();
  if (self == nullptr) return run_cycle_spilled(reason);
  sched::spill_and_call(
      *self, [](void* p) { run_cycle_spilled(*static_cast<cycle_reason*>(p)); }, &reason);
}

std::size_t overshoot_limit() noexcept {
  constexpr std::size_t k_least = 2 << 20;
  const std::size_t goal = rt().pace.goal.load(std::memory_order_relaxed);
  return goal > k_no_goal / 2 ? k_no_goal : goal + std::max(goal / 20, k_least);
}

namespace {

// The collector's thread has not begun, for want of a processor perhaps, and the heap has left its goal behind: who
// allocates waits for it.
void await_start() {
  runtime& r = rt();
  sched::m& self = sched::self();
  heap::stopwatch watch;
  constexpr std::int64_t k_look_again_ns = 1'000'000;
  for (;;) {
    const std::uint32_t seen = r.mark.phase_word.load(std::memory_order_acquire);
    if (r.mark.current() != phase::off || !is_due() || !cycles_allowed()) break;
    if (r.pace.live.load(std::memory_order_relaxed) < overshoot_limit()) break;
    sched::block_on(self, r.mark.phase_word, seen, sched::now_ns() + k_look_again_ns);
    collector::request();
  }
  r.count.note(pause_kind::stop, watch.stop());
}

}  // namespace

// ---- a cycle at once, see gc/concurrent.h ---------------------------------------------------------------------------

namespace {

// The last cycle had next to nothing to look at, and nothing that grows with the heap comes in its way.
bool had_little_to_mark() noexcept {
  constexpr std::size_t k_bytes = 64 << 10;
  constexpr std::size_t k_things = 256, k_pages = 2048;
  const runtime& r = rt();
  const pacing& p = r.pace;
  return p.last_scanned + p.stack_bytes.load(std::memory_order_relaxed) +
                 p.globals_bytes.load(std::memory_order_relaxed) + root_slots::bytes() <=
             k_bytes &&
         heap::the_heap.pages_in_use() <= k_pages && r.specials.size() <= k_things &&
         !r.specials.any_armed.load(std::memory_order_relaxed);
}

bool runs_alone(const sched::m& self) {
  bool alone = true;
  sched::registry_guard held;
  sched::for_each_m(held, [&](const sched::m& thread) {
    if (&thread != &self && thread.state.load(std::memory_order_relaxed) == sched::k_running) alone = false;
  });
  return alone;
}

// True if the cycle is over; else the rest of it is the collector's.
bool mark_at_once(cycle& c, const sched::world_stopped& stopped) noexcept {
  marker& m = mark_roots_stopped(c, stopped);
  if (m.drain_alone(k_at_once_objects, k_at_once_bytes)) {
    begin_marking_stopped(c, m, stopped);
    return false;
  }
  rt().pace.last_scanned = m.bytes_scanned;
  rt().pace.last_triggered = c.record.heap_at_start;
  end_stopped(c, m, stopped);
  return true;
}

void run_at_once(void*) {
  struct {
    cycle c;
    bool over = false;
  } here;
  begin_cycle(here.c, cycle_reason::heap);
  with_loaded_objects(
      [](void* p) {
        const sched::world_stopped stopped = sched::stop_the_world("a collection");
        auto& to = *static_cast<decltype(here)*>(p);
        to.over = mark_at_once(to.c, stopped);
      },
      &here);
  forget_vectors();
  if (!here.over) return collector::take_over(here.c);
  end_cycle(here.c, true);
  after_cycle();
}

// True if there is no cycle to wait for any more.
bool try_at_once() {
  runtime& r = rt();
  sched::m& self = sched::self();
  if (!had_little_to_mark() || !runs_alone(self)) return false;
  if (!r.cycle_lock.try_lock()) return false;
  if (!is_due() || !cycles_allowed()) {
    release_cycle_lock();
    return true;
  }
  heap::stopwatch watch;
  sched::spill_and_call(self, run_at_once, nullptr);
  r.count.note(pause_kind::stop, watch.stop());
  return true;
}

}  // namespace

void finish_cycle(cycle& c) {
  continue_marking(c);
  end_cycle(c, false);
  after_cycle();
}

void collect_if_due(cycle_reason reason) {
  if (!is_due()) [[likely]]
    return;
  if (!cycles_allowed()) return;
  if (!stops_the_world()) {
    if (rt().mark.current() != phase::off || try_at_once()) return;
    collector::request();
    if (rt().pace.live.load(std::memory_order_relaxed) >= overshoot_limit()) await_start();
    return;
  }
  // The thread runs the cycle, or waits for another's: both keep it from its own work.
  heap::stopwatch watch;
  run_cycle(reason);
  rt().count.note(pause_kind::stop, watch.stop());
}

}  // namespace cairn::gc
