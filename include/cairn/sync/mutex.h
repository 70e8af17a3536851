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
}

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
  friend class detail::quiet_lock;

  [[gnu::cold]] void lock_slow();
  [[gnu::cold]] bool try_lock_slow();
  // `may_end`: the goroutine, if the run is ending.
  [[gnu::cold]] void unlock_slow(bool may_end = true);

  static constexpr std::uint32_t k_held = 1, k_reserved = 4;
  std::atomic<std::uint32_t> state_{0};  // see sched/mutex.cc
};

}  // namespace cairn::sync
