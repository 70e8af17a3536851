// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/read_counts.h"

#include <gtest/gtest.h>

namespace {

using cairn::sched::read_counts;

constexpr std::uint64_t bias(std::uint64_t number) { return number * read_counts::k_one_bias; }

TEST(ReadCounts, GiveBackWhatWasAdded) {
  read_counts c;
  EXPECT_FALSE(c.take(bias(1)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(c.add(bias(1)));
  EXPECT_EQ(c.total(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(c.take(bias(1)));
  EXPECT_FALSE(c.take(bias(1)));
  EXPECT_EQ(c.total(), 0u);
}

TEST(ReadCounts, AreCollectedOnce) {
  read_counts c;
  EXPECT_EQ(c.collect(bias(5)), 0u);
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(c.add(bias(5)));
  EXPECT_TRUE(c.take(bias(5)));
  EXPECT_EQ(c.collect(bias(5)), 6u);
  EXPECT_EQ(c.collect(bias(5)), 0u);
  EXPECT_FALSE(c.take(bias(5)));
}

TEST(ReadCounts, APlaceThatCountsNoneIsTakenByAnotherBias) {
  read_counts c;
  constexpr std::uint64_t a = bias(3), b = bias(3 + read_counts::k_places);
  EXPECT_TRUE(c.add(a));
  EXPECT_FALSE(c.add(b));
  EXPECT_FALSE(c.take(b));
  EXPECT_EQ(c.collect(b), 0u);
  EXPECT_TRUE(c.take(a));
  EXPECT_TRUE(c.add(b));
  EXPECT_FALSE(c.add(a));
  EXPECT_FALSE(c.take(a));
  EXPECT_EQ(c.collect(a), 0u);
  EXPECT_EQ(c.collect(b), 1u);
  EXPECT_TRUE(c.add(a));
}

TEST(ReadCounts, BiasesInARowHaveAPlaceEach) {
  read_counts c;
  for (std::uint64_t i = 100; i < 100 + read_counts::k_places; ++i) EXPECT_TRUE(c.add(bias(i)));
  EXPECT_EQ(c.total(), read_counts::k_places);
  for (std::uint64_t i = 100; i < 100 + read_counts::k_places; ++i) EXPECT_TRUE(c.take(bias(i)));
}

TEST(ReadCounts, AFullPlaceRefuses) {
  read_counts c;
  for (std::uint64_t i = 0; i < read_counts::k_most; ++i) ASSERT_TRUE(c.add(bias(2)));
  EXPECT_FALSE(c.add(bias(2)));
  EXPECT_FALSE(c.add(bias(2 + read_counts::k_places)));
  EXPECT_EQ(c.collect(bias(2)), read_counts::k_most);
  EXPECT_TRUE(c.add(bias(2)));
}

TEST(ReadCounts, NoBiasFindsAnEmptyPlaceToBeItsOwn) {
  read_counts c;
  EXPECT_FALSE(c.take(bias(read_counts::k_places)));
  EXPECT_EQ(c.collect(bias(read_counts::k_places)), 0u);
  EXPECT_TRUE(c.add(bias(read_counts::k_places)));
}

}  // namespace
