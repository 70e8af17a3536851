// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/scavenge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/heap/fake_os.h"
#include "tests/scale.h"

namespace cairn::heap {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_page = 8192;
constexpr std::size_t k_unit = page_alloc::k_unit_pages;
constexpr std::size_t k_arena = k_arena_bytes / k_page;
constexpr std::size_t k_all = SIZE_MAX;

class Scavenger : public testing::Test {
 protected:
  void SetUp() override {
    heap = reserve_heap(4 * k_arena_bytes);
    base = static_cast<char*>(heap.base);
    ASSERT_NE(base, nullptr);
    ASSERT_TRUE(the_os().commit(base, k_arena_bytes));
    the_os().advise(base, k_arena_bytes, huge_pages::no);
    ASSERT_TRUE(pages.init(heap.bytes / k_page));
    ASSERT_TRUE(pages.grow(0, k_arena));
    scavenger_.init(base);
  }
  void TearDown() override {
    EXPECT_STREQ(pages.broken_invariant(), nullptr);
    EXPECT_EQ(scavenger_.pages_held(), 0u);
    pages.destroy();
    the_os().release(heap.base, heap.bytes);
    EXPECT_EQ(fake.reserved_bytes(), 0u);
  }
  // In use, and dense long ago.
  void use(std::size_t n) {
    ASSERT_EQ(pages.alloc(n).page, 0u);
    std::memset(base, 1, n * k_page);
    age();
  }
  void age() {
    scavenger_.next_cycle();
    scavenger_.next_cycle();
  }
  // What was returned, as pages.
  using runs = std::vector<std::pair<std::size_t, std::size_t>>;
  runs returned() {
    runs all;
    for (auto [at, bytes] : fake.given_back) {
      all.emplace_back(static_cast<std::size_t>(at - base) / k_page, bytes / k_page);
    }
    fake.given_back.clear();
    return all;
  }

  fake_os fake;
  reservation heap;
  char* base = nullptr;
  page_alloc pages;
  lock pages_lock;
  scavenger scavenger_{pages, pages_lock};
};

TEST_F(Scavenger, ReturnsNothingOfAFreshOrFullHeap) {
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 0u);
  use(k_arena);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 0u);
  EXPECT_TRUE(returned().empty());
}

TEST_F(Scavenger, WholeHugePagesGoFirstFromTheTop) {
  use(10 * k_unit);
  pages.free(9 * k_unit + 20, 200);  // higher, but a part
  pages.free(3 * k_unit, k_unit);
  pages.free(6 * k_unit, 2 * k_unit);
  age();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), (3 * k_unit + 200) * k_page);
  EXPECT_EQ(returned(),
            (runs{{7 * k_unit, k_unit}, {6 * k_unit, k_unit}, {3 * k_unit, k_unit}, {9 * k_unit + 20, 200}}));
  EXPECT_EQ(pages.pages_scavenged(), k_arena - 10 * k_unit + 3 * k_unit + 200);
  EXPECT_EQ(scavenger_.bytes_returned(), (3 * k_unit + 200) * k_page);
  // The memory is zero, and said to be.
  const page_run r = pages.alloc(k_unit, k_unit);
  EXPECT_EQ(r.page, 3 * k_unit);
  EXPECT_EQ(r.scavenged_pages, k_unit);
  for (std::size_t i = 0; i < k_unit * k_page; ++i) ASSERT_EQ(base[r.page * k_page + i], 0);
  EXPECT_EQ(base[3 * k_unit * k_page - 1], 1);
}

TEST_F(Scavenger, AHugePageIsReturnedWholeWhenPartOfItWasAlready) {
  use(2 * k_unit);
  pages.free(0, 100);
  age();
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 100 * k_page);
  pages.free(100, k_unit - 100);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), (k_unit - 100) * k_page);
  EXPECT_EQ(returned(), (runs{{0, 100}, {0, k_unit}}));
}

