// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Intervals counted in log-linear buckets, 32 to a power of two: a value is known to about 3 %. Owned by one thread;
// merged when it has ended.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pause_bench {

class interval_histogram {
 public:
  void add(std::uint64_t ns) {
    buckets_[bucket_of(ns)]++;
    count_++;
    max_ = std::max(max_, ns);
  }
  void merge(const interval_histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); i++) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max_ns() const { return max_; }
  // The end of the first bucket with which `percent` of the entries are seen, at most the longest; 0 without entries.
  std::uint64_t percentile_ns(double percent) const {
    const double wanted = static_cast<double>(count_) * percent / 100;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size() && count_ != 0; i++) {
      seen += buckets_[i];
      if (seen != 0 && static_cast<double>(seen) >= wanted) return std::min(last_of(i), max_);
    }
    return max_;
  }
  // The time that lies in entries of at least `least`, to the buckets' width.
  double time_in_ns(std::uint64_t least) const {
    double sum = 0;
    for (std::size_t i = bucket_of(least); i < buckets_.size(); i++) {
      if (buckets_[i] != 0)
        sum += static_cast<double>(buckets_[i]) * (double(first_of(i)) + double(last_of(i))) / 2;
    }
    return sum;
  }
  // Entries of `least` and more, to the bucket's width.
  std::uint64_t count_from(std::uint64_t least) const {
    std::uint64_t sum = 0;
    for (std::size_t i = bucket_of(least); i < buckets_.size(); i++) sum += buckets_[i];
    return sum;
  }
  // f(first, last, entries): each bucket that has some.
  template <class F>
  void for_each_bucket(F f) const {
    for (std::size_t i = 0; i < buckets_.size(); i++) {
      if (buckets_[i] != 0) f(first_of(i), last_of(i), buckets_[i]);
    }
  }

 private:
  static constexpr int k_sub_bits = 5;
  static constexpr std::size_t k_subs = std::size_t{1} << k_sub_bits;

  // Values below k_subs have a bucket each; then the position of the highest bit and the k_sub_bits below it.
  static constexpr std::size_t bucket_of(std::uint64_t ns) {
    if (ns < k_subs) return ns;
    int shift = std::bit_width(ns) - 1 - k_sub_bits;
    return (static_cast<std::size_t>(shift) + 1) * k_subs + ((ns >> shift) - k_subs);
  }
  static constexpr std::uint64_t first_of(std::size_t bucket) {
    if (bucket < k_subs) return bucket;
    return (bucket % k_subs + k_subs) << (bucket / k_subs - 1);
  }
  static constexpr std::uint64_t last_of(std::size_t bucket) {
    if (bucket < k_subs) return bucket;
    return first_of(bucket) + ((std::uint64_t{1} << (bucket / k_subs - 1)) - 1);
  }

  std::vector<std::uint64_t> buckets_ = std::vector<std::uint64_t>((64 - k_sub_bits + 1) * k_subs);
  std::uint64_t count_ = 0, max_ = 0;
};

}  // namespace pause_bench
