// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// after_func: when its function runs, how often, what it keeps alive and for how long; stop and reset. The timers with
// channels are in timer_chan_test.cc.
#include <cairn/timer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;
using clock_type = std::chrono::steady_clock;

class AfterFunc : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void run(F&& f) const {
    on_procs(GetParam(), std::forward<F>(f));
  }
};
INSTANTIATE_TEST_SUITE_P(OnProcs, AfterFunc, testing::Values(1, 2, 8), testing::PrintToStringParamName());

// ---- when it runs --------------------------------------------------------------------------------------------------

TEST_P(AfterFunc, RunsOnAGoroutineOfItsOwnWhenTheTimeHasCome) {
  run([] {
    const auto due = clock_type::now() + 10ms;
    std::atomic<std::uint64_t> id{0};
    std::atomic<bool> late_enough{false};
    wait_group fired;
    fired.add(1);
    cairn::after_func(10ms, [&] {
      late_enough = clock_type::now() >= due;
      cairn::yield();
      id = cairn::goroutine_id();
      fired.done();
    });
    fired.wait();
    EXPECT_TRUE(late_enough);
    EXPECT_NE(id, 0u);
    EXPECT_NE(id, cairn::goroutine_id());
  });
}

TEST_P(AfterFunc, OfNoTimeOrLessRunsAtOnce) {
  run([] {
    wait_group fired;
    for (const auto d : {0ns, -1ns, std::chrono::nanoseconds::min(), std::chrono::nanoseconds(-1h)}) {
      fired.add(1);
      cairn::after_func(d, [&] { fired.done(); });
    }
    fired.wait();
  });
}

TEST_P(AfterFunc, OfAnEternityDoesNotRun) {
  run([] {
    std::atomic<bool> fired{false};
    const cairn::timer t = cairn::after_func(std::chrono::nanoseconds::max(), [&] { fired = true; });
    EXPECT_TRUE(t.reset(std::chrono::nanoseconds::max()));
    cairn::sleep_for(5ms);
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(fired);
  });
}

TEST_P(AfterFunc, ManyRunOnceEach) {
  run([] {
    const std::size_t n = crowd(5000);
    std::vector<std::atomic<int>> runs(n);
    wait_group fired;
    fired.add(static_cast<std::int64_t>(n));
    for (std::size_t i = 0; i < n; ++i)
      cairn::after_func(std::chrono::microseconds(mix(i) % 30'000), [&runs, &fired, i] {
        ++runs[i];
        fired.done();
      });
    fired.wait();
    EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const auto& r) { return r == 1; }));
  });
}

// Go's TestAfterFuncStarvation: a pair that hands over to each other without pause leaves timers their turn.
TEST_P(AfterFunc, IsNotStarvedByGoroutinesThatTakeTurns) {
  run([] {
    std::atomic<bool> stop{false};
    turns ball;
    auto side = [&](int mine, int other) {
      for (bool over = false; !over;) {
        ball.await(mine);
        over = stop;
        ball.hand_over_to(other);
      }
    };
    wait_group players;
    players.go([&] { side(0, 1); });
    players.go([&] { side(1, 0); });
    cairn::after_func(5ms, [&] { stop = true; });
    ball.hand_over_to(0);
    players.wait();
  });
}

TEST_P(AfterFunc, IsNotStarvedByGoroutinesThatCompute) {
  run([n = GetParam()] {
    std::atomic<bool> stop{false};
    wait_group hogs;
    for (int i = 0; i < n + 1; ++i)
      hogs.go([&] {
        while (!stop.load(std::memory_order_relaxed)) {
        }
      });
    cairn::after_func(5ms, [&] { stop = true; });
    hogs.wait();
  });
}

TEST_P(AfterFunc, MayPutUpTheNextOne) {
  run([] {
    struct chain {
      int left = 200;
      wait_group done;
      void next() {
        if (left-- == 0) done.done();
        else cairn::after_func(10us, [this] { next(); });
      }
    } c;
    c.done.add(1);
    c.next();
    c.done.wait();
    EXPECT_EQ(c.left, -1);
  });
}

// ---- stop and reset ------------------------------------------------------------------------------------------------

TEST_P(AfterFunc, StoppedBeforeItsTimeDoesNotRun) {
  run([] {
    std::atomic<int> fired{0};
    int stopped = 0;
    cairn::vector<cairn::timer> timers;
    const auto due = clock_type::now() + 20ms;
    for (int i = 0; i < 100; ++i) timers.push_back(cairn::after_func(20ms, [&] { ++fired; }));
    for (const auto& t : timers) stopped += t.stop();
    const bool in_time = clock_type::now() < due;
    for (const auto& t : timers) EXPECT_FALSE(t.stop());
    EXPECT_TRUE(stopped == 100 || !in_time) << stopped;
    cairn::sleep_for(40ms);
    EXPECT_TRUE(eventually([&] { return fired + stopped == 100; })) << fired << " + " << stopped;
  });
}

