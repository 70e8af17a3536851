// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How goroutines share Ps and threads: yields, parallel runs, sleeps, chains and trees of them, lock_os_thread, errno,
// num_goroutines.
#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;
using clock_type = std::chrono::steady_clock;

int cpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// ---- turns on Ps ------------------------------------------------------------------------------------------

TEST(Goroutine, YieldLetsTheOthersRun) {
  on_one_and_two_procs([] {
    std::atomic<bool> ran{false};
    cairn::go([&] { ran = true; });
    while (!ran) cairn::yield();
    // And to and fro: whose turn it is not can only yield.
    std::atomic<int> turn{0};
    constexpr int k_rounds = 2000;
    auto player = [&](int side) {
      for (int i = 0; i < k_rounds; ++i) {
        while (turn % 2 != side) cairn::yield();
        ++turn;
      }
    };
    auto other = cairn::spawn(player, 1);
    player(0);
    other.get();
    EXPECT_EQ(turn, 2 * k_rounds);
  });
}

// Each spins until the other has moved. With one of them running at a time every move would take what preemption
// takes, 10 ms. A busy machine may not run both threads at once for long: then they go on until it does.
TEST(Goroutine, TwoRunAtTheSameTimeOnTwoProcs) {
  if (cpus() < 2) GTEST_SKIP() << "one processor";
  on_procs(2, [] {
    constexpr int k_burst = 100;
    std::atomic<int> moves{0};
    std::atomic<bool> together{false}, over{false};
    auto player = [&](int side) {
      auto burst_began = clock_type::now();
      patience left;
      for (int i = side; !over; i += 2) {
        while (moves.load(std::memory_order_acquire) != i && !over) {
        }
        moves.store(i + 1, std::memory_order_release);
        if (side != 0 || i % k_burst != 0) continue;
        const auto now = clock_type::now();
        if (i > 0 && now - burst_began < k_burst * 1ms) together = true;
        if (together || left.is_over()) over = true;
        burst_began = now;
      }
    };
    wait_group both;
    both.go([&] { player(0); });
    both.go([&] { player(1); });
    both.wait();
    EXPECT_TRUE(together);
  });
}

TEST(Goroutine, TwoRunAtTheSameTimeBesideCollections) {
  if (cpus() < 2) GTEST_SKIP() << "one processor";
  on_procs(2, [] {
    collections back_to_back;
    std::atomic<int> moves{0};
    wait_group both;
    for (int side : {0, 1})
      both.go([&, side] {
        for (int i = side; i < 50; i += 2) {
          while (moves.load(std::memory_order_acquire) != i) cairn::keep_alive(make_cell(1));
          moves.store(i + 1, std::memory_order_release);
        }
      });
    both.wait();
    EXPECT_EQ(moves, 50);
  });
}

// A pair that wakes each other must let a third have its turns.
TEST(Goroutine, APingPongPairLetsAThirdHaveTurns) {
  on_procs(1, [] {
    std::atomic<bool> stop{false};
    std::atomic<int> third{0};
    wait_group all;
    const ball_game game(all, stop);
    all.go([&] {
      while (third < 20) {
        const int before = game.rounds();
        while (game.rounds() == before && !stop) cairn::yield();
        ++third;
      }
    });
    EXPECT_TRUE(eventually([&] { return third == 20; }));
    stop = true;
    all.wait();
    EXPECT_GE(game.rounds(), 20);
  });
}

// More goroutines than the ring of a P holds, all of them runnable at once.
TEST(Goroutine, RunsMoreThanARunQueueHolds) {
  on_one_and_two_procs([] {
    std::atomic<int> ran{0};
    wait_group all;
    for (int i = 0; i < 700; ++i)
      all.go([&] {
        ++ran;
        cairn::yield();
        ++ran;
      });
    all.wait();
    EXPECT_EQ(ran, 1400);
  });
}

TEST(Goroutine, MaxProcsMayChangeWhileTheyRun) {
  on_procs(2, [] {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> steps{0};
    wait_group all;
    for (int i = 0; i < 20; ++i)
      all.go([&] {
        while (!stop) {
          cairn::yield();
          ++steps;
        }
      });
    int now = 2;
    for (int next : {1, 4, 2, 8, 1, 1, 3, 2}) {
      EXPECT_EQ(cairn::max_procs(next), now);
      EXPECT_EQ(cairn::max_procs(), next);
      now = next;
      const std::uint64_t before = steps;
      EXPECT_TRUE(eventually([&] { return steps > before + 100; })) << next;
    }
    stop = true;
    all.wait();
  });
}

// ---- sleeps -----------------------------------------------------------------------------------------------

TEST(Goroutine, NoneWakesEarly) {
  on_one_and_two_procs([] {
    std::atomic<int> early{0}, woken{0};
    wait_group all;
    std::uint64_t random = 99;
    for (int i = 0; i < 300; ++i) {
      random = mix(random);
      const auto when = clock_type::now() + std::chrono::nanoseconds(random % 50'000'000);
      all.go([&, when] {
        cairn::sleep_until(when);
        if (clock_type::now() < when) ++early;
        ++woken;
      });
    }
    all.wait();
    EXPECT_EQ(early, 0);
    EXPECT_EQ(woken, 300);
  });
}

