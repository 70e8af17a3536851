// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// timer, ticker and after: what comes over their channels and when, that nothing stale does, and that what nobody
// refers to is collected.
#include <cairn/timer.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;
using clock_type = std::chrono::steady_clock;
using time_channel = cairn::recv_chan<clock_type::time_point>;

static_assert(std::is_same_v<decltype(cairn::timer(1s).c()), time_channel>);
static_assert(std::is_same_v<decltype(cairn::ticker(1s).c()), time_channel>);
static_assert(std::is_same_v<decltype(cairn::after(1s)), time_channel>);

bool is_empty(const time_channel& c) {
  const auto got = c.try_recv();
  return !got.ok && !got.closed;
}

class Timer : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void run(F&& f) const {
    on_procs(GetParam(), std::forward<F>(f));
  }
};
INSTANTIATE_TEST_SUITE_P(OnProcs, Timer, testing::Values(1, 2, 8), testing::PrintToStringParamName());
class Ticker : public Timer {};
INSTANTIATE_TEST_SUITE_P(OnProcs, Ticker, testing::Values(1, 2, 8), testing::PrintToStringParamName());

// ---- timer ---------------------------------------------------------------------------------------------------------

TEST_P(Timer, SendsTheTimeOnce) {
  run([] {
    const auto start = clock_type::now();
    const cairn::timer t(10ms);
    const bool was_empty = is_empty(t.c());
    EXPECT_TRUE(was_empty || clock_type::now() >= start + 10ms);
    EXPECT_TRUE(t.c() == t.c());
    if (!was_empty) return;  // the machine was busy
    const auto sent = t.c().recv();
    ASSERT_TRUE(sent);
    EXPECT_GE(*sent, start + 10ms);
    EXPECT_LE(*sent, clock_type::now());
    cairn::sleep_for(5ms);
    EXPECT_TRUE(is_empty(t.c()));
    EXPECT_FALSE(t.stop());
  });
}

TEST_P(Timer, OfNoTimeOrLessFiresAtOnce) {
  run([] {
    for (const auto d : {0ns, -1ns, std::chrono::nanoseconds::min()}) EXPECT_TRUE(cairn::after(d).recv());
  });
}

TEST_P(Timer, StoppedBeforeItsTimeSendsNothing) {
  run([] {
    const cairn::timer t(5ms), never(std::chrono::nanoseconds::max());
    EXPECT_TRUE(t.stop());
    EXPECT_FALSE(t.stop());
    cairn::sleep_for(15ms);
    EXPECT_TRUE(is_empty(t.c()));
    EXPECT_TRUE(never.stop());
  });
}

// As in Go since 1.23.
TEST_P(Timer, WhatWasSentAndNotReceivedIsTakenBackByStop) {
  run([] {
    const cairn::timer t(1ms);
    EXPECT_TRUE(eventually([&] { return t.c().len() == 1; }));
    EXPECT_TRUE(t.stop()) << "nobody has received it";
    EXPECT_TRUE(is_empty(t.c()));
    EXPECT_FALSE(t.stop());
  });
}

TEST_P(Timer, WhatWasSentAndNotReceivedIsTakenBackByReset) {
  run([] {
    const cairn::timer t(0ms);
    EXPECT_TRUE(eventually([&] { return t.c().len() == 1; }));
    const auto start = clock_type::now();
    EXPECT_TRUE(t.reset(10ms));
    const auto sent = t.c().recv();
    ASSERT_TRUE(sent);
    EXPECT_GE(*sent, start + 10ms) << "the first one is gone";
    EXPECT_FALSE(t.reset(1ms)) << "it was received";
    EXPECT_TRUE(t.c().recv());
    EXPECT_FALSE(t.stop());
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.reset(1ms));
    EXPECT_TRUE(t.c().recv());
  });
}

