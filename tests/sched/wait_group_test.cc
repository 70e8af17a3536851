// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include <climits>
#include <memory>

#include "cairn/sync.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

constinit sync::wait_group static_group;

TEST(WaitGroup, AnEmptyOneDoesNotWait) {
  static_group.wait();
  sync::wait_group g;
  g.wait();
  g.add(0);
  g.wait();
}

TEST(WaitGroup, WaitsForAll) {
  sync::wait_group g;
  std::atomic<int> ended{0};
  for (int i = 0; i < 10; ++i) {
    g.go([&] {
      sleep_for(1ms);
      ended.fetch_add(1);
    });
  }
  g.wait();
  EXPECT_EQ(ended.load(), 10);
}

TEST(WaitGroup, ManyMayWait) {
  sync::wait_group start, end;
  start.add();
  std::atomic<int> through{0};
  for (int i = 0; i < 8; ++i) {
    end.go([&] {
      start.wait();
      through.fetch_add(1);
    });
  }
  sleep_for(5ms);
  EXPECT_EQ(through.load(), 0);
  start.done();
  end.wait();
  EXPECT_EQ(through.load(), 8);
}

TEST(WaitGroup, GoingNegativeThrowsAndChangesNothing) {
  sync::wait_group g;
  EXPECT_THROW(g.done(), std::logic_error);
  EXPECT_THROW(g.add(-1), std::logic_error);
  g.add(2);
  EXPECT_THROW(g.add(-3), std::logic_error);
  EXPECT_THROW(g.add(INT64_MIN), std::logic_error);
  EXPECT_THROW(g.add(INT64_MAX), std::logic_error);
  EXPECT_THROW(g.add(INT_MAX), std::logic_error);
  g.add(-2);
  g.wait();
}

TEST(WaitGroup, AFunctionThatEndsByGoexitIsDone) {
  sync::wait_group g;
  g.go([] { goexit(); });
  g.wait();
}

// The memory is unmapped or used again the moment wait has returned.
TEST(WaitGroup, MayBeDestroyedAsSoonAsWaitHasReturned) {
  for (std::size_t i = 0; i < test_count(2000); ++i) {
    auto g = std::make_unique<sync::wait_group>();
    g->add(2);
    go([p = g.get()] { p->done(); });
    go([p = g.get()] { p->done(); });
    g->wait();
  }
}

TEST(WaitGroup, IsUsedAgainWhileEarlierWaitersStillWake) {
  sync::wait_group g;
  std::atomic<int> rounds{0};
  crowd threads;
  for (int i = 0; i < 3; ++i) {
    threads.add([&](const std::atomic<bool>& stop) {
      while (!stop.load()) {
        g.wait();
        rounds.fetch_add(1);
      }
    });
  }
  for (std::size_t i = 0; i < test_count(5000); ++i) {
    g.add();
    if (i % 8 == 0) yield();
    g.done();
  }
  EXPECT_TRUE(eventually([&] { return rounds.load() > 3; }));
}

// Two raise and lower it in turns, so that one may raise it again when the other has lowered it to zero and not let in
// who waited.
void wait_for_rounds_that_follow_each_other(std::size_t n) {
  sync::wait_group g;
  std::atomic<std::uint64_t> round{0}, begun{0}, finished{0}, returns{0};
  const auto raise_and_lower = [&](std::uint64_t first) {
    for (std::uint64_t i = first; i <= n; i += 2) {
      while (round.load() != i - 1) yield();
      g.add();
      begun.store(i);
      if (i % 4 == 0) yield();
      finished.store(i);
      round.store(i);
      g.done();
    }
  };
  crowd waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.add([&](const std::atomic<bool>& stop) {
      while (!stop.load()) {
        const std::uint64_t seen = begun.load();
        g.wait();
        if (finished.load() < seen) std::abort();
        returns.fetch_add(1);
      }
    });
  }
  std::thread one([&] { raise_and_lower(1); }), two([&] { raise_and_lower(2); });
  const auto join = [&] {
    one.join();
    two.join();
  };
  in_safe_state(self(), join);
  EXPECT_TRUE(eventually([&] { return returns.load() > 3; }));
  g.wait();
  EXPECT_THROW(g.done(), std::logic_error);
}

TEST(WaitGroup, NobodyIsLetInByAnEarlierZero) { wait_for_rounds_that_follow_each_other(test_count(1000)); }

TEST(WaitGroup, NobodyIsLetInByAnEarlierZeroWithDelays) {
  heap::set_delays(100, 5);
  wait_for_rounds_that_follow_each_other(test_count(200));
  heap::set_delays(0, 0);
}

TEST(WaitGroup, ADoneTooManyThrowsBesideOthersAndLetsNobodyWaitForEver) {
  heap::set_delays(100, 6);
  sync::wait_group g;
  std::atomic<std::size_t> refused{0};
  {
    crowd waiters;
    waiters.add([&](const std::atomic<bool>& stop) {
      while (!stop.load()) g.wait();
    });
    std::vector<std::thread> wrong;
    for (int t = 0; t < 3; ++t)
      wrong.emplace_back([&] {
        for (std::size_t i = 0; i < test_count(200); ++i) {
          try {
            g.done();
          } catch (const std::logic_error&) {
            refused.fetch_add(1);
          }
        }
      });
    in_safe_state(self(), [&] {
      for (std::thread& t : wrong) t.join();
    });
  }
  heap::set_delays(0, 0);
  EXPECT_EQ(refused.load(), 3 * test_count(200));
  g.add();
  g.done();
  g.wait();
}

TEST(WaitGroup, WorksFromThreadsThatAreNoGoroutines) {
  sync::wait_group g;
  g.add();
  std::thread waiter([&] { g.wait(); });
  std::this_thread::sleep_for(2ms);
  std::thread([&] { g.done(); }).join();
  waiter.join();
}

TEST(WaitGroup, WhatWasDoneBeforeDoneIsSeenAfterWait) {
  for (std::size_t i = 0; i < test_count(500); ++i) {
    sync::wait_group g;
    int plain[4] = {};
    for (int n = 0; n < 4; ++n) g.go([&plain, n] { plain[n] = n + 1; });
    g.wait();
    EXPECT_EQ(plain[0] + plain[1] + plain[2] + plain[3], 10);
  }
}

}  // namespace
}  // namespace cairn::sched