// A machine that stops for longer than the steps lie apart may mix the order up: then once more.
TEST(Goroutine, SleepersWakeInTheOrderOfTheirTimes) {
  bool in_order = false;
  for (int attempt = 0; attempt < 20 && !in_order; ++attempt) {
    std::vector<int> order;
    on_procs(1, [&] {
      std::mutex lock;
      wait_group all;
      const auto start = clock_type::now() + 5ms;
      for (int step : {3, 0, 4, 1, 2})
        all.go([&, step] {
          cairn::sleep_until(start + step * 15ms);
          std::lock_guard guard(lock);
          order.push_back(step);
        });
      all.wait();
    });
    in_order = order == std::vector<int>{0, 1, 2, 3, 4};
  }
  EXPECT_TRUE(in_order);
}

TEST(Goroutine, SleepsOfNoLengthOnlyYield) {
  on_procs(1, [] {
    std::atomic<bool> ran{false};
    cairn::go([&] { ran = true; });
    while (!ran) cairn::sleep_for(-5s);
    cairn::sleep_until(clock_type::time_point::min());
    cairn::sleep_until(clock_type::now() - 1h);
  });
}

// ---- many that wait for each other ------------------------------------------------------------------------

// Each goroutine starts the next and waits for its result.
int chain(int length) {
  if (length == 0) return 0;
  return cairn::spawn(chain, length - 1).get() + 1;
}

// Each goroutine waits at a gate and opens the one before it.
void expect_chain_of_gates(std::size_t length) {
  auto gates = std::make_unique<gate[]>(length + 1);
  for (std::size_t i = 0; i < length; ++i)
    cairn::go([&gates, i] {
      gates[i + 1].pass();
      gates[i].open();
    });
  gates[length].open();
  gates[0].pass();
  EXPECT_TRUE(eventually([] { return cairn::num_goroutines() == 1; }));
}

// The sum of the numbers from first, in a tree whose nodes have ten children.
std::uint64_t skynet(std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) return first;
  std::vector<cairn::task<std::uint64_t>> children;
  for (std::uint64_t i = 0; i < 10; ++i)
    children.push_back(cairn::spawn(skynet, first + i * (leaves / 10), leaves / 10));
  std::uint64_t sum = 0;
  for (auto& c : children) sum += c.get();
  return sum;
}

