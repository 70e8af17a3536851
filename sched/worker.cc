// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/worker.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>

#include "heap/lock.h"
#include "heap/metadata.h"
#include "sched/fence.h"
#include "sched/futex.h"
#include "sched/hooks.h"
#include "sched/idle_list.h"
#include "sched/message.h"
#include "sched/overflow.h"
#include "sched/quit.h"
#include "sched/scheduler.h"
#include "sched/sysmon.h"
#include "sched/worker_stack.h"

namespace cairn::sched {
namespace {

std::atomic<std::uint32_t> requests{0};  // raised by request_worker (release), slept on by the maker (acquire)

void sleep_ns(long ns) noexcept {
  timespec t{0, ns};
  nanosleep(&t, nullptr);
}

// There is nobody to throw to. Memory may come back.
m& attach_patiently() noexcept {
  constexpr int k_tries = 1000;
  for (int tries = 0; tries < k_tries; ++tries) {
    try {
      return attach_own(true);
    } catch (const std::bad_alloc&) {
      sleep_ns(1'000'000);
    }
  }
  (message() << "cairn: no memory to attach a thread that runs goroutines\n").send();
  std::abort();
}

// A thread that was made and is not yet there. One at a time: it calls malloc, so it may have to wait for a lock that a
// frozen goroutine holds, and another one would only wait beside it.
std::atomic<bool> starting{false};

// That of the thread that started the scheduler. The maker has all blocked, and what it makes would have too. Written
// before the maker starts.
sigset_t signal_mask;

void* worker_main(void* stack) {
  pthread_sigmask(SIG_SETMASK, &signal_mask, nullptr);
  pthread_setname_np(pthread_self(), "cairn-m");
  heap::prepare_malloc();
  const alternate_stack alternate;
  m& self = attach_patiently();
  starting.store(false, std::memory_order_release);
  work(self);
  worker_stacks::leave(static_cast<worker_stack*>(stack));
  return nullptr;
}

// `prepare(attributes)` gives an error, or 0.
template <class F>
int start_thread(void* (*body)(void*), void* arg, F&& prepare) noexcept {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int error = prepare(attributes);
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attributes, body, arg);
  pthread_attr_destroy(&attributes);
  return error;
}

// As large as any thread's.
std::size_t thread_stack_bytes() noexcept {
  static const std::size_t bytes = [] {
    pthread_attr_t attributes;
    std::size_t n = std::size_t{8} << 20;
    if (pthread_attr_init(&attributes) != 0) return n;
    pthread_attr_getstacksize(&attributes, &n);
    pthread_attr_destroy(&attributes);
    return n;
  }();
  return bytes;
}

int start_worker() noexcept {
  worker_stack* stack = worker_stacks::take(thread_stack_bytes());
  if (stack == nullptr) return EAGAIN;
  const int error = start_thread(worker_main, stack, [stack](pthread_attr_t& attributes) {
    return pthread_attr_setstack(&attributes, stack->low, stack->bytes);
  });
  if (error != 0) worker_stacks::give(stack);
  return error;
}

void await_last_one() noexcept {
  constexpr long k_least_ns = 50'000, k_most_ns = 1'000'000;
  for (long wait = k_least_ns; starting.load(std::memory_order_acquire); wait = std::min(2 * wait, k_most_ns))
    sleep_ns(wait);
}

bool is_worker_wanted() noexcept {
  heap::lock_guard held(sch.lock);
  return (sch.idle_p != nullptr && sch.idle_m == nullptr) ||
         (sch.wants_spares.load(std::memory_order_relaxed) && sch.n_idle_m < k_spare_workers);
}

// Said once in a while: a program that may have no more threads goes on with those that it has.
void report_refusal(int error) noexcept {
  static std::int64_t next = 0;  // the maker's
  const std::int64_t now = now_ns();
  if (now < next) return;
  next = now + 10'000'000'000;
  (message() << "cairn: the system refuses a thread to run goroutines on (" << strerror(error)
             << "); they run on those that there are. See ulimit -u and the pids limit of the cgroup\n")
      .send();
}

void* maker_main(void*) {
  pthread_setname_np(pthread_self(), "cairn-maker");
  heap::prepare_malloc();
  constexpr long k_settle_ns = 50'000, k_retry_ns = 100'000'000;
  for (std::uint32_t seen = 0;;) {
    const std::uint32_t now = requests.load(std::memory_order_acquire);
    if (now == seen) {
      futex_wait(requests, now);
      continue;
    }
    seen = now;
    await_last_one();
    // A worker may have been on its way to sleep.
    if (!is_worker_wanted()) {
      wake_one();
      continue;
    }
    sleep_ns(k_settle_ns);
    if (!is_worker_wanted()) {
      wake_one();
      continue;
    }
    starting.store(true, std::memory_order_relaxed);
    if (const int error = start_worker(); error != 0) {
      starting.store(false, std::memory_order_relaxed);
      idle_list::note_refusal(true);
      report_refusal(error);
      sleep_ns(k_retry_ns);
      request_worker();
    } else {
      idle_list::note_refusal(false);
    }
  }
}

void start_own_thread(void* (*body)(void*), const char* what) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = start_thread(body, nullptr, [](pthread_attr_t&) { return 0; });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

void ensure_workers() {
  static std::atomic<bool> done{false};  // release and acquire: what was set up
  if (done.load(std::memory_order_acquire)) [[likely]]
    return;
  static std::mutex mutex;
  std::lock_guard held(mutex);
  if (done.load(std::memory_order_relaxed)) return;
  sch.fences_itself = !prepare_fence();
  pthread_sigmask(SIG_SETMASK, nullptr, &signal_mask);
  set_proc_limit(procs());
  start_own_thread(maker_main, "cairn: cannot start the thread that makes workers");
  start_own_thread(sysmon_main, "cairn: cannot start the thread that watches the scheduler");
  if (is_quit_at_default()) {
    start_own_thread(quit_main, "cairn: cannot start the thread that lists goroutines at SIGQUIT");
    install_quit_handler();
  }
  done.store(true, std::memory_order_release);
}

void request_worker() noexcept {
  requests.fetch_add(1, std::memory_order_release);
  futex_wake(requests, 1);
}

}  // namespace cairn::sched
