// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The thread that runs destructors, finalizers and cleanups of objects that a cycle found dead, one after the other, in
// the order in which they were queued. It is attached: what a function has in hand is on its stack. Started with the
// first object that may need it.
#include <cxxabi.h>
#include <pthread.h>
#include <signal.h>

#include <exception>
#include <new>
#include <system_error>

#include "cairn/detail/entry.h"
#include "gc/armed.h"
#include "gc/runtime.h"
#include "heap/fatal.h"
#include "heap/metadata.h"
#include "heap/private.h"
#include "sched/handshake.h"
#include "sched/park.h"
#include "sched/sysmon.h"

namespace cairn::gc::finalizers {
namespace {

struct state {
  std::atomic<std::uint32_t> signal{0};  // Raised by wake; the thread sleeps on its value.
  std::atomic<bool> started{false};
  std::atomic<bool> busy{false};  // a function runs; for the detection of deadlocks
};
CAIRN_PRIVATE constinit state g_state;

const char* name_of(special_kind kind) noexcept {
  switch (kind) {
    case special_kind::finalizer:
      return "finalizer";
    case special_kind::cleanup:
      return "cleanup";
    default:
      return "destructor";
  }
}

[[noreturn]] void exception_left(special_kind kind) noexcept {
  const char* what = "an object that is not a std::exception";
  try {
    throw;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  heap::end_program("an exception left a {}: {}; nobody can catch it: catch it inside", name_of(kind), what);
}

// What the special at the head of the queue says, taken so that the collector sees it throughout.
struct job {
  special_kind kind;
  detail::closure* function;
  void* object;
};

bool take(sched::m& self, job& out) noexcept {
  sched::runtime_section section(self);
  special* s = rt().specials.queue.pop();
  if (s == nullptr) return false;
  out = {s->kind, s->function, reinterpret_cast<void*>(s->object.load(std::memory_order_relaxed))};
  rt().specials.recycle(s);
  return true;
}

void run(const job& j) noexcept {
  try {
    if (j.kind == special_kind::destructor) destroy_now(j.object);
    else j.function->run(j.function, j.object);
  } catch (...) {
    exception_left(j.kind);
  }
}

// A frame of its own, so that nothing of the job is left in the frames of a thread that waits.
[[gnu::noinline]] bool run_next(sched::m& self) noexcept {
  job j{};
  if (!take(self, j)) return false;
  run(j);
  return true;
}

// The frames of park have gaps, in which the words of the last job would lie for as long as this thread waits.
[[gnu::noinline]] void clear_dead_stack() noexcept {
  volatile char space[16384];
  for (volatile char& c : space) c = 0;
}

CAIRN_PRIVATE constinit std::terminate_handler earlier_terminate = nullptr;
CAIRN_PRIVATE constinit std::atomic<pthread_t> the_thread{};

// An exception that leaves a destructor never arrives here as one: destructors are noexcept, so std::terminate
// is called.
[[noreturn]] void on_terminate() noexcept {
  if (the_thread.load(std::memory_order_relaxed) == pthread_self()) {
    if (std::current_exception() != nullptr) exception_left(special_kind::destructor);
    heap::end_program("std::terminate was called in a destructor, finalizer or cleanup");
  }
  if (earlier_terminate != nullptr) earlier_terminate();
  abort();
}

void* body(void*) {
  pthread_setname_np(pthread_self(), "cairn-finalize");
  heap::prepare_malloc();
  the_thread.store(pthread_self(), std::memory_order_relaxed);
  sched::m& self = sched::attach_own(false);
  for (;;) {
    const std::uint32_t signal = g_state.signal.load(std::memory_order_acquire);
    g_state.busy.store(true, std::memory_order_seq_cst);
    while (run_next(self)) {
    }
    g_state.busy.store(false, std::memory_order_seq_cst);
    if (rt().specials.queue.empty()) sched::wake_sysmon();
    clear_dead_stack();
    sched::block_on(self, g_state.signal, signal);
  }
}

}  // namespace

void ensure_started() {
  if (g_state.started.load(std::memory_order_acquire)) [[likely]]
    return;
  if (g_state.started.exchange(true, std::memory_order_acq_rel)) return;
  earlier_terminate = std::set_terminate(on_terminate);
  pthread_t thread;
  if (const int error = pthread_create(&thread, nullptr, body, nullptr)) {
    g_state.started.store(false, std::memory_order_release);
    throw std::system_error(error, std::generic_category(),
                            "pthread_create of the thread that runs destructors");
  }
  pthread_detach(thread);
}

bool busy() noexcept { return g_state.busy.load(std::memory_order_seq_cst); }

void wake() noexcept {
  g_state.signal.fetch_add(1, std::memory_order_release);
  sched::futex_wake(g_state.signal, 1);
}

}  // namespace cairn::gc::finalizers
