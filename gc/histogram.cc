// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/histogram.h and include/cairn/histogram.h.
#include "gc/histogram.h"

#include <algorithm>
#include <cmath>

namespace cairn::gc {

void histogram_recorder::add(std::uint64_t ns) noexcept {
  std::uint64_t longest = max_.load(std::memory_order_relaxed);
  while (ns > longest && !max_.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
  total_.fetch_add(ns, std::memory_order_relaxed);
  // After max_: release, pairs with the acquire in snapshot, so that whoever counts the entry sees a max
  // that covers it.
  buckets_[histogram::bucket_of(ns)].fetch_add(1, std::memory_order_release);
}

histogram histogram_recorder::snapshot() const noexcept {
  histogram h;
  for (unsigned b = 0; b < histogram::k_buckets; ++b) {
    h.buckets_[b] = buckets_[b].load(std::memory_order_acquire);  // pairs with the release in add
    h.count_ += h.buckets_[b];
  }
  h.max_ = max_.load(std::memory_order_relaxed);
  h.total_ = total_.load(std::memory_order_relaxed);
  return h;
}

std::chrono::nanoseconds histogram::percentile(double percent) const noexcept {
  if (count_ == 0) return {};
  if (percent >= 100) return max();
  double wanted = std::ceil(std::max(percent, 0.0) / 100 * static_cast<double>(count_));
  std::uint64_t rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, count_);
  std::uint64_t seen = 0;
  for (unsigned b = 0; b < k_buckets; ++b) {
    seen += buckets_[b];
    if (seen >= rank) return std::chrono::nanoseconds(std::min(bucket_end(b), max_));
  }
  return max();
}

histogram& histogram::operator+=(const histogram& other) noexcept {
  for (unsigned b = 0; b < k_buckets; ++b) buckets_[b] += other.buckets_[b];
  count_ += other.count_;
  total_ += other.total_;
  max_ = std::max(max_, other.max_);
  return *this;
}

histogram histogram::operator-(const histogram& earlier) const noexcept {
  histogram d;
  for (unsigned b = 0; b < k_buckets; ++b) {
    d.buckets_[b] = buckets_[b] - std::min(buckets_[b], earlier.buckets_[b]);
    d.count_ += d.buckets_[b];
    if (d.buckets_[b] != 0) d.max_ = std::min(bucket_end(b), max_);
  }
  if (d.count_ != 0 && max_ > earlier.max_) d.max_ = max_;
  d.total_ = total_ - std::min(total_, earlier.total_);
  return d;
}

}  // namespace cairn::gc
