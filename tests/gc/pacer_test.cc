// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The pacer: each function on its own, then whole programs simulated cycle by cycle (steady, growing, a step, jitter,
// big stacks, big globals, a memory limit, percent off with a limit).
//
// The simulation is idealised: marking and allocating progress at given rates per CPU and ms, and assists are paid
// exactly as the ratio asks, so a cycle's share of the CPU follows from the ratio (see simulator::step).
#include "gc/pacer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace cairn::gc {
namespace {

constexpr std::size_t k_kib = 1 << 10;
constexpr std::size_t k_mib = 1 << 20;
constexpr std::size_t k_gib = 1 << 30;

goal_inputs inputs(std::size_t live, int percent = 100) {
  goal_inputs in;
  in.live = live;
  in.gc_percent = percent;
  return in;
}

// ---- goal ---------------------------------------------------------------------------------------------------

TEST(Pacer, GoalIsLivePlusPercentOfAllThatIsScanned) {
  goal_inputs in = inputs(100 * k_mib);
  in.stack_bytes = 10 * k_mib;
  in.globals_bytes = 6 * k_mib;
  EXPECT_EQ(percent_goal(in), 216 * k_mib);
  in.gc_percent = 50;
  EXPECT_EQ(percent_goal(in), 158 * k_mib);
  in.gc_percent = 0;
  EXPECT_EQ(percent_goal(in), 100 * k_mib);
}

TEST(Pacer, WhatFloatsDoesNotRaiseTheGoalButLeavesRoomToAllocate) {
  goal_inputs in = inputs(50 * k_mib);
  in.floating = 10 * k_mib;
  EXPECT_EQ(percent_goal(in), 80 * k_mib);
  in.floating = 30 * k_mib;  // twice the rest would be less than what is live
  EXPECT_EQ(percent_goal(in), 55 * k_mib);
  in.floating = 100 * k_mib;
  EXPECT_EQ(percent_goal(in), 50 * k_mib);
}

TEST(Pacer, WhatFloatsCountsAsFarAsTheHeapHasMemoryAlready) {
  goal_inputs in = inputs(50 * k_mib);
  in.floating = 10 * k_mib;
  in.stack_bytes = 1 * k_mib;
  in.resident = 75 * k_mib;
  EXPECT_EQ(percent_goal(in), 81 * k_mib);
  in.resident = 85 * k_mib;
  EXPECT_EQ(percent_goal(in), 85 * k_mib);
  in.resident = 250 * k_mib;  // it is live and no more than that
  EXPECT_EQ(percent_goal(in), 101 * k_mib);
  in.floating = 100 * k_mib;
  EXPECT_EQ(percent_goal(in), 101 * k_mib);
  in = inputs(50 * k_mib);
  in.resident = 250 * k_mib;
  EXPECT_EQ(percent_goal(in), 100 * k_mib);
}

TEST(Pacer, WhatFloatsMayRaiseTheGoalOfALargeHeapByHalfOfTheGrowth) {
  goal_inputs in = inputs(1200 * k_mib);
  in.floating = 200 * k_mib;
  EXPECT_EQ(percent_goal(in), 2400 * k_mib) << "all of it counts";
  in.floating = 400 * k_mib;
  EXPECT_EQ(percent_goal(in), 2000 * k_mib) << "800 + 800 + 400";
  in.gc_percent = 50;
  EXPECT_EQ(percent_goal(in), 1400 * k_mib) << "800 + 400 + 200";
  in = inputs(224 * k_mib);
  in.floating = 64 * k_mib;
  EXPECT_EQ(percent_goal(in), 360 * k_mib) << "half way to a large heap, half of that: 160 + 160 + 40";
}

TEST(Pacer, WhatIsBornMarkedFloatsAsFarAsAllocatedObjectsDied) {
  const std::size_t born = 8 * k_mib;
  // A steady heap: all that is allocated dies.
  EXPECT_EQ(floating_bytes({100 * k_mib, born, 100 * k_mib, 50 * k_mib}), born);
  // A growing one: all of it stays.
  EXPECT_EQ(floating_bytes({150 * k_mib, born, 100 * k_mib, 50 * k_mib}), 0u);
  EXPECT_EQ(floating_bytes({125 * k_mib, born, 100 * k_mib, 50 * k_mib}), born / 2);
  EXPECT_EQ(floating_bytes({300 * k_mib, born, 100 * k_mib, 50 * k_mib}), 0u);
  // A shrinking one.
  EXPECT_EQ(floating_bytes({10 * k_mib, born, 100 * k_mib, 50 * k_mib}), born);
  // The first cycle, and one that follows at once: nothing is known.
  EXPECT_EQ(floating_bytes({50 * k_mib, born, 0, 50 * k_mib}), 0u);
  EXPECT_EQ(floating_bytes({100 * k_mib, born, 100 * k_mib, 0}), 0u);
}

TEST(Pacer, SmallHeapsHaveTheMinimumGoal) {
  EXPECT_EQ(minimum_heap(100), 4 * k_mib);
  EXPECT_EQ(minimum_heap(25), k_mib);
  EXPECT_EQ(minimum_heap(400), 16 * k_mib);
  EXPECT_EQ(minimum_heap(0), 0u);
  EXPECT_EQ(percent_goal(inputs(10 * k_kib)), 4 * k_mib);
  EXPECT_EQ(percent_goal(inputs(10 * k_kib, 200)), 8 * k_mib);
}

TEST(Pacer, PercentOffHasNoGoal) {
  EXPECT_EQ(percent_goal(inputs(k_mib, -1)), k_no_goal);
  EXPECT_EQ(compute_goal(inputs(k_mib, -1)).goal, k_no_goal);
  EXPECT_EQ(compute_trigger({k_no_goal, 0}, k_mib, 0), k_no_goal);
  EXPECT_EQ(stopped_trigger({k_no_goal, 0}, k_mib, false), k_no_goal);
}

TEST(Pacer, GoalsSaturate) {
  goal_inputs in = inputs(SIZE_MAX / 2, INT32_MAX);
  in.stack_bytes = SIZE_MAX / 2;
  in.globals_bytes = SIZE_MAX / 2;
  EXPECT_EQ(percent_goal(in), SIZE_MAX);
  EXPECT_EQ(minimum_heap(INT32_MAX), 4 * k_mib * std::size_t{INT32_MAX} / 100);
}

TEST(Pacer, GoalLeavesRoomForTheSweepAndForARunningCycle) {
  goal_inputs in = inputs(8 * k_mib, 1);
  in.sweep_basis = 8 * k_mib + 512 * k_kib;
  heap_goal g = compute_goal(in);
  EXPECT_EQ(g.goal, 9 * k_mib + 512 * k_kib);
  EXPECT_EQ(g.minimum_trigger, g.goal);
  in = inputs(8 * k_mib);
  in.triggered = 16 * k_mib;
  EXPECT_EQ(compute_goal(in).goal, 16 * k_mib + k_minimum_runway_bytes);
}

goal_inputs limited(std::size_t limit, std::size_t live, std::size_t mapped, std::size_t in_use,
                    std::size_t idle) {
  goal_inputs in = inputs(live);
  in.memory_limit = limit;
  in.use = {mapped, in_use, idle};
  return in;
}

TEST(Pacer, MemoryLimitCountsWhatIsNotHeap) {
  // 100 MiB mapped: 60 objects, 10 idle, so 30 of stacks and metadata; 200 - 30 = 170, less 3 %.
  goal_inputs in = limited(200 * k_mib, 60 * k_mib, 100 * k_mib, 60 * k_mib, 10 * k_mib);
  double expected = 170.0 * k_mib * 0.97;
  EXPECT_NEAR(static_cast<double>(memory_limit_goal(in)), expected, 2);
  EXPECT_EQ(compute_goal(in).goal, 120 * k_mib);  // the percent asks for less
  in.gc_percent = 1000;
  EXPECT_NEAR(static_cast<double>(compute_goal(in).goal), expected, 2);
  in.gc_percent = -1;
  EXPECT_NEAR(static_cast<double>(compute_goal(in).goal), expected, 2);
}

TEST(Pacer, MemoryLimitHeadroomIsAMebibyteAtLeast) {
  EXPECT_EQ(memory_limit_goal(limited(10 * k_mib, 0, 0, 0, 0)), 9 * k_mib);
  EXPECT_EQ(memory_limit_goal(limited(k_mib + 512 * k_kib, 0, 0, 0, 0)), k_mib);
  EXPECT_EQ(memory_limit_goal(limited(512 * k_kib, 0, 0, 0, 0)), 512 * k_kib);
}

TEST(Pacer, MemoryLimitSubtractsWhatIsMappedBeyondIt) {
  // All of 120 MiB is heap; 20 above the limit must go.
  goal_inputs in = limited(100 * k_mib, 50 * k_mib, 120 * k_mib, 90 * k_mib, 30 * k_mib);
  EXPECT_NEAR(static_cast<double>(memory_limit_goal(in)), 80.0 * k_mib * 0.97, 2);
}

TEST(Pacer, MemoryLimitNeverAsksForLessThanWhatIsLive) {
  EXPECT_EQ(memory_limit_goal(limited(10 * k_mib, 50 * k_mib, 60 * k_mib, 50 * k_mib, 0)), 50 * k_mib);
  EXPECT_EQ(memory_limit_goal(limited(0, 50 * k_mib, 60 * k_mib, 50 * k_mib, 0)), 50 * k_mib);
  EXPECT_EQ(memory_limit_goal(inputs(50 * k_mib)), k_no_goal);
}

TEST(Pacer, MemoryLimitGoalFallsAsOtherMemoryGrows) {
  std::size_t last = k_no_goal;
  for (std::size_t other = 0; other <= 300; other += 10) {
    std::size_t goal = memory_limit_goal(limited(256 * k_mib, k_mib, other * k_mib, 0, 0));
    EXPECT_LE(goal, last);
    EXPECT_GE(goal, k_mib);
    last = goal;
  }
  EXPECT_EQ(last, k_mib);
}

// ---- trigger ------------------------------------------------------------------------------------------------

TEST(Pacer, TriggerIsTheRunwayBelowTheGoal) {
  heap_goal g{200 * k_mib, 0};
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 20 * k_mib), 180 * k_mib);
}

