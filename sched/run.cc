// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// run(), and what a goroutine can do with itself.
#include "cairn/run.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <stdexcept>

#include "cairn/go.h"
#include "sched/futex.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/message.h"
#include "sched/park.h"
#include "sched/registry.h"
#include "sched/signal.h"

namespace cairn {
namespace {

std::atomic<bool> run_is_active{false};  // acquire and release, for a run after another one in a second thread
std::atomic<int> proc_count{1};          // relaxed: a number

struct active_run {
  active_run() {
    if (run_is_active.exchange(true, std::memory_order_acquire))
      throw std::logic_error("cairn::run is active already");
  }
  ~active_run() { run_is_active.store(false, std::memory_order_release); }
};

// Main has called goexit: the others run on, and when none is left the program hangs, which ends it.
[[noreturn]] void outlive_main(sched::m& self) {
  sched::await_fewer(self, 2, sched::k_forever);
  (sched::message() << "cairn: no goroutines are left (main called cairn::goexit) - deadlock!\n").send();
  _exit(2);
}

}  // namespace

void detail::run_main(void (*fn)(void*), void* arg, const options& chosen) {
  active_run active;
  if (sched::m* p = sched::current(); p != nullptr && sched::own_goroutine(*p) != nullptr)
    throw std::logic_error("cairn::run is called inside a goroutine");
  sched::start_runtime(chosen, true);
  sched::m& self = sched::self();
  struct main_scope {
    sched::m& self;
    sched::goroutine* main;
    ~main_scope() {
      sched::end_others(self);
      sched::end_main(self, main);
    }
  } scope{self, sched::begin_main(self)};
  try {
    fn(arg);
  } catch (const sched::goexit_signal&) {
    outlive_main(self);
  }
}

void yield() {
  sched::self();
  sched::check_ending();
  sched::safepoint_poll();
  sched_yield();
}

void goexit() {
  sched::check_ending();
  sched::goroutine* g = sched::own_goroutine(sched::self());
  if (g == nullptr) throw std::logic_error("cairn::goexit: the calling thread is no goroutine");
  g->exiting = true;
  throw sched::goexit_signal{};
}

void sleep_until(std::chrono::steady_clock::time_point when) {
  sched::m& self = sched::self();
  std::int64_t deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
  sched::check_ending();
  while (sched::now_ns() < deadline && sched::park(self, self.sleep_word, 0, deadline)) {
  }
}

void sleep_for(std::chrono::nanoseconds duration) {
  if (duration <= std::chrono::nanoseconds::zero()) {
    yield();
    return;
  }
  auto now = std::chrono::steady_clock::now();
  auto furthest = std::chrono::steady_clock::time_point::max();
  sleep_until(duration > furthest - now ? furthest : now + duration);
}

void detail::call_blocking(void (*fn)(void*), void* arg) {
  sched::m& self = sched::self();
  sched::check_ending();
  sched::call_in_safe_state(self, fn, arg);
  sched::check_ending();
}

lock_os_thread::lock_os_thread() { ++sched::self().os_thread_locks; }
lock_os_thread::~lock_os_thread() { --sched::self().os_thread_locks; }

int max_procs() {
  sched::ensure_started();
  return sched::procs();
}

int max_procs(int n) {
  sched::ensure_started();
  if (n < 1) throw std::invalid_argument("cairn::max_procs: the number must be at least 1");
  return proc_count.exchange(n, std::memory_order_relaxed);
}

std::size_t num_goroutines() { return sched::live_goroutines(); }

std::uint64_t goroutine_id() {
  sched::goroutine* g = sched::own_goroutine(sched::self());
  return g != nullptr ? g->id : 0;
}

int sched::procs() noexcept { return proc_count.load(std::memory_order_relaxed); }
void sched::set_max_procs(int n) noexcept { proc_count.store(n, std::memory_order_relaxed); }

void sched::initialise(int signal_number) {
  static std::once_flag once;
  std::call_once(once, [&] {
    create_exit_key();
    install_fork_handlers();
    install_signal_handler(signal_number);
  });
}

}  // namespace cairn
