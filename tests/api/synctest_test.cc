// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// synctest: the clock of a bubble, its timers, wait(), how a bubble ends, deadlocks. What belongs to a bubble is in
// synctest_objects_test.cc. Most are after Go's internal/synctest.
#include <cairn/synctest.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::go;
using cairn::sleep_for;
using cairn::synctest::bubble;
using cairn::synctest::deadlock;
using clock_type = cairn::monotonic_clock;
using testing::HasSubstr;
using time_point = std::chrono::steady_clock::time_point;

class Synctest : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void run(F&& f) const {
    on_procs(GetParam(), std::forward<F>(f));
  }
  template <class F>
  void in_bubble(F&& f) const {
    run([&f] { bubble(f); });
  }
};
INSTANTIATE_TEST_SUITE_P(OnProcs, Synctest, testing::Values(1, 2, 8), testing::PrintToStringParamName());

constexpr time_point k_start{946'684'800s};

// What leaves f, as text; nothing if nothing does.
template <class E, class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

// ---- the clock -----------------------------------------------------------------------------------------------------

TEST_P(Synctest, TheClockBeginsAtAFixedTimeAndMovesBySleeping) {
  in_bubble([] {
    EXPECT_EQ(clock_type::now(), k_start);
    go([] { EXPECT_EQ(clock_type::now(), k_start); });
    sleep_for(1s);
    EXPECT_EQ(clock_type::now(), k_start + 1s);
    cairn::sleep_until(k_start + 1h);
    EXPECT_EQ(clock_type::now(), k_start + 1h);
    cairn::sleep_until(k_start);
    sleep_for(0ns);
    sleep_for(-1h);
    EXPECT_EQ(clock_type::now(), k_start + 1h);
  });
}

TEST_P(Synctest, OutsideTheClockIsTheSystems) {
  run([] {
    const auto before = std::chrono::steady_clock::now();
    bubble([] { sleep_for(24h); });
    const auto after = clock_type::now();
    EXPECT_GE(after, before);
    EXPECT_LE(after, std::chrono::steady_clock::now());
    EXPECT_LT(after - before, 1h);
  });
}

TEST_P(Synctest, EachBubbleHasAClockOfItsOwn) {
  run([] {
    std::vector<cairn::task<void>> all;
    for (int i = 1; i <= 20; ++i)
      all.push_back(cairn::spawn([i] {
        bubble([i] {
          for (int k = 0; k < 10; ++k) sleep_for(i * 1s);
          EXPECT_EQ(clock_type::now(), k_start + i * 10s);
        });
      }));
    for (auto& t : all) t.get();
  });
}

TEST_P(Synctest, AGoroutineThatComputesHoldsTheClock) {
  in_bubble([] {
    std::atomic<bool> slept{false}, stop{false};
    go([&] {
      sleep_for(1ns);
      slept = true;
    });
    go([&] {
      for (int i = 0; i < 100; ++i) cairn::yield();
      cairn::blocking([] { std::this_thread::sleep_for(2ms); });
      EXPECT_FALSE(slept);
      stop = true;
    });
    sleep_for(2ns);
    EXPECT_TRUE(slept && stop);
  });
}

TEST_P(Synctest, SleepersWakeInTheOrderOfTheirTimes) {
  in_bubble([] {
    std::vector<int> order;
    std::vector<time_point> when;
    for (const int ms : {50, 10, 40, 30, 20})
      go([&, ms] {
        sleep_for(std::chrono::milliseconds(ms));
        order.push_back(ms);
        when.push_back(clock_type::now());
      });
    sleep_for(1s);
    EXPECT_EQ(order, (std::vector<int>{10, 20, 30, 40, 50}));
    for (std::size_t i = 0; i < when.size(); ++i) EXPECT_EQ(when[i], k_start + order[i] * 1ms);
  });
}

// ---- running -------------------------------------------------------------------------------------------------------

TEST_P(Synctest, AnEmptyBubbleEndsAtOnce) {
  in_bubble([] {});
  run([] { bubble([] { return 7; }); });
}

int times_called = 0;
void call_once_more() { ++times_called; }

