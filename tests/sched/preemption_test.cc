// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/preemption.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using heap::cpu_use;

constexpr std::uint64_t k_us = 1'000, k_ms = 1'000'000;

// An interval of 4 ms that began 50 us after the counts were read, during which the thread ran for `ran`.
bool stolen_of_4_ms(std::uint64_t ran, long involuntary = 0, long voluntary = 0) {
  const cpu_use before{7, 5, 100 * k_ms, 20 * k_ms};
  const cpu_use now{7 + involuntary, 5 + voluntary, 104 * k_ms + 50 * k_us, 20 * k_ms + ran};
  return was_stolen(before, now, 100 * k_ms + 50 * k_us, 4 * k_ms);
}

TEST(SliceStopwatch, ALongIntervalWithoutProcessorTimeWasStolenIfNobodyIsKnownToHaveRun) {
  EXPECT_TRUE(stolen_of_4_ms(60 * k_us));
  EXPECT_FALSE(stolen_of_4_ms(4 * k_ms)) << "it has run all the time";
  EXPECT_FALSE(stolen_of_4_ms(3 * k_ms)) << "it has run most of the time";
  EXPECT_FALSE(stolen_of_4_ms(60 * k_us, 0, 1)) << "it may have waited for something";
  EXPECT_FALSE(stolen_of_4_ms(60 * k_us, 1)) << "the kernel says so itself";
}

TEST(SliceStopwatch, WhatWasStolenBeforeTheIntervalDoesNotCount) {
  const cpu_use before{0, 0, 0, 0}, now{0, 0, 4 * k_ms, 2 * k_ms};
  EXPECT_FALSE(was_stolen(before, now, 2 * k_ms, 2 * k_ms)) << "it may have run throughout";
  EXPECT_FALSE(was_stolen(before, cpu_use{0, 0, 4 * k_ms, 0}, 3'500 * k_us, 500 * k_us)) << "too short";
}

TEST(SliceStopwatch, AThreadThatSleepsIsNotStolenFrom) {
  std::thread([] {
    m& me = self();
    slice_stopwatch watch(me);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    const cpu_use before = me.used;
    const heap::interval took = watch.stop();
    EXPECT_GE(took.ns, 3 * k_ms);
    if (me.used.involuntary == before.involuntary) {
      EXPECT_FALSE(took.switched);
    }
  }).join();
}

}  // namespace
}  // namespace cairn::sched