TEST_P(Timer, WithNobodyReceivingStopIsAlwaysInTime) {
  run([] {
    std::mt19937_64 random(3);
    for (std::size_t i = 0; i < test_count(2000, 200); ++i) {
      const cairn::timer t(std::chrono::nanoseconds(random() % 20'000));
      const auto until = clock_type::now() + std::chrono::nanoseconds(random() % 20'000);
      while (clock_type::now() < until) {
        if (random() % 8 == 0) cairn::yield();
      }
      EXPECT_TRUE(t.stop());
      EXPECT_TRUE(is_empty(t.c()));
    }
  });
}

// It was stopped or it was received; and never both.
TEST_P(Timer, StopAndAReceiverRace) {
  run([] {
    const std::size_t n = test_count(1000, 200);
    std::mt19937_64 random(5);
    for (std::size_t i = 0; i < n; ++i) {
      const cairn::timer t(std::chrono::nanoseconds(random() % 20'000));
      const auto give_up = cairn::make_chan<void>();
      auto receiver = cairn::spawn(
          [c = t.c(), give_up] { return cairn::select(cairn::on_recv(c), cairn::on_recv(give_up)) == 0; });
      const auto until = clock_type::now() + std::chrono::nanoseconds(random() % 20'000);
      do cairn::yield();
      while (clock_type::now() < until);
      const bool stopped = t.stop();
      if (stopped) give_up.close();
      EXPECT_NE(stopped, receiver.get());
      EXPECT_TRUE(is_empty(t.c()));
    }
  });
}

TEST_P(Timer, EndsAWaitInASelect) {
  run([] {
    const auto never = cairn::make_chan<int>();
    EXPECT_EQ(cairn::select(cairn::on_recv(never), cairn::on_recv(cairn::after(5ms))), 1);
    const auto soon = cairn::make_chan<int>();
    cairn::go([soon] { soon.send(1); });
    EXPECT_EQ(cairn::select(cairn::on_recv(soon), cairn::on_recv(cairn::after(1h))), 0);
  });
}

TEST_P(Timer, ManyFireOnceEach) {
  run([] {
    const std::size_t n = crowd(3000);
    std::atomic<std::size_t> fired{0};
    wait_group all;
    for (std::size_t i = 0; i < n; ++i)
      all.go([&, i] {
        const auto due = clock_type::now() + std::chrono::microseconds(mix(i) % 20'000);
        const auto sent = cairn::after(due - clock_type::now()).recv();
        fired += sent && clock_type::now() >= due;
      });
    all.wait();
    EXPECT_EQ(fired, n);
  });
}

TEST(TimerThreads, WaitWithoutARun) {
  const auto start = clock_type::now();
  EXPECT_TRUE(cairn::after(5ms).recv());
  EXPECT_GE(clock_type::now(), start + 5ms);
  const cairn::ticker t(1ms);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(t.c().recv());
  t.stop();
}

TEST(TimerThreads, TheOneOfAfterFuncHasNoChannel) {
  EXPECT_FALSE(cairn::after_func(1h, [] {}).c());
}

// ---- ticker --------------------------------------------------------------------------------------------------------

TEST_P(Ticker, TicksAgainAndAgain) {
  run([] {
    const auto start = clock_type::now();
    const cairn::ticker t(2ms);
    int n = 0;
    auto last = start;
    for (const auto at : t.c()) {
      EXPECT_GE(at, start + (n + 1) * 2ms);
      EXPECT_GT(at, last);
      last = at;
      if (++n == 10) break;
    }
    EXPECT_EQ(n, 10);
  });
}

TEST_P(Ticker, LosesTicksThatNobodyReceives) {
  run([] {
    const cairn::ticker t(1ms);
    cairn::sleep_for(30ms);
    EXPECT_LE(t.c().len(), 1u);
    EXPECT_TRUE(t.c().recv());
    EXPECT_TRUE(t.c().recv()) << "it goes on";
  });
}

TEST_P(Ticker, StopLeavesNoTick) {
  run([] {
    const cairn::ticker t(1ms);
    EXPECT_TRUE(eventually([&] { return t.c().len() == 1; }));
    t.stop();
    EXPECT_TRUE(is_empty(t.c()));
    cairn::sleep_for(5ms);
    EXPECT_TRUE(is_empty(t.c()));
    t.stop();
    t.reset(1ms);
    EXPECT_TRUE(t.c().recv());
    EXPECT_TRUE(t.c().recv());
  });
}

TEST_P(Ticker, ResetChangesThePeriod) {
  run([] {
    const cairn::ticker t(1h);
    t.reset(1ms);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(t.c().recv());
    EXPECT_TRUE(eventually([&] { return t.c().len() == 1; }));
    t.reset(1h);
    EXPECT_TRUE(is_empty(t.c())) << "nothing of the old period is left";
    cairn::sleep_for(5ms);
    EXPECT_TRUE(is_empty(t.c()));
  });
}

TEST_P(Ticker, APeriodOfZeroOrLessThrows) {
  run([] {
    EXPECT_THROW(cairn::ticker(0ns), std::invalid_argument);
    EXPECT_THROW(cairn::ticker(-1s), std::invalid_argument);
    const cairn::ticker t(1ms);
    EXPECT_THROW(t.reset(0ns), std::invalid_argument);
    EXPECT_TRUE(t.c().recv()) << "it ticks as before";
  });
}

// ---- memory --------------------------------------------------------------------------------------------------------

TEST_P(Timer, EitherEndKeepsIt) {
  run([] {
    std::optional<time_channel> channel;
    std::optional<cairn::timer> handle;
    aside([&] {
      channel = cairn::timer(30ms).c();
      handle.emplace(30ms);
    });
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    EXPECT_TRUE(channel->recv());
    EXPECT_TRUE(handle->c().recv());
    EXPECT_FALSE(handle->reset(1ms));
    EXPECT_TRUE(handle->c().recv());
  });
}

TEST_P(Timer, AReceiverIsEnoughToKeepIt) {
  run([] {
    collections back_to_back;
    wait_group all;
    for (int i = 0; i < 50; ++i)
      all.go([i] { EXPECT_TRUE(cairn::after(std::chrono::milliseconds(10 + i)).recv()); });
    all.wait();
  });
}

// Whether they have fired or tick on, or have an hour to go.
TEST_P(Timer, WhatNobodyRefersToIsCollected) {
  run([] {
    cairn::gc::collect();
    const std::size_t before = cairn::gc::read_stats().heap_objects;
    apart([] {
      for (int i = 0; i < 1000; ++i) {
        cairn::after(1h);
        cairn::after(1us);
        cairn::ticker(1h).stop();
        const cairn::ticker slow(1h), fast(1ms);
        cairn::keep_alive(cairn::make_gc<cairn::ticker>(1ms));
      }
    });
    EXPECT_TRUE(collect_until([&] { return cairn::gc::read_stats().heap_objects <= before + 100; }))
        << cairn::gc::read_stats().heap_objects << " are left, " << before << " were there before";
  });
}

}  // namespace
