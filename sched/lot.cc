// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/lot.h"

#include <optional>

#include "cairn/detail/park.h"
#include "heap/delay.h"
#include "heap/lock.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/scheduler.h"

namespace cairn::sched {
namespace {

struct bucket;

// On the stack of who waits. In the queue or, once taken out of it, the waker's until it has woken the waiter.
struct waiter {
  const void* address;
  goroutine* g;  // null: a thread, which sleeps on `woken`
  bucket* home;
  waiter* next = nullptr;
  waiter* previous = nullptr;
  bool queued = false;                  // under the lock
  bool timed_out = false;               // written by the timer, which then wakes it
  std::atomic<std::uint32_t> woken{0};  // release by the waker, acquire by the thread
  timer limit{nullptr};
};

struct alignas(64) bucket {
  heap::lock lock;
  std::atomic<std::uint32_t> count{0};  // waiters in the queue, or about to be; see lot.h
  waiter* first CAIRN_GUARDED_BY(lock) = nullptr;
  waiter* last CAIRN_GUARDED_BY(lock) = nullptr;
};

constexpr unsigned k_buckets = 1024;
bucket buckets[k_buckets];

bucket& bucket_of(const void* address) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  return buckets[(a * 0x9e3779b97f4a7c15u) >> 54];
}
static_assert(k_buckets == 1u << (64 - 54));

void append(bucket& b, waiter& w) noexcept CAIRN_REQUIRES(b.lock) {
  w.queued = true;
  w.previous = b.last;
  (b.last != nullptr ? b.last->next : b.first) = &w;
  b.last = &w;
}

void unlink(bucket& b, waiter& w) noexcept CAIRN_REQUIRES(b.lock) {
  w.queued = false;
  (w.previous != nullptr ? w.previous->next : b.first) = w.next;
  (w.next != nullptr ? w.next->previous : b.last) = w.previous;
  b.count.fetch_sub(1, std::memory_order_relaxed);
}

// True if it was in the queue, and is the caller's to wake.
bool take_out(waiter& w) noexcept {
  heap::lock_guard held(w.home->lock);
  if (!w.queued) return false;
  unlink(*w.home, w);
  return true;
}

void wake(waiter& w) noexcept {
  if (w.g != nullptr) {
    ready(w.g);
    return;
  }
  std::atomic<std::uint32_t>& word = w.woken;
  word.store(1, std::memory_order_release);  // from here on `w` may be gone
  futex_wake(word, 1);
}

// Adds the waiter, with the lock kept, or says that the word has another value.
bool enqueue(bucket& b, waiter& w, std::atomic<std::uint32_t>& word,
             std::uint32_t expected) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  b.lock.lock();
  // Sequentially consistent: before the look at the word; with the fence in unpark.
  b.count.fetch_add(1, std::memory_order_seq_cst);
  if (word.load(std::memory_order_seq_cst) != expected) {
    b.count.fetch_sub(1, std::memory_order_relaxed);
    b.lock.unlock();
    return false;
  }
  append(b, w);
  return true;
}

// ---- goroutines ----------------------------------------------------------------------------------------------------

void on_deadline(timer& t, std::int64_t) {
  auto* w = reinterpret_cast<waiter*>(reinterpret_cast<char*>(&t) - offsetof(waiter, limit));
  if (!take_out(*w)) return;
  w->timed_out = true;
  ready(w->g);
}

void release_bucket(void* arg) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  static_cast<waiter*>(arg)->home->lock.unlock();
}

bool cancel_waiter(goroutine&, void* arg) noexcept {
  auto* w = static_cast<waiter*>(arg);
  if (!take_out(*w)) return false;
  timers::stop(w->limit);
  return true;
}

// The timer is started before the goroutine leaves: what it does has to wait for the bucket's lock.
bool start_timer(waiter& w, std::int64_t deadline) noexcept {
  if (deadline == INT64_MAX) return true;
  p* pp = own_p(*current());
  return (pp != nullptr ? *pp : *proc_at(0)).timing.start(w.limit, deadline).done;
}

bool park_goroutine(goroutine& g, std::atomic<std::uint32_t>& word, std::uint32_t expected, wait_reason why,
                    std::int64_t deadline) noexcept {
  bucket& b = bucket_of(&word);
  waiter w{&word, &g, &b};
  w.limit.call = on_deadline;
  enter_section();
  if (!enqueue(b, w, word, expected)) {
    leave_section();
    return true;
  }
  if (!start_timer(w, deadline)) {
    // No memory for a timer: as if the wait had ended early. Whoever waits looks again, and so again here.
    unlink(b, w);
    release_bucket(&w);
    leave_section();
    yield_now();
    return now_ns() < deadline;
  }
  park({why, release_bucket, cancel_waiter, &w});
  if (deadline != INT64_MAX) {
    runtime_section section;
    timers::stop(w.limit);
  }
  return !w.timed_out;
}