TEST(Pacer, TriggerStaysInItsWindow) {
  heap_goal g{164 * k_mib, 0};  // 64 MiB above live: a part is 1 MiB
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 100 * k_mib), 145 * k_mib);
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 10 * k_gib), 145 * k_mib);
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 0), 161 * k_mib);
  heap_goal large{6400 * k_mib + 100 * k_mib, 0};
  EXPECT_EQ(compute_trigger(large, 100 * k_mib, 0), large.goal - 4 * k_mib);
}

TEST(Pacer, TriggerLeavesTheSweepItsDistance) {
  heap_goal g{164 * k_mib, 150 * k_mib};
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 100 * k_mib), 150 * k_mib);
  g.minimum_trigger = 170 * k_mib;
  EXPECT_EQ(compute_trigger(g, 100 * k_mib, 0), g.goal);
}

TEST(Pacer, TriggerIsBetweenLiveAndGoalForAnyNumbers) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; ++i) {
    auto number = [&] { return static_cast<std::size_t>(random() >> (random() % 64)); };
    goal_inputs in = limited(random() % 4 == 0 ? k_no_goal : number(), number(), number(), number(), number());
    in.gc_percent = static_cast<int>(random() % 3000) - 1;
    in.stack_bytes = number();
    in.globals_bytes = number();
    in.sweep_basis = number();
    heap_goal g = compute_goal(in);
    ASSERT_GE(g.goal, in.live);
    std::size_t trigger = compute_trigger(g, in.live, number());
    ASSERT_LE(trigger, g.goal);
    ASSERT_GE(trigger, in.live);
    ASSERT_GE(stopped_trigger(g, in.live, false), g.goal);
  }
}

