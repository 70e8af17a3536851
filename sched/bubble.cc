// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/bubble.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cairn/detail/assert.h"
#include "cairn/go.h"
#include "cairn/synctest.h"
#include "heap/delay.h"
#include "heap/metadata.h"
#include "heap/pause.h"
#include "sched/chan.h"
#include "sched/futex.h"
#include "sched/m.h"
#include "sched/proc.h"
#include "sched/records.h"
#include "sched/user_timer.h"

namespace cairn::sched {

std::atomic<std::uint32_t> live_bubbles{0};
std::atomic<bubble*> newest_bubble{nullptr};

namespace {

constexpr std::int64_t k_start_ns = 946'684'800'000'000'000;
constexpr std::uint32_t k_most_ids = (1u << 31) - 1;  // a wait group's word has room for it

// ---- records -------------------------------------------------------------------------------------------------------

struct {
  heap::lock lock;  // in sections
  bubble* first CAIRN_GUARDED_BY(lock) = nullptr;
  std::uint32_t last_id CAIRN_GUARDED_BY(lock) = 0;
} free_list;

// With the list's lock.
bubble* add_bubble(void* memory) noexcept {
  auto* b = ::new (memory) bubble(static_cast<std::uint32_t>(now_ns()));
  b->next_made = newest_bubble.load(std::memory_order_relaxed);
  newest_bubble.store(b, std::memory_order_release);  // with for_each_bubble
  return b;
}

// One with the calling goroutine as its root. At depth 0.
bubble& make_bubble(goroutine& root) {
  bubble* b = nullptr;
  for (void* fresh = nullptr; b == nullptr;) {
    {
      runtime_section section;
      heap::lock_guard held(free_list.lock);
      b = free_list.first;
      if (b != nullptr) free_list.first = b->next_free;
      else if (fresh != nullptr) b = add_bubble(std::exchange(fresh, nullptr));
      if (b != nullptr) b->id = free_list.last_id = free_list.last_id % k_most_ids + 1;
    }
    if (b != nullptr) {
      heap::metadata_free(fresh);
      break;
    }
    fresh = heap::metadata_alloc(sizeof(bubble), alignof(bubble));
    if (fresh == nullptr) throw std::bad_alloc();
  }
  live_bubbles.fetch_add(1, std::memory_order_relaxed);
  b->now.store(k_start_ns, std::memory_order_relaxed);
  b->main_is_over = false;
  runtime_section section;
  join_bubble(*b, root);
  return *b;
}

// Nobody is in it any more.
void free_bubble(bubble& b) noexcept {
  b.timing.stop_all(abandon);
  {
    heap::lock_guard held(b.lock);
    b.root = b.waiter = nullptr;
    b.is_waited_for = false;
  }
  heap::lock_guard held(free_list.lock);
  b.next_free = free_list.first;
  free_list.first = &b;
  live_bubbles.fetch_sub(1, std::memory_order_relaxed);
}

// ---- who is active -------------------------------------------------------------------------------------------------

// One that was active is not any more. The last one stays so, and is handed on to who is returned: to be made runnable
// after the unlock. Null: others are active, or nobody is left to call.
goroutine* hand_on(bubble& b) noexcept CAIRN_REQUIRES(b.lock) {
  CAIRN_ASSERT(b.active > 0, "a bubble with fewer than no active goroutines");
  goroutine* next = nullptr;
  if (b.active == 1) next = std::exchange(b.waiter, nullptr);
  if (b.active == 1 && next == nullptr) next = std::exchange(b.root, nullptr);
  if (next == nullptr) --b.active;
  return next;
}

// The root and the waiter have left their stacks: they can be found. They are made runnable with the last one's place,
// so `is_durable`, by which others are counted in, is false, unless they are dropped.
struct call_place {
  bubble& b;
  goroutine* bubble::*at;
  goroutine* g;
};

void commit_call(void* arg) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  const call_place where = *static_cast<call_place*>(arg);
  goroutine* next = nullptr;
  {
    heap::lock_guard held(where.b.lock);
    where.b.*where.at = where.g;
    next = hand_on(where.b);
  }
  if (next != nullptr) ready(next);
}

bool cancel_call(goroutine& g, void* arg) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  const call_place& where = *static_cast<call_place*>(arg);
  heap::lock_guard held(where.b.lock);
  if (where.b.*where.at != &g) return false;
  where.b.*where.at = nullptr;
  g.is_durable = true;  // it does not count as active
  return true;
}

