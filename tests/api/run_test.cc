// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// run, go, spawn, max_procs, wait_group: starting and joining.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;

TEST(Run, ReturnsWhatMainReturns) {
  EXPECT_EQ(cairn::run([] { return 42; }), 42);
  EXPECT_EQ(cairn::run([] {}), 0);
  EXPECT_EQ(cairn::run([] { return 'a'; }), 'a');
}

TEST(Run, MayBeCalledAgain) {
  for (int i = 0; i < 10; ++i) {
    const int got = cairn::run([i] {
      cell* c = make_list(static_cast<std::uint64_t>(i), 100);
      cairn::gc::collect();
      return is_list(c, static_cast<std::uint64_t>(i), 100) ? i : -1;
    });
    EXPECT_EQ(got, i);
  }
}

TEST(Run, NestedThrows) {
  cairn::run([] { EXPECT_THROW(cairn::run([] {}), std::logic_error); });
  cairn::run([] { cairn::spawn([] { EXPECT_THROW(cairn::run([] {}), std::logic_error); }).get(); });
  EXPECT_EQ(cairn::run([] { return 1; }), 1);
}

TEST(Run, RethrowsWhatMainThrows) {
  try {
    cairn::run([] { throw std::runtime_error("from main"); });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "from main");
  }
  EXPECT_EQ(cairn::run([] { return 2; }), 2);
}

TEST(Run, TakesOptions) {
  cairn::run(
      [] {
        EXPECT_EQ(cairn::max_procs(), 3);
        EXPECT_EQ(cairn::gc::set_percent(70), 70);
        EXPECT_EQ(cairn::gc::set_memory_limit(std::size_t{1} << 34), std::size_t{1} << 34);
      },
      {.gc_percent = 70, .memory_limit = std::size_t{1} << 34, .max_procs = 3});
}

TEST(Run, RefusesZeroProcs) {
  EXPECT_THROW(cairn::run([] {}, {.max_procs = 0}), std::invalid_argument);
  EXPECT_THROW(cairn::run([] {}, {.max_procs = -1}), std::invalid_argument);
  EXPECT_EQ(cairn::run([] { return 3; }), 3);
}