TEST_F(Scavenger, StopsWhenEnoughIsReturned) {
  use(10 * k_unit);
  pages.free(0, 10 * k_unit);
  EXPECT_EQ(scavenger_.scavenge(1, false), k_huge_page_bytes);
  EXPECT_EQ(scavenger_.scavenge(k_huge_page_bytes + 1, false), 2 * k_huge_page_bytes);
  EXPECT_EQ(returned(), (runs{{9 * k_unit, k_unit}, {8 * k_unit, k_unit}, {7 * k_unit, k_unit}}));
  EXPECT_EQ(scavenger_.scavenge(0, false), 0u);
}

TEST_F(Scavenger, DenseUnitsAreSparedUnlessForced) {
  use(2 * k_unit);
  pages.free(k_unit, 100);  // dense until now
  pages.free(4, 5);         // and still
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 0u);
  scavenger_.next_cycle();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 0u);
  scavenger_.next_cycle();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 100 * k_page);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 5 * k_page);
  EXPECT_EQ(returned(), (runs{{k_unit, 100}, {4, 5}}));
}

TEST_F(Scavenger, BackgroundPassComesBackToWhatItPassed) {
  use(4 * k_unit);
  pages.free(k_unit, 100);
  age();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 100 * k_page);
  // Above the place that the pass has reached.
  pages.free(3 * k_unit, 100);
  pages.next_cycle();
  pages.next_cycle();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 100 * k_page);
}

TEST_F(Scavenger, RunsKeepToThePhysicalPage) {
  use(2 * k_unit);
  pages.free(9, 30);
  pages.free(k_unit + 1, 6);  // no whole one
  age();
  fake.set_physical_page(8 * k_page);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 16 * k_page);
  EXPECT_EQ(returned(), (runs{{16, 16}}));
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 0u);
}

TEST_F(Scavenger, RefusalOfTheOsLosesNothing) {
  use(4 * k_unit);
  pages.free(0, 2 * k_unit + 50);
  age();
  const std::size_t free = pages.pages_free(), scavenged = pages.pages_scavenged();
  fake.fail_kind(fake_os::k_give_back);
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 0u);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), 0u);
  EXPECT_EQ(pages.pages_free(), free);
  EXPECT_EQ(pages.pages_scavenged(), scavenged);
  EXPECT_EQ(scavenger_.bytes_returned(), 0u);
  fake.fail_kind(fake_os::k_give_back, false);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), (2 * k_unit + 50) * k_page);
}

TEST_F(Scavenger, TheLockIsFreeWhileTheOsWorks) {
  use(2 * k_unit);
  pages.free(0, 2 * k_unit);
  fake.on_give_back = [this] {
    const bool free = pages_lock.try_lock();
    EXPECT_TRUE(free);
    if (!free) return;
    // Allocation goes on, and elsewhere.
    EXPECT_EQ(scavenger_.pages_held(), k_unit);
    const page_run r = pages.alloc(k_unit);
    EXPECT_NE(r.page, k_unit);
    pages.free(r.page, k_unit);
    pages_lock.unlock();
  };
  EXPECT_EQ(scavenger_.scavenge(k_huge_page_bytes, false), k_huge_page_bytes);
}

TEST_F(Scavenger, ManyDenseUnitsAreLookedAtInSeveralHoldsOfTheLock) {
  // 1024 units, each with a hole, all dense, in address space that is never touched.
  ASSERT_TRUE(the_os().commit(base, heap.bytes));
  ASSERT_TRUE(pages.grow(k_arena, 3 * k_arena));
  constexpr std::size_t k_units = 4 * k_arena / k_unit;
  ASSERT_EQ(pages.alloc(4 * k_arena).page, 0u);
  for (std::size_t u = 0; u < k_units; ++u) pages.free(u * k_unit + 7, 1);
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 0u);
  // The lowest one stops being dense.
  pages.free(20, 100);
  age();
  EXPECT_EQ(scavenger_.scavenge(k_all, false), 101 * k_page);
  EXPECT_EQ(scavenger_.scavenge(k_all, true), (k_units - 1) * k_page);
}

