// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/worker.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "heap/lock.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/message.h"

namespace cairn::sched {
namespace {

constexpr std::int64_t k_idle_ns = 5'000'000'000;

// A thread that waits; on its stack. Who takes it off the list owns it until it has set `woken`.
struct idle_worker {
  std::atomic<std::uint32_t> woken{0};  // release by the giver, acquire by the thread: `work`
  goroutine* work = nullptr;
  idle_worker* next = nullptr;
};

heap::mutex idle_lock;                    // taken in runtime sections
idle_worker* idle_list = nullptr;         // under idle_lock; last in, first out
int idle_count = 0;                       // under idle_lock
std::atomic<std::size_t> stack_bytes{0};  // relaxed: set before goroutines start

bool enlist(idle_worker& w) noexcept {
  runtime_section section;
  heap::lock_guard held(idle_lock);
  if (idle_count >= std::max(4, 4 * procs())) return false;
  w.next = idle_list;
  idle_list = &w;
  ++idle_count;
  return true;
}

// False if somebody has taken it.
bool delist(idle_worker& w) noexcept {
  runtime_section section;
  heap::lock_guard held(idle_lock);
  for (idle_worker** at = &idle_list; *at != nullptr; at = &(*at)->next) {
    if (*at != &w) continue;
    *at = w.next;
    --idle_count;
    return true;
  }
  return false;
}

// Null when none came in time.
goroutine* wait_for_work(m& self) {
  idle_worker w;
  if (!enlist(w)) return nullptr;
  in_safe_state(self, [&] {
    std::int64_t deadline = now_ns() + k_idle_ns;
    while (w.woken.load(std::memory_order_acquire) == 0 && futex_wait(w.woken, 0, deadline)) {
    }
  });
  if (w.woken.load(std::memory_order_acquire) == 0) {
    if (delist(w)) return nullptr;
    // Taken at the last moment: the giver is about to set the word.
    in_safe_state(self, [&] {
      while (w.woken.load(std::memory_order_acquire) == 0) futex_wait(w.woken, 0);
    });
  }
  return w.work;
}

// There is nobody to throw to: go() has returned. Memory may come back.
m& attach_patiently() noexcept {
  for (int tries = 0; tries < 1000; ++tries) {
    try {
      return self();
    } catch (const std::bad_alloc&) {
      timespec t = {0, 1'000'000};
      nanosleep(&t, nullptr);
    }
  }
  (message() << "cairn: no memory to attach a goroutine's thread\n").send();
  std::abort();
}

void* worker_main(void* p) {
  m& self = attach_patiently();
  for (goroutine* g = static_cast<goroutine*>(p); g != nullptr; g = wait_for_work(self))
    if (!run_goroutine(self, g)) break;
  return nullptr;
}

}  // namespace

bool give_to_idle(goroutine* g) noexcept {
  idle_worker* w = nullptr;
  {
    runtime_section section;
    heap::lock_guard held(idle_lock);
    w = idle_list;
    if (w == nullptr) return false;
    idle_list = w->next;
    --idle_count;
  }
  w->work = g;
  std::atomic<std::uint32_t>& word = w->woken;
  word.store(1, std::memory_order_release);  // from here on `w` may be gone
  futex_wake(word, 1);
  return true;
}

int start_worker(goroutine* g) {
  pthread_attr_t attributes;
  if (int error = pthread_attr_init(&attributes); error != 0) return error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  std::size_t bytes = 0;
  pthread_attr_getstacksize(&attributes, &bytes);
  std::size_t wanted = stack_bytes.load(std::memory_order_relaxed);
  if (wanted > bytes) pthread_attr_setstacksize(&attributes, wanted);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, worker_main, g);
  pthread_attr_destroy(&attributes);
  return error;
}

void set_stack_size(std::size_t bytes) noexcept { stack_bytes.store(bytes, std::memory_order_relaxed); }

}  // namespace cairn::sched
