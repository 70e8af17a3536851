// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::rw_mutex: one writer or many readers. See sched/rw_mutex.cc for how.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/detail/library_call.h"

namespace cairn::sync {

// Held by one that writes, or by any number that read. Lives anywhere; use it with std::unique_lock,
// std::shared_lock and the like. As Go's: from when a writer waits nobody comes in to read any more, and those
// that had to wait for a writer go before the next one; so neither starves the other, and who reads must not
// lock it again meanwhile. It may be unlocked by another than who locked it, and destroyed by whoever locked it
// last. A goroutine that ends with the run while it holds it leaves it locked. Where it is mostly read, who reads
// writes to memory of its own thread only; the next writer then needs some microseconds more.
class rw_mutex {
 public:
  constexpr rw_mutex() noexcept = default;
  rw_mutex(const rw_mutex&) = delete;
  rw_mutex& operator=(const rw_mutex&) = delete;

  void lock() {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    // Acquire, here and below: with the release in unlock() and unlock_shared().
    if (!detail::has_short_way() || (state & k_low_half) != 0 ||
        !state_.compare_exchange_strong(state, state | k_writer, std::memory_order_acquire,
                                        std::memory_order_relaxed)) [[unlikely]]
      lock_slow();
  }
  bool try_lock() {
    if (detail::has_short_way()) [[likely]] {
      std::uint64_t state = state_.load(std::memory_order_relaxed);
      while ((state & k_low_half) == 0)
        if (state_.compare_exchange_weak(state, state | k_writer, std::memory_order_acquire,
                                         std::memory_order_relaxed))
          return true;
      if ((state & k_biased) == 0 && (state & k_low_half & ~k_line) != 0) return false;
    }
    return try_lock_slow();
  }
  // Aborts with a message if it is not locked for writing.
  void unlock() {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & k_low_half) == k_writer)
      [[likely]] if (state_.compare_exchange_weak(state, state - k_writer, std::memory_order_release,
                                                  std::memory_order_relaxed)) [[likely]] return;
    unlock_slow();
  }

  void lock_shared() {
    if (!detail::has_short_way()) [[unlikely]]
      begin_shared();
    if ((state_.load(std::memory_order_relaxed) & k_biased) != 0 && lock_shared_biased()) return;
    // Counted first: an addition cannot fail beside other readers, as a compare_exchange would. If a writer has it, or
    // waits, the count is taken back.
    const std::uint64_t state = state_.fetch_add(k_reader + k_read, std::memory_order_acquire);
    if ((state & (k_writer | k_line)) != 0 || is_read_enough(state)) [[unlikely]]
      lock_shared_slow(state);
  }
  bool try_lock_shared() {
    if (!detail::has_short_way()) [[unlikely]]
      begin_shared();
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    if ((state & k_biased) != 0 && lock_shared_biased()) return true;
    while ((state & (k_writer | k_line)) == 0)
      if (state_.compare_exchange_weak(state, state + k_reader + k_read, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
        if (is_read_enough(state)) [[unlikely]]
          lock_shared_slow(state);
        return true;
      }
    return (state & k_writer) == 0 && try_lock_shared_slow();
  }
  // Aborts with a message if it is not locked for reading.
  void unlock_shared() {
    if ((state_.load(std::memory_order_relaxed) & k_biased) != 0 && unlock_shared_biased()) return;
    // From here on the mutex may be gone.
    const std::uint64_t state = state_.fetch_sub(k_reader, std::memory_order_release);
    const auto held = static_cast<std::uint32_t>(state);
    if (held < 2 * k_reader && held != k_reader) [[unlikely]]  // the last one, and somebody waits; or nobody
      unlock_shared_slow(held);
  }

 private:
  [[gnu::cold]] void lock_slow();
  [[gnu::cold]] bool try_lock_slow();
  [[gnu::cold]] void unlock_slow();
  [[gnu::cold]] static void begin_shared();
  [[gnu::cold]] void lock_shared_slow(std::uint64_t before);
  [[gnu::cold]] bool try_lock_shared_slow();
  [[gnu::cold]] void unlock_shared_slow(std::uint32_t before) noexcept;
  // False: it is to be done in the word.
  bool lock_shared_biased() noexcept;
  bool unlock_shared_biased() noexcept;
  [[gnu::cold]] bool unlock_shared_delayed() noexcept;
  [[gnu::cold]] bool unlock_shared_rest(bool is_done, bool must_answer) noexcept;
  [[gnu::cold]] bool unlock_other_reader() noexcept;
  [[gnu::cold]] void bias_reads() noexcept;

  static bool is_read_enough(std::uint64_t state) noexcept {
    return static_cast<std::int64_t>(state) >= static_cast<std::int64_t>(k_enough_reads);
  }

  static constexpr std::uint64_t k_writer = 1, k_line = 2, k_biased = 4, k_reader = 8, k_low_half = UINT32_MAX;
  static constexpr std::uint64_t k_read = std::uint64_t{1} << 32, k_enough_reads = k_read << 14;
  std::atomic<std::uint64_t> state_{0};  // see sched/rw_mutex.cc
  std::atomic<std::uint64_t> bias_{0};   // which one, while there is one
};

}  // namespace cairn::sync
