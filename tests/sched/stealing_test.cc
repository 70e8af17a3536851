// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/stealing.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "cairn/chan.h"
#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/select.h"
#include "cairn/sync.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

class Stealing : public testing::Test {
 protected:
  Stealing() { pp_->owner = &self_; }
  void be_poor(unsigned times) {
    for (unsigned i = 0; i < times; ++i) steal_was_poor(*pp_);
  }
  // A steal of `n`, of which the first has run for so long.
  void steal(std::uint32_t n, std::uint64_t ticks_run) {
    note_steal(self_, *pp_, n);
    if (self_.stole_from == nullptr) return;
    self_.stole_at -= ticks_run;
    judge_steal(self_);
  }
  const std::unique_ptr<p> pp_ = std::make_unique<p>(0);
  m self_;
};

TEST_F(Stealing, IsLeftAfterManyThatWerePoor) {
  be_poor(k_tries - 1);
  EXPECT_FALSE(is_left_alone(*pp_));
  // Once more when this thread was off its processor in between.
  EXPECT_TRUE(eventually([this] {
    be_poor(1);
    return is_left_alone(*pp_);
  }));
}

TEST_F(Stealing, IsTriedAgainAfterAWhileThatGetsLonger) {
  be_poor(k_tries);
  // Signed: it may be over by now.
  const auto left = [this] { return static_cast<std::int64_t>(pp_->left_alone_until - ticks()); };
  EXPECT_LE(left(), static_cast<std::int64_t>(wake_ticks()));
  be_poor(100);
  EXPECT_LE(left(), static_cast<std::int64_t>(most_alone_ticks()));
  EXPECT_TRUE(eventually([this] { return !is_left_alone(*pp_); }));
  end_if_over(*pp_);
  EXPECT_EQ(pp_->left_alone_until, 0u);
}

TEST_F(Stealing, IsNotEndedBeforeItsTime) {
  // Anew until nobody was off the processor in between.
  EXPECT_TRUE(eventually([this] {
    be_poor(100);
    end_if_over(*pp_);
    return pp_->left_alone_until != 0;
  }));
}

TEST_F(Stealing, GoesOnWhenSomeOfItPays) {
  for (int i = 0; i < 100; ++i) {
    be_poor(2);
    steal_has_paid(*pp_);
  }
  EXPECT_FALSE(is_left_alone(*pp_));
  be_poor(100);
  for (int i = 0; i < 3; ++i) steal_has_paid(*pp_);
  EXPECT_EQ(pp_->left_alone_until, 0u);
}

TEST_F(Stealing, HasPaidIfWhatWasStolenRanForLong) {
  be_poor(1);
  steal(1, paying_ticks());
  EXPECT_EQ(pp_->poor_steals, 0u);
  EXPECT_EQ(self_.stole_from, nullptr);
}

TEST_F(Stealing, HasPaidIfItWasMany) {
  be_poor(1);
  steal(k_few + 1, 0);
  EXPECT_EQ(pp_->poor_steals, 0u);
}

TEST_F(Stealing, WaitingForALockIsNoWork) {
  EXPECT_TRUE(eventually([this] {
    pp_->poor_steals = 0;
    note_steal(self_, *pp_, 1);
    {
      const no_work waits(&self_);
      for (const std::uint64_t start = ticks(); ticks() - start < 100 * paying_ticks();) heap::cpu_relax();
    }
    judge_steal(self_);
    return pp_->poor_steals == 1;
  }));
}

TEST_F(Stealing, TimesOfAClockThatIsFarAheadAreNone) {
  pp_->left_alone_until = ticks() + 100 * most_alone_ticks();
  EXPECT_FALSE(is_left_alone(*pp_));
}

TEST_F(Stealing, APThatNobodyHasIsNotLeftAlone) {
  EXPECT_TRUE(eventually([this] {
    pp_->owner = &self_;
    be_poor(100);
    return is_left_alone(*pp_);
  }));
  be_poor(100);
  pp_->owner = nullptr;
  EXPECT_FALSE(is_left_alone(*pp_));
}

TEST_F(Stealing, ALongRingIsNotLeftAlone) {
  for (std::uint32_t i = 0; i <= k_long; ++i) ASSERT_TRUE(pp_->queue.put(reinterpret_cast<goroutine*>(64)));
  be_poor(100);
  EXPECT_FALSE(is_left_alone(*pp_));
  while (pp_->queue.take() != nullptr) {
  }
}

TEST_F(Stealing, HelpIsCalledForAtOnceUnlessThePIsLeftAlone) {
  EXPECT_TRUE(may_be_helped(*pp_));
  pp_->left_alone_until = ticks() - 1;  // over, but nobody has said so
  unsigned calls = 0;
  for (unsigned i = 0; i < 10 * k_turns; ++i) calls += may_be_helped(*pp_);
  EXPECT_EQ(calls, 10u);
}

TEST_F(Stealing, HelpIsCalledForWhenTheRingGetsLong) {
  be_poor(100);
  for (std::uint32_t i = 0; i <= k_long; ++i) ASSERT_TRUE(pp_->queue.put(reinterpret_cast<goroutine*>(64)));
  EXPECT_TRUE(may_be_helped(*pp_));
  EXPECT_FALSE(is_left_alone(*pp_));
  while (pp_->queue.take() != nullptr) {
  }
}

