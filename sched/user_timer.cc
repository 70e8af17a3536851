// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/user_timer.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "cairn/detail/object.h"
#include "heap/delay.h"
#include "heap/fatal.h"
#include "sched/bubble.h"
#include "sched/chan.h"
#include "sched/futex.h"
#include "sched/run_state.h"
#include "sched/scheduler.h"
#include "sched/sleeper.h"
#include "sched/worker.h"

namespace cairn::sched {
namespace {

// A channel for one time.
struct time_line {
  time_line() noexcept {
    head.capacity = 1;
    head.element_bytes = sizeof ring;
    head.noscan = true;
    head.bubble = detail::own_bubble_id();
  }
  detail::chan_core head;
  std::int64_t ring = 0;  // a steady_clock::time_point
};
static_assert(offsetof(time_line, ring) == sizeof(detail::chan_core), "the ring lies behind the header");
static_assert(sizeof(std::chrono::steady_clock::time_point) == sizeof(std::int64_t) &&
              std::is_same_v<std::chrono::steady_clock::duration, std::chrono::nanoseconds>);

struct channel_timer {
  explicit channel_timer(bool once) noexcept;

  time_line channel;
  user_timer timer;
};

}  // namespace
}  // namespace cairn::sched

// Its pointers lead to itself and to stacks.
template <>
inline constexpr bool cairn::is_noscan<cairn::sched::channel_timer> = true;

namespace cairn::sched {
namespace {

constexpr std::int64_t k_retry_ns = 1'000'000;

user_timer& of(detail::timer_core& t) noexcept {
  return *std::launder(reinterpret_cast<user_timer*>(t.state));
}

// Of the calling thread's P; null: it has none. In a section.
timers* own_heap() noexcept {
  p* pp = own_p(*current());
  return pp != nullptr ? &pp->timing : nullptr;
}

// Of the timer's clock: `b` is its bubble, or null.
timers& nearest_heap(bubble* b) noexcept {
  if (b != nullptr) return b->timing;
  timers* own = own_heap();
  return own != nullptr ? *own : proc_at(0)->timing;
}

// The object has no root of this timer's any more.
void let_go(user_timer& t) noexcept {
  if (t.root != nullptr) detail::root_release(std::exchange(t.root, nullptr));
}

void fire_function(timer& fired, std::int64_t now) {
  auto& t = static_cast<user_timer&>(fired);
  if (t.run != runs_ended()) return let_go(t);
  bubble* b = t.bubble != 0 ? own_bubble() : nullptr;  // called by its root, or a member
  goroutine* g = new_goroutine();
  if (g == nullptr) {
    if (!nearest_heap(b).start(t, now + k_retry_ns).done)
      heap::fatal_error("no memory to run a timer's function");
    return;
  }
  g->function = t.function;
  // The record may be black already, while the object was reached through the root only.
  if (detail::stores_are_watched()) detail::bulk_barrier_slow(&g->function, sizeof(std::uintptr_t));
  heap::maybe_delay("user_timer.fire");
  let_go(t);
  if (b != nullptr) join_bubble(*b, *g);
  start(g);
}

// A full channel loses it.
void fire_channel(timer& fired, std::int64_t now) { offer(*static_cast<user_timer&>(fired).channel, &now); }

channel_timer::channel_timer(bool once) noexcept : timer(fire_channel, &channel.head, once) {}

// With its lock, in a section. True: it was active, or what it has sent had not been received. It has its root still.
bool take_back(user_timer& t) noexcept {
  bool was_active = timers::stop(t);
  heap::maybe_delay("user_timer.stop");
  std::int64_t stale = 0;
  if (t.has_channel()) was_active |= withdraw(*t.channel, &stale);
  return was_active;
}

std::int64_t end_of(std::chrono::nanoseconds d, const bubble* b) noexcept {
  std::int64_t when = 0;
  if (__builtin_add_overflow(time_in(b), std::max<std::int64_t>(d.count(), 0), &when)) return timers::k_never;
  return when;
}

// With its lock, in a section. False: no memory.
bool start_user_timer(user_timer& t, std::int64_t when, std::int64_t period, bubble* b) noexcept {
  t.run = runs_ended();
  if (b != nullptr && when <= time_in(b)) {  // no period is as short as that
    t.call(t, time_in(b));
    return true;
  }
  timers* own = own_heap();
  timers& at = b != nullptr ? b->timing : own != nullptr ? *own : proc_at(0)->timing;
  const bool done = at.start(t, when, period).done;
  if (done && own == nullptr && b == nullptr) rouse_sleeper();  // else the P's worker comes by
  return done;
}

// Its bubble; null if it has none.
bubble* home_of(const user_timer& t, const char* what) {
  if (t.bubble == 0) return nullptr;
  bubble* b = own_bubble();
  if (b == nullptr || b->id != t.bubble)
    throw std::logic_error(std::string(what) + " of synctest timer from outside bubble");
  return b;
}

}  // namespace

user_timer::user_timer(timer::function fire, detail::closure* f) noexcept
    : timer(fire), fires_once(true), bubble(detail::own_bubble_id()), function(f) {}
user_timer::user_timer(timer::function fire, detail::chan_core* c, bool once) noexcept
    : timer(fire, true), fires_once(once), bubble(detail::own_bubble_id()), channel(c) {}

void abandon(timer& t) noexcept {
  if (t.call == fire_function) let_go(static_cast<user_timer&>(t));
}

// A P that goes gives its timers to the first one, which is looked at last: no timer is missed between two heaps.
void stop_dead_timers(bool (*is_dead)(const timer* t) noexcept) noexcept {
  for (int i = procs_made(); i-- > 0;) proc_at(i)->timing.stop_dead(is_dead);
  for_each_bubble([is_dead](bubble& b) { b.timing.stop_dead(is_dead); });
}

}  // namespace cairn::sched