TEST_P(AfterFunc, StoppedAfterItHasRunSaysSo) {
  run([] {
    wait_group fired;
    fired.add(1);
    const cairn::timer t = cairn::after_func(1ms, [&] { fired.done(); });
    fired.wait();
    EXPECT_FALSE(t.stop());
    EXPECT_FALSE(t.stop());
  });
}

TEST_P(AfterFunc, ResetPutsItOffAndBringsItForward) {
  run([] {
    std::atomic<int> fired{0};
    const auto due = clock_type::now() + 20ms;
    const cairn::timer t = cairn::after_func(20ms, [&] { ++fired; });
    const bool put_off = t.reset(1h);
    EXPECT_TRUE(put_off || clock_type::now() >= due);
    cairn::sleep_for(40ms);
    const int before = put_off ? 0 : 1;
    EXPECT_TRUE(eventually([&] { return fired == before; }));
    EXPECT_TRUE(t.reset(1ms));
    EXPECT_TRUE(eventually([&] { return fired == before + 1; }));
    EXPECT_FALSE(t.stop());
  });
}

TEST_P(AfterFunc, ResetRunsItOnceMore) {
  run([] {
    std::atomic<int> fired{0};
    const cairn::timer t = cairn::after_func(0s, [&] { ++fired; });
    EXPECT_TRUE(eventually([&] { return fired == 1; }));
    for (int i = 2; i <= 20; ++i) {
      EXPECT_FALSE(t.reset(i % 2 == 0 ? 0us : 300us));
      EXPECT_TRUE(eventually([&] { return fired == i; }));
    }
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.reset(1h)) << "it was stopped";
    EXPECT_TRUE(t.stop());
    EXPECT_EQ(fired, 20);
  });
}

TEST_P(AfterFunc, ItsFunctionMayResetIt) {
  run([] {
    std::atomic<int> fired{0};
    std::optional<cairn::timer> t;
    std::mutex assigned;
    {
      std::lock_guard held(assigned);
      t = cairn::after_func(1us, [&] {
        { std::lock_guard wait_for_it(assigned); }
        if (++fired < 50) t->reset(1us);
      });
    }
    EXPECT_TRUE(eventually([&] { return fired == 50; }));
    EXPECT_FALSE(t->stop());
  });
}