TEST_F(Scavenger, AllocationAndScavengingAtOnceLoseNoPage) {
  constexpr int k_threads = 2;
  const std::size_t rounds = test_count(3000, 300);
  std::atomic<int> running{k_threads};
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([&, t] {
      const fake_os::use its_os(fake);
      std::uint64_t seed = static_cast<std::uint64_t>(t) * 77 + 12345;
      std::vector<std::pair<page_run, std::size_t>> held;
      for (std::size_t i = 0; i < rounds; ++i) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        const std::size_t n = seed % 90 + 1;
        page_run r;
        {
          lock_guard guard(pages_lock);
          r = pages.alloc(n);
        }
        ASSERT_TRUE(r);
        char* p = base + r.page * k_page;
        if (r.scavenged_pages == n) {
          for (std::size_t b = 0; b < n * k_page; b += 512) ASSERT_EQ(p[b], 0);
        }
        for (std::size_t b = 0; b < n * k_page; b += 512) p[b] = static_cast<char>(t + 1);
        held.emplace_back(r, n);
        if (held.size() > 20) {
          const std::size_t victim = seed / 128 % held.size();
          auto [v, count] = held[victim];
          for (std::size_t b = 0; b < count * k_page; b += 512) ASSERT_EQ(base[v.page * k_page + b], t + 1);
          held[victim] = held.back();
          held.pop_back();
          lock_guard guard(pages_lock);
          pages.free(v.page, count);
        }
      }
      lock_guard guard(pages_lock);
      for (auto [r, n] : held) pages.free(r.page, n);
      running.fetch_sub(1);
    });
  }
  std::thread background([&] {
    const fake_os::use its_os(fake);
    while (running.load() != 0) {
      scavenger_.step(true);
      std::this_thread::yield();
    }
  });
  for (std::thread& t : threads) t.join();
  background.join();
  scavenger_.scavenge(k_all, true);
  EXPECT_EQ(pages.pages_free(), k_arena);
  EXPECT_EQ(pages.pages_scavenged(), k_arena);
  EXPECT_GT(scavenger_.bytes_returned(), 0u);
}

// ---- pace ----

constexpr std::uint64_t k_mib = 1 << 20;

TEST(ScavengeGoal, NothingBeforeTheFirstCollection) {
  scavenge_inputs in;
  in.retained_bytes = in.mapped_bytes = 1000 * k_mib;
  in.heap_goal_bytes = 4 * k_mib;
  const scavenge_goal goal = compute_scavenge_goal(in);
  EXPECT_EQ(goal.release_bytes, 0u);
  EXPECT_EQ(goal.retain_bytes, k_no_limit);
  EXPECT_FALSE(goal.force);
}

TEST(ScavengeGoal, RetainsTenPercentOverWhatTheNextGoalNeeds) {
  scavenge_inputs in;
  in.in_use_at_last_cycle_bytes = 1000 * k_mib;
  in.live_at_last_cycle_bytes = 800 * k_mib;
  in.heap_goal_bytes = 400 * k_mib;
  in.retained_bytes = 1000 * k_mib;
  scavenge_goal goal = compute_scavenge_goal(in);
  EXPECT_NEAR(static_cast<double>(goal.retain_bytes), 550.0 * k_mib, k_page);
  EXPECT_EQ(goal.retain_bytes % k_page, 0u);
  EXPECT_EQ(goal.release_bytes, in.retained_bytes - goal.retain_bytes);
  EXPECT_FALSE(goal.force);
  in.retained_bytes = 550 * k_mib;
  EXPECT_EQ(compute_scavenge_goal(in).release_bytes, 0u);
  // A growing heap keeps all.
  in.heap_goal_bytes = 1600 * k_mib;
  in.retained_bytes = 2000 * k_mib;
  EXPECT_EQ(compute_scavenge_goal(in).release_bytes, 0u);
}

TEST(ScavengeGoal, NoGoalMeansNoLimit) {
  scavenge_inputs in;
  in.in_use_at_last_cycle_bytes = 1000 * k_mib;
  in.live_at_last_cycle_bytes = 8 * k_mib;
  in.heap_goal_bytes = k_no_limit;  // collection is switched off
  in.retained_bytes = std::uint64_t{1} << 40;
  EXPECT_EQ(compute_scavenge_goal(in).release_bytes, 0u);
}

