// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The thread that runs the cycles that allocation asks for. A thread of its own, because a cycle beside the program
// takes as long as marking does; not attached, because it waits for those that are.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <system_error>

#include "gc/cycle_state.h"
#include "gc/runtime.h"
#include "heap/metadata.h"
#include "heap/private.h"
#include "sched/futex.h"

namespace cairn::gc::collector {
namespace {

struct state {
  std::atomic<std::uint32_t> signal{0};  // Raised by request; the thread sleeps on its value.
  std::atomic<bool> requested{false};    // And has not begun: further requests are the same one.
  // Written by take_over, read and cleared by the thread. Release and acquire: with `begun`.
  std::atomic<bool> taken_over{false};
};
CAIRN_PRIVATE constinit state g_state;
CAIRN_PRIVATE constinit cycle g_begun{};
// Release and acquire: the first with the second.
CAIRN_PRIVATE constinit std::atomic<const char*> g_stack_low{nullptr}, g_stack_high{nullptr};

void note_own_stack() noexcept {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  void* low = nullptr;
  std::size_t bytes = 0;
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  g_stack_low.store(static_cast<char*>(low), std::memory_order_relaxed);
  g_stack_high.store(static_cast<char*>(low) + bytes, std::memory_order_release);
}

void* body(void*) {
  pthread_setname_np(pthread_self(), "cairn-gc");
  heap::prepare_malloc();
  note_own_stack();
  prctl(PR_SET_TIMERSLACK, 1);  // or each sleep between two slices takes 50 us longer than asked for
  for (std::uint32_t seen = 0;;) {
    const std::uint32_t signal = g_state.signal.load(std::memory_order_acquire);
    if (signal == seen) {
      sched::futex_wait(g_state.signal, signal);
      continue;
    }
    seen = signal;
    if (g_state.taken_over.exchange(false, std::memory_order_acquire)) finish_cycle(g_begun);
    else run_cycle(cycle_reason::heap);
    // Only now: the trigger is the next cycle's.
    g_state.requested.store(false, std::memory_order_release);
  }
}

}  // namespace

void start() {
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread, nullptr, body, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0)
    throw std::system_error(error, std::generic_category(), "cairn: cannot start the collector's thread");
  pthread_detach(thread);
}

void request() noexcept {
  if (g_state.requested.load(std::memory_order_relaxed)) return;
  if (g_state.requested.exchange(true, std::memory_order_acq_rel)) return;
  g_state.signal.fetch_add(1, std::memory_order_release);
  sched::futex_wake(g_state.signal, 1);
}

void take_over(const cycle& c) noexcept {
  g_begun = c;
  g_state.taken_over.store(true, std::memory_order_release);
  g_state.signal.fetch_add(1, std::memory_order_release);
  sched::futex_wake(g_state.signal, 1);
  // It may be waiting for the very lock that it is given, for the cycle that was due: see lock_while_due.
  rt().cycle_lock_released.fetch_add(1, std::memory_order_release);
  sched::futex_wake(rt().cycle_lock_released, INT32_MAX);
}

void find_own_stack(const char*& low, const char*& high) noexcept {
  high = g_stack_high.load(std::memory_order_acquire);
  low = g_stack_low.load(std::memory_order_relaxed);
}

bool has_taken_over() noexcept { return g_state.taken_over.load(std::memory_order_acquire); }

}  // namespace cairn::gc::collector