// Until all others are blocked. At depth 0. For an orphan, which is in no bubble any more, that never comes.
void await_call(bubble& b, goroutine& self, goroutine* bubble::*at, wait_reason why) {
  if (parkable() == nullptr) block_for_ever(why);
  call_place where{b, at, &self};
  enter_section();
  park({why, commit_call, cancel_call, &where});
  check_ending();
}

}  // namespace

bubble* own_bubble_slow() noexcept {
  const m* self = current();
  const goroutine* g = self != nullptr ? own_goroutine(*self) : nullptr;
  return g != nullptr ? g->home.load(std::memory_order_relaxed) : nullptr;
}

std::int64_t time_in(const bubble* b) noexcept {
  return b != nullptr ? b->now.load(std::memory_order_relaxed) : now_ns();
}

void join_bubble(bubble& b, goroutine& g) noexcept {
  g.home.store(&b, std::memory_order_relaxed);
  heap::lock_guard held(b.lock);
  ++b.members;
  ++b.active;
}

void leave_bubble_slow(goroutine& g) noexcept {
  bubble* b = g.home.exchange(nullptr, std::memory_order_relaxed);
  if (b == nullptr) return;
  const bool was_active = !std::exchange(g.is_durable, false);
  goroutine* next = nullptr;
  bool is_empty = false;
  {
    heap::lock_guard held(b->lock);
    is_empty = --b->members == 0;
    if (was_active) next = hand_on(*b);
  }
  if (next != nullptr) ready(next);
  if (is_empty) free_bubble(*b);
}

void count_out(bubble& b) noexcept {
  goroutine* next = nullptr;
  {
    heap::lock_guard held(b.lock);
    next = hand_on(b);
  }
  heap::maybe_delay("bubble.call");
  if (next != nullptr) ready(next);
}

void count_in(goroutine& g) noexcept {
  g.is_durable = false;
  bubble* b = g.home.load(std::memory_order_relaxed);
  heap::lock_guard held(b->lock);
  ++b->active;
}

