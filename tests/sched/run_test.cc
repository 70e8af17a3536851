// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "cairn/run.h"

#include <string>

#include "cairn/go.h"
#include "cairn/sync.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

TEST(Run, GivesMainsResult) {
  EXPECT_EQ(run([] { return 3; }), 3);
  EXPECT_EQ(run([] {}), 0);
  EXPECT_EQ(run([] { return true; }), 1);
  int calls = 0;
  auto main = [&] { ++calls; };
  run(main);
  run(main, {.max_procs = 2});
  EXPECT_EQ(calls, 2);
}

TEST(Run, MainIsAGoroutine) {
  run([] {
    EXPECT_NE(goroutine_id(), 0u);
    // Of other tests' some may be ending.
    EXPECT_TRUE(eventually([] { return num_goroutines() == 1; }));
  });
  EXPECT_EQ(num_goroutines(), 0u);
  EXPECT_EQ(goroutine_id(), 0u);
}

TEST(Run, RethrowsWhatMainThrows) {
  EXPECT_THROW(run([] { throw std::out_of_range("main"); }), std::out_of_range);
  EXPECT_EQ(run([] { return 1; }), 1);
}

TEST(Run, NestedItThrows) {
  run([] { EXPECT_THROW(run([] {}), std::logic_error); });
  run([] { spawn([] { EXPECT_THROW(run([] {}), std::logic_error); }).get(); });
  spawn([] { EXPECT_THROW(run([] {}), std::logic_error); }).get();
  EXPECT_EQ(run([] { return 1; }), 1);
}

TEST(Run, OptionsThatMakeNoSenseThrow) {
  EXPECT_THROW(run([] {}, {.max_procs = 0}), std::invalid_argument);
  EXPECT_EQ(run([] { return 1; }), 1);
}

// Not set by a destructor that is left out.
struct flag_at_end {
  std::atomic<bool>* flag;
  ~flag_at_end() { flag->store(true); }
};

TEST(Run, ParkedGoroutinesEndWithoutDestructors) {
  static std::atomic<bool> destroyed;
  static sync::wait_group never, forever;
  destroyed = false;
  forever.add();
  auto start = std::chrono::steady_clock::now();
  run([] {
    never.add(4);
    go([] {
      flag_at_end f{&destroyed};
      never.done();
      forever.wait();
    });
    go([] {
      flag_at_end f{&destroyed};
      never.done();
      sleep_for(1h);
    });
    go([] {
      flag_at_end f{&destroyed};
      task<void> other = spawn([] {
        never.done();
        forever.wait();
      });
      never.done();
      other.get();
    });
    never.wait();
    sleep_for(2ms);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, 900ms);
  EXPECT_EQ(num_goroutines(), 0u);
  EXPECT_FALSE(destroyed.load());
}

TEST(Run, ARunningGoroutineEndsAtItsNextCall) {
  static std::atomic<int> phase;
  static std::atomic<bool> destroyed;
  phase = 0;
  destroyed = false;
  run([] {
    go([] {
      flag_at_end f{&destroyed};
      phase.store(1);
      while (phase.load() == 1) yield();
    });
    while (phase.load() != 1) yield();
  });
  EXPECT_EQ(num_goroutines(), 0u);
  EXPECT_EQ(phase.load(), 1);
  EXPECT_FALSE(destroyed.load());
}

TEST(Run, LeavesAThreadRunningThatDoesNotEndAndSaysSo) {
  static std::atomic<int> phase;
  static std::atomic<std::uint64_t> id_afterwards;
  phase = 0;
  testing::internal::CaptureStderr();
  auto start = std::chrono::steady_clock::now();
  run([] {
    go([] {
      phase.store(1);
      while (phase.load() == 1) std::this_thread::sleep_for(1ms);
      id_afterwards.store(goroutine_id());
      phase.store(3);
    });
    while (phase.load() != 1) yield();
  });
  auto took = std::chrono::steady_clock::now() - start;
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_GE(took, 900ms);
  EXPECT_LT(took, 5s);
  EXPECT_NE(text.find("1 goroutine has not come to an end"), std::string::npos) << text;
  EXPECT_EQ(num_goroutines(), 0u);
  phase.store(2);
  EXPECT_TRUE(eventually([] { return phase.load() == 3; }));
  EXPECT_EQ(id_afterwards.load(), 0u);  // an attached thread
}

TEST(Run, AnAttachedThreadThatWaitsForADroppedGoroutineLearnsOfIt) {
  static sync::wait_group forever;
  forever.add();
  std::atomic<int> phase{0};
  std::thread waiter([&] {
    while (phase.load() == 0) std::this_thread::sleep_for(100us);
    task<void> t = spawn([&] {
      phase.store(2);
      forever.wait();
    });
    EXPECT_THROW(t.get(), goroutine_exited);
  });
  run([&] {
    phase.store(1);
    while (phase.load() != 2) yield();
  });
  waiter.join();
}

TEST(Run, GoroutinesThatHaveNotBegunAreDropped) {
  for (int i = 0; i < 30; ++i) {
    run([] {
      for (int n = 0; n < 10; ++n) go([] { sleep_for(1h); });
    });
    ASSERT_EQ(num_goroutines(), 0u);
  }
}

TEST(Run, AnotherThreadMayRunAfterwards) {
  int result = 0;
  std::thread([&] { result = run([] { return spawn([] { return 8; }).get(); }); }).join();
  EXPECT_EQ(result, 8);
}

struct RunDeathTest : testing::Test {
  RunDeathTest() { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

TEST_F(RunDeathTest, GoexitOfMainLetsTheOthersRunOnAndThenIsADeadlock) {
  EXPECT_EXIT(run([] {
                go([] {
                  sleep_for(10ms);
                  std::fputs("the other one ran on\n", stderr);
                });
                goexit();
              }),
              testing::ExitedWithCode(2), "the other one ran on\n.*no goroutines are left .* deadlock!");
}

}  // namespace
}  // namespace cairn::sched
