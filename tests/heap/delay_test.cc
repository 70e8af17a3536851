// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Random delays: off they do nothing, on they wait as often as asked, also inside signal handlers.
#include "heap/delay.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

namespace cairn::heap {
namespace {

class Delay : public testing::Test {
 protected:
  void TearDown() override { set_delays(0, 0); }
};

// How many of `calls` on a fresh thread waited.
int delayed_of(int calls) {
  int count = 0;
  std::thread([&] {
    static const char k_names[2][2] = {"a", "b"};  // a new name each time shows that the point was recorded
    int next = 0;
    for (int i = 0; i < calls; ++i) {
      maybe_delay(k_names[next]);
      if (last_delay_point() == k_names[next]) {
        ++count;
        next = 1 - next;
      }
    }
  }).join();
  return count;
}

TEST_F(Delay, OffNothingWaits) {
  set_delays(0, 1);
  EXPECT_EQ(delayed_of(100'000), 0);
}

TEST_F(Delay, WaitsInAboutAsManyOfAThousandCallsAsAsked) {
  set_delays(100, 12345);
  int count = delayed_of(10'000);
  EXPECT_GE(count, 850);
  EXPECT_LE(count, 1150);
}

TEST_F(Delay, AThousandMeansEveryCallAndNoneIsLong) {
  set_delays(1000, 99);
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(delayed_of(300), 300);
  auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, std::chrono::milliseconds(1));
  EXPECT_LE(took, std::chrono::seconds(10));  // some 10 ms on an idle machine
}

TEST_F(Delay, TwoThreadsDrawDifferentNumbers) {
  set_delays(500, 7);
  auto pattern = [] {
    unsigned long long bits = 0;
    std::thread([&] {
      for (int i = 0; i < 60; ++i) {
        char before[2] = "x";
        const char* last = last_delay_point();
        maybe_delay(before);
        bits = bits << 1 | (last_delay_point() == before && last != before);
        maybe_delay("y");
      }
    }).join();
    return bits;
  };
  EXPECT_NE(pattern(), pattern());
}

TEST_F(Delay, KeepsErrno) {
  set_delays(1000, 5);
  errno = 42;
  for (int i = 0; i < 200; ++i) maybe_delay("errno");
  EXPECT_EQ(errno, 42);
}

TEST_F(Delay, RunsInASignalHandler) {
  set_delays(1000, 5);
  static volatile std::sig_atomic_t handled = 0;
  struct sigaction action, old;
  std::memset(&action, 0, sizeof(action));
  action.sa_handler = [](int) {
    maybe_delay("handler");
    handled = handled + 1;
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  for (int i = 0; i < 50; ++i) {
    raise(SIGUSR1);
    maybe_delay("outside");
  }
  ASSERT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
  EXPECT_EQ(handled, 50);
  EXPECT_STREQ(last_delay_point(), "outside");
}

}  // namespace
}  // namespace cairn::heap