namespace {

// ---- deadlocks -----------------------------------------------------------------------------------------------------

template <class F>
void for_each_other(const bubble& b, const goroutine& root, F&& f) {
  records::for_each([&](goroutine& g) {
    if (&g != &root && g.home.load(std::memory_order_relaxed) == &b) f(g);
  });
}

// True: it is out of everything that it waits in, as in select {}, or does not wait.
bool try_to_isolate(goroutine& g) noexcept {
  runtime_section section;
  hold(g);
  // Acquire, both: what it waits in was written before.
  const bool waits = g.status.load(std::memory_order_acquire) == g_status::waiting &&
                     g.running_on.load(std::memory_order_acquire) == nullptr && g.cancel != nullptr;
  const bool is_out = waits && g.cancel(g, g.cancel_arg);
  if (is_out) g.cancel = [](goroutine&, void*) noexcept { return true; };
  release(g);
  return is_out || !waits;
}

// Whose lock is in use is tried again: see cancel_case in sched/chan.cc.
void isolate(goroutine& g) noexcept {
  while (!try_to_isolate(g)) heap::yield_cpu();
}

std::string describe(const char* what, const std::vector<goroutine_info>& blocked) {
  std::string text = what;
  for (const goroutine_info& g : blocked)
    text += "\n  goroutine " + std::to_string(g.id) + " [" +
            (g.wait_reason.empty() ? g.state : g.wait_reason) + "]";
  return text;
}

// All are blocked but the root, which calls it, and some are left.
synctest::deadlock end_by_deadlock(bubble& b, const goroutine& root) {
  std::vector<std::uint64_t> ids;
  for_each_other(b, root, [&ids](const goroutine& g) { ids.push_back(g.id); });
  std::sort(ids.begin(), ids.end());
  std::vector<goroutine_info> blocked = goroutines();
  std::erase_if(
      blocked, [&ids](const goroutine_info& g) { return !std::binary_search(ids.begin(), ids.end(), g.id); });
  for_each_other(b, root, isolate);
  const char* what = b.main_is_over
                         ? "deadlock: main bubble goroutine has exited but blocked goroutines remain"
                         : "deadlock: all goroutines in bubble are blocked";
  const std::string text = describe(what, blocked);
  return {text, std::move(blocked)};
}

// ---- the root ------------------------------------------------------------------------------------------------------

// All others are blocked, and none of them in wait(). (Who was made runnable by what the root has fired may have come
// there by now, and something outside may have made somebody runnable since the root was called.)
bool is_alone(bubble& b) noexcept {
  runtime_section section;
  heap::lock_guard held(b.lock);
  return b.active == 1 && b.waiter == nullptr;
}
bool has_others(bubble& b) noexcept {
  runtime_section section;
  heap::lock_guard held(b.lock);
  return b.members > 1;
}

// Returns when all others have ended or are blocked for good. As long as nothing that fires wakes anybody, as the ticks
// of a ticker that nobody listens to, it goes on at once.
void drive(bubble& b, goroutine& root) {
  for (;;) {
    await_call(b, root, &bubble::root, wait_reason::bubble);
    while (!root.is_orphan() && is_alone(b)) {
      const std::int64_t next = b.timing.earliest();
      if (b.main_is_over || next == timers::k_never) return;
      // What is first may be the entry of a timer that was stopped: the clock passes a time then at which nobody looks.
      const std::int64_t now = std::max(next, b.now.load(std::memory_order_relaxed));
      b.now.store(now, std::memory_order_relaxed);
      for (bool more = true; more;) {
        runtime_section section;
        more = b.timing.run_due(now) <= now;
      }
      check_ending();  // no call of the program's need ever come
    }
  }
}

// On the root's goroutine, which is in no bubble.
void run_in_bubble(goroutine& root, void (*fn)(void*), void* arg) {
  bubble& b = make_bubble(root);
  struct membership {
    goroutine& g;
    ~membership() {
      runtime_section section;
      leave_bubble(g);
    }
  };
  const membership until_the_end{root};
  task<void> body = spawn([&b, fn, arg] {
    const defer over{[&b] { b.main_is_over = true; }};
    fn(arg);
  });
  drive(b, root);
  std::optional<synctest::deadlock> stuck;
  if (has_others(b)) stuck.emplace(end_by_deadlock(b, root));
  {
    runtime_section section;
    b.timing.stop_all(abandon);
  }
  if (b.main_is_over) body.get();
  if (stuck) throw *std::move(stuck);
}

}  // namespace
}  // namespace cairn::sched

namespace cairn::detail {

using namespace sched;

std::uint32_t own_bubble_id_slow() noexcept {
  const bubble* b = own_bubble_slow();
  return b != nullptr ? b->id : 0;
}

std::chrono::steady_clock::time_point bubble_now() noexcept {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(time_in(own_bubble())));
}

void run_bubble(void (*fn)(void* arg), void* arg) {
  sched::self();
  check_ending();
  goroutine* g = parkable();
  if (g == nullptr) return spawn([fn, arg] { run_in_bubble(*own_goroutine(*current()), fn, arg); }).get();
  if (g->home.load(std::memory_order_relaxed) != nullptr)
    throw std::logic_error("synctest::bubble is called inside a bubble");
  run_in_bubble(*g, fn, arg);
}

}  // namespace cairn::detail

namespace cairn::synctest {

void wait() {
  sched::self();
  sched::check_ending();
  sched::bubble* b = sched::own_bubble();
  if (b == nullptr) throw std::logic_error("synctest::wait is called outside a bubble");
  bool is_second = false;
  {
    sched::runtime_section section;
    heap::lock_guard held(b->lock);
    is_second = std::exchange(b->is_waited_for, true);
  }
  if (is_second)
    throw std::logic_error("synctest::wait is called while another goroutine of the bubble waits in it");
  sched::await_call(*b, *sched::parkable(), &sched::bubble::waiter, sched::wait_reason::bubble_wait);
  sched::runtime_section section;
  heap::lock_guard held(b->lock);
  b->is_waited_for = false;
}

}  // namespace cairn::synctest