namespace cairn::detail {

using namespace sched;

void init_function_timer(timer_core& t, closure* function) noexcept {
  ::new (t.state) user_timer(fire_function, function);
}

timer_core* start_channel_timer(std::chrono::nanoseconds d, std::chrono::nanoseconds period) {
  self();
  check_ending();
  ensure_workers();
  user_timer& t = new_object<channel_timer, false>(period.count() == 0)->timer;
  bubble* b = own_bubble();
  bool done = false;
  {
    runtime_section section;
    done = start_user_timer(t, end_of(d, b), period.count(), b);
  }
  if (!done) throw std::bad_alloc();
  check_ending();
  return reinterpret_cast<timer_core*>(&t);
}

chan_core* channel_of(timer_core& t) noexcept { return of(t).has_channel() ? of(t).channel : nullptr; }

bool reset_timer(timer_core& core, std::chrono::nanoseconds d, std::chrono::nanoseconds period) {
  self();
  check_ending();
  ensure_workers();
  user_timer& t = of(core);
  bubble* b = home_of(t, "reset");
  void** spare = !t.has_channel() ? root_acquire(t.function) : nullptr;
  bool was_active = false, done = false;
  {
    runtime_section section;
    heap::lock_guard held(t.lock);
    was_active = take_back(t);
    if (!was_active) t.root = std::exchange(spare, nullptr);
    done = start_user_timer(t, end_of(d, b), period.count(), b);
    if (!done) let_go(t);
  }
  if (spare != nullptr) root_release(spare);
  if (!done) throw std::bad_alloc();
  check_ending();
  return was_active;
}

namespace {

bool stop(user_timer& t) {
  runtime_section section;
  if (t.has_channel() && t.fires_once && timers::stop(t, own_heap())) return true;
  heap::lock_guard held(t.lock);
  if (!take_back(t)) return false;
  let_go(t);
  return true;
}

}  // namespace

bool stop_timer(timer_core& core) {
  self();
  check_ending();
  home_of(of(core), "stop");
  return stop(of(core));
}

void stop_timer_from_anywhere(timer_core& core) {
  self();
  check_ending();
  stop(of(core));
}

}  // namespace cairn::detail
