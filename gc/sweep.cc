// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Who sweeps besides the allocator: the background thread, allocation in proportion, and the start of a cycle. The same
// thread gives idle memory back to the system and starts the periodic cycle.
//
// Few spans are swept in one runtime section: a handshake waits for mcentral::k_batch of them at most.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "cairn/gc.h"
#include "cairn/go.h"
#include "gc/cycle.h"
#include "gc/runtime.h"
#include "gc/share.h"
#include "gc/slice.h"
#include "heap/metadata.h"
#include "heap/mheap.h"
#include "heap/private.h"
#include "sched/futex.h"

namespace cairn::gc {
namespace {

// Sweeping before an allocation stops here, and the rest is left to the next one. A refill owes two or three spans as
// a rule, and some fifteen are swept in this time. (1 us: objects of 16 bytes took 5.2 ns instead of 3.6.)
constexpr std::uint64_t k_most_sweep_ns = 2'000;

std::size_t count_swept(std::size_t pages) noexcept {
  if (pages != 0) rt().pace.pages_swept.fetch_add(pages, std::memory_order_relaxed);
  return pages;
}

// Without waiting for others.
std::size_t sweep_one_span() noexcept {
  sched::runtime_section section;
  return count_swept(heap::the_heap.sweep_one(false));
}

std::size_t sweep_some_spans() noexcept {
  sched::runtime_section section;
  return count_swept(heap::the_heap.sweep_some());
}

}  // namespace

void finish_sweep() noexcept {
  while (sweep_some_spans() != 0) {
  }
  heap::the_heap.await_sweepers();
}

void pay_sweep_debt(sched::m& self, std::size_t bytes) noexcept {
  if (!heap::the_heap.needs_sweep()) return;
  const pacing& p = rt().pace;
  auto owes = [&p, bytes] {
    return sweep_debt_pages(p.get_sweep(), p.live.load(std::memory_order_relaxed),
                            p.pages_swept.load(std::memory_order_relaxed), bytes) > 0;
  };
  if (!owes()) return;
  heap::stopwatch watch(self.used);
  for (unsigned n = 1; sweep_one_span() != 0 && owes(); ++n)
    if (n % 2 == 0 && now_ns() - watch.began() > k_most_sweep_ns) break;
  rt().count.note(pause_kind::sweep, watch.stop());
}

namespace background {

std::atomic<std::uint64_t> periodic_ns{k_periodic_cycle_ns};

namespace {

struct state {
  std::atomic<std::uint32_t> signal{0};  // Raised by wake; the thread sleeps on its value.
  std::atomic<bool> asleep{false};       // It does: wake has to call the system.
  std::atomic<bool> started{false};
  std::uint64_t scavenged_cycle = 0;  // Owner: the thread.
};
CAIRN_PRIVATE constinit state g_state;

// While all processors are wanted: this long, and then a pause, in which some thread of the program has its processor
// back. A sched_yield is not enough: the kernel lets the thread go on until its own slice of some milliseconds is over.
// If others sweep meanwhile, as all do who allocate, a burst is not needed, and would be 35 us to whom it interrupts:
// then the thread only looks every k_rest_ns how they get on, until the next cycle, which finishes the sweep.
constexpr std::uint64_t k_burst_ns = 25'000;
constexpr long k_pause_ns = 100'000, k_rest_ns = 2'000'000;

void rest_while_others_sweep() noexcept {
  const std::atomic<std::size_t>& swept = rt().pace.pages_swept;
  bool others_do = false;
  do {
    const std::size_t before = swept.load(std::memory_order_relaxed);
    const timespec t{0, others_do ? k_rest_ns : k_pause_ns};
    nanosleep(&t, nullptr);
    others_do = swept.load(std::memory_order_relaxed) != before;
  } while (others_do && rt().mark.current() == phase::off && shares::all_processors_are_wanted());
}

void sweep_all() noexcept {
  std::uint64_t began = now_ns();
  const std::uint64_t cpu = thread_cpu_ns();
  std::uint64_t swept_ns = 0;
  for (unsigned n = 1; sweep_some_spans() != 0; ++n) {
    if (n % 2 != 0) continue;
    const std::uint64_t now = now_ns();
    if (now - began < k_burst_ns || !shares::all_processors_are_wanted()) continue;
    swept_ns += now - began;
    rest_while_others_sweep();
    began = now_ns();
  }
  swept_ns += now_ns() - began;
  rt().count.sweep_ns.fetch_add(swept_ns, std::memory_order_relaxed);
  rt().count.gc_cpu_ns.fetch_add(thread_cpu_ns() - cpu, std::memory_order_relaxed);
}

heap::scavenge_inputs scavenge_state() noexcept {
  const pacing& p = rt().pace;
  const heap::mheap::usage u = heap::the_heap.read_usage();
  heap::scavenge_inputs in;
  in.in_use_at_last_cycle_bytes = heap::the_heap.pages_in_use_before_sweep() * heap::k_page_bytes;
  in.live_at_last_cycle_bytes = p.live_at_end.load(std::memory_order_relaxed);
  in.heap_goal_bytes = p.goal.load(std::memory_order_relaxed);
  in.retained_bytes = u.mapped - u.released;
  in.mapped_bytes = u.mapped - u.released + heap::metadata_bytes() +
                    p.stack_bytes.load(std::memory_order_relaxed);
  const std::size_t limit = p.memory_limit.load(std::memory_order_relaxed);
  in.memory_limit_bytes = limit == k_no_goal ? heap::k_no_limit : limit;
  return in;
}

// Steps until the goal is met, paying for each with sleep so that it stays at 1 % of the CPU; more when the limit
// presses. Ends early when there is sweeping to do.
void scavenge() noexcept {
  heap::scavenge_pace pace;
  std::uint64_t last = now_ns();
  const std::uint32_t signal = g_state.signal.load(std::memory_order_relaxed);
  for (;;) {
    const heap::scavenge_goal goal = heap::compute_scavenge_goal(scavenge_state());
    if (goal.release_bytes == 0) return;
    const std::uint64_t began = now_ns();
    if (heap::the_heap.scavenger.step(goal.force) == 0) return;
    const std::uint64_t now = now_ns();
    pace = heap::next_scavenge_pace(pace, std::chrono::nanoseconds(now - began),
                                    std::chrono::nanoseconds(now - last), static_cast<unsigned>(max_procs()));
    last = now;
    if (g_state.signal.load(std::memory_order_relaxed) != signal) return;
    if (!goal.force && pace.debt.count() > 0)
      sched::futex_wait(g_state.signal, signal, sched::now_ns() + pace.debt.count());
  }
}

void start_periodic_cycle() {
  const pacing& p = rt().pace;
  if (cycles_allowed() && is_periodic_cycle_due(now_ns(), p.last_cycle_end_ns.load(std::memory_order_relaxed),
                                                periodic_ns.load(std::memory_order_relaxed), p.was_added_to(),
                                                p.percent.load(std::memory_order_relaxed)))
    run_cycle(cycle_reason::periodic);
}

// For this long after a cycle sweeping is left to those who allocate. They use the spans at once; what is swept here is
// given back to the page allocator first and costs them more (128 byte objects: 9.1 ns with, 8.8 without).
// Raising it lets garbage lie longer in programs that hardly allocate, lowering it takes work from those that do.
constexpr std::int64_t k_head_start_ns = 2'000'000;

// Until a cycle's end is k_head_start_ns back. Cycles that follow each other faster do their sweeping themselves.
void let_allocators_sweep() noexcept {
  std::uint32_t signal = 0;
  do {
    signal = g_state.signal.load(std::memory_order_acquire);
    timespec t{0, k_head_start_ns};
    nanosleep(&t, nullptr);
  } while (g_state.signal.load(std::memory_order_acquire) != signal);
}

// Woken by the next cycle's end, else for the periodic one. An idle process wakes once in two minutes.
void sleep_until_woken(std::uint32_t signal) noexcept {
  // Sequentially consistent, both sides: either wake sees `asleep`, or the wait sees the new signal.
  g_state.asleep.store(true, std::memory_order_seq_cst);
  if (g_state.signal.load(std::memory_order_seq_cst) == signal)
    sched::futex_wait(
        g_state.signal, signal,
        sched::now_ns() + static_cast<std::int64_t>(periodic_ns.load(std::memory_order_relaxed)));
  g_state.asleep.store(false, std::memory_order_relaxed);
}

void* body(void*) {
  pthread_setname_np(pthread_self(), "cairn-sweep");
  heap::prepare_malloc();
  for (;;) {
    const std::uint32_t signal = g_state.signal.load(std::memory_order_acquire);
    if (heap::the_heap.needs_sweep()) let_allocators_sweep();
    sweep_all();
    heap::the_heap.scavenger.next_cycle();
    scavenge();
    sleep_until_woken(signal);
    start_periodic_cycle();
  }
}

}  // namespace

void start() {
  if (g_state.started.exchange(true, std::memory_order_relaxed)) return;
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread, nullptr, body, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // Without it allocation sweeps everything; a later start tries again.
  if (error != 0) g_state.started.store(false, std::memory_order_relaxed);
  else pthread_detach(thread);
}

void wake() noexcept {
  g_state.signal.fetch_add(1, std::memory_order_seq_cst);
  if (g_state.asleep.load(std::memory_order_seq_cst)) sched::futex_wake(g_state.signal, 1);
}

}  // namespace background
}  // namespace cairn::gc
