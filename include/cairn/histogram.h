// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Durations, counted in buckets: how long the collector kept a thread from running, and how often.
//
// Log-linear: 16 buckets of equal width for every power of two, so a value is known to within 1/16 of
// itself, from 1 ns up to 73 minutes (longer ones are counted in the last bucket). A plain value of some 5
// KiB: copy it, keep an earlier one, subtract it. The library records into gc/histogram.h and hands out
// these.
#pragma once
#include <chrono>
#include <cstdint>

namespace cairn::gc {

class histogram_recorder;

class histogram {
 public:
  std::uint64_t count() const noexcept { return count_; }

  // The sum of all entries.
  std::chrono::nanoseconds total() const noexcept { return std::chrono::nanoseconds(total_); }

  // The duration that `percent` (0 to 100) of the entries do not exceed: the upper end of its bucket, so
  // never too small, and never above max(). Zero when there is no entry.
  std::chrono::nanoseconds percentile(double percent) const noexcept;

  // The longest entry, exactly; in a difference, exactly if it came after `earlier`, else to its bucket.
  std::chrono::nanoseconds max() const noexcept { return std::chrono::nanoseconds(max_); }

  // The entries of both.
  histogram& operator+=(const histogram& other) noexcept;

  // The entries since `earlier`, an older copy of the same histogram.
  histogram operator-(const histogram& earlier) const noexcept;

 private:
  friend class histogram_recorder;

  static constexpr unsigned k_sub_bits = 4;
  static constexpr unsigned k_value_bits = 42;
  static constexpr unsigned k_exact_buckets = (k_value_bits - k_sub_bits + 1) << k_sub_bits;
  static constexpr unsigned k_buckets = k_exact_buckets + 1;  // the last one for what is longer

  // Values below 16 have a bucket each; above, the four bits after the leading one choose it.
  static constexpr unsigned bucket_of(std::uint64_t ns) noexcept {
    if (ns < (1u << k_sub_bits)) return static_cast<unsigned>(ns);
    if (ns >> k_value_bits != 0) return k_exact_buckets;
    unsigned exponent = 63 - static_cast<unsigned>(__builtin_clzll(ns)) - k_sub_bits;
    return (exponent << k_sub_bits) + static_cast<unsigned>(ns >> exponent);
  }
  // The largest value that bucket_of sends there.
  static constexpr std::uint64_t bucket_end(unsigned bucket) noexcept {
    if (bucket < (2u << k_sub_bits)) return bucket;
    if (bucket == k_exact_buckets) return UINT64_MAX;
    unsigned exponent = (bucket >> k_sub_bits) - 1;
    std::uint64_t top = (bucket & ((1u << k_sub_bits) - 1)) + (1u << k_sub_bits);
    return ((top + 1) << exponent) - 1;
  }

  std::uint64_t count_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t buckets_[k_buckets] = {};
};
static_assert(sizeof(histogram) < 8192, "stats holds several, by value");

}  // namespace cairn::gc
