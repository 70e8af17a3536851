// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/stopwatch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace cairn::heap {
namespace {

constexpr std::uint64_t k_us = 1'000, k_ms = 1'000'000;

// What has happened since the look, of which an interval of 4 ms, from 50 us after it on, is the end.
struct since_look {
  std::uint64_t ran;
  long involuntary = 0, voluntary = 0;
};
bool was_switched_in_4_ms(const since_look& seen) {
  const cpu_use before{7, 5, 100 * k_ms, 20 * k_ms};
  const cpu_use after{7 + seen.involuntary, 5 + seen.voluntary, 104 * k_ms + 51 * k_us, 20 * k_ms + seen.ran};
  return was_switched(before, after, 100 * k_ms + 50 * k_us, 4 * k_ms);
}

TEST(WasSwitched, WithoutASwitchTheHostHadTheProcessorIfTheThreadDidNotRun) {
  EXPECT_TRUE(was_switched_in_4_ms({.ran = 60 * k_us}));
  EXPECT_TRUE(was_switched_in_4_ms({.ran = 2 * k_ms}));
  EXPECT_FALSE(was_switched_in_4_ms({.ran = 2 * k_ms + 1}))
      << "it has run for more than half of the interval";
  EXPECT_FALSE(was_switched_in_4_ms({.ran = 4 * k_ms + 50 * k_us})) << "it has run all the time";
}

TEST(WasSwitched, AThreadThatSleptWaitedForTheCollector) {
  EXPECT_FALSE(was_switched_in_4_ms({.ran = 60 * k_us, .voluntary = 1}));
}

TEST(WasSwitched, AnInvoluntarySwitchCountsIfTheThreadDidNotRunForHalfOfTheInterval) {
  EXPECT_TRUE(was_switched_in_4_ms({.ran = 60 * k_us, .involuntary = 1}));
  EXPECT_TRUE(was_switched_in_4_ms({.ran = 60 * k_us, .involuntary = 1, .voluntary = 1}));
  EXPECT_FALSE(was_switched_in_4_ms({.ran = 4 * k_ms + 40 * k_us, .involuntary = 1}))
      << "off for 10 us of 4 ms";
  EXPECT_FALSE(was_switched_in_4_ms({.ran = 2 * k_ms + 51 * k_us, .involuntary = 1}));
}

TEST(WasSwitched, AShortIntervalWithASwitchIsMostlyTheKernelsWorkOnIt) {
  const cpu_use before{}, after{1, 0, 30 * k_us, 24 * k_us};
  EXPECT_TRUE(was_switched(before, after, 0, 30 * k_us));
  const cpu_use longer{1, 0, 35 * k_us, 29 * k_us};
  EXPECT_FALSE(was_switched(before, longer, 0, 35 * k_us));
}

TEST(WasSwitched, WhatWasStolenBeforeTheIntervalDoesNotCount) {
  const cpu_use before{};
  const cpu_use after{.wall_ns = 4 * k_ms, .cpu_ns = 2 * k_ms};
  EXPECT_FALSE(was_switched(before, after, 2 * k_ms, 2 * k_ms)) << "it may have run throughout";
}

// Of 100 us, all of them run, with 4 ms stolen between the end and the look after it.
TEST(WasSwitched, WhatWasStolenAfterTheIntervalDoesNotCount) {
  const cpu_use before{};
  const cpu_use after{.wall_ns = 4 * k_ms + 101 * k_us, .cpu_ns = 101 * k_us};
  EXPECT_FALSE(was_switched(before, after, 0, 100 * k_us));
  const cpu_use switched{1, 0, after.wall_ns, after.cpu_ns};
  EXPECT_FALSE(was_switched(before, switched, 0, 100 * k_us));
}

void spin_for(std::uint64_t ns) {
  const std::uint64_t began = monotonic_ns();
  while (monotonic_ns() - began < ns) {
  }
}

TEST(Stopwatch, AThreadThatSleepsIsNotSwitched) {
  std::thread([] {
    cpu_use used;
    stopwatch alone, cached(used);
    const cpu_use before = used;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    const interval first = alone.stop(), second = cached.stop();
    EXPECT_GE(first.ns, 3 * k_ms);
    EXPECT_GE(second.ns, 3 * k_ms);
    if (used.involuntary == before.involuntary) {
      EXPECT_FALSE(first.switched);
      EXPECT_FALSE(second.switched);
    }
  }).join();
}

TEST(Stopwatch, LooksAgainWhenTheLastLookIsOldAndAfterALongInterval) {
  cpu_use used;
  {
    stopwatch watch(used);
    EXPECT_GT(used.wall_ns, 0u) << "there was none";
    EXPECT_GE(watch.began(), used.wall_ns);
    const cpu_use first = used;
    spin_for(20 * k_us);
    watch.stop();
    EXPECT_GT(used.wall_ns, first.wall_ns);
    EXPECT_GE(used.cpu_ns, first.cpu_ns);
  }
  const std::uint64_t looked = used.wall_ns;
  spin_for(150 * k_us);
  stopwatch again(used);
  EXPECT_GT(used.wall_ns, looked);
}

// Two threads that never sleep for each processor: some interval of 20 ms has a switch, and is told.
TEST(Stopwatch, TellsThatOthersHadTheProcessor) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    others.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  }
  const std::uint64_t until = monotonic_ns() + 60'000 * k_ms;
  cpu_use used;
  bool told = false;
  while (!told && monotonic_ns() < until) {
    stopwatch watch(used);
    const std::uint64_t began = monotonic_ns();
    std::uint64_t last = began;
    // Ends after the first gap that is long.
    for (std::uint64_t now = began; now - last < k_ms && now - began < 2 * k_ms; now = monotonic_ns())
      last = now;
    told = watch.stop().switched;
  }
  stop.store(true);
  for (std::thread& other : others) other.join();
  EXPECT_TRUE(told);
}

TEST(Stopwatch, OneWithinAnotherTakesNothingFromIt) {
  cpu_use used;
  const auto spin = [](std::uint64_t ns) {
    for (const std::uint64_t began = monotonic_ns(); monotonic_ns() - began < ns;) {
    }
  };
  int switched = 0;
  constexpr int k_turns = 200;
  for (int i = 0; i < k_turns; ++i) {
    stopwatch outer(used);
    spin(20 * k_us);
    stopwatch inner(used);
    spin(10 * k_us);
    (void)inner.stop();
    switched += outer.stop().switched ? 1 : 0;
  }
  EXPECT_LT(switched, k_turns / 4) << "the thread ran all the time, but for what others took";
}

}  // namespace
}  // namespace cairn::heap