TEST(Pacer, StoppedCycleStartsAtTheGoal) {
  EXPECT_EQ(stopped_trigger({200 * k_mib, 0}, 100 * k_mib, false), 200 * k_mib);
  EXPECT_EQ(stopped_trigger({100 * k_mib, 0}, 100 * k_mib, false), 100 * k_mib + k_minimum_runway_bytes);
}

TEST(Pacer, LimiterLetsAStoppedCycleWait) {
  EXPECT_EQ(stopped_trigger({800 * k_mib, 0}, 800 * k_mib, true), 900 * k_mib);
  EXPECT_EQ(stopped_trigger({2 * k_mib, 0}, 2 * k_mib, true), 6 * k_mib);
  EXPECT_EQ(stopped_trigger({1600 * k_mib, 0}, 800 * k_mib, true), 1600 * k_mib);
}

TEST(Pacer, PeriodicCycleComesTwoMinutesAfterTheLastIfAnythingWasAllocated) {
  constexpr std::uint64_t k_interval = k_periodic_cycle_ns;
  std::uint64_t last = 5'000'000'000;
  EXPECT_FALSE(is_periodic_cycle_due(last + k_interval, last, k_interval, true, 100));
  EXPECT_TRUE(is_periodic_cycle_due(last + k_interval + 1, last, k_interval, true, 100));
  EXPECT_FALSE(is_periodic_cycle_due(last + 2 * k_interval, last, k_interval, false, 100));
  EXPECT_FALSE(is_periodic_cycle_due(last + 2 * k_interval, last, k_interval, true, -1));
  EXPECT_FALSE(is_periodic_cycle_due(last - 1, last, k_interval, true, 100));
}

// ---- sweep --------------------------------------------------------------------------------------------------

TEST(Pacer, SweepIsDoneAMebibyteBeforeTheTrigger) {
  std::size_t live = 100 * k_mib, trigger = 180 * k_mib, pages = 12'800;
  sweep_pace pace = pace_sweep(live, trigger, pages, 0);
  std::size_t swept = 0;
  while (live < trigger - k_mib) {
    swept += sweep_debt_pages(pace, live, swept, 8 * k_kib);
    live += 8 * k_kib;
  }
  EXPECT_GE(swept + 1, pages);
  EXPECT_LE(swept, pages + 1);
}