TEST_P(Synctest, TheFunctionMayBeAnyCallable) {
  run([] {
    times_called = 0;
    bubble(call_once_more);
    bubble(&call_once_more);
    const std::function<void()> f = call_once_more;
    bubble(f);
    std::unique_ptr<int> owned = std::make_unique<int>(3);
    auto moving = [owned = std::move(owned)] { times_called += *owned; };
    bubble(moving);
    bubble(std::move(moving));
    EXPECT_EQ(times_called, 9);
  });
}

TEST_P(Synctest, ABubbleLastsUntilItsLastGoroutineHasEnded) {
  run([] {
    std::atomic<int> ended{0};
    bubble([&] {
      for (int i = 0; i < 50; ++i)
        go([&] {
          for (int k = 0; k < 20; ++k) cairn::yield();
          go([&] { ++ended; });
        });
    });
    EXPECT_EQ(ended, 50);
    EXPECT_EQ(cairn::num_goroutines(), 1u);
  });
}

TEST_P(Synctest, WhatLeavesTheFunctionIsRethrownWhenTheOthersHaveEnded) {
  run([] {
    std::atomic<bool> other_ended{false};
    EXPECT_EQ(thrown_by<std::runtime_error>([&] {
                bubble([&] {
                  go([&] {
                    for (int i = 0; i < 100; ++i) cairn::yield();
                    other_ended = true;
                  });
                  throw std::runtime_error("an end");
                });
              }),
              "an end");
    EXPECT_TRUE(other_ended);
  });
}

TEST_P(Synctest, WhatLeavesTheFunctionComesBeforeADeadlock) {
  run([] {
    EXPECT_THROW(bubble([] {
                   go([] { cairn::select(); });
                   throw std::out_of_range("first");
                 }),
                 std::out_of_range);
  });
}

TEST_P(Synctest, GoexitOfTheFunctionIsSaid) {
  run([] { EXPECT_THROW(bubble([] { cairn::goexit(); }), cairn::goroutine_exited); });
}

TEST_P(Synctest, ABubbleInABubbleIsAnError) {
  in_bubble([] {
    EXPECT_EQ(thrown_by<std::logic_error>([] { bubble([] {}); }),
              "synctest::bubble is called inside a bubble");
    cairn::spawn([] { EXPECT_THROW(bubble([] {}), std::logic_error); }).get();
  });
}

TEST_P(Synctest, ThreadsMayHaveBubblesBesideARun) {
  run([] {
    cairn::blocking([] {
      std::thread([] {
        bubble([] {
          sleep_for(1h);
          EXPECT_EQ(clock_type::now(), k_start + 1h);
        });
        EXPECT_THROW(bubble([] { throw std::runtime_error("x"); }), std::runtime_error);
        EXPECT_THROW(bubble([] { cairn::select(); }), deadlock);
      }).join();
    });
  });
}

TEST(SynctestThread, ABubbleNeedsNoRun) {
  int n = 0;
  for (int i = 0; i < 3; ++i)
    bubble([&] {
      go([&n] {
        sleep_for(1h);
        ++n;
      });
      sleep_for(2h);
    });
  EXPECT_EQ(n, 3);
  EXPECT_THROW(cairn::synctest::wait(), std::logic_error);
}

TEST_P(Synctest, ThreadsStartedInABubbleAreOutside) {
  in_bubble([] {
    cairn::blocking([] {
      std::thread([] {
        EXPECT_NE(clock_type::now(), k_start);
        EXPECT_THROW(cairn::synctest::wait(), std::logic_error);
      }).join();
    });
  });
}

TEST_P(Synctest, ARunMayEndWhileABubbleIsAlive) {
  const std::size_t rounds = test_count(20, 3);
  for (std::size_t i = 0; i < rounds; ++i) {
    run([i] {
      for (int k = 0; k < 8; ++k)
        go([k] {
          bubble([k] {
            std::atomic<bool> never{false};
            cairn::after_func(1h, [] {});
            const cairn::chan<int> c = cairn::make_chan<int>();
            go([c] { c.recv(); });
            go([] {
              for (;;) sleep_for(1s);
            });
            if (k % 2 == 0)
              while (!never) sleep_for(1ns);
            else
              while (!never) cairn::synctest::wait();
          });
        });
      sleep_for(std::chrono::microseconds(100 * i));
    });
    EXPECT_EQ(cairn::num_goroutines(), 0u);
  }
  in_bubble([] {
    sleep_for(1s);
    EXPECT_EQ(clock_type::now(), k_start + 1s);
  });
}

