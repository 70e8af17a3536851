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
    std::uint32_t free = 0;
    // Acquire, here and below: with the release in unlock() and unlock_shared().
    if (!detail::has_short_way() || !state_.compare_exchange_strong(free, k_writer, std::memory_order_acquire,
                                                                    std::memory_order_relaxed)) [[unlikely]]
      lock_slow();
  }
  bool try_lock() {
    std::uint32_t state = 0;
    if (detail::has_short_way() &&
        (state_.compare_exchange_strong(state, k_writer, std::memory_order_acquire, std::memory_order_relaxed) ||
         ((state & ~(k_line | k_called)) != 0 && bias_.load(std::memory_order_relaxed) == 0))) [[likely]]
      return state == 0;
    return try_lock_slow();
  }
  // Aborts with a message if it is not locked for writing.
  void unlock() {
    std::uint32_t held = k_writer;
    if (!state_.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed))
        [[unlikely]]
      unlock_slow();
  }

  void lock_shared() {
    if (!detail::has_short_way()) [[unlikely]]
      begin_shared();
    if (bias_.load(std::memory_order_relaxed) != 0 && lock_shared_biased()) return;
    // Counted first: an addition cannot fail beside other readers, as a compare_exchange would. If a writer has it, or
    // waits, the count is taken back.
    const std::uint32_t before = state_.fetch_add(k_reader, std::memory_order_acquire);
    if ((before & (k_writer | k_line)) != 0) [[unlikely]]
      lock_shared_slow();
    else if (is_read_enough() || before >= k_reader) [[unlikely]] bias_reads(before >= k_reader);
  }
  bool try_lock_shared() {
    if (!detail::has_short_way()) [[unlikely]]
      begin_shared();
    if (bias_.load(std::memory_order_relaxed) != 0 && lock_shared_biased()) return true;
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while ((state & (k_writer | k_line)) == 0)
      if (state_.compare_exchange_weak(state, state + k_reader, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    return (state & k_writer) == 0 && try_lock_shared_slow();
  }
  // Aborts with a message if it is not locked for reading.
  void unlock_shared() {
    if (bias_.load(std::memory_order_relaxed) != 0 && unlock_shared_biased()) return;
    // From here on the mutex may be gone.
    const std::uint32_t state = state_.fetch_sub(k_reader, std::memory_order_release);
    if ((state & ~k_called) < 2 * k_reader && (state & ~k_called) != k_reader)
        [[unlikely]]  // the last one, and somebody waits; or nobody
      unlock_shared_slow(state);
  }

 private:
  [[gnu::cold]] void lock_slow();
  [[gnu::cold]] bool try_lock_slow();
  [[gnu::cold]] void unlock_slow();
  [[gnu::cold]] static void begin_shared();
  [[gnu::cold]] void lock_shared_slow();
  [[gnu::cold]] bool try_lock_shared_slow();
  [[gnu::cold]] void unlock_shared_slow(std::uint32_t before) noexcept;
  // False: it is to be done in the word.
  bool lock_shared_biased() noexcept;
  bool unlock_shared_biased() noexcept;
  [[gnu::cold]] bool unlock_shared_delayed() noexcept;
  [[gnu::cold]] bool unlock_shared_rest(bool is_done, bool must_answer) noexcept;
  [[gnu::cold]] bool unlock_other_reader() noexcept;
  [[gnu::cold]] void bias_reads(bool has_met) noexcept;
  bool is_bias_due(bool has_met, bool& fenced) noexcept;
  void begin_bias(bool fenced) noexcept;
  bool lock_shared_fenced() noexcept;
  bool unlock_shared_fenced() noexcept;
  [[gnu::cold]] void count_fenced_reads() noexcept;
  void end_bias() noexcept;
  void learn_from_bias(bool was_fenced, std::int64_t start) noexcept;

  // Counts one more, or about that: readers at the same time may count as one.
  bool is_read_enough() noexcept {
    const std::int32_t n = reads_.load(std::memory_order_relaxed);
    if (n >= k_enough_reads) [[unlikely]]
      return true;
    reads_.store(n + 1, std::memory_order_relaxed);
    return false;
  }

  static constexpr std::uint32_t k_writer = 1, k_line = 2, k_called = 4, k_reader = 8;
  static constexpr std::int32_t k_enough_reads = 1 << 14;
  // See sched/rw_mutex.cc.
  std::atomic<std::uint32_t> state_{0};
  std::atomic<std::int32_t> reads_{0};
  std::atomic<std::uint64_t> bias_{0};
  std::atomic<std::int32_t> meetings_{0};
  std::atomic<std::uint32_t> began_{0};
};

}  // namespace cairn::sync