TEST(Pacer, SweepCreditOfTheBackgroundCounts) {
  sweep_pace pace = pace_sweep(100 * k_mib, 201 * k_mib, 12'800, 1000);
  EXPECT_EQ(sweep_debt_pages(pace, 100 * k_mib, 1000, 0), 0u);
  std::size_t debt = sweep_debt_pages(pace, 150 * k_mib, 1000, 0);
  EXPECT_EQ(debt, 5900u);
  EXPECT_EQ(sweep_debt_pages(pace, 150 * k_mib, 6000, 0), debt - 5000);
  EXPECT_EQ(sweep_debt_pages(pace, 150 * k_mib, 12'800, 0), 0u);
}

TEST(Pacer, NothingToSweepIsNoDebt) {
  sweep_pace pace = pace_sweep(100 * k_mib, 200 * k_mib, 500, 500);
  EXPECT_EQ(sweep_debt_pages(pace, 199 * k_mib, 500, k_mib), 0u);
  EXPECT_EQ(sweep_debt_pages(sweep_pace{}, 199 * k_mib, 0, k_mib), 0u);
}

TEST(Pacer, SweepWithoutDistanceIsDueAtOnce) {
  sweep_pace pace = pace_sweep(100 * k_mib, 100 * k_mib, 500, 0);
  EXPECT_EQ(sweep_debt_pages(pace, 100 * k_mib, 0, 8 * k_kib), 500u);
}

// ---- marking ------------------------------------------------------------------------------------------------

TEST(Pacer, WorkersTakeAQuarterOfTheProcs) {
  for (int procs = 1; procs <= 256; ++procs) {
    worker_share s = compute_worker_share(procs);
    double share = (s.dedicated + s.fraction * procs) / procs;
    EXPECT_GE(s.dedicated, 0);
    EXPECT_NEAR(share, 0.25, 0.25 * 0.31) << procs;
    if (s.fraction > 0) {
      EXPECT_NEAR(share, 0.25, 1e-9) << procs;
    }
  }
  EXPECT_EQ(compute_worker_share(1).dedicated, 0);
  EXPECT_DOUBLE_EQ(compute_worker_share(2).fraction, 0.25);
  EXPECT_EQ(compute_worker_share(4).dedicated, 1);
  EXPECT_EQ(compute_worker_share(4).fraction, 0);
  EXPECT_EQ(compute_worker_share(6).dedicated, 1);
  EXPECT_GT(compute_worker_share(6).fraction, 0);
}

TEST(Pacer, ConsMarkIsTheLargestOfFiveCycles) {
  cons_mark c;
  EXPECT_EQ(c.runway(100 * k_mib), 0u);
  cons_mark::cycle fast{10 * k_mib, 100 * k_mib, 1'000'000, 0, 0, 4};
  c.end_cycle(fast);
  double quarter = 0.1 * 0.25 / 0.75;
  EXPECT_DOUBLE_EQ(c.ratio(), quarter);
  EXPECT_NEAR(static_cast<double>(c.runway(100 * k_mib)), 10.0 * k_mib, 2);
  cons_mark::cycle slow = fast;
  slow.allocated = 5 * k_mib;
  for (int i = 0; i < 4; ++i) {
    c.end_cycle(slow);
    EXPECT_DOUBLE_EQ(c.ratio(), quarter) << i;
  }
  c.end_cycle(slow);
  EXPECT_DOUBLE_EQ(c.ratio(), quarter / 2);
}

TEST(Pacer, ConsMarkCountsAssistsAndIdleWorkers) {
  cons_mark c;
  // A quarter in assists on top of the background: half the CPU marked, half allocated.
  c.end_cycle({50 * k_mib, 100 * k_mib, 1'000'000, 1'000'000, 0, 4});
  EXPECT_DOUBLE_EQ(c.ratio(), 0.5);
  cons_mark idle;
  idle.end_cycle({50 * k_mib, 100 * k_mib, 1'000'000, 0, 2'000'000, 4});
  EXPECT_DOUBLE_EQ(idle.ratio(), 0.5);
}

TEST(Pacer, ConsMarkIgnoresCyclesThatSayNothing) {
  cons_mark c;
  c.end_cycle({10 * k_mib, 100 * k_mib, 1'000'000, 0, 0, 4});
  double before = c.ratio();
  c.end_cycle({0, 100 * k_mib, 1'000'000, 0, 0, 4});
  c.end_cycle({10 * k_mib, 0, 1'000'000, 0, 0, 4});
  EXPECT_EQ(c.ratio(), before);
  c.end_cycle({10 * k_mib, 10 * k_mib, 1000, 1'000'000'000, 0, 1});  // assists beyond the CPU there was
  EXPECT_TRUE(std::isfinite(c.ratio()));
}

TEST(Pacer, ExpectsToScanMoreOfAHeapThatHasGrown) {
  EXPECT_EQ(expected_scan(0, 0, 3 * k_mib), 0u);
  EXPECT_EQ(expected_scan(3 * k_mib, 3 * k_mib, 12 * k_mib), 12 * k_mib);
  EXPECT_EQ(expected_scan(5 * k_mib, 10 * k_mib, 15 * k_mib), 7 * k_mib + k_mib / 2);
  // Of one that is smaller now: it may be that what lives longest is left.
  EXPECT_EQ(expected_scan(5 * k_mib, 10 * k_mib, 8 * k_mib), 5 * k_mib);
}

TEST(Pacer, AssistRatioIsRemainingWorkOverRemainingHeap) {
  mark_inputs in;
  in.live = 150 * k_mib;
  in.goal = 200 * k_mib;
  in.triggered = 140 * k_mib;
  in.scanned = 20 * k_mib;
  in.expected_scan = 120 * k_mib;
  in.largest_scan = 160 * k_mib;
  assist_ratio r = compute_assist_ratio(in);
  EXPECT_DOUBLE_EQ(r.work_per_byte, 2.0);
  EXPECT_DOUBLE_EQ(r.bytes_per_work, 0.5);
}

TEST(Pacer, AssistsStretchTheGoalWhenTheHeapGrows) {
  mark_inputs in;
  in.live = 180 * k_mib;
  in.goal = 200 * k_mib;
  in.triggered = 160 * k_mib;
  in.expected_scan = 80 * k_mib;
  in.scanned = 81 * k_mib;
  in.largest_scan = 160 * k_mib;
  // The runway of 40 MiB becomes 80: goal 240.
  EXPECT_NEAR(compute_assist_ratio(in).work_per_byte, 79.0 / 60.0, 1e-9);
  in.largest_scan = 100 * k_gib;  // but twice the goal at most
  EXPECT_NEAR(compute_assist_ratio(in).work_per_byte, (100.0 * 1024 - 81) / 220.0, 1e-6);
}

TEST(Pacer, AssistsGetTenPercentMorePastTheGoal) {
  mark_inputs in;
  in.live = 210 * k_mib;
  in.goal = 200 * k_mib;
  in.triggered = 160 * k_mib;
  in.expected_scan = 100 * k_mib;
  in.scanned = 50 * k_mib;
  in.largest_scan = 200 * k_mib;
  EXPECT_NEAR(compute_assist_ratio(in).work_per_byte, 150.0 / 10.0, 1e-6);
  in.live = 400 * k_mib;  // past that too: all the rest before one more byte
  EXPECT_NEAR(compute_assist_ratio(in).work_per_byte, 150.0 * k_mib, 1);
}

TEST(Pacer, AssistRatioIsPositiveAndFiniteForAnyNumbers) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 100'000; ++i) {
    auto number = [&] { return static_cast<std::size_t>(random() >> (random() % 64)); };
    mark_inputs in{
        static_cast<int>(random() % 1000) - 1, number(), number(), number(), number(), number(), number()};
    assist_ratio r = compute_assist_ratio(in);
    ASSERT_TRUE(std::isfinite(r.work_per_byte) && r.work_per_byte > 0);
    ASSERT_TRUE(std::isfinite(r.bytes_per_work) && r.bytes_per_work > 0);
  }
}

TEST(Pacer, CreditBeyondTheDebtIsSmallHoweverCheapItWas) {
  EXPECT_EQ(earn_credit(-1000, 100, 2.0), -800);
  EXPECT_EQ(earn_credit(-1000, 4096, 2.0), 7192);
  EXPECT_EQ(earn_credit(-1000, 4096, 1e6), k_most_credit_bytes);
  EXPECT_EQ(earn_credit(-(std::ptrdiff_t{1} << 40), 4096, 1e300), k_most_credit_bytes);
  EXPECT_EQ(earn_credit(0, 0, 1e6), 0);
}

// ---- limiter ------------------------------------------------------------------------------------------------

constexpr std::uint64_t k_second = 1'000'000'000;

TEST(CpuLimiter, LimitsAfterASecondPerProcAboveHalf) {
  cpu_limiter l(2);
  std::uint64_t now = 0, gc = 0;
  for (int ms = 0; ms < 999; ++ms) {  // all of both CPUs
    l.advance(now += 1'000'000, gc += 2'000'000);
    ASSERT_FALSE(l.limiting()) << ms;
  }
  l.advance(now += 1'000'000, gc += 2'000'000);
  EXPECT_TRUE(l.limiting());
  EXPECT_EQ(l.overflow_ns(), 0u);
  l.advance(now += 1'000'000, gc += 2'000'000);
  EXPECT_EQ(l.overflow_ns(), 2'000'000u);
  l.advance(now += 1'000'000, gc);
  EXPECT_FALSE(l.limiting());
}

TEST(CpuLimiter, NeverLimitsAtHalfOrBelow) {
  cpu_limiter l(4);
  std::uint64_t now = 0, gc = 0;
  for (int s = 0; s < 1000; ++s) {
    l.advance(now += k_second, gc += 2 * k_second);
    ASSERT_FALSE(l.limiting());
  }
}

TEST(CpuLimiter, HoldsTheCollectorToHalfInTheLongRun) {
  cpu_limiter l(2);
  std::uint64_t now = 0, gc = 0;
  for (int i = 0; i < 100'000; ++i) {  // a collector that takes everything unless told not to
    now += 1'000'000;
    if (!l.limiting()) gc += 2'000'000;
    l.advance(now, gc);
  }
  double share = static_cast<double>(gc) / (2.0 * static_cast<double>(now));
  EXPECT_GT(share, 0.49);
  EXPECT_LT(share, 0.52);
}

TEST(CpuLimiter, EarnsNoCreditWhileIdle) {
  cpu_limiter l(1);
  l.advance(86'400 * k_second, 0);
  l.advance(86'400 * k_second + k_second, k_second);
  EXPECT_TRUE(l.limiting());
}

TEST(CpuLimiter, IgnoresTimesThatRunBackwards) {
  cpu_limiter l(1);
  l.advance(10 * k_second, k_second / 2);
  l.advance(9 * k_second, k_second);
  l.advance(11 * k_second, 0);
  EXPECT_FALSE(l.limiting());
  EXPECT_EQ(l.overflow_ns(), 0u);
}

TEST(CpuLimiter, KeepsItsFillWithinANewCapacity) {
  cpu_limiter l(4);
  l.advance(k_second, 4 * k_second);
  EXPECT_TRUE(l.limiting());
  l.set_procs(8);
  EXPECT_FALSE(l.limiting());
  l.set_procs(2);
  EXPECT_TRUE(l.limiting());
}

// ---- simulated programs -------------------------------------------------------------------------------------

using stream = std::function<double(int cycle)>;

stream constant(double value) {
  return [=](int) { return value; };
}
stream step(double before, double after, int at) {
  return [=](int c) { return c < at ? before : after; };
}
// The heap doubles at first and settles after twelve cycles.
double settling(int c) { return 2.0 - std::min(c, 12) / 12.0; }
stream jitter(double middle, double amplitude, unsigned seed) {
  return [=, random = std::mt19937(seed)](int) mutable {
    return middle + amplitude * std::uniform_real_distribution<double>(-1, 1)(random);
  };
}

struct program {
  int gc_percent = 100;
  std::size_t memory_limit = k_no_goal;
  std::size_t globals = 32 * k_kib;
  int procs = 8;
  stream alloc_rate = constant(33);   // KiB per CPU and ms
  stream scan_rate = constant(1024);  // KiB per CPU and ms
  stream growth = settling;           // of what lives, per cycle
  stream scannable = constant(1);
  stream stacks = constant(8192);
  std::size_t other_memory = 0;  // mapped, not heap
  int cycles = 50;
};

struct outcome {
  std::size_t live, trigger, peak, goal;
  double utilization;
  double goal_ratio() const { return static_cast<double>(peak) / static_cast<double>(goal); }
};

class simulator {
 public:
  explicit simulator(const program& p) : p_(p) {}

  std::vector<outcome> run() {
    std::vector<outcome> all;
    for (int c = 0; c < p_.cycles; ++c) all.push_back(cycle(c));
    return all;
  }

 private:
  static constexpr double k_period_ms = 0.5;

  outcome cycle(int c) {
    alloc_ = p_.alloc_rate(c);
    scan_ = p_.scan_rate(c);
    scannable_ = p_.scannable(c);
    stacks_ = static_cast<std::size_t>(p_.stacks(c));
    heap_goal g = compute_goal(goal_now());
    std::size_t trigger = compute_trigger(g, live_, runway_);
    // What the program holds on to, without what was allocated black during the last cycle.
    double survivors = c == 0 ? 256.0 * k_kib : static_cast<double>(live_ - black_) * p_.growth(c);
    start(trigger, static_cast<std::size_t>(survivors));
    while (scanned_ < to_scan_) advance();
    double cpu_ms = elapsed_ms_ * p_.procs;
    outcome o{live_, trigger, heap_, goal_, assist_ms_ / cpu_ms + k_background_utilization};
    cons_mark_.end_cycle({heap_ - trigger, scanned_, ns(elapsed_ms_), ns(assist_ms_), 0, p_.procs});
    finish(static_cast<std::size_t>(survivors), trigger);
    return o;
  }

  void start(std::size_t trigger, std::size_t survivors) {
    heap_ = triggered_ = trigger;
    goal_ = compute_goal(goal_now()).goal;
    scanned_ = 0;
    elapsed_ms_ = assist_ms_ = 0;
    heap_scan_ = static_cast<std::size_t>(static_cast<double>(trigger) * scannable_);
    std::size_t heap_work = static_cast<std::size_t>(static_cast<double>(survivors) * scannable_);
    to_scan_ = p_.globals + stacks_ + heap_work;
    heap_work_ = heap_work;
  }

  // One period. Scanning and allocating keep to the assist ratio r, and share the CPU as u and 1 - u:
  // scan * u = r * alloc * (1 - u), hence u; but workers have a quarter in any case.
  void advance() {
    mark_inputs in;
    in.gc_percent = p_.gc_percent;
    in.live = heap_;
    in.goal = goal_;
    in.triggered = triggered_;
    in.scanned = scanned_;
    in.expected_scan = last_heap_scan_ + stacks_ + p_.globals;
    in.largest_scan = heap_scan_ + stacks_ + p_.globals;
    double demand = compute_assist_ratio(in).work_per_byte * alloc_;
    double u = std::max(demand / (demand + scan_), k_background_utilization);
    double scan_bytes_per_ms = scan_ * k_kib * p_.procs * u;
    double left = static_cast<double>(to_scan_ - scanned_);
    double ms = std::min(k_period_ms, left / scan_bytes_per_ms);
    bool last = ms < k_period_ms;
    scanned_ = last ? to_scan_ : scanned_ + static_cast<std::size_t>(scan_bytes_per_ms * ms);
    std::size_t allocated = static_cast<std::size_t>(alloc_ * k_kib * p_.procs * (1 - u) * ms);
    heap_ += allocated;
    heap_scan_ += static_cast<std::size_t>(static_cast<double>(allocated) * scannable_);
    elapsed_ms_ += ms;
    assist_ms_ += ms * p_.procs * (u - k_background_utilization);
  }

  void finish(std::size_t survivors, std::size_t trigger) {
    black_ = heap_ - trigger;
    live_ = survivors + black_;
    last_heap_scan_ = heap_work_;
    triggered_ = k_no_goal;
    runway_ = cons_mark_.runway(last_heap_scan_ + stacks_ + p_.globals);
    sweep_basis_ = live_;
  }

  goal_inputs goal_now() const {
    goal_inputs in;
    in.gc_percent = p_.gc_percent;
    in.memory_limit = p_.memory_limit;
    in.live = live_;
    in.stack_bytes = stacks_;
    in.globals_bytes = p_.globals;
    in.use = {p_.other_memory + live_, live_, 0};
    in.sweep_basis = sweep_basis_;
    in.triggered = triggered_;
    return in;
  }

  static std::uint64_t ns(double ms) { return static_cast<std::uint64_t>(ms * 1e6); }

  program p_;
  cons_mark cons_mark_;
  std::size_t live_ = 0, black_ = 0, runway_ = 0, last_heap_scan_ = 0, sweep_basis_ = 0;
  std::size_t triggered_ = k_no_goal;
  // of the running cycle
  double alloc_ = 0, scan_ = 0, scannable_ = 0, elapsed_ms_ = 0, assist_ms_ = 0;
  std::size_t stacks_ = 0, heap_ = 0, goal_ = 0, scanned_ = 0, to_scan_ = 0, heap_scan_ = 0, heap_work_ = 0;
};

// From the settled part on: the peak is near the goal, and utilization changes little from cycle to cycle.
void expect_settled(const std::vector<outcome>& all, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    EXPECT_GE(all[i].goal_ratio(), 0.95) << i;
    EXPECT_LE(all[i].goal_ratio(), 1.05) << i;
    EXPECT_NEAR(all[i].utilization, all[i - 1].utilization, 0.005) << i;
  }
}

TEST(PacerSimulation, SteadyHeapSettlesOnGoalAndOnAQuarterOfTheCpu) {
  auto all = simulator({}).run();
  expect_settled(all, 25, all.size());
  EXPECT_NEAR(all.back().utilization, k_background_utilization, 0.005);
  EXPECT_GE(all.back().trigger, all.back().live);
}

TEST(PacerSimulation, BigStacksSettle) {
  program p;
  p.alloc_rate = constant(132);
  p.stacks = [](int c) { return 2048 + 128.0 * k_mib * std::min(c, 8) / 8; };
  auto all = simulator(p).run();
  expect_settled(all, 25, all.size());
  EXPECT_NEAR(all.back().utilization, k_background_utilization, 0.005);
}

TEST(PacerSimulation, BigGlobalsSettle) {
  program p;
  p.alloc_rate = constant(132);
  p.globals = 128 * k_mib;
  auto all = simulator(p).run();
  expect_settled(all, 25, all.size());
  EXPECT_NEAR(all.back().utilization, k_background_utilization, 0.005);
}

TEST(PacerSimulation, SettlesAgainAfterAStepOfTheAllocationRate) {
  for (double after : {99.0, 363.0}) {
    program p;
    p.alloc_rate = step(33, after, 50);
    p.cycles = 100;
    auto all = simulator(p).run();
    expect_settled(all, 25, 50);
    expect_settled(all, 75, 100);
  }
}

TEST(PacerSimulation, SettlesAgainWhenMoreOfTheHeapHoldsPointers) {
  program p;
  p.alloc_rate = constant(128);
  p.scannable = step(0.2, 0.7, 50);
  p.cycles = 100;
  auto all = simulator(p).run();
  expect_settled(all, 25, 50);
  expect_settled(all, 75, 100);
}

TEST(PacerSimulation, FollowsOscillationAndJitter) {
  program osc;
  osc.alloc_rate = [](int c) { return 67 + 13 * std::sin(2 * M_PI * c / 8); };
  program rough;
  rough.alloc_rate = jitter(132, 13, 15);
  rough.growth = [noise = jitter(0, 0.01, 14)](int c) { return settling(c) + noise(c); };
  for (const program& p : {osc, rough}) {
    auto all = simulator(p).run();
    for (std::size_t i = 13; i < all.size(); ++i) {
      EXPECT_GE(all[i].goal_ratio(), 0.95) << i;
      EXPECT_LE(all[i].goal_ratio(), 1.05) << i;
      EXPECT_GE(all[i].utilization, 0.25) << i;
      EXPECT_LE(all[i].utilization, 0.30) << i;
    }
  }
}

TEST(PacerSimulation, SustainsAGrowingHeap) {
  program p;
  p.growth = [](int c) { return c < 12 ? settling(c) : 1.1; };
  auto all = simulator(p).run();
  for (std::size_t i = 15; i < all.size(); ++i) {
    EXPECT_GT(all[i].live, all[i - 1].live) << i;
    EXPECT_LE(all[i].goal_ratio(), 1.10) << i;
    EXPECT_LE(all[i].utilization, 0.40) << i;
  }
}

TEST(PacerSimulation, SuddenGrowthWithAHighPercentOvershootsWithinItsBound) {
  program p;
  p.gc_percent = 1500;
  p.alloc_rate = jitter(165, 7, 0x53);
  p.growth = [](int c) { return settling(c) + (c == 25 ? 14 : 0); };
  auto all = simulator(p).run();
  for (std::size_t i = 13; i < all.size(); ++i) {
    EXPECT_LE(all[i].goal_ratio(), i == 25 ? 15 : 1.05) << i;
    EXPECT_GE(all[i].goal_ratio(), 0.90) << i;
    EXPECT_NEAR(all[i].utilization, k_background_utilization, 0.05) << i;
  }
}

TEST(PacerSimulation, MemoryLimitHoldsBelowThePercentsGoal) {
  program p;
  p.gc_percent = 400;
  p.growth = [](int c) { return settling(c); };
  p.other_memory = 16 * k_mib;
  std::size_t unlimited = simulator(p).run().back().peak;
  p.memory_limit = unlimited / 2 + p.other_memory;
  auto all = simulator(p).run();
  for (std::size_t i = 25; i < all.size(); ++i) {
    EXPECT_LE(all[i].peak + p.other_memory, p.memory_limit) << i;
    EXPECT_GE(all[i].goal_ratio(), 0.90) << i;
    EXPECT_LE(all[i].goal_ratio(), 1.02) << i;
  }
}

TEST(PacerSimulation, PercentOffWithALimitUsesAllOfTheLimit) {
  program p;
  p.gc_percent = -1;
  p.memory_limit = 512 * k_mib;
  auto all = simulator(p).run();
  for (std::size_t i = 5; i < all.size(); ++i) {
    EXPECT_LE(all[i].peak, p.memory_limit) << i;
    EXPECT_GE(all[i].peak, p.memory_limit * 90 / 100) << i;
  }
  EXPECT_NEAR(all.back().utilization, k_background_utilization, 0.01);
}

}  // namespace
}  // namespace cairn::gc