// ---- wait ----------------------------------------------------------------------------------------------------------

TEST_P(Synctest, WaitReturnsAtOnceWithoutOthers) {
  in_bubble([] {
    cairn::synctest::wait();
    go([] {});
    cairn::synctest::wait();
    EXPECT_EQ(clock_type::now(), k_start);
  });
}

TEST_P(Synctest, WaitReturnsWhenAllOthersHaveEnded) {
  in_bubble([] {
    bool done = false;
    const cairn::chan<int> c = cairn::make_chan<int>();
    std::function<void()> next = [&] {
      const int count = *c.recv();
      if (count == 0) {
        done = true;
      } else {
        go(std::ref(next));
        c.send(count - 1);
      }
    };
    go(std::ref(next));
    c.send(100);
    cairn::synctest::wait();
    EXPECT_TRUE(done);
  });
}

TEST_P(Synctest, WaitReturnsWhenTheOthersAreBlocked) {
  in_bubble([] {
    int blocked = 0;
    const cairn::chan<void> c = cairn::make_chan<void>();
    for (int i = 0; i < 10; ++i) {
      go([&, i] {
        for (int k = 0; k < i; ++k) cairn::yield();
        ++blocked;
        c.recv();
      });
      cairn::synctest::wait();
      EXPECT_EQ(blocked, i + 1);
    }
    c.close();
  });
}

TEST_P(Synctest, WaitDoesNotMoveTheClock) {
  in_bubble([] {
    bool woken = false;
    go([&] {
      sleep_for(1s);
      woken = true;
    });
    for (int i = 0; i < 10; ++i) cairn::synctest::wait();
    EXPECT_EQ(clock_type::now(), k_start);
    EXPECT_FALSE(woken);
    sleep_for(1s);
    cairn::synctest::wait();
    EXPECT_TRUE(woken);
  });
}

// Whoever of the two comes first waits until the other one, who is refused, has gone to sleep.
TEST_P(Synctest, WaitIsForOneAtATime) {
  in_bubble([] {
    for (int i = 0; i < 20; ++i) {
      std::atomic<int> refused{0}, accepted{0};
      const auto try_it = [&] {
        try {
          cairn::synctest::wait();
          ++accepted;
        } catch (const std::logic_error& e) {
          ++refused;
          EXPECT_THAT(e.what(), HasSubstr("another goroutine"));
        }
      };
      go(try_it);
      for (int k = 0; k < i; ++k) cairn::yield();
      try_it();
      sleep_for(1s);
      EXPECT_EQ(accepted, 1);
      EXPECT_EQ(refused, 1);
      cairn::synctest::wait();  // and may be called again
    }
  });
}

TEST_P(Synctest, WaitOutsideABubbleIsAnError) {
  run([] {
    EXPECT_EQ(thrown_by<std::logic_error>([] { cairn::synctest::wait(); }),
              "synctest::wait is called outside a bubble");
  });
}

// Go's TestHappensBefore; ThreadSanitizer looks at the plain variables.
TEST_P(Synctest, WhatWasDoneBeforeHappensBeforeTheReturnOfWait) {
  run([] {
    int v1 = 0, v2 = 0;
    const auto both = [&](auto&& start, auto&& afterwards) {
      start([&v1, afterwards] {
        ++v1;
        afterwards();
      });
      start([&v2, afterwards] {
        ++v2;
        afterwards();
      });
      cairn::synctest::wait();
      ++v1;
      ++v2;
    };
    bubble([&] {
      const auto by_go = [](auto f) { go(f); };
      const auto by_timer = [](auto f) { cairn::after_func(0ns, f); };
      const cairn::chan<void> a = cairn::make_chan<void>(), b = cairn::make_chan<void>();
      both(by_go, [] {});
      both(by_go, [a] { a.recv(); });
      a.close();
      both(by_timer, [] {});
      both(by_timer, [b] { b.recv(); });
      b.close();
    });
    bubble([&] {
      go([&v1] { go([&v1] { ++v1; }); });
      go([&v2] { go([&v2] { ++v2; }); });
    });
    EXPECT_EQ(v1, 9);
    EXPECT_EQ(v2, 9);
  });
}

