// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::semaphore: units that are taken and given back. See sched/semaphore.cc for how.
#pragma once
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "cairn/detail/library_call.h"

namespace cairn::sync {

// So many units, which are taken and given back. Lives anywhere. First in, first out: while somebody waits for many
// units, others wait behind it for few. A negative number is a std::invalid_argument.
class semaphore {
 public:
  explicit constexpr semaphore(std::int64_t n) : state_(static_cast<std::uint64_t>(n) << 1) {
    if (!std::is_constant_evaluated()) bubble_ = detail::own_bubble_id();
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
  // Throws std::logic_error, and changes nothing, if there would be more than 2^62 - 1; or if the semaphore was made in
  // a synctest::bubble, and that would wake somebody in it from outside.
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
  std::uint32_t bubble_ = 0;          // id of the one that it was made in; 0: none
};

}  // namespace cairn::sync