TEST(Run, DoesNotWaitForGoroutines) {
  const auto start = std::chrono::steady_clock::now();
  static std::atomic<bool> done{false};
  cairn::run([] {
    for (int i = 0; i < 10; ++i)
      cairn::go([] {
        static cairn::sync::wait_group never;
        never.add(1);
        never.wait();
        done = true;
      });
    while (cairn::num_goroutines() < 11) std::this_thread::sleep_for(1ms);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_FALSE(done);
}

TEST(MaxProcs, ReturnsTheOldValueAndRefusesZero) {
  const int start = cairn::max_procs();
  EXPECT_GE(start, 1);
  EXPECT_EQ(cairn::max_procs(2), start);
  EXPECT_EQ(cairn::max_procs(), 2);
  EXPECT_THROW(cairn::max_procs(0), std::invalid_argument);
  EXPECT_THROW(cairn::max_procs(-3), std::invalid_argument);
  EXPECT_EQ(cairn::max_procs(start), 2);
}

TEST(Go, RunsAndCopiesItsArguments) {
  std::atomic<int> sum{0};
  cairn::sync::wait_group all;
  for (int i = 1; i <= 100; ++i) {
    all.add(1);
    cairn::go(
        [&](int n, const std::string& text) {
          sum += n + static_cast<int>(text.size());
          all.done();
        },
        i, "four");
  }
  all.wait();
  EXPECT_EQ(sum, 5050 + 400);
}

TEST(Go, MovesWhatCannotBeCopied) {
  std::atomic<int> got{0};
  cairn::sync::wait_group done;
  done.add(1);
  cairn::go(
      [&](std::unique_ptr<int> p) {
        got = *p;
        done.done();
      },
      std::make_unique<int>(6));
  done.wait();
  EXPECT_EQ(got, 6);
}

TEST(Go, KeepsItsArgumentsUntilItRuns) {
  cairn::sync::wait_group all;
  std::atomic<int> good{0};
  for (std::uint64_t i = 0; i < 200; ++i) {
    all.add(1);
    cairn::go(
        [&](cell* c, cairn::gc_ptr<cell> d, std::uint64_t n) {
          cairn::keep_alive(make_list(0, 100));
          if (n % 50 == 0) cairn::gc::collect();
          if (is_list(c, n, 20) && d->is(n)) ++good;
          all.done();
        },
        make_list(i, 20), make_cell(i), i);
  }
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  all.wait();
  EXPECT_EQ(good, 200);
}

int triple(int x) { return 3 * x; }

TEST(Spawn, GivesTheResult) {
  EXPECT_EQ(cairn::spawn(triple, 4).get(), 12);
  EXPECT_EQ(cairn::spawn([](const std::string& s) { return s + "!"; }, "hi").get(), "hi!");
  EXPECT_EQ(*cairn::spawn([] { return std::make_unique<int>(5); }).get(), 5);
  cairn::spawn([] {}).get();
  std::vector<cairn::task<int>> tasks;
  for (int i = 0; i < 200; ++i) tasks.push_back(cairn::spawn(triple, i));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(tasks[static_cast<std::size_t>(i)].get(), 3 * i);
}

TEST(Spawn, RethrowsWhatTheFunctionThrows) {
  auto t = cairn::spawn([]() -> int { throw std::out_of_range("in a task"); });
  EXPECT_THROW(t.get(), std::out_of_range);
  auto v = cairn::spawn([] { throw std::string("any type"); });
  EXPECT_THROW(v.get(), std::string);
}

TEST(Spawn, KeepsAResultThatNobodyHasTakenYet) {
  std::vector<cairn::task<cairn::gc_ptr<cell>>> tasks;
  std::vector<cairn::task<cell*>> raw;
  for (std::uint64_t i = 0; i < 100; ++i) {
    tasks.push_back(cairn::spawn([i] { return cairn::gc_ptr<cell>(make_list(i, 20)); }));
    raw.push_back(cairn::spawn([i] { return make_list(i, 20); }));
  }
  for (int i = 0; i < 4; ++i) {
    collect_and_reuse();
    std::this_thread::sleep_for(5ms);
  }
  for (std::uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(is_list(tasks[i].get(), i, 20));
    ASSERT_TRUE(is_list(raw[i].get(), i, 20));
  }
}

TEST(Spawn, ADroppedTaskRunsOn) {
  static std::atomic<int> ran{0};
  for (int i = 0; i < 50; ++i) (void)cairn::spawn([] { ++ran; });
  EXPECT_TRUE(wait_until([] { return ran == 50; }));
}

TEST(Spawn, ADroppedTasksResultDies) {
  cairn::gc_weak<cell> weak;
  apart([&] {
    cairn::sync::wait_group done;
    done.add(1);
    (void)cairn::spawn([&] {
      cell* c = make_cell(1);
      weak = c;
      done.done();
      return cairn::gc_ptr<cell>(c);
    });
    done.wait();
  });
  EXPECT_TRUE(dies(weak));
}

TEST(NumGoroutines, CountsTheProgramsOwn) {
  cairn::run([] {
    ASSERT_TRUE(wait_until([] { return cairn::num_goroutines() == 1; }));  // of other tests' some may be ending
    cairn::sync::wait_group hold, ended;
    hold.add(1);
    for (int i = 0; i < 5; ++i) ended.go([&] { hold.wait(); });
    EXPECT_EQ(cairn::num_goroutines(), 6u);
    hold.done();
    ended.wait();
    EXPECT_TRUE(wait_until([] { return cairn::num_goroutines() == 1; }));
  });
}

TEST(WaitGroup, WaitsForAll) {
  cairn::sync::wait_group group;
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i)
    group.go([&] {
      std::this_thread::sleep_for(1ms);
      ++done;
    });
  group.wait();
  EXPECT_EQ(done, 100);
  group.wait();  // at zero it returns at once
}

TEST(WaitGroup, ThatGoesNegativeThrows) {
  cairn::sync::wait_group group;
  EXPECT_THROW(group.done(), std::logic_error);
  cairn::sync::wait_group other;
  other.add(2);
  EXPECT_THROW(other.add(-3), std::logic_error);
}

TEST(WaitGroup, WakesEveryWaiter) {
  cairn::sync::wait_group gate, ended;
  std::atomic<int> woken{0};
  gate.add(1);
  for (int i = 0; i < 20; ++i)
    ended.go([&] {
      gate.wait();
      ++woken;
    });
  std::this_thread::sleep_for(10ms);
  EXPECT_EQ(woken, 0);
  gate.done();
  ended.wait();
  EXPECT_EQ(woken, 20);
}

TEST(WaitGroup, MayBeDestroyedAsSoonAsWaitReturned) {
  for (std::size_t i = 0; i < test_count(500, 50); ++i) {
    auto group = std::make_unique<cairn::sync::wait_group>();
    for (int k = 0; k < 4; ++k) group->go([] {});
    group->wait();
    group.reset();
  }
}

TEST(AttachThread, NestsAndLetsAThreadStorePointers) {
  cairn::root<cell> shared = make_cell(0);
  std::thread([&] {
    cairn::attach_thread outer;
    { cairn::attach_thread inner; }
    cell* c = shared;
    c->next = c;  // a store through the barrier
    for (int i = 0; i < 3; ++i) cairn::gc::collect();
    EXPECT_TRUE(c->next->is(0));
  }).join();
}

}  // namespace