// ---- deadlock ------------------------------------------------------------------------------------------------------

TEST_P(Synctest, ADeadlockOfAllIsReported) {
  run([] {
    EXPECT_THAT(thrown_by<deadlock>([] { bubble([] { cairn::select(); }); }),
                testing::StartsWith("deadlock: all goroutines in bubble are blocked\n"));
  });
}

TEST_P(Synctest, ADeadlockOfThoseThatAreLeftIsReported) {
  run([] {
    EXPECT_THAT(
        thrown_by<deadlock>([] { bubble([] { go([] { cairn::select(); }); }); }),
        testing::StartsWith("deadlock: main bubble goroutine has exited but blocked goroutines remain\n"));
  });
}

TEST_P(Synctest, TheClockStandsStillWhenTheFunctionHasEnded) {
  run([] {
    EXPECT_THAT(thrown_by<deadlock>([] {
                  bubble([] {
                    go([] {
                      const cairn::ticker t(1s);
                      for (const auto at : t.c()) {
                        ADD_FAILURE() << at.time_since_epoch().count();
                        return;
                      }
                    });
                  });
                }),
                HasSubstr("main bubble goroutine has exited"));
    EXPECT_THROW(bubble([] { go([] { sleep_for(1s); }); }), deadlock);
  });
}

TEST_P(Synctest, ADeadlockListsWhoWaitsForWhat) {
  run([] {
    std::uint64_t receiver = 0, main = 0;
    try {
      bubble([&] {
        main = cairn::goroutine_id();
        go([&] {
          receiver = cairn::goroutine_id();
          cairn::make_chan<int>().recv();
        });
        cairn::chan<int>().send(1);
      });
      FAIL();
    } catch (const deadlock& e) {
      EXPECT_THAT(e.what(), HasSubstr("goroutine " + std::to_string(receiver) + " [chan receive]"));
      EXPECT_THAT(e.what(), HasSubstr("goroutine " + std::to_string(main) + " [chan send (nil chan)]"));
      ASSERT_EQ(e.blocked().size(), 2u);
      for (const auto& g : e.blocked()) {
        EXPECT_EQ(g.state, "waiting");
        EXPECT_FALSE(g.backtrace.empty());
      }
    }
  });
}

// Who uses the same addresses, or channels, later does not meet those that are left.
TEST_P(Synctest, WhoIsLeftByADeadlockStaysOutOfTheWay) {
  run([] {
    ASSERT_TRUE(eventually([] { return cairn::num_goroutines() == 1; }));  // of other tests' some may be ending
    struct {
      cairn::sync::mutex m;
      cairn::sync::cond c;
      cairn::sync::wait_group g;
      int value = 0;
    } again;
    const auto use = [&again](bool wake) {
      bubble([&again, wake] {
        again.value = 0;
        go([&] {
          std::unique_lock l(again.m);
          again.c.wait(l);
          again.value += 1;
        });
        again.g.add();
        go([&] {
          again.g.wait();
          again.value += 10;
        });
        cairn::synctest::wait();
        if (!wake) return;
        again.c.notify_one();
        cairn::synctest::wait();
        EXPECT_EQ(again.value, 1);
        again.g.done();
        cairn::synctest::wait();
        EXPECT_EQ(again.value, 11);
      });
    };
    for (int i = 0; i < 3; ++i) {
      EXPECT_THROW(use(false), deadlock);
      std::destroy_at(&again.g);
      std::construct_at(&again.g);
      use(true);
    }
    EXPECT_EQ(cairn::num_goroutines(), 7u);
  });
  EXPECT_EQ(cairn::num_goroutines(), 0u);
}

TEST_P(Synctest, AWaitThatIsNotDurableIsNoDeadlock) {
  run([] {
    cairn::sync::mutex m;
    m.lock();
    const cairn::chan<void> outside = cairn::make_chan<void>();
    bool locked = false, received = false;
    go([&] {
      sleep_for(5ms);
      m.unlock();
      sleep_for(5ms);
      outside.send();
    });
    bubble([&] {
      go([&] { sleep_for(1h); });
      m.lock();
      locked = clock_type::now() == k_start;
      outside.recv();
      received = clock_type::now() == k_start;
      sleep_for(2h);
    });
    EXPECT_TRUE(locked && received);
  });
}

}  // namespace
