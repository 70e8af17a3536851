// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Synchronisation between goroutines. From an attached thread that is no goroutine it blocks the thread.
#pragma once
#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cairn/detail/entry.h"
#include "cairn/go.h"

namespace cairn::sched {
struct m;
extern m nobody;
extern std::atomic<bool> run_ending;
}  // namespace cairn::sched

namespace cairn::detail {
// False: the call has to go the long way. Either the thread is to be attached: while it holds something it is
// one that can wake goroutines, which is then no deadlock. Or the run is ending (relaxed: see
// sched/goroutine.h): else a goroutine that only ever locks and unlocks would not end.
inline bool has_short_way() noexcept {
  const bool is_attached = static_cast<void*>(this_cache()) != static_cast<void*>(&sched::nobody);
  return is_attached && !sched::run_ending.load(std::memory_order_relaxed);
}
}  // namespace cairn::detail

namespace cairn::sync {

// Mutual exclusion. Lives anywhere; use it with std::lock_guard, std::unique_lock and std::scoped_lock. Whoever has
// waited for a millisecond is the next to get it, so nobody starves beside one that locks it over and over. It may be
// unlocked by another than who locked it, and destroyed by whoever locked it last. A goroutine that ends with the run
// while it holds it leaves it locked.
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() {
    std::uint32_t free = 0;
    // Acquire, here and below: with the release in unlock().
    if (!detail::has_short_way() || !state_.compare_exchange_strong(free, k_held, std::memory_order_acquire,
                                                                    std::memory_order_relaxed)) [[unlikely]]
      lock_slow();
  }
  bool try_lock() {
    if (!detail::has_short_way()) [[unlikely]]
      return try_lock_slow();
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while ((state & (k_held | k_reserved)) == 0)
      if (state_.compare_exchange_weak(state, state | k_held, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    return (state & k_reserved) != 0 && try_lock_slow();
  }
  // Aborts with a message if it is not locked.
  void unlock() {
    std::uint32_t held = k_held;
    if (!state_.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed))
        [[unlikely]]
      unlock_slow();
  }

 private:
  [[gnu::cold]] void lock_slow();
  [[gnu::cold]] bool try_lock_slow();
  [[gnu::cold]] void unlock_slow();

  static constexpr std::uint32_t k_held = 1, k_reserved = 4;
  std::atomic<std::uint32_t> state_{0};  // see sched/mutex.cc
};

// Waiting until another says that something has changed. Lives anywhere; may be destroyed as soon as all who waited
// have been notified. A notification wakes only who waited before it, the first in line first, and nobody wakes without
// one.
class cond {
 public:
  constexpr cond() noexcept = default;
  cond(const cond&) = delete;
  cond& operator=(const cond&) = delete;

  // Unlocks `lock`, which has unlock() and lock(), waits, and locks it again.
  template <class Lock>
  void wait(Lock& lock) {
    wait_unlocked(std::addressof(lock), [](void* held) { static_cast<Lock*>(held)->unlock(); });
    lock.lock();
  }
  template <class Lock, std::predicate P>
  void wait(Lock& lock, P is_over) {
    while (!is_over()) wait(lock);
  }
  // Relaxed, both: who changes what is waited for with the lock sees by that who waits.
  void notify_one() {
    if (waited_for_.load(std::memory_order_relaxed)) notify_some(false);
  }
  void notify_all() {
    if (waited_for_.load(std::memory_order_relaxed)) notify_some(true);
  }

 private:
  void wait_unlocked(void* lock, void (*unlock)(void* lock));
  void notify_some(bool all) noexcept;

  std::atomic<bool> waited_for_{false};
};

// So many units, which are taken and given back. Lives anywhere. First in, first out: while somebody waits for many
// units, others wait behind it for few. A negative number is a std::invalid_argument.
class semaphore {
 public:
  explicit constexpr semaphore(std::int64_t n) : state_(static_cast<std::uint64_t>(n) << 1) {
    if (n < 0) throw std::invalid_argument("semaphore: the number is negative");
    if (static_cast<std::uint64_t>(n) > k_most)
      throw std::invalid_argument("semaphore: more than 2^62 - 1 units");
  }
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  void acquire(std::int64_t n = 1) {
    if (!detail::has_short_way() || n <= 0 || !take_units(n)) [[unlikely]]
      acquire_slow(n);
  }
  // False too while somebody waits.
  bool try_acquire(std::int64_t n = 1) {
    if (detail::has_short_way() && n >= 0 && (state_.load(std::memory_order_relaxed) & 1) == 0) [[likely]]
      return take_units(n);
    return try_acquire_slow(n);
  }
  // Throws std::logic_error, and changes nothing, if there would be more than 2^62 - 1.
  void release(std::int64_t n = 1) {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    while (n >= 0 && (state & 1) == 0 && static_cast<std::uint64_t>(n) <= k_most - (state >> 1))
      // Release: with the acquire of who takes the units.
      if (state_.compare_exchange_weak(state, state + (static_cast<std::uint64_t>(n) << 1),
                                       std::memory_order_release, std::memory_order_relaxed))
        return;
    release_slow(n);
  }

 private:
  // False if they are not there, or somebody waits.
  bool take_units(std::int64_t n) noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & 1) == 0 && state >> 1 >= static_cast<std::uint64_t>(n))
      // Acquire: with the release in release().
      if (state_.compare_exchange_weak(state, state - (static_cast<std::uint64_t>(n) << 1),
                                       std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    return false;
  }
  void acquire_slow(std::int64_t n);
  bool try_acquire_slow(std::int64_t n);
  void release_slow(std::int64_t n);

  static constexpr std::uint64_t k_most = (std::uint64_t{1} << 62) - 1;
  std::atomic<std::uint64_t> state_;  // see sched/semaphore.cc
};

// Waits until a counter is zero. Lives anywhere; may be destroyed as soon as wait() has returned.
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  // Throws std::logic_error, and changes nothing, if the counter would become negative or exceed 2^31 - 1.
  void add(std::int64_t n = 1);
  void done() { add(-1); }
  void wait();

  // Runs f in a goroutine that the group counts: done() is called however f ends.
  template <class F>
  requires std::invocable<std::decay_t<F>>
  void go(F&& f) {
    add();
    try {
      cairn::go(
          [this](std::decay_t<F> call) {
            defer finished{[this] { done(); }};
            std::move(call)();
          },
          std::forward<F>(f));
    } catch (...) {
      done();
      throw;
    }
  }

 private:
  // High half: the counter. Low half: how often it has come to zero with somebody waiting, times 2, plus 1 while
  // somebody waits. Waiters sleep on the low half.
  std::atomic<std::uint64_t> state_{0};
};
static_assert(sizeof(wait_group) == 8);

}  // namespace cairn::sync
