// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Tests of concurrent code with a time of their own, after Go's testing/synctest.
//
// bubble(f) runs f in a bubble: a set of goroutines, to which all belong that its members start. In a bubble
// sleep_for, sleep_until, after, timer, ticker, after_func, the deadlines of contexts, and
// monotonic_clock::now() go by the bubble's clock. It begins at 946'684'800 s (what midnight UTC of 2000-01-01
// is to the system's clock) and stands still while anybody in the bubble can go on. When all of them are
// durably blocked, it moves to the next timer at once. So a test of an hour's timeout takes microseconds, and
// what it measures is exact.
//
// A goroutine is durably blocked where only its bubble can wake it. In:
//   - a send or a receive of a channel that was made in the bubble, or of a null channel
//   - a select all of whose channels were made in the bubble, or that has none
//   - sleep_for and sleep_until
//   - sync::cond::wait; sync::semaphore::acquire, of a semaphore that was made in the bubble
//   - sync::wait_group::wait, if the first add() since the counter was zero was made in the bubble
//   - task::get, of a goroutine of the bubble; synctest::wait
// Not in: the locks of mutex and rw_mutex, once, wait_readable and wait_writable (whose deadlines are the system's
// clock's), blocking(), and whatever else the kernel may wait for.
//
// What belongs to a bubble is used in it: sending, receiving, closing and selecting at such a channel, stop() and
// reset() of such a timer, add() of such a wait group, release() and notify where that wakes somebody in it throw
// std::logic_error elsewhere. Contexts may be cancelled from anywhere; the channel of done() belongs to where it was
// asked for first. Destructors, finalizers and cleanups, and
// threads that members start, are outside. Timers of one instant fire in random order.
#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cairn/clock.h"
#include "cairn/goroutine_info.h"

namespace cairn {

namespace detail {
void run_bubble(void (*fn)(void* arg), void* arg);
}

namespace synctest {

// All goroutines of a bubble wait for each other, and no timer is to come, or its function has ended and the clock with
// it. what() says which, and lists who waits for what.
class deadlock : public std::logic_error {
 public:
  deadlock(const std::string& what, std::vector<goroutine_info> blocked)
      : logic_error(what),
        blocked_(std::make_shared<const std::vector<goroutine_info>>(std::move(blocked))) {}
  // Those that are left, by id, with their backtraces.
  const std::vector<goroutine_info>& blocked() const noexcept { return *blocked_; }

 private:
  std::shared_ptr<const std::vector<goroutine_info>> blocked_;
};

// Runs f in a goroutine of its own, in a new bubble, and returns when all goroutines of the bubble have ended. When f
// has, the clock stands still for good: timers that are left do not fire. f is not copied, its result is ignored.
//
// Rethrows what f throws, when the others have ended, or wait for good; throws goroutine_exited likewise if f ends by
// goexit, and otherwise deadlock if some wait for good. These never go on, and their destructors do not run:
// they end with the run(), where there is one. Throws std::logic_error inside a bubble, std::bad_alloc and
// std::system_error. Any number of bubbles may be there at once; from an attached thread, too, with or without run().
template <std::invocable F>
void bubble(F&& f) {
  using held = std::remove_reference_t<F>;
  if constexpr (std::is_function_v<held>) {
    bubble([&f] { f(); });
  } else {
    detail::run_bubble([](void* arg) { std::invoke(std::forward<F>(*static_cast<held*>(arg))); },
                       const_cast<void*>(static_cast<const volatile void*>(std::addressof(f))));
  }
}

// Returns when all other goroutines of the bubble are durably blocked or have ended; what they did before happens
// before that. By one goroutine at a time: throws std::logic_error if another one waits already, and outside a bubble.
void wait();

}  // namespace synctest
}  // namespace cairn