TEST_F(Stealing, TheRingOfOneThatIsLeftAloneHasItsTurn) {
  ASSERT_TRUE(pp_->queue.put(reinterpret_cast<goroutine*>(64)));
  for (unsigned i = 0; i < 10 * k_turns; ++i) EXPECT_FALSE(is_turn_of_ring(*pp_));
  be_poor(100);
  unsigned turns = 0;
  for (unsigned i = 0; i < 10 * k_turns; ++i) turns += is_turn_of_ring(*pp_);
  EXPECT_EQ(turns, 10u);
  pp_->queue.take();
}

// Whatever the rate of the counter is. Anew if this thread was off its processor between the looks at the two clocks.
TEST(WakeTicks, AreTensOfMicroseconds) {
  EXPECT_TRUE(eventually([] {
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t start_ticks = ticks();
    std::this_thread::sleep_for(5ms);
    const std::uint64_t passed = ticks() - start_ticks;
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    const double wake = time.count() * static_cast<double>(wake_ticks()) / static_cast<double>(passed);
    return wake > 10 && wake < 100;
  }));
}

p& own() {
  runtime_section section;
  return *own_p(*current());
}

// Which cannot be stopped, and whose P is left alone just before: what it starts is stolen all the same.
TEST(StealingFromOneThatComputes, BeginsInTheEnd) {
  run(
      [] {
        for (std::size_t i = 0, n = test_count(100, 20); i < n; ++i) {
          std::atomic<int> ran{0};
          sync::wait_group both;
          {
            preempt_off off;
            for (unsigned k = 0; k < k_tries + k_doublings; ++k) steal_was_poor(own());
            for (int k = 0; k < 2; ++k) both.go([&ran] { ++ran; });
            while (ran < 2) heap::cpu_relax();
          }
          both.wait();
        }
      },
      {.max_procs = 2});
}

// What waits beside it is run without a while of being left alone after each steal: sysmon sees that it
// computes. Counted is how often the P comes to be left alone, which is what each one waits for.
TEST(StealingFromOneThatComputes, IsNotStoppedByPoorSteals) {
  std::size_t times = 0;
  const std::size_t n = test_count(40, 10);
  run(
      [&] {
        for (std::size_t i = 0; i < n; ++i) {
          constexpr int k_others = 7;
          std::atomic<int> ran{0};
          sync::wait_group others;
          {
            preempt_off off;
            p& mine = own();
            for (unsigned k = 0; k < k_tries + k_doublings; ++k) steal_was_poor(mine);
            for (int k = 0; k < k_others; ++k) others.go([&ran] { ++ran; });
            for (std::uint64_t was = mine.left_alone_until; ran < k_others; heap::cpu_relax()) {
              const std::uint64_t until = mine.left_alone_until;
              times += until != was && until != 0 ? 1 : 0;
              was = until;
            }
          }
          others.wait();
        }
      },
      {.max_procs = 2});
  // Once, if sysmon has not seen it compute before the first is stolen.
  EXPECT_LE(times, n + n / 4);
}

// Who is locked to a thread gives its P away with what is in it, which is left alone just before.
TEST(StealingBesideOneThatIsLocked, LosesNothing) {
  heap::set_delays(50, 7);
  run(
      [] {
        const std::size_t n = test_count(40'000, 1'000);
        chan<int> there = make_chan<int>(1), back = make_chan<int>(1);
        sync::wait_group both;
        const auto be_poor = [] {
          for (unsigned k = 0; k < k_tries + k_doublings; ++k) steal_was_poor(own());
        };
        both.go([=] {
          lock_os_thread();
          for (std::size_t i = 0; i < n; ++i) {
            be_poor();
            there.send(1);
            be_poor();
            back.recv();
          }
        });
        both.go([=] {
          for (std::size_t i = 0; i < n; ++i) {
            there.recv();
            be_poor();
            back.send(1);
          }
        });
        both.wait();
      },
      {.max_procs = 2});
  heap::set_delays(0, 0);
}

// Goroutines that take turns by a select keep their P, and what else it has to run is run meanwhile.
TEST(StealingBesideASelect, KeepsNobodyWaiting) {
  run(
      [] {
        constexpr int k_senders = 4;
        chan<int> from[k_senders];
        chan<void> stop = make_chan<void>();
        sync::wait_group senders;
        for (chan<int>& c : from) {
          c = make_chan<int>();
          senders.go([c, stop] {
            for (bool over = false; !over;)
              select(on_send(c, 1), on_recv(stop, [&over](bool) { over = true; }));
          });
        }
        const std::size_t n = test_count(300, 30);
        for (std::size_t i = 0; i < n; ++i) {
          std::atomic<bool> ran{false};
          sync::wait_group other;
          other.go([&ran] { ran = true; });
          for (int k = 0; k < 500 || !ran; ++k)
            select(on_recv(from[0]), on_recv(from[1]), on_recv(from[2]), on_recv(from[3]));
          other.wait();
        }
        stop.close();
        senders.wait();
      },
      {.max_procs = 2});
}

}  // namespace
}  // namespace cairn::sched
