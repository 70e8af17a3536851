// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The histogram of durations against a sorted list of the same values.
#include "gc/histogram.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "scale.h"

namespace cairn::gc {
namespace {

std::uint64_t ns(std::chrono::nanoseconds t) { return static_cast<std::uint64_t>(t.count()); }

TEST(Histogram, IsEmptyAtFirst) {
  histogram h = histogram_recorder().snapshot();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.max().count(), 0);
  EXPECT_EQ(h.total().count(), 0);
  EXPECT_EQ(h.percentile(50).count(), 0);
  EXPECT_EQ(h.percentile(100).count(), 0);
  EXPECT_EQ((h - h).count(), 0u);
}

TEST(Histogram, KnowsEachValueToASixteenth) {
  std::mt19937_64 random(7);
  for (int bits = 0; bits < 42; ++bits) {
    for (int i = 0; i < 200; ++i) {
      std::uint64_t value = (random() & ((std::uint64_t{1} << bits) - 1)) | (std::uint64_t{1} << bits);
      histogram_recorder r;
      r.add(value);
      r.add(std::uint64_t{1} << 43);  // so that max() does not bound the answer
      std::uint64_t answer = ns(r.snapshot().percentile(50));
      ASSERT_GE(answer, value);
      ASSERT_LE(answer, value + value / 16);
    }
  }
}

TEST(Histogram, KeepsValuesBelowThirtyTwoExactly) {
  for (std::uint64_t value = 0; value < 32; ++value) {
    histogram_recorder r;
    r.add(value);
    r.add(1000);
    EXPECT_EQ(ns(r.snapshot().percentile(50)), value);
  }
}

TEST(Histogram, CountsWhatIsLongerThanItsRangeInTheLastBucket) {
  histogram_recorder r;
  r.add(5);
  r.add(UINT64_MAX / 4);
  r.add(UINT64_MAX / 2);
  histogram h = r.snapshot();
  EXPECT_EQ(h.count(), 3u);
  EXPECT_EQ(ns(h.percentile(10)), 5u);
  EXPECT_EQ(ns(h.percentile(50)), UINT64_MAX / 2);
  EXPECT_EQ(ns(h.max()), UINT64_MAX / 2);
}

TEST(Histogram, PercentilesAgreeWithASortedList) {
  std::mt19937_64 random(42);
  std::lognormal_distribution<double> times(9, 2);
  histogram_recorder r;
  std::vector<std::uint64_t> list;
  for (std::size_t i = 0; i < 20'000; ++i) {
    list.push_back(static_cast<std::uint64_t>(times(random)));
    r.add(list.back());
  }
  std::sort(list.begin(), list.end());
  histogram h = r.snapshot();
  EXPECT_EQ(h.count(), list.size());
  EXPECT_EQ(ns(h.max()), list.back());
  std::uint64_t sum = 0;
  for (std::uint64_t v : list) sum += v;
  EXPECT_EQ(ns(h.total()), sum);
  std::uint64_t previous = 0;
  for (double p : {0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0}) {
    std::size_t rank = static_cast<std::size_t>(std::ceil(p / 100 * static_cast<double>(list.size())));
    std::uint64_t exact = list[std::max<std::size_t>(rank, 1) - 1];
    std::uint64_t answer = ns(h.percentile(p));
    EXPECT_GE(answer, exact) << p;
    EXPECT_LE(answer, exact + exact / 16) << p;
    EXPECT_GE(answer, previous) << p;
    EXPECT_LE(answer, list.back()) << p;
    previous = answer;
  }
}

TEST(Histogram, BoundsPercentsOutsideTheirRange) {
  histogram_recorder r;
  r.add(10);
  r.add(20);
  histogram h = r.snapshot();
  EXPECT_EQ(ns(h.percentile(-5)), 10u);
  EXPECT_EQ(ns(h.percentile(1000)), 20u);
}

TEST(Histogram, DifferenceHoldsTheEntriesSince) {
  histogram_recorder r;
  r.add(100);
  r.add(1'000'000);
  histogram before = r.snapshot();
  r.add(500);
  r.add(700);
  histogram since = r.snapshot() - before;
  EXPECT_EQ(since.count(), 2u);
  EXPECT_EQ(since.total().count(), 1200);
  EXPECT_GE(ns(since.max()), 700u);  // not the earlier 1'000'000
  EXPECT_LE(ns(since.max()), 700u + 700 / 16);
  EXPECT_GE(ns(since.percentile(50)), 500u);
  EXPECT_LE(ns(since.percentile(50)), 500u + 500 / 16);
  r.add(2'000'003);
  EXPECT_EQ((r.snapshot() - before).max().count(), 2'000'003);
}

TEST(Histogram, SumHoldsTheEntriesOfBoth) {
  histogram_recorder a, b;
  a.add(100);
  a.add(3'000);
  b.add(200);
  b.add(1'000'000);
  b.add(0);
  histogram sum = a.snapshot();
  sum += b.snapshot();
  EXPECT_EQ(sum.count(), 5u);
  EXPECT_EQ(sum.total().count(), 1'003'300);
  EXPECT_EQ(sum.max().count(), 1'000'000);
  EXPECT_EQ(sum.percentile(20).count(), 0);
  EXPECT_GE(ns(sum.percentile(60)), 200u);
  EXPECT_LE(ns(sum.percentile(60)), 200u + 200 / 16);
  histogram same = a.snapshot();
  same += histogram();
  EXPECT_EQ(same.count(), 2u);
  EXPECT_EQ(same.max().count(), 3'000);
}

TEST(Histogram, RecordsFromSeveralThreadsWhileOthersRead) {
  histogram_recorder r;
  std::size_t each = test_count(50'000, 1000);
  std::atomic<bool> done{false};  // set after the writers: relaxed, the join orders the rest
  bool consistent = true;
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!done.load(std::memory_order_relaxed)) {
      histogram h = r.snapshot();
      consistent = consistent && h.count() >= last && h.percentile(99) <= h.max();
      consistent = consistent && (h.count() == 0 || ns(h.percentile(0)) >= 1);
      last = h.count();
    }
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t)
    writers.emplace_back([&r, each, t] {
      for (std::size_t i = 1; i <= each; ++i) r.add(i * 4 + static_cast<std::size_t>(t));
    });
  for (std::thread& w : writers) w.join();
  done.store(true, std::memory_order_relaxed);
  reader.join();
  EXPECT_TRUE(consistent);
  EXPECT_EQ(r.snapshot().count(), 4 * each);
  EXPECT_EQ(r.max_ns(), each * 4 + 3);
  EXPECT_EQ(r.total_ns(), 4 * (4 * each * (each + 1) / 2) + 6 * each);
}

}  // namespace
}  // namespace cairn::gc
