// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Threads that help to mark. Each sleeps on a round number; a round wakes them, they join the work pool's round, if it
// is not over by then, mark until it is, and sleep again.
#include <pthread.h>
#include <signal.h>

#include "cairn/go.h"
#include "gc/parked.h"
#include "gc/runtime.h"
#include "gc/slice.h"
#include "heap/private.h"
#include "sched/futex.h"

namespace cairn::gc::helpers {
namespace {

struct state {
  std::atomic<std::uint32_t> round{0};  // Written by the one who runs the cycle, world stopped.
  std::atomic<unsigned> count{0};       // Threads there are. Written under the cycle lock.
  std::atomic<bool> wanted{false};
  std::atomic<std::size_t> bytes{
      0};  // Added to by helpers before work_pool::leave, whose release publishes it.
  std::atomic<std::uint64_t> cpu{0};
};
CAIRN_PRIVATE constinit state g_state;

void* body(void* p) {
  marker& m = *static_cast<marker*>(p);
  pthread_setname_np(pthread_self(), "cairn-mark");
  std::uint32_t seen = 0;
  for (;;) {
    // Acquire: pairs with wake(); what the cycle wrote before it is seen.
    const std::uint32_t round = g_state.round.load(std::memory_order_acquire);
    if (round == seen) {
      sched::futex_wait(g_state.round, seen);
      continue;
    }
    seen = round;
    if (!rt().work.join()) continue;
    mark_slice slice;
    slice.begin(m);
    m.slice = rt().options.debug.gcstoptheworld != 0 ? nullptr : &slice;
    m.bytes_marked = 0;
    if (parked::is_dealt()) parked::take_part(m);
    else m.drain_shared();
    g_state.bytes.fetch_add(m.bytes_marked, std::memory_order_relaxed);
    g_state.cpu.fetch_add(slice.end(m), std::memory_order_relaxed);
    rt().work.leave();
  }
}

}  // namespace

bool are_wanted(bool surely) noexcept {
  return (surely || g_state.wanted.load(std::memory_order_relaxed)) &&
         g_state.count.load(std::memory_order_relaxed) + 1 < static_cast<unsigned>(max_procs());
}

void start(unsigned n) {
  for (unsigned have = g_state.count.load(std::memory_order_relaxed); have < n; ++have) {
    auto* m = new marker(rt().work);
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread, nullptr, body, m);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) {  // marking is slower without; nothing else
      delete m;
      break;
    }
    pthread_detach(thread);
    g_state.count.store(have + 1, std::memory_order_relaxed);
  }
  g_state.wanted.store(false, std::memory_order_relaxed);
}

bool available() noexcept {
  const unsigned wanted = static_cast<unsigned>(max_procs()) - 1;
  if (g_state.count.load(std::memory_order_relaxed) < wanted)
    g_state.wanted.store(true, std::memory_order_relaxed);
  return wanted > 0 && g_state.count.load(std::memory_order_relaxed) > 0;
}

void wake(int n) noexcept {
  g_state.round.fetch_add(1, std::memory_order_release);
  sched::futex_wake(g_state.round, n);
}

void reset_counts() noexcept {
  g_state.bytes.store(0, std::memory_order_relaxed);
  g_state.cpu.store(0, std::memory_order_relaxed);
}
std::size_t bytes_marked() noexcept { return g_state.bytes.load(std::memory_order_relaxed); }
std::uint64_t cpu_ns() noexcept { return g_state.cpu.load(std::memory_order_relaxed); }

}  // namespace cairn::gc::helpers