TEST(Goroutine, AChainOfTasksComesBack) {
  on_one_and_two_procs([] { EXPECT_EQ(chain(200), 200); });
}
TEST(Goroutine, AChainOfGatesOpens) {
  on_one_and_two_procs([] { expect_chain_of_gates(200); });
}
TEST(Goroutine, ATreeAddsUp) {
  on_one_and_two_procs([] { EXPECT_EQ(skynet(0, 100), 4950u); });
}
TEST(Fibers, AChainOfTenThousandTasksComesBack) {
  on_one_and_two_procs([] { EXPECT_EQ(chain(static_cast<int>(crowd(10'000))), crowd(10'000)); });
}
TEST(Fibers, AChainOfTenThousandGatesOpens) {
  on_one_and_two_procs([] { expect_chain_of_gates(crowd(10'000)); });
}
TEST(Fibers, ATreeOfAHundredThousandAddsUp) {
  static constexpr std::uint64_t n = CAIRN_TSAN || CAIRN_ASAN ? 1000 : 100'000;
  on_procs(2, [] { EXPECT_EQ(skynet(0, n), n * (n - 1) / 2); });
}
TEST(Fibers, AMillionAreStartedInALoop) {
  on_procs(2, [] {
    const std::size_t n = CAIRN_TSAN ? 20'000 : test_count(1'000'000, 10'000);
    std::atomic<std::size_t> ran{0};
    wait_group all;
    all.add(static_cast<std::int64_t>(n));
    for (std::size_t i = 0; i < n; ++i)
      cairn::go([&] {
        ran.fetch_add(1, std::memory_order_relaxed);
        all.done();
      });
    all.wait();
    EXPECT_EQ(ran, n);
  });
}

// ---- threads ----------------------------------------------------------------------------------------------

TEST(Goroutine, LockOsThreadKeepsTheThread) {
  on_one_and_two_procs([] {
    std::atomic<bool> stop{false};
    wait_group others;
    for (int i = 0; i < 4; ++i)
      others.go([&] {
        while (!stop) cairn::yield();
      });
    cairn::spawn([] {
      cairn::lock_os_thread outer;
      const pid_t mine = gettid();
      for (int i = 0; i < 20; ++i) {
        park_in_all_ways();
        EXPECT_EQ(gettid(), mine);
        {
          cairn::lock_os_thread inner;
          cairn::yield();
        }
        cairn::sleep_for(100us);
        EXPECT_EQ(gettid(), mine);  // the outer one counts still
      }
    }).get();
    stop = true;
    others.wait();
  });
}

TEST(Goroutine, ALockedThreadRunsNobodyElse) {
  on_one_and_two_procs([] {
    gate leave;
    std::atomic<pid_t> locked{0};
    auto owner = cairn::spawn([&] {
      cairn::lock_os_thread here;
      locked = gettid();
      leave.pass();
      EXPECT_EQ(gettid(), locked);
    });
    ASSERT_TRUE(eventually([&] { return locked != 0; }));
    for (int i = 0; i < 100; ++i)
      EXPECT_NE(cairn::spawn([] {
                  cairn::yield();
                  return gettid();
                }).get(),
                locked);
    leave.open();
    owner.get();
  });
}

TEST(Goroutine, ManyMayHaveThreadsOfTheirOwn) {
  on_procs(2, [] {
    constexpr int k_locked = 20;
    std::mutex lock;
    std::set<pid_t> threads;
    wait_group here, all;
    here.add(k_locked);
    for (int i = 0; i < k_locked; ++i)
      all.go([&] {
        cairn::lock_os_thread mine;
        const pid_t thread = gettid();
        {
          std::lock_guard guard(lock);
          threads.insert(thread);
        }
        here.done();
        here.wait();
        for (int k = 0; k < 20; ++k) {
          cairn::yield();
          EXPECT_EQ(gettid(), thread);
        }
      });
    all.wait();
    EXPECT_EQ(threads.size(), static_cast<std::size_t>(k_locked));
  });
}

TEST(Goroutine, EachHasItsErrno) {
  on_one_and_two_procs([] {
    std::atomic<int> wrong{0};
    wait_group all;
    for (int number = 1; number <= 20; ++number)
      all.go([&, number] {
        for (int i = 0; i < 30; ++i) {
          set_errno(number);
          cairn::yield();
          if (get_errno() != number) ++wrong;
          cairn::sleep_for(50us);
          if (get_errno() != number) ++wrong;
          cairn::spawn([] { set_errno(ENOMEM); }).get();
          if (get_errno() != number) ++wrong;
        }
      });
    all.wait();
    EXPECT_EQ(wrong, 0);
  });
}

TEST(Fibers, ANewOneBeginsWithoutAnErrno) {
  on_one_and_two_procs([] {
    for (int i = 0; i < 100; ++i) {
      cairn::spawn([] { set_errno(EIO); }).get();
      EXPECT_EQ(cairn::spawn([] { return get_errno(); }).get(), 0);
    }
  });
}

// ---- counting ---------------------------------------------------------------------------------------------

TEST(Goroutine, AreCountedFromTheStartToTheEnd) {
  on_one_and_two_procs([] {
    ASSERT_TRUE(eventually([] { return cairn::num_goroutines() == 1; }));
    gate leave;
    std::vector<cairn::task<void>> tasks;
    for (std::size_t i = 1; i <= 100; ++i) {
      tasks.push_back(cairn::spawn([&] { leave.pass(); }));
      EXPECT_EQ(cairn::num_goroutines(), i + 1);
    }
    leave.open();
    for (auto& t : tasks) t.get();
    EXPECT_TRUE(eventually([] { return cairn::num_goroutines() == 1; }));
  });
}

TEST(Goroutine, IdsAreUnique) {
  on_one_and_two_procs([] {
    std::set<std::uint64_t> ids{cairn::goroutine_id()};
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t id = cairn::spawn([] {
                                 const std::uint64_t mine = cairn::goroutine_id();
                                 park_in_all_ways();
                                 EXPECT_EQ(cairn::goroutine_id(), mine);
                                 return mine;
                               }).get();
      EXPECT_NE(id, 0u);
      EXPECT_TRUE(ids.insert(id).second) << id;
    }
  });
}

TEST(Goroutine, AThreadMayWaitForThem) {
  on_procs(1, [] {
    std::atomic<int> sum{0};
    std::atomic<bool> joined{false};
    std::thread outside([&] {
      cairn::attach_thread attached;
      for (int i = 0; i < 50; ++i)
        sum += cairn::spawn([i] {
                 cairn::yield();
                 return i;
               }).get();
      joined = true;
    });
    EXPECT_TRUE(eventually([&] { return joined.load(); }));
    outside.join();
    EXPECT_EQ(sum, 1225);
  });
}

TEST(Goroutine, DefersRunAcrossParks) {
  on_one_and_two_procs([] {
    std::vector<int> order;
    cairn::spawn([&] {
      cairn::defer first{[&] { order.push_back(1); }};
      cairn::yield();
      cairn::defer second{[&] {
        cairn::sleep_for(100us);
        order.push_back(2);
      }};
      park_in_all_ways();
    }).get();
    EXPECT_EQ(order, (std::vector<int>{2, 1}));
  });
}

}  // namespace
