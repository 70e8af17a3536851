// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "patience.h"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

struct hand_set_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<hand_set_clock>;
  static time_point now() { return time_point(time); }
  static inline duration time{1h};
};
using patience = cairn_test::basic_patience<hand_set_clock>;

TEST(Patience, EndsWhenTheTimeIsOver) {
  patience p(2s);
  for (int i = 0; i < 20; ++i) {
    ASSERT_FALSE(p.is_over());
    hand_set_clock::time += 100ms;
  }
  EXPECT_FALSE(p.is_over());
  hand_set_clock::time += 1ns;
  EXPECT_TRUE(p.is_over());
}

TEST(Patience, DoesNotCountTheTimeInWhichTheProcessIsStopped) {
  patience p(3s);
  hand_set_clock::time += 10min;
  EXPECT_FALSE(p.is_over());
  hand_set_clock::time += 10min;
  EXPECT_FALSE(p.is_over());
  hand_set_clock::time += 500ms;
  EXPECT_FALSE(p.is_over());
  hand_set_clock::time += 501ms;
  EXPECT_TRUE(p.is_over());
}

}  // namespace
