// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/goroutine.h"

#include <pthread.h>

#include <memory>
#include <numeric>
#include <set>
#include <string>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }

// Counts how many there are.
struct counted {
  explicit counted(std::atomic<int>* alive) : alive_(alive) { ++*alive_; }
  counted(const counted& o) : alive_(o.alive_) { ++*alive_; }
  ~counted() { --*alive_; }
  std::atomic<int>* alive_;
};

TEST(Go, RunsAFunctionWithCopiesOfItsArguments) {
  sync::wait_group done;
  done.add(2);
  std::string text = "before";
  std::string seen;
  go([&](std::string s) { seen = s, done.done(); }, text);
  text = "after";
  std::unique_ptr<int> owned = std::make_unique<int>(7);
  int value = 0;
  go([&](std::unique_ptr<int> p) { value = *p, done.done(); }, std::move(owned));
  done.wait();
  EXPECT_EQ(seen, "before");
  EXPECT_EQ(value, 7);
}

TEST(Spawn, GivesResultsOfEveryKind) {
  EXPECT_EQ(spawn(twice, 21).get(), 42);
  spawn([] {}).get();
  int there = 3;
  int& same = spawn([&]() -> int& { return there; }).get();
  EXPECT_EQ(&same, &there);
  EXPECT_EQ(*spawn([] { return std::make_unique<int>(5); }).get(), 5);
  EXPECT_EQ(spawn(&std::string::size, std::string("four")).get(), 4u);
  auto only_move = [p = std::make_unique<int>(9)] { return *p; };
  EXPECT_EQ(spawn(std::move(only_move)).get(), 9);
}

TEST(Spawn, RethrowsWhatTheFunctionThrew) {
  task<int> t = spawn([]() -> int { throw std::out_of_range("far out"); });
  try {
    t.get();
    FAIL();
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "far out");
  }
  EXPECT_THROW(spawn([] { throw 5; }).get(), int);
}

TEST(Spawn, ATaskGivesItsResultOnce) {
  task<int> t = spawn(twice, 1);
  task<int> moved = std::move(t);
  EXPECT_THROW(t.get(), std::logic_error);
  EXPECT_EQ(moved.get(), 2);
  EXPECT_THROW(moved.get(), std::logic_error);
  EXPECT_THROW(task<int>().get(), std::logic_error);
  moved = spawn(twice, 4);
  EXPECT_EQ(moved.get(), 8);
}

TEST(Spawn, GoexitIsReportedByGetAndRunsDestructors) {
  std::atomic<int> alive{0};
  task<void> t = spawn([&] {
    counted here(&alive);
    goexit();
  });
  EXPECT_THROW(t.get(), goroutine_exited);
  EXPECT_EQ(alive.load(), 0);
  EXPECT_THROW(goexit(), std::logic_error);  // the test's thread is no goroutine
}

TEST(Spawn, EverythingIsDestroyedWhoeverComesLast) {
  std::atomic<int> in_closure{0}, in_result{0};
  auto body = [c = counted(&in_closure), &in_result](std::atomic<int>* gate) {
    while (gate->load() == 0) std::this_thread::sleep_for(100us);
    return counted(&in_result);
  };
  std::atomic<int> open{1}, closed{0};
  { counted taken = spawn(body, &open).get(); }
  spawn(body, &open);  // dropped, most likely while it runs
  { task<counted> dropped_early = spawn(body, &closed); }
  closed.store(1);
  {
    task<counted> dropped_late = spawn(body, &open);
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(eventually([&] { return num_goroutines() == 0; }));
  EXPECT_TRUE(eventually([&] { return in_result.load() == 0; }));
  EXPECT_EQ(in_closure.load(), 1);  // body's own
}

TEST(Spawn, ThousandsOneByOneAndInBatches) {
  int n = static_cast<int>(test_count(5000));
  for (int i = 0; i < n; ++i) ASSERT_EQ(spawn(twice, i).get(), 2 * i);
  for (int batch = 0; batch < 20; ++batch) {
    std::vector<task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(spawn(twice, i));
    int sum = 0;
    for (task<int>& t : tasks) sum += t.get();
    ASSERT_EQ(sum, 9900);
  }
}

TEST(Spawn, WorksWhileTheWorldIsStoppedAgainAndAgain) {
  delays some(20);
  crowd stopper;
  stopper.add([](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      { world_stopped stopped = stop_the_world("test"); }
      handshake([](m&, void*) {}, nullptr);
    }
  });
  for (std::size_t i = 0; i < test_count(300); ++i) {
    sync::wait_group all;
    std::atomic<int> sum{0};
    for (int n = 0; n < 4; ++n) all.go([&, n] { sum += n, yield(); });
    ASSERT_EQ(spawn(twice, 4).get(), 8);
    all.wait();
    ASSERT_EQ(sum.load(), 6);
  }
}