TEST(ScavengeGoal, AllMemoryKeepsToNinetyFivePercentOfTheLimit) {
  scavenge_inputs in;
  in.memory_limit_bytes = 1000 * k_mib;
  in.mapped_bytes = 950 * k_mib;
  EXPECT_EQ(compute_scavenge_goal(in).release_bytes, 0u);
  EXPECT_FALSE(compute_scavenge_goal(in).force);
  in.mapped_bytes = 980 * k_mib;
  const scavenge_goal goal = compute_scavenge_goal(in);
  EXPECT_NEAR(static_cast<double>(goal.release_bytes), 30.0 * k_mib, 1);
  EXPECT_TRUE(goal.force);
}

TEST(ScavengeGoal, TheLargerOfBothCounts) {
  scavenge_inputs in;
  in.in_use_at_last_cycle_bytes = in.live_at_last_cycle_bytes = in.heap_goal_bytes = 100 * k_mib;
  in.retained_bytes = 510 * k_mib;
  in.mapped_bytes = 1000 * k_mib;
  in.memory_limit_bytes = 1000 * k_mib;
  EXPECT_NEAR(static_cast<double>(compute_scavenge_goal(in).release_bytes), 400.0 * k_mib, k_page);
  in.memory_limit_bytes = 500 * k_mib;
  EXPECT_NEAR(static_cast<double>(compute_scavenge_goal(in).release_bytes), 525.0 * k_mib, k_page);
}

TEST(BytesOverLimit, IsWhatDoesNotFit) {
  EXPECT_EQ(bytes_over_limit(5, 100, k_no_limit), 0u);
  EXPECT_EQ(bytes_over_limit(900, 100, 1000), 0u);
  EXPECT_EQ(bytes_over_limit(901, 100, 1000), 1u);
  EXPECT_EQ(bytes_over_limit(1000, 100, 1000), 100u);
  EXPECT_EQ(bytes_over_limit(5000, 100, 1000), 100u);
  EXPECT_EQ(bytes_over_limit(k_no_limit - 1, k_no_limit - 1, 1000), k_no_limit - 1);
}

TEST(ScavengePace, OnePercentOfTheProcessorsOverAnyWork) {
  for (const unsigned procs : {1u, 2u, 16u}) {
    scavenge_pace pace;
    std::chrono::nanoseconds clock{0}, worked_in_all{0};
    for (int i = 0; i < 1000; ++i) {
      const std::chrono::nanoseconds worked{(i * 7919) % 400000 + 1000};
      // Woken late every fifth time.
      const std::chrono::nanoseconds slept = pace.debt + (i % 5 == 0 ? 3ms : 0ms);
      clock += worked + slept;
      worked_in_all += worked;
      pace = next_scavenge_pace(pace, worked, worked + slept, procs);
    }
    clock += pace.debt;
    const double share = static_cast<double>(worked_in_all.count()) / static_cast<double>(clock.count());
    EXPECT_LE(share, 0.01 * procs * 1.0001);
    EXPECT_GE(share, 0.01 * procs * 0.5);
  }
}

TEST(ScavengePace, IdlenessEarnsNoBurstAndBadClocksNoSilence) {
  EXPECT_EQ(next_scavenge_pace({0ns}, 0ns, 1h, 1).debt, 0ns);
  EXPECT_EQ(next_scavenge_pace({0ns}, 1ms, 1ms, 1).debt, 99ms);
  EXPECT_EQ(next_scavenge_pace({50ms}, 0ms, 20ms, 1).debt, 30ms);
  EXPECT_EQ(next_scavenge_pace({0ns}, 24h, 24h, 1).debt, 0ns);
  EXPECT_LE(next_scavenge_pace({0ns}, 24h, 0h, 0).debt, 10s);
}

}  // namespace
}  // namespace cairn::heap
