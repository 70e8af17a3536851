// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Durations as the workload felt them: a histogram with 32 buckets per power of two (an entry is known to about 3 %),
// and a meter of the gaps between two units of work. One query or thread at a time owns each; they are merged at the
// end.
#pragma once
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <vector>

namespace depgraph {

using clock = std::chrono::steady_clock;
using nanoseconds = std::chrono::nanoseconds;

class histogram {
 public:
  void add(nanoseconds duration) {
    std::uint64_t ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
    buckets_[bucket_of(ns)]++;
    count_++;
    max_ = std::max(max_, ns);
  }
  void merge(const histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); i++) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  std::uint64_t count() const { return count_; }
  nanoseconds max() const { return nanoseconds(max_); }
  // The least duration that at least `percent` of the entries do not exceed; 0 without entries.
  nanoseconds percentile(double percent) const {
    double wanted = static_cast<double>(count_) * percent / 100;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size() && count_ != 0; i++) {
      seen += buckets_[i];
      if (seen != 0 && static_cast<double>(seen) >= wanted) return nanoseconds(std::min(upper(i), max_));
    }
    return max();
  }

 private:
  static constexpr int k_sub_bits = 5;
  static constexpr std::size_t k_subs = 1 << k_sub_bits;
  // Values below k_subs have a bucket each; then the position of the highest bit and the k_sub_bits below it.
  static std::size_t bucket_of(std::uint64_t ns) {
    if (ns < k_subs) return ns;
    int shift = std::bit_width(ns) - 1 - k_sub_bits;
    return (static_cast<std::size_t>(shift) + 1) * k_subs + ((ns >> shift) - k_subs);
  }
  static std::uint64_t upper(std::size_t bucket) {
    if (bucket < k_subs) return bucket;
    std::size_t shift = bucket / k_subs - 1;
    return ((bucket % k_subs + k_subs + 1) << shift) - 1;
  }

  std::vector<std::uint64_t> buckets_ = std::vector<std::uint64_t>((64 - k_sub_bits + 1) * k_subs);
  std::uint64_t count_ = 0, max_ = 0;
};

// Whatever keeps a query or a thread from working (a pause, an assist, a slow allocation, preemption, the system's
// scheduler) shows as a gap.
class progress {
 public:
  // One version was visited; every k_unit of them are a unit of work, some microseconds long.
  void step() {
    if (++steps_ % k_unit == 0) unit();
  }
  void unit() {
    clock::time_point now = clock::now();
    gaps_.add(now - last_);
    last_ = now;
  }
  // What lies between two units is not the workload's.
  void skip() { last_ = clock::now(); }
  const histogram& gaps() const { return gaps_; }

 private:
  static constexpr std::uint32_t k_unit = 16;
  std::uint32_t steps_ = 0;
  clock::time_point last_ = clock::now();
  histogram gaps_;
};

}  // namespace depgraph
