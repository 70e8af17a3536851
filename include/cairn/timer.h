// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Timers that send the time to a channel, once (timer, after) or again and again (ticker), or call a function
// (after_func). timer and ticker are handles of one word, which live where a gc_ptr may; copies of one are the same
// timer. Everything here may be called by all goroutines and attached threads at once. Times are those of
// std::chrono::steady_clock, on which a duration of zero or less is over at once, and one past its end never.
//
// stop() and reset() are as in Go since 1.23: when they return no value sent before them can be received any more, and
// a value that nobody had received counts as not sent. The channel holds one value; a tick that finds it full is lost.
//
// A timer with a channel is one collected object with it. It stays while somebody refers to either; what nobody refers
// to is collected, whether it has fired or not. What after_func is given lies in one object with its timer. While that
// runs, and while a goroutine calls the function, they keep it; otherwise it goes with the last handle, and the
// function is destroyed.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cairn/chan.h"
#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"
#include "cairn/go.h"

namespace cairn {

namespace detail {

// What the library keeps of a timer: sched/user_timer.h.
struct timer_core {
  alignas(std::uint64_t) unsigned char state[56];
};

// In a part of the object that `function` begins, and not running yet.
void init_function_timer(timer_core& t, closure* function) noexcept;
// With a channel of times, and running. Throws as reset_timer.
timer_core* start_channel_timer(std::chrono::nanoseconds d, std::chrono::nanoseconds period);
chan_core* channel_of(timer_core& t) noexcept;  // null: it has a function
// Throws std::bad_alloc or std::system_error; then the timer does not run. `period` 0: it fires once.
bool reset_timer(timer_core& t, std::chrono::nanoseconds d, std::chrono::nanoseconds period);
bool stop_timer(timer_core& t);
// Of a timer that is no synctest bubble's, or of one by who is outside of it: a context is cancelled.
void stop_timer_from_anywhere(timer_core& t);
struct timer_access;

using time_channel = recv_chan<std::chrono::steady_clock::time_point>;
inline time_channel times_of(timer_core& t) noexcept {
  return chan_access::make<chan<std::chrono::steady_clock::time_point>>(channel_of(t));
}

// A function that is called as often as its timer fires, and destroyed with the object.
template <class F>
struct function_timer : closure {
  template <class... X>
  explicit function_timer(X&&... f) : closure{&run_it, &drop_it}, function(std::forward<X>(f)...) {}

  static void run_it(closure* self, void*) { static_cast<function_timer*>(self)->function(); }
  static void drop_it(closure*) noexcept {}

  timer_core timer;
  F function;
};

template <class F, class X>
function_timer<F>* make_function_timer(X&& f) {
  using made = function_timer<F>;
  constexpr std::size_t k_footer = has_collected_destructor<made> ? k_object_footer_bytes : 0;
  made* const t = ::new (allocate_closure(sizeof(made) + k_footer, alignof(made))) made(std::forward<X>(f));
  init_function_timer(t->timer, t);
  shade_if_marking(std::addressof(t->function),
                   sizeof t->function);  // what it holds came from the caller's stack
  keep_in_place(f);                      // and was there until now
  if constexpr (has_collected_destructor<made>) arm_destructor(t, &k_type_ops<made>);
  return t;
}

}  // namespace detail

class timer {
 public:
  // Sends the time to c(), d from now. Throws std::bad_alloc or std::system_error.
  explicit timer(std::chrono::nanoseconds d)
      : core_(detail::start_channel_timer(d, std::chrono::nanoseconds::zero())) {}

  // Null for a timer of after_func.
  recv_chan<std::chrono::steady_clock::time_point> c() const { return detail::times_of(*core_); }

  // True: it ran, or what it has sent was not received, and it will not be heard of any more. False: it has fired, or
  // was stopped before; its function may still be running, or be about to.
  bool stop() const { return detail::stop_timer(*core_); }

  // Fires d from now, whether it has fired or was stopped before or not; what stop() would have returned. Throws
  // std::bad_alloc; then it is stopped.
  bool reset(std::chrono::nanoseconds d) const {
    return detail::reset_timer(*core_, d, std::chrono::nanoseconds::zero());
  }

 private:
  friend detail::timer_access;
  template <std::invocable F>
  requires std::invocable < std::decay_t<F>
  & > friend timer after_func(std::chrono::nanoseconds d, F&& f);
  explicit timer(detail::timer_core* c) noexcept : core_(c) {}

  gc_ptr<detail::timer_core> core_;
};

struct detail::timer_access {
  static timer_core& core(const timer& t) noexcept { return *t.core_; }
};

// Sends the time to c() every d, the first time d from now. If nobody has received the last one, one is lost.
class ticker {
 public:
  // Throws std::invalid_argument if d is not more than zero, and as timer.
  explicit ticker(std::chrono::nanoseconds d) : core_(detail::start_channel_timer(d, valid(d))) {}

  recv_chan<std::chrono::steady_clock::time_point> c() const { return detail::times_of(*core_); }

  // No more ticks, not even one that was sent before. The channel is not closed.
  void stop() const { detail::stop_timer(*core_); }

  // From now on every d. Throws as the constructor; then it ticks as before, or is stopped for lack of memory.
  void reset(std::chrono::nanoseconds d) const { detail::reset_timer(*core_, d, valid(d)); }

 private:
  static std::chrono::nanoseconds valid(std::chrono::nanoseconds period) {
    if (period <= std::chrono::nanoseconds::zero())
      throw std::invalid_argument("cairn::ticker: the period must be more than zero");
    return period;
  }

  gc_ptr<detail::timer_core> core_;
};

// The channel of a timer of its own.
inline recv_chan<std::chrono::steady_clock::time_point> after(std::chrono::nanoseconds d) {
  return timer(d).c();
}

// Calls f() on a goroutine of its own, d from now, unless it is stopped before; once more after every reset. An
// exception that leaves it ends the program, as in go. At the end of a run() timers end with it. Throws std::bad_alloc
// or std::system_error.
template <std::invocable F>
requires std::invocable < std::decay_t<F>
& > timer after_func(std::chrono::nanoseconds d, F&& f) {
  const timer made(&detail::make_function_timer<std::decay_t<F>>(std::forward<F>(f))->timer);
  made.reset(d);
  return made;
}

}  // namespace cairn