// ---- threads -------------------------------------------------------------------------------------------------------

bool park_thread(m& self, std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) {
  bucket& b = bucket_of(&word);
  waiter w{&word, nullptr, &b};
  {
    runtime_section section(self);
    if (!enqueue(b, w, word, expected)) return true;
    release_bucket(&w);
  }
  const std::int64_t until = deadline == INT64_MAX ? k_forever : deadline;
  bool in_time = true;
  in_safe_state(self, [&] {
    while (in_time && w.woken.load(std::memory_order_acquire) == 0) in_time = futex_wait(w.woken, 0, until);
  });
  if (in_time) return true;
  {
    runtime_section section(self);
    if (take_out(w)) return false;
  }
  in_safe_state(self, [&w] {  // taken at the last moment: the waker is about to set the word
    while (w.woken.load(std::memory_order_acquire) == 0) futex_wait(w.woken, 0);
  });
  return true;
}

}  // namespace

bool park_on(std::atomic<std::uint32_t>& word, std::uint32_t expected, wait_reason why, std::int64_t deadline) {
  m& self = sched::self();
  check_ending();
  goroutine* g = parkable();
  const bool in_time = g != nullptr ? park_goroutine(*g, word, expected, why, deadline)
                                    : park_thread(self, word, expected, deadline);
  check_ending();
  return in_time;
}

void unpark(const std::atomic<std::uint32_t>& word, int count) noexcept {
  bucket& b = bucket_of(&word);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // after the change of the word; with enqueue
  if (b.count.load(std::memory_order_relaxed) == 0) return;
  runtime_section section;
  waiter* chain = nullptr;
  {
    heap::lock_guard held(b.lock);
    waiter** end = &chain;
    for (waiter *w = b.first, *next = nullptr; w != nullptr && count > 0; w = next) {
      next = w->next;
      if (w->address != &word) continue;
      unlink(b, *w);
      w->next = nullptr;
      *end = w;
      end = &w->next;
      --count;
    }
  }
  heap::maybe_delay("sched.unpark");
  for (waiter *w = chain, *next = nullptr; w != nullptr; w = next) {
    next = w->next;
    wake(*w);
  }
}

// ---- sleeping ------------------------------------------------------------------------------------------------------

namespace {

struct sleeper {
  goroutine* g;
  std::int64_t deadline;
  timer alarm{nullptr};
  bool failed = false;
};

void on_alarm(timer& t, std::int64_t) {
  ready(reinterpret_cast<sleeper*>(reinterpret_cast<char*>(&t) - offsetof(sleeper, alarm))->g);
}

void start_alarm(void* arg) noexcept {
  auto* s = static_cast<sleeper*>(arg);
  p* pp = own_p(*current());
  timers& at = (pp != nullptr ? *pp : *proc_at(0)).timing;
  goroutine* g = s->g;
  const std::int64_t when = s->deadline;
  if (!at.start(s->alarm, when).done) {  // no memory: it looks again
    s->failed = true;
    ready(g);
    return;
  }
  if (pp == nullptr) interrupt_sleeper();
}

bool cancel_sleep(goroutine&, void* arg) noexcept { return timers::stop(static_cast<sleeper*>(arg)->alarm); }

}  // namespace

void sleep_until_ns(std::int64_t deadline) {
  m& self = sched::self();
  check_ending();
  if (goroutine* g = parkable()) {
    while (now_ns() < deadline) {
      sleeper s{g, deadline};
      s.alarm.call = on_alarm;
      enter_section();
      park({wait_reason::sleep, start_alarm, cancel_sleep, &s});
      check_ending();
      if (s.failed) yield_now();
    }
    return;
  }
  std::atomic<std::uint32_t> never{0};
  in_safe_state(self, [&] {
    while (futex_wait(never, 0, deadline)) {
    }
  });
  check_ending();
}

}  // namespace cairn::sched

namespace cairn::detail {

void park_on(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  sched::park_on(word, expected, sched::wait_reason::word);
}

void unpark(std::atomic<std::uint32_t>& word, int count) noexcept { sched::unpark(word, count); }

}  // namespace cairn::detail
