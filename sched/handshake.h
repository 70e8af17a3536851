// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Stopping all attached threads, or having each of them run a function at a place where it may.
//
// Everything hangs on one lock, the registry lock. It is held for the whole of a stop, a handshake, an attach and a
// detach, so at any time one thread at most asks others for anything, and the list of ms stands still meanwhile.
// It is waited for in the safe state only, and by threads in no runtime section.
//
// The state word, by who makes the change and what it is paired with:
//
//   running   -> requested    CAS by the asker, after the request's data was written (release; the answer acquires)
//   requested -> stopped      store by the thread, in its handler or at the end of its outermost section, after
//                             saved_sp was written (release; the asker acquires through `unanswered`)
//   requested -> stopped      CAS by the asker, if the kernel knows the thread no more (m.dead)
//   requested -> running      store by the thread, after it has run the handshake's function (release, likewise)
//   stopped   -> running      store by the asker (release; the thread's wait acquires), then a futex wake
//   running   -> safe         CAS by the thread, after saved_sp was written (release; the asker's CAS acquires).
//                             Fails when requested: the thread answers first, then tries again
//   safe      -> held         CAS by the asker (acquire: it reads the stack)
//   held      -> held_waited  CAS by the thread, which then sleeps on the word
//   held*     -> safe         exchange by the asker (release; the thread's CAS acquires), wake if it was held_waited
//   safe      -> running      CAS by the thread (acquire: what was done while it was held)
//
// No other change exists. Only the asker leaves stopped, held and held_waited; only the thread leaves requested and
// running -> safe. So a thread that sleeps on a value cannot miss its end by seeing the same value a second time:
// stopped and held_waited come about by that thread's own hand alone.
//
// A signal that lands in a section (depth > 0) answers nothing. The section's end stores depth 0 and then reads the
// word. The request is set before its signal is sent; so either the read sees it, or the signal lands at depth 0.
#pragma once
#include <cstdint>
#include <type_traits>

#include "sched/m.h"

namespace cairn::sched {

// Proof that all attached threads but the caller are stopped or held. They go on when it is destroyed. Meanwhile the
// caller holds the registry lock, and must not call malloc, stdio, dl*, pthread_create or throw: a stopped thread may
// hold their locks. Runtime locks are free, for their holders are in sections, which end before the stop begins.
class [[nodiscard]] world_stopped {
 public:
  ~world_stopped();
  world_stopped(const world_stopped&) = delete;
  world_stopped& operator=(const world_stopped&) = delete;

 private:
  friend world_stopped stop_the_world(const char* reason);
  world_stopped() = default;
};

// `reason` (a literal) goes into messages about threads that do not answer. The caller is in no runtime section and
// holds no lock that others wait for outside the safe state. It need not be attached. If it is, and its own stack is
// to be scanned, call this inside spill_and_call (or use with_world_stopped).
world_stopped stop_the_world(const char* reason);

// Runs fn(m&, arg) once for every attached thread and returns when all have run: by the thread itself in its signal
// handler or at its section's end, by the caller for itself and for threads in the safe state. fn is
// async-signal-safe. The same conditions as for stop_the_world. Threads that attach later see on_attach instead. `why`
// is what those that it keeps from running report to hooks.on_pause.
void handshake(void (*fn)(m&, void*), void* arg, interruption why = interruption::handshake);

// The registry held without a stop: the list stands still, the threads run. Waits in the safe state.
class [[nodiscard]] registry_guard {
 public:
  registry_guard();
  ~registry_guard();
  registry_guard(const registry_guard&) = delete;
  registry_guard& operator=(const registry_guard&) = delete;
};

namespace detail_handshake {
m* first_m() noexcept;
m* newest_record() noexcept;
}  // namespace detail_handshake

template <class F>
void for_each_m(const world_stopped&, F&& f) {
  for (m* p = detail_handshake::first_m(); p != nullptr; p = p->next) f(*p);
}
template <class F>
void for_each_m(const registry_guard&, F&& f) {
  for (m* p = detail_handshake::first_m(); p != nullptr; p = p->next) f(*p);
}
// The same, and those of threads that have ended or are about to attach: for where a record lies. Its fields are stale.
template <class F>
void for_each_record(const world_stopped&, F&& f) {
  for (const m* p = detail_handshake::newest_record(); p != nullptr; p = p->older) f(*p);
}

// Calls fn(arg) in the safe state: fn may wait for anything, and must not use the heap nor the library. The thread
// may be held meanwhile, in which case the call returns when it is released. At depth 0. An exception passes through.
void call_in_safe_state(m& self, void (*fn)(void*), void* arg);

template <class F>
void in_safe_state(m& self, F&& f) {
  using called = std::remove_reference_t<F>;
  call_in_safe_state(
      self, [](void* p) { (*static_cast<called*>(p))(); }, const_cast<void*>(static_cast<const void*>(&f)));
}

// stop_the_world, then f(const world_stopped&), with the caller's registers and saved_sp published.
template <class F>
void with_world_stopped(const char* reason, F&& f) {
  auto body = [&] {
    world_stopped stopped = stop_the_world(reason);
    f(static_cast<const world_stopped&>(stopped));
  };
  if (m* self = current()) {
    spill_and_call(
        *self, [](void* p) { (*static_cast<decltype(body)*>(p))(); }, &body);
  } else {
    body();
  }
}

// Holds `lock` (lock, try_lock, unlock), waiting for it in the safe state. Such a lock must not be needed by a thread
// that has stopped the world: its holder may be held on its way out of the safe state.
template <class Lock>
class [[nodiscard]] safe_lock {
 public:
  explicit safe_lock(Lock& lock) : lock_(lock) {
    if (lock_.try_lock()) return;
    if (m* self = current()) {
      in_safe_state(*self, [&] { lock_.lock(); });
    } else {
      lock_.lock();
    }
  }
  ~safe_lock() { lock_.unlock(); }
  safe_lock(const safe_lock&) = delete;
  safe_lock& operator=(const safe_lock&) = delete;

 private:
  Lock& lock_;
};

// Answers a request that is waiting, if there is one. Needed only under ThreadSanitizer, which keeps signals back
// until the thread comes into one of its interceptors; elsewhere nothing. Depth 0.
inline void safepoint_poll() noexcept {
#if defined(__SANITIZE_THREAD__)
  constexpr bool defers_signals = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  constexpr bool defers_signals = true;
#else
  constexpr bool defers_signals = false;
#endif
#else
  constexpr bool defers_signals = false;
#endif
  if constexpr (defers_signals) {
    m* p = current();
    if (p != nullptr && p->state.load(std::memory_order_relaxed) == k_requested &&
        p->depth.load(std::memory_order_relaxed) == 0)
      detail_m::answer_deferred(*p);
  }
}

}  // namespace cairn::sched