TEST(Goroutine, IdsAreUniqueAndThreadsHaveNone) {
  EXPECT_EQ(goroutine_id(), 0u);
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(ids.insert(spawn([] { return goroutine_id(); }).get()).second);
  EXPECT_EQ(ids.count(0), 0u);
}

TEST(Goroutine, AreCounted) {
  ASSERT_TRUE(eventually([] { return num_goroutines() == 0; }));
  std::atomic<bool> stop{false};
  std::vector<task<void>> tasks;
  for (int i = 0; i < 5; ++i) {
    tasks.push_back(spawn([&] {
      while (!stop.load()) sleep_for(100us);
    }));
  }
  EXPECT_EQ(num_goroutines(), 5u);
  stop.store(true);
  for (task<void>& t : tasks) t.get();
  EXPECT_EQ(num_goroutines(), 0u);
}

TEST(Goroutine, AThreadThatIsLockedEndsWithItsGoroutine) {
  pid_t locked = spawn([] {
                   static thread_local std::optional<lock_os_thread> kept;
                   kept.emplace();
                   return gettid();
                 }).get();
  for (int i = 0; i < 20; ++i) EXPECT_NE(spawn([] { return gettid(); }).get(), locked);
}

TEST(Goroutine, SleepsAtLeastAsLongAsAsked) {
  auto start = std::chrono::steady_clock::now();
  sleep_for(20ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  sleep_until(start + 50ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 50ms);
  sleep_for(-1s);
  sleep_until(start);
}

TEST(Blocking, PassesResultsAndExceptions) {
  EXPECT_EQ(blocking([] { return 3; }), 3);
  blocking([] {});
  int there = 0;
  EXPECT_EQ(&blocking([&]() -> int& { return there; }), &there);
  EXPECT_EQ(*blocking([] { return std::make_unique<int>(4); }), 4);
  EXPECT_THROW(blocking([]() -> int { throw std::runtime_error("x"); }), std::runtime_error);
  EXPECT_EQ(self().state.load(), k_running);
}

TEST(Blocking, DoesNotHoldUpAStop) {
  std::atomic<int> phase{0};
  task<void> t = spawn([&] {
    blocking([&] {
      phase.store(1);
      while (phase.load() != 2) std::this_thread::sleep_for(1ms);
    });
  });
  ASSERT_TRUE(eventually([&] { return phase.load() == 1; }));
  { world_stopped stopped = stop_the_world("test"); }
  phase.store(2);
  t.get();
}

TEST(Defer, RunsLastFirst) {
  std::string order;
  {
    defer first{[&] { order += '1'; }};
    defer second{[&] { order += '2'; }};
  }
  EXPECT_EQ(order, "21");
}

TEST(MaxProcs, IsANumberOfAtLeastOne) {
  int before = max_procs();
  EXPECT_GE(before, 1);
  EXPECT_EQ(max_procs(3), before);
  EXPECT_EQ(max_procs(before), 3);
  EXPECT_THROW(max_procs(0), std::invalid_argument);
  EXPECT_THROW(max_procs(-1), std::invalid_argument);
}

// What happens to a program is tested in another process: as a fork's child may not use the library, it starts anew.
struct GoDeathTest : testing::Test {
  GoDeathTest() { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

TEST_F(GoDeathTest, AnExceptionThatLeavesAGoroutineEndsTheProgram) {
  EXPECT_EXIT(
      {
        go([] { throw std::runtime_error("nobody caught this"); });
        std::this_thread::sleep_for(20s);
      },
      testing::ExitedWithCode(2),
      "an exception left goroutine [0-9]+, of type std::runtime_error: nobody caught this");
  EXPECT_EXIT(
      {
        go([] { throw 5; });
        std::this_thread::sleep_for(20s);
      },
      testing::ExitedWithCode(2), "an exception left goroutine [0-9]+, of type int");
}

TEST_F(GoDeathTest, PthreadExitAborts) {
  EXPECT_DEATH(spawn([] { pthread_exit(nullptr); }).get(),
               "goroutine .* called pthread_exit, or was cancelled");
}

TEST_F(GoDeathTest, ASwallowedGoexitAborts) {
  EXPECT_DEATH(
      {
        go([] {
          try {
            goexit();
          } catch (...) {
          }
        });
        std::this_thread::sleep_for(20s);
      },
      "did not rethrow it");
}

TEST_F(GoDeathTest, TheLibraryMayNotBeCalledInsideBlocking) {
  EXPECT_DEATH(blocking([] { sleep_for(1ms); }), "called inside cairn::blocking");
}

}  // namespace
}  // namespace cairn::sched
