// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Where durations are recorded: gc::histogram with atomic counters.
//
// add() takes no lock, allocates nothing and may be called anywhere, a signal handler and a stopped world
// included. snapshot() may run beside it and never waits: its count is the sum of the buckets it read, so
// the two agree, and its max is at least every entry it counted. total() may lack entries that were being
// added meanwhile.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/histogram.h"

namespace cairn::gc {

class histogram_recorder {
 public:
  constexpr histogram_recorder() noexcept = default;
  histogram_recorder(const histogram_recorder&) = delete;
  histogram_recorder& operator=(const histogram_recorder&) = delete;

  void add(std::uint64_t ns) noexcept;
  histogram snapshot() const noexcept;

  std::uint64_t max_ns() const noexcept { return max_.load(std::memory_order_relaxed); }
  std::uint64_t total_ns() const noexcept { return total_.load(std::memory_order_relaxed); }

 private:
  // Written by any thread in add(), read by any in snapshot().
  std::atomic<std::uint64_t> max_{0};
  std::atomic<std::uint64_t> total_{0};
  std::atomic<std::uint64_t> buckets_[histogram::k_buckets] = {};
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "signal handlers add");
};

}  // namespace cairn::gc
