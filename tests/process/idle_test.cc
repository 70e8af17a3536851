// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A program that does nothing is left alone: one periodic cycle for what it has allocated before, and then none, and no
// CPU time. ./dev idle shows the same over five minutes, with the real interval of two.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "process/process.h"

namespace {

using process::outcome;

struct idle {
  long seconds = 0;
  unsigned long cycles = 0;
  double cpu_ms = 0;
};

// Of 3 s with an interval of half a second, so that there would be five cycles.
idle idle_with(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), {"--seconds", "3", "--interval-ms", "500"});
  const outcome o = process::run(CAIRN_IDLE_CHILD, arguments, environment);
  EXPECT_EQ(o.exit_status, 0) << o;
  idle i;
  EXPECT_EQ(
      std::sscanf(o.out.c_str(), "idle for %ld s: %lu cycles, %lf ms", &i.seconds, &i.cycles, &i.cpu_ms), 3)
      << o;
  return i;
}

// One of three times: a process that was stopped meanwhile has missed the time that it counts in.
void expect_cycles(unsigned long wanted, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment = {}) {
  unsigned long cycles = wanted + 1;
  for (int i = 0; i < 3 && cycles != wanted; ++i) cycles = idle_with(arguments, environment).cycles;
  EXPECT_EQ(cycles, wanted);
}

TEST(Idle, OneCycleComesForWhatWasAllocatedAndThenNone) { expect_cycles(1, {}); }

TEST(Idle, OneCycleComesWithBytesOutsideOfTheHeapAndThenNone) { expect_cycles(1, {"--external", "1000000"}); }

TEST(Idle, OneStoppedCycleComesAndThenNone) {
  expect_cycles(1, {"--external", "1000000"}, {"CAIRNDEBUG=gcstoptheworld=1"});
}

TEST(Idle, NoCycleComesWhereTheCollectorIsOff) { expect_cycles(0, {}, {"CAIRNGC=off"}); }

// A hundredth of the time, for the one cycle, which takes a millisecond without a sanitizer and on a free machine.
TEST(Idle, TakesNoCpuTime) {
  constexpr double k_most_ms = 30;
  double least = 1e9;
  for (int i = 0; i < 5 && least > k_most_ms; ++i) least = std::min(least, idle_with({}).cpu_ms);
  EXPECT_LE(least, k_most_ms);
}

}  // namespace
