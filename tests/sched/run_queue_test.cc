// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/run_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "scale.h"

namespace cairn::sched {
namespace {

// The queue looks at no goroutine: a number from 1 on stands for one.
goroutine* number(std::uintptr_t n) { return reinterpret_cast<goroutine*>(n); }
std::uintptr_t number_of(const goroutine* g) { return reinterpret_cast<std::uintptr_t>(g); }

constexpr std::uint32_t k_slots = run_queue::k_slots;

void fill(run_queue& q, std::uintptr_t first, std::uintptr_t n) {
  for (std::uintptr_t i = first; i < first + n; ++i) ASSERT_TRUE(q.put(number(i)));
}
std::vector<std::uintptr_t> numbers(goroutine* const* from, std::uint32_t n) {
  std::vector<std::uintptr_t> out;
  for (std::uint32_t i = 0; i < n; ++i) out.push_back(number_of(from[i]));
  return out;
}
std::vector<std::uintptr_t> counted(std::uintptr_t first, std::uintptr_t n) {
  std::vector<std::uintptr_t> out(n);
  std::iota(out.begin(), out.end(), first);
  return out;
}

TEST(RunQueue, GivesInTheOrderInWhichItWasGivenAlsoWhereTheRingBeginsAnew) {
  run_queue q;
  std::uintptr_t in = 1, out = 1;
  for (int round = 0; round < 10; ++round) {
    fill(q, in, 100);
    in += 100;
    EXPECT_EQ(q.size(), in - out);
    for (int i = 0; i < 90; ++i) ASSERT_EQ(number_of(q.take()), out++);
  }
  std::uint32_t left = 0;
  while (goroutine* g = q.take(left)) {
    EXPECT_EQ(left, in - out);
    EXPECT_EQ(number_of(g), out++);
  }
  EXPECT_EQ(out, in);
  EXPECT_TRUE(q.seems_empty());
}

TEST(RunQueue, RefusesWhenItIsFullAndGivesTheFrontHalfAway) {
  run_queue q;
  fill(q, 1, k_slots);
  EXPECT_FALSE(q.put(number(1000)));
  goroutine* half[k_slots / 2];
  ASSERT_EQ(q.take_half(half), k_slots / 2);
  EXPECT_EQ(numbers(half, k_slots / 2), counted(1, k_slots / 2));
  EXPECT_TRUE(q.put(number(1000)));
  EXPECT_EQ(number_of(q.take()), k_slots / 2 + 1);
}

TEST(RunQueue, AThiefGetsHalfRoundedUpFromTheFront) {
  goroutine* got[k_slots / 2];
  for (std::uint32_t there = 0; there <= k_slots; ++there) {
    run_queue q;
    fill(q, 1, there);
    const std::uint32_t n = q.grab(got);
    ASSERT_EQ(n, (there + 1) / 2);
    EXPECT_EQ(numbers(got, n), counted(1, n));
    EXPECT_EQ(q.size(), there - n);
  }
}

TEST(RunQueue, WhoGoesFirstIsGivenOnceAndIsReturnedWhenAnotherIsToGoFirst) {
  run_queue q;
  EXPECT_EQ(q.put_next(number(1)), nullptr);
  EXPECT_FALSE(q.seems_empty());
  EXPECT_EQ(q.size(), 0u);
  EXPECT_EQ(q.take(), nullptr);
  EXPECT_EQ(number_of(q.put_next(number(2))), 1u);
  EXPECT_EQ(number_of(q.peek_next()), 2u);
  EXPECT_EQ(number_of(q.take_next()), 2u);
  EXPECT_EQ(q.take_next(), nullptr);
  EXPECT_TRUE(q.seems_empty());
}

TEST(RunQueue, ShowsWhoComesAfterSomeOthers) {
  run_queue q;
  EXPECT_EQ(q.peek(0), nullptr);
  fill(q, 1, 3);
  EXPECT_EQ(number_of(q.peek(0)), 1u);
  EXPECT_EQ(number_of(q.peek(2)), 3u);
  EXPECT_EQ(q.peek(3), nullptr);
}

// The owner does what a P does; three thieves take where they can, one of them who goes first. Each number
// comes out once.
TEST(RunQueue, EachIsGivenOnceWhereThievesTakeMeanwhile) {
  const std::uintptr_t n = test_count(8'000'000, 100'000);
  constexpr int k_thieves = 3;
  run_queue q;
  std::vector<std::atomic<unsigned char>> given(n + 1);
  std::atomic<std::uintptr_t> out{0};
  std::atomic<bool> all_are_in{false};
  auto note = [&](goroutine* g) {
    given[number_of(g)].fetch_add(1, std::memory_order_relaxed);
    out.fetch_add(1, std::memory_order_relaxed);
  };
  std::vector<std::thread> thieves;
  for (unsigned t = 0; t < k_thieves; ++t)
    thieves.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      goroutine* got[k_slots / 2];
      while (!all_are_in || !q.seems_empty()) {
        if (goroutine* g = q.take_next()) note(g);
        const std::uint32_t taken = t == 0 ? 0 : q.grab(got);  // the first has an eye on nothing else
        for (std::uint32_t i = 0; i < taken; ++i) note(got[i]);
        if (random() % (taken == 0 ? 8 : 64) == 0) std::this_thread::yield();
      }
    });
  std::minstd_rand random(99);
  goroutine* half[k_slots / 2];
  auto put = [&](goroutine* g) {
    while (!q.put(g)) {
      const std::uint32_t taken = q.take_half(half);
      for (std::uint32_t i = 0; i < taken; ++i) note(half[i]);
    }
  };
  for (std::uintptr_t i = 1; i <= n; ++i) {
    switch (random() % 8) {
      case 0:
      case 3:
      case 4:
        if (goroutine* was = q.put_next(number(i))) put(was);
        continue;
      case 1:
        if (goroutine* g = q.take()) note(g);
        break;
      case 2:
        if (goroutine* g = q.take_next()) note(g);
        break;
      default:
        break;
    }
    put(number(i));
    if (random() % 512 == 0) std::this_thread::yield();
  }
  while (goroutine* g = q.take()) note(g);
  if (goroutine* g = q.take_next()) note(g);
  all_are_in = true;
  for (std::thread& t : thieves) t.join();
  EXPECT_EQ(out, n);
  for (std::uintptr_t i = 1; i <= n; ++i) ASSERT_EQ(given[i], 1) << i;
}

}  // namespace
}  // namespace cairn::sched