// Either it was stopped or it runs, once.
TEST_P(AfterFunc, StopAndFiringRace) {
  run([] {
    const std::size_t n = test_count(3000, 300);
    std::atomic<std::size_t> ran{0};
    std::size_t stopped = 0;
    std::mt19937_64 random(7);
    for (std::size_t i = 0; i < n; ++i) {
      const cairn::timer t = cairn::after_func(std::chrono::nanoseconds(random() % 20'000), [&] { ++ran; });
      const auto until = clock_type::now() + std::chrono::nanoseconds(random() % 20'000);
      while (clock_type::now() < until) {
        if (random() % 8 == 0) cairn::yield();
      }
      stopped += t.stop();
    }
    EXPECT_TRUE(eventually([&] { return ran + stopped == n; })) << ran << " + " << stopped;
    cairn::sleep_for(2ms);
    EXPECT_EQ(ran + stopped, n);
  });
}

// As many runs as there were starts that nothing took back.
TEST_P(AfterFunc, ManyStopAndResetTheSameTimers) {
  run([] {
    constexpr std::size_t k_timers = 8, k_goroutines = 8;
    const std::size_t rounds = test_count(500, 100);
    std::atomic<std::size_t> ran{0}, started{k_timers}, taken_back{0};
    cairn::vector<cairn::timer> timers;
    for (std::size_t i = 0; i < k_timers; ++i) timers.push_back(cairn::after_func(10us, [&] { ++ran; }));
    wait_group all;
    for (std::size_t k = 0; k < k_goroutines; ++k)
      all.go([&, k] {
        std::mt19937_64 random(k);
        for (std::size_t i = 0; i < rounds; ++i) {
          const cairn::timer& t = timers[random() % k_timers];
          if (random() % 3 == 0) {
            taken_back += t.stop();
          } else {
            ++started;
            taken_back += t.reset(std::chrono::nanoseconds(random() % 50'000));
          }
          if (random() % 4 == 0) cairn::sleep_for(std::chrono::microseconds(random() % 50));
        }
      });
    all.wait();
    for (const auto& t : timers) taken_back += t.stop();
    EXPECT_TRUE(eventually([&] { return ran + taken_back == started; })) << ran << ", " << taken_back;
    cairn::sleep_for(2ms);
    EXPECT_EQ(ran + taken_back, started);
  });
}

// ---- memory --------------------------------------------------------------------------------------------------------

struct counts_itself {
  explicit counts_itself(std::atomic<int>& count) : alive(&count) { ++count; }
  counts_itself(const counts_itself& o) : alive(o.alive) { ++*alive; }
  counts_itself& operator=(const counts_itself&) = delete;
  ~counts_itself() { --*alive; }
  std::atomic<int>* alive;
};

TEST_P(AfterFunc, KeepsWhatItsFunctionHoldsWhileItRuns) {
  run([] {
    std::atomic<int> right{0};
    constexpr int k_timers = 50;
    for (int i = 0; i < k_timers; ++i)
      aside([&right, i] {
        cell* raw = make_list(static_cast<std::uint64_t>(i), 20);
        cairn::after_func(std::chrono::milliseconds(20 + i % 20),
                          [raw, i, &right, held = cairn::gc_ptr<cell>(raw)] {
                            cairn::yield();
                            right += is_list(raw, static_cast<std::uint64_t>(i), 20) && held.get() == raw;
                          });
      });
    collections back_to_back;
    EXPECT_TRUE(eventually([&] { return right == k_timers; })) << right;
    EXPECT_TRUE(back_to_back.await(1));
  });
}

TEST(AfterFuncMemory, TheFunctionIsDestroyedOnceNothingCanCallIt) {
  static std::atomic<int> alive;
  static std::atomic<int> ran;
  alive = ran = 0;
  on_procs(2, [] {
    apart([] {
      for (int i = 0; i < 20; ++i) {
        const cairn::timer t = cairn::after_func(i % 2 == 0 ? 1h : 1ms, [c = counts_itself(alive)] { ++ran; });
        if (i % 2 == 0) t.stop();
        if (i % 4 == 0) t.reset(1ms);
      }
    });
    EXPECT_TRUE(collect_until([] { return ran >= 15 && alive == 0; })) << ran << ", " << alive;
    EXPECT_EQ(ran, 15);
  });
}

TEST(AfterFuncMemory, AnActiveTimerStays) {
  static std::atomic<int> alive;
  static std::atomic<bool> ran;
  alive = 0;
  ran = false;
  on_procs(2, [] {
    std::optional<cairn::root<cairn::timer>> held;
    apart([&] {
      held.emplace(
          cairn::make_gc<cairn::timer>(cairn::after_func(1h, [c = counts_itself(alive)] { ran = true; })));
    });
    apart([] { cairn::after_func(1h, [c = counts_itself(alive)] { ran = true; }); });
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    EXPECT_EQ(alive, 2) << "nobody refers to the second, but it will fire";
    aside([&] {
      (*held)->reset(1ms);
      EXPECT_TRUE(eventually([] { return ran.load(); }));
    });
    held.reset();
    EXPECT_TRUE(collect_until([] { return alive == 1; })) << alive;
  });
}

TEST(AfterFuncMemory, TimersComeAndGoWithoutEnd) {
  on_procs(2, [] {
    apart([] {
      for (std::size_t i = 0; i < 1000; ++i) cairn::after_func(1h, [] {}).stop();
    });
    cairn::gc::collect();
    const std::size_t before = cairn::gc::read_stats().heap_objects;
    apart([] {
      for (std::size_t i = 0; i < test_count(100'000, 1000); ++i) cairn::after_func(1h, [] {}).stop();
    });
    EXPECT_TRUE(collect_until([&] { return cairn::gc::read_stats().heap_objects <= before + 100; }));
  });
}

// ---- threads and runs ----------------------------------------------------------------------------------------------

TEST(AfterFuncThreads, UseTimersWithoutARun) {
  std::atomic<int> ran{0};
  for (int i = 0; i < 20; ++i) cairn::after_func(i % 2 == 0 ? 1ms : 0ms, [&] { ++ran; });
  EXPECT_TRUE(wait_until([&] { return ran == 20; }));
  const cairn::timer t = cairn::after_func(1h, [&] { ++ran; });
  EXPECT_TRUE(t.reset(1ms));
  EXPECT_TRUE(wait_until([&] { return ran == 21; }));
  EXPECT_FALSE(t.stop());
  EXPECT_FALSE(t.reset(1h));
  EXPECT_TRUE(t.stop());
}

TEST(AfterFuncThreads, WakeWhoSleepsUntilLater) {
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> early{false};
    const cairn::timer late = cairn::after_func(1h, [] {});
    std::this_thread::sleep_for(2ms);
    cairn::after_func(1ms, [&] { early = true; });
    EXPECT_TRUE(wait_until([&] { return early.load(); }));
    late.stop();
  }
}

TEST_P(AfterFunc, DoesNotOutliveItsRun) {
  static std::atomic<int> ran;
  ran = 0;
  run([] {
    for (int i = 0; i < 50; ++i) cairn::after_func(std::chrono::microseconds(i * 400), [] { ++ran; });
    cairn::sleep_for(1ms);
  });
  const int then = ran;
  run([then] {
    std::atomic<bool> mine{false};
    cairn::after_func(1ms, [&] { mine = true; });
    cairn::sleep_for(40ms);
    EXPECT_TRUE(eventually([&] { return mine.load(); }));
    EXPECT_EQ(ran, then);
  });
}

}  // namespace
