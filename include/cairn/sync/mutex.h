// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::mutex: mutual exclusion between goroutines, and between them and threads. See sched/mutex.cc for how.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/detail/library_call.h"

namespace cairn::detail {
class quiet_lock;
struct mutex_bias;  // of tests
}  // namespace cairn::detail

namespace cairn::sync {

// Mutual exclusion. Lives anywhere; use it with std::lock_guard, std::unique_lock and std::scoped_lock. Whoever has
// waited for a millisecond is the next to get it, so nobody starves beside one that locks it over and over. It may be
// unlocked by another than who locked it, and destroyed by whoever locked it last. A goroutine that ends with the run
// while it holds it leaves it locked. Where one thread or one P locks it for long without another one, that costs it no
// locked instruction; the next other one then needs some microseconds more.
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() {
    if (!detail::has_short_way() || !lock_at_once()) [[unlikely]]
      lock_slow();
  }
  bool try_lock() {
    if (!detail::has_short_way()) [[unlikely]]
      return try_lock_slow();
    if (lock_at_once()) return true;
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while ((state & (k_held | k_reserved | k_biased)) == 0)
      if (state_.compare_exchange_weak(state, state | k_held, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    return (state & k_held) == 0 && try_lock_slow();
  }
  // Aborts with a message if it is not locked.
  void unlock() {
    if (!unlock_at_once()) [[unlikely]]
      unlock_slow();
  }

 private:
  friend class detail::quiet_lock;
  friend struct detail::mutex_bias;

  bool lock_at_once() noexcept {
    if (bias_.load(std::memory_order_relaxed) != 0) return lock_biased();
    if (!lock_free_word()) return false;
    if (is_streak()) [[unlikely]]
      bias();
    return true;
  }
  bool unlock_at_once() noexcept {
    if (bias_.load(std::memory_order_relaxed) != 0 && unlock_biased()) return true;
    std::uint32_t held = k_held;
    // From here on the mutex may be gone.
    return state_.load(std::memory_order_relaxed) == k_held &&
           state_.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed);
  }
  bool lock_free_word() noexcept {
    std::uint32_t free = 0;
    // Acquire, here and elsewhere: with the release of the unlock.
    return state_.load(std::memory_order_relaxed) == 0 &&
           state_.compare_exchange_strong(free, k_held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  // A streak: in its upper half, which thread's; in its lower half, how often that has locked it in a row.
  static std::uint32_t streak_of(const void* thread, std::uint32_t n) noexcept {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(thread) >> 6) * (k_most_streak + 1) + n;
  }
  // By who has just locked it: counts this one. True: the streak is long enough.
  bool is_streak() noexcept {
    const std::uint32_t first = streak_of(detail::this_cache(), 0);
    const std::uint32_t streak = streak_.load(std::memory_order_relaxed);
    const std::uint32_t n = streak ^ first;  // if it is this thread's
    streak_.store(n <= k_most_streak ? streak + 1 : first, std::memory_order_relaxed);
    return n - k_streak <= k_most_streak - k_streak;
  }

  // False: it is to be done in the word.
  bool lock_biased() noexcept;
  bool unlock_biased() noexcept;
  [[gnu::cold]] void bias() noexcept;
  void end_bias() noexcept;
  void end_streak() noexcept;
  [[gnu::cold]] void lock_slow();
  [[gnu::cold]] bool try_lock_slow();
  // `may_end`: the goroutine, if the run is ending.
  [[gnu::cold]] void unlock_slow(bool may_end = true);

  static constexpr std::uint32_t k_held = 1, k_reserved = 4, k_biased = 16;
  static constexpr std::uint32_t k_streak = 1 << 12, k_most_streak = (1 << 16) - 1;
  // See sched/mutex.cc.
  std::atomic<std::uint32_t> state_{0};
  std::atomic<std::uint32_t> streak_{0};
  std::atomic<std::uintptr_t> bias_{0};
};

}  // namespace cairn::sync
