// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What belongs to a synctest bubble: timers, channels, wait groups, semaphores, contexts; where waiting at them is
// durable, and who may use them. Most are after Go's internal/synctest.
#include <cairn/synctest.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::chan;
using cairn::go;
using cairn::make_chan;
using cairn::sleep_for;
using cairn::sync::wait_group;
using cairn::synctest::bubble;
using cairn::synctest::deadlock;
using clock_type = cairn::monotonic_clock;
using testing::HasSubstr;

class SynctestObjects : public testing::TestWithParam<int> {
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
INSTANTIATE_TEST_SUITE_P(OnProcs, SynctestObjects, testing::Values(1, 2, 8),
                         testing::PrintToStringParamName());

template <class F>
std::string misuse_in(F&& f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "";
}

// ---- timers --------------------------------------------------------------------------------------------------------

TEST_P(SynctestObjects, ATimerFiresAtItsTime) {
  in_bubble([] {
    const auto start = clock_type::now();
    const cairn::timer t(5s);
    EXPECT_EQ(t.c().recv(), start + 5s);
    EXPECT_EQ(clock_type::now(), start + 5s);
    EXPECT_EQ(cairn::after(1s).recv(), start + 6s);
  });
}

TEST_P(SynctestObjects, ATimerThatIsReadLateHasItsOwnTime) {
  in_bubble([] {
    const auto due = clock_type::now() + 1s;
    const cairn::timer t(1s);
    sleep_for(2s);
    const auto got = t.c().try_recv();
    EXPECT_TRUE(got.ok);
    EXPECT_EQ(got.value, due);
  });
}

TEST_P(SynctestObjects, ResetPutsATimerOff) {
  in_bubble([] {
    const auto start = clock_type::now();
    const cairn::timer t(1s);
    EXPECT_EQ(t.c().recv(), start + 1s);
    EXPECT_FALSE(t.reset(2s));
    EXPECT_EQ(t.c().recv(), start + 3s);
    t.reset(3s);
    sleep_for(1s);
    EXPECT_TRUE(t.reset(3s));
    EXPECT_EQ(t.c().recv(), start + 7s);
    t.reset(1h);
    EXPECT_TRUE(t.reset(1s));  // to an earlier time
    EXPECT_EQ(t.c().recv(), start + 8s);
  });
}

TEST_P(SynctestObjects, StopLeavesNothingStale) {
  in_bubble([] {
    const auto start = clock_type::now();
    const cairn::timer t(1s);
    sleep_for(2s);
    EXPECT_TRUE(t.stop());  // fired, and was not received from
    EXPECT_FALSE(t.c().try_recv().ok);
    EXPECT_FALSE(t.stop());
    t.reset(1s);
    EXPECT_TRUE(t.stop());
    sleep_for(10s);
    EXPECT_FALSE(t.c().try_recv().ok);
    EXPECT_EQ(clock_type::now(), start + 12s);
  });
}

TEST_P(SynctestObjects, ATickerTicksAndLosesWhatIsNotReceived) {
  in_bubble([] {
    const auto start = clock_type::now();
    const cairn::ticker t(10s);
    for (int i = 1; i <= 3; ++i) EXPECT_EQ(t.c().recv(), start + i * 10s);
    sleep_for(35s);
    EXPECT_EQ(t.c().recv(), start + 40s);
    EXPECT_EQ(t.c().recv(), start + 70s);
    t.reset(1s);
    EXPECT_EQ(t.c().recv(), start + 71s);
    t.stop();
    sleep_for(1h);
    EXPECT_FALSE(t.c().try_recv().ok);
  });
}

TEST_P(SynctestObjects, TheFunctionOfATimerIsInTheBubble) {
  in_bubble([] {
    int i = 0;
    cairn::after_func(1s, [&] {
      ++i;
      go([&] {
        sleep_for(1s);
        ++i;
      });
    });
    sleep_for(3s);
    cairn::synctest::wait();
    EXPECT_EQ(i, 2);
  });
}

TEST_P(SynctestObjects, ATimerThatIsLeftDoesNotFire) {
  run([] {
    std::atomic<bool> ran{false};
    const auto held = std::make_shared<int>(1);
    bubble([&] {
      cairn::after_func(1s, [&ran, held] { ran = true; });
      const cairn::ticker t(1s);
    });
    EXPECT_FALSE(ran);
    bubble([] { sleep_for(1h); });  // in the same heap, maybe
    EXPECT_FALSE(ran);
    EXPECT_TRUE(eventually([&] {
      cairn::gc::collect();
      return held.use_count() == 1;
    }));
  });
}

TEST_P(SynctestObjects, ATimerFromOutsideGoesByTheSystemsClock) {
  run([] {
    const auto start = std::chrono::steady_clock::now();
    const cairn::timer t(10ms);
    bubble([&t] {
      t.c().recv();
      t.reset(1ms);
      t.c().recv();
    });
    EXPECT_FALSE(t.stop());
    EXPECT_GE(std::chrono::steady_clock::now() - start, 11ms);
  });
}

TEST_P(SynctestObjects, SleepersOfOneInstantWakeInAnyOrder) {
  in_bubble([] {
    int seen[3] = {};
    for (int i = 0; i < 1000 && seen[1] * seen[2] == 0; ++i) {
      std::atomic<int> first{0};
      for (const int which : {1, 2}) {
        go([&first, which] {
          sleep_for(1ns);
          int nobody = 0;
          first.compare_exchange_strong(nobody, which);
        });
        cairn::synctest::wait();
      }
      sleep_for(1ns);
      cairn::synctest::wait();
      ++seen[first];
    }
    EXPECT_EQ(seen[0], 0);
    EXPECT_GT(seen[1] * seen[2], 0);
  });
}

TEST_P(SynctestObjects, OfTwoTimersOfOneInstantEitherMayBeSelected) {
  in_bubble([] {
    int seen[2] = {};
    for (int i = 0; i < 1000 && seen[0] * seen[1] == 0; ++i) {
      const cairn::timer a(1ns), b(1ns);
      ++seen[cairn::select(cairn::on_recv(a.c()), cairn::on_recv(b.c()))];
      cairn::synctest::wait();
    }
    EXPECT_GT(seen[0] * seen[1], 0);
  });
}

TEST_P(SynctestObjects, ATimerOfNoTimeFiresAtOnce) {
  in_bubble([] {
    const auto start = clock_type::now();
    const cairn::timer t(0ns);
    EXPECT_EQ(t.c().try_recv().value, start);
    t.reset(-1h);
    EXPECT_EQ(t.c().try_recv().value, start);
    std::atomic<int> ran{0};
    const cairn::timer f = cairn::after_func(0ns, [&] { ++ran; });
    while (ran != 1) cairn::yield();
    EXPECT_FALSE(f.reset(0ns));
    while (ran != 2) cairn::yield();
  });
}

TEST_P(SynctestObjects, ResettingToNoTimeDoesNotHang) {
  in_bubble([] {
    const cairn::timer t(0ns);
    const auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    go([t, ctx = ctx] {
      while (cairn::select(cairn::on_recv(ctx.done()), cairn::on_recv(t.c())) != 0) {
      }
    });
    cairn::synctest::wait();
    t.reset(0ns);
    cairn::synctest::wait();
    cancel();
    cairn::synctest::wait();
  });
}

TEST_P(SynctestObjects, EternityIsADeadlock) {
  run([] {
    EXPECT_THROW(bubble([] { sleep_for(std::chrono::nanoseconds::max()); }), deadlock);
    EXPECT_THROW(bubble([] { cairn::after(std::chrono::nanoseconds::max()).recv(); }), deadlock);
    EXPECT_THROW(bubble([] {
                   const cairn::timer t(1h);
                   t.stop();
                   t.c().recv();
                 }),
                 deadlock);
  });
}

TEST_P(SynctestObjects, ManyTimersFireInOrder) {
  in_bubble([] {
    const std::size_t n = test_count(5000, 500);
    const auto start = clock_type::now();
    std::atomic<std::size_t> fired{0}, wrong{0};
    for (std::size_t i = 0; i < n; ++i) {
      const auto d = std::chrono::microseconds(1 + mix(i) % 100'000);
      const cairn::timer t = cairn::after_func(d, [&fired, &wrong, due = start + d] {
        ++fired;
        if (clock_type::now() != due) ++wrong;
      });
      if (i % 3 == 0) t.stop();
    }
    sleep_for(1s);
    EXPECT_EQ(fired, n - (n + 2) / 3);
    EXPECT_EQ(wrong, 0u);
  });
}

TEST_P(SynctestObjects, ATimerIsUsedInItsBubbleOnly) {
  run([] {
    std::optional<cairn::timer> t, f;
    bubble([&] {
      t.emplace(1s);
      f.emplace(cairn::after_func(1s, [] {}));
    });
    const auto all = [&] {
      EXPECT_EQ(misuse_in([&] { t->c().recv(); }), "receive on synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { t->reset(1s); }), "reset of synctest timer from outside bubble");
      EXPECT_EQ(misuse_in([&] { t->stop(); }), "stop of synctest timer from outside bubble");
      EXPECT_EQ(misuse_in([&] { f->stop(); }), "stop of synctest timer from outside bubble");
      EXPECT_EQ(misuse_in([&] { f->reset(1s); }), "reset of synctest timer from outside bubble");
    };
    all();
    bubble(all);
  });
}

// ---- channels ------------------------------------------------------------------------------------------------------

TEST_P(SynctestObjects, ChannelsFromOutsideCanBeUsed) {
  run([] {
    const auto try_it = [](auto outside, auto inside) {
      const chan<int> c = make_chan<int>();
      cairn::after_func(1ms, [=] { outside(c); });
      bubble([=] { inside(c); });
    };
    const auto close = [](const chan<int>& c) { c.close(); };
    const chan<int> other = make_chan<int>();
    try_it(close, [](const chan<int>& c) { c.recv(); });
    try_it([](const chan<int>& c) { c.send(0); }, [](const chan<int>& c) { c.recv(); });
    try_it([](const chan<int>& c) { c.recv(); }, [](const chan<int>& c) { c.send(0); });
    try_it(close, [other](const chan<int>& c) { cairn::select(cairn::on_recv(c), cairn::on_recv(other)); });
    try_it(close,
           [](const chan<int>& c) { cairn::select(cairn::on_recv(c), cairn::on_recv(make_chan<int>())); });
  });
}

TEST_P(SynctestObjects, AChannelIsUsedInItsBubbleOnly) {
  run([] {
    const chan<chan<int>> out = make_chan<chan<int>>();
    const auto all = [](chan<int> c) {
      EXPECT_EQ(misuse_in([&] { c.recv(); }), "receive on synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { c.send(1); }), "send on synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { c.try_recv(); }), "receive on synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { c.try_send(1); }), "send on synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { c.close(); }), "close of synctest channel from outside bubble");
      EXPECT_EQ(misuse_in([&] { cairn::select(cairn::on_recv(c), cairn::on_default()); }),
                "select on synctest channel from outside bubble");
      EXPECT_EQ(c.len(), 0u);
    };
    for (const bool in_another : {false, true}) {
      wait_group checked;
      checked.go([&] {
        const chan<int> c = *out.recv();
        if (in_another) bubble([&] { all(c); });
        else all(c);
      });
      bubble([&] { out.send(make_chan<int>()); });
      checked.wait();
    }
  });
}

TEST_P(SynctestObjects, WaitingAtChannelsIsDurable) {
  in_bubble([] {
    const auto start = clock_type::now();
    const chan<std::string> c = make_chan<std::string>();
    const chan<int> full = make_chan<int>(1);
    full.send(0);
    go([=] { c.send("after a while"); });
    go([=] { full.send(1); });
    go([=] {
      cairn::select(cairn::on_recv(make_chan<int>()), cairn::on_send(full, 2), cairn::on_recv(chan<int>()));
    });
    sleep_for(1h);
    EXPECT_EQ(c.recv(), "after a while");
    for (int i = 0; i < 3; ++i) full.recv();
    EXPECT_EQ(clock_type::now(), start + 1h);
  });
}

TEST_P(SynctestObjects, ASelectWithAnyChannelFromOutsideIsNotDurable) {
  run([] {
    const chan<int> outside = make_chan<int>();
    std::atomic<bool> slept{false};
    cairn::after_func(5ms, [&] {
      EXPECT_FALSE(slept);
      outside.send(1);
    });
    bubble([&] {
      go([&] {
        sleep_for(1ns);
        slept = true;
      });
      EXPECT_EQ(cairn::select(cairn::on_recv(make_chan<int>()), cairn::on_recv(outside)), 1);
      EXPECT_FALSE(slept);
      sleep_for(2ns);
    });
    EXPECT_TRUE(slept);
  });
}

// ---- cond, task, semaphore, errgroup -------------------------------------------------------------------------------

TEST_P(SynctestObjects, WaitingForACondIsDurable) {
  in_bubble([] {
    cairn::sync::mutex m;
    cairn::sync::cond c;
    const auto start = clock_type::now();
    go([&] {
      sleep_for(1ms);
      m.lock();
      c.notify_one();
      m.unlock();
      sleep_for(1ms);
      m.lock();
      c.notify_all();
      m.unlock();
    });
    const auto wait = [&] {
      std::unique_lock held(m);
      c.wait(held);
    };
    wait();
    EXPECT_EQ(clock_type::now() - start, 1ms);
    bool other_done = false;
    go([&] {
      wait();
      other_done = true;
    });
    wait();
    cairn::synctest::wait();
    EXPECT_TRUE(other_done);
    EXPECT_EQ(clock_type::now() - start, 2ms);
  });
}

TEST_P(SynctestObjects, ACondIsNotNotifiedFromOutside) {
  run([] {
    cairn::sync::mutex m;
    cairn::sync::cond c;
    const chan<void> waits = make_chan<void>(), refused = make_chan<void>();
    go([&] {
      waits.recv();
      m.lock();  // not before it waits
      EXPECT_THAT(misuse_in([&] { c.notify_one(); }), HasSubstr("from outside bubble"));
      EXPECT_THAT(misuse_in([&] { c.notify_all(); }), HasSubstr("from outside bubble"));
      m.unlock();
      refused.send();
    });
    bubble([&] {
      go([&] {
        std::unique_lock held(m);
        waits.send();
        c.wait(held);
      });
      refused.recv();
      c.notify_one();
    });
  });
}

TEST_P(SynctestObjects, WaitingForATaskOfTheBubbleIsDurable) {
  in_bubble([] {
    const auto start = clock_type::now();
    EXPECT_EQ(cairn::spawn([] {
                sleep_for(1h);
                return 7;
              }).get(),
              7);
    EXPECT_EQ(clock_type::now(), start + 1h);
  });
}

TEST_P(SynctestObjects, AnErrgroupWithALimitSleepsItsTime) {
  in_bubble([] {
    const auto start = clock_type::now();
    cairn::sync::errgroup g;
    g.set_limit(2);
    for (int i = 0; i < 10; ++i) g.go([] { sleep_for(1s); });
    g.wait();
    EXPECT_EQ(clock_type::now() - start, 5s);
  });
}

TEST_P(SynctestObjects, ASemaphoreOfABubbleIsReleasedInIt) {
  run([] {
    const chan<cairn::sync::semaphore*> out = make_chan<cairn::sync::semaphore*>();
    const chan<void> refused = make_chan<void>();
    go([&] {
      cairn::sync::semaphore* const s = *out.recv();
      EXPECT_THAT(misuse_in([&] { s->release(); }), HasSubstr("from outside bubble"));
      refused.send();
    });
    bubble([&] {
      cairn::sync::semaphore s(0);
      wait_group ended;
      ended.go([&] { s.acquire(); });
      cairn::synctest::wait();
      out.send(&s);
      refused.recv();
      sleep_for(1s);
      s.release();
      ended.wait();
    });
  });
}

// ---- wait groups ---------------------------------------------------------------------------------------------------

TEST_P(SynctestObjects, WaitingForAGroupIsDurable) {
  in_bubble([] {
    wait_group g;
    g.add(1);
    go([&] {
      sleep_for(1s);
      g.done();
    });
    const auto start = clock_type::now();
    g.wait();
    EXPECT_EQ(clock_type::now() - start, 1s);
    for (int i = 0; i < 100; ++i) g.go([] { sleep_for(1s); });
    g.wait();
    EXPECT_EQ(clock_type::now() - start, 2s);
  });
}

TEST_P(SynctestObjects, WaitingForAGroupFromOutsideIsNotDurable) {
  run([] {
    wait_group g;
    g.add(1);
    const chan<void> done = make_chan<void>();
    go([&] {
      bubble([&] {
        g.wait();
        done.close();
      });
    });
    EXPECT_EQ(cairn::select(cairn::on_recv(done), cairn::on_recv(cairn::after(2ms))), 1);
    g.done();
    done.recv();
  });
}

TEST_P(SynctestObjects, AGroupIsRaisedOnOneSideOnly) {
  run([] {
    wait_group outer;
    outer.add(1);
    bubble([&] {
      EXPECT_EQ(misuse_in([&] { outer.add(1); }),
                "wait_group: add() called from inside and outside synctest bubble");
      EXPECT_THROW(outer.go([] {}), std::logic_error);
      outer.done();  // lowered it may be
    });
    outer.wait();
    wait_group inner;
    bubble([&] { inner.add(2); });
    EXPECT_EQ(misuse_in([&] { inner.add(1); }),
              "wait_group: add() called from inside and outside synctest bubble");
    EXPECT_EQ(misuse_in([&] { inner.done(); }),
              "wait_group: add() called from inside and outside synctest bubble");
    bubble([&] {
      EXPECT_EQ(misuse_in([&] { inner.add(1); }), "wait_group: add() called from multiple synctest bubbles");
    });
  });
}

wait_group static_group;

TEST_P(SynctestObjects, AGroupAtZeroBelongsToNobody) {
  run([] {
    wait_group g;
    const auto raise_and_lower = [&g] {
      g.add(1);
      g.done();
      g.wait();
    };
    const auto with_a_waiter = [&g] {
      g.add(1);
      go([&g] { g.wait(); });
      cairn::synctest::wait();
      g.done();
    };
    bubble(raise_and_lower);
    bubble(raise_and_lower);
    bubble(with_a_waiter);
    bubble(with_a_waiter);
    raise_and_lower();
    bubble([] {
      static_group.go([] { sleep_for(1s); });
      static_group.wait();
    });
  });
}

TEST_P(SynctestObjects, AGroupInABubbleKeepsItsLimits) {
  in_bubble([] {
    wait_group g;
    EXPECT_EQ(misuse_in([&] { g.done(); }), "wait_group: the counter would become negative");
    g.add(INT32_MAX);
    EXPECT_EQ(misuse_in([&] { g.add(1); }), "wait_group: the counter would exceed 2147483647");
    EXPECT_THROW(g.add(INT64_MIN), std::logic_error);
    EXPECT_THROW(g.add(INT64_MAX), std::logic_error);
    g.add(-INT32_MAX);
    g.wait();
  });
}

// ---- contexts ------------------------------------------------------------------------------------------------------

TEST_P(SynctestObjects, TheFunctionOfAContextRunsWhenItIsCancelled) {
  in_bubble([] {
    const auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    bool called = false;
    cairn::after_func(ctx, [&] { called = true; });
    cairn::synctest::wait();
    EXPECT_FALSE(called);
    cancel();
    cairn::synctest::wait();
    EXPECT_TRUE(called);
  });
}

TEST_P(SynctestObjects, ATimeoutIsExact) {
  in_bubble([] {
    const auto start = clock_type::now();
    const auto [ctx, cancel] = cairn::with_timeout(cairn::background(), 5s);
    EXPECT_EQ(ctx.deadline(), start + 5s);
    sleep_for(5s - 1ns);
    cairn::synctest::wait();
    EXPECT_FALSE(ctx.err());
    sleep_for(1ns);
    cairn::synctest::wait();
    EXPECT_EQ(ctx.err(), cairn::context_errc::deadline_exceeded);
    const auto [late, cancel_late] = cairn::with_deadline(cairn::background(), start);
    EXPECT_EQ(late.err(), cairn::context_errc::deadline_exceeded);
    cancel();
    cancel_late();
  });
}

TEST_P(SynctestObjects, AContextFromOutsideMayBeCancelledFromThere) {
  run([] {
    const auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    const chan<void> waits = make_chan<void>();
    go([&waits, cancel = cancel] {
      waits.recv();
      sleep_for(2ms);
      cancel();
    });
    bubble([&waits, ctx = ctx] {
      const auto [below, cancel_below] = cairn::with_timeout(ctx, 1h);
      std::atomic<bool> keeps{true};
      go([&] {  // somebody who is not durably blocked, or the clock would come to the timeout first
        while (keeps) cairn::yield();
      });
      go([&] { waits.send(); });
      below.done().recv();
      keeps = false;
      EXPECT_EQ(below.err(), cairn::context_errc::canceled);
      cancel_below();
    });
  });
}

// ---- together ------------------------------------------------------------------------------------------------------

TEST_P(SynctestObjects, ObjectsOfABubbleAreCollected) {
  in_bubble([] {
    for (int i = 0; i < 5; ++i) {
      cairn::gc::collect();
      const auto p = cairn::make_gc<int>(i);
      const cairn::gc_weak<int> weak(p);
      const cairn::timer t(1h);
      const cairn::ticker u(1h);
      EXPECT_EQ(*weak.lock(), i);
    }
    cairn::gc::collect();
    sleep_for(1s);
  });
}

// Go's TestMallocs: each sends its successor a slice that is shorter by one.
TEST_P(SynctestObjects, GoroutinesThatAllocateAreWaitedFor) {
  run([] {
    const collections behind;
    const std::size_t rounds = test_count(100, 20);
    for (std::size_t i = 0; i < rounds; ++i)
      bubble([] {
        bool done = false;
        const auto c = make_chan<cairn::gc_slice<std::byte>>();
        std::function<void()> next = [&] {
          const auto bytes = *c.recv();
          if (bytes.size() == 0) {
            done = true;
          } else {
            go(std::ref(next));
            c.send(cairn::make_gc_bytes(bytes.size() - 1));
          }
        };
        go(std::ref(next));
        c.send(cairn::make_gc_bytes(100));
        cairn::synctest::wait();
        EXPECT_TRUE(done);
      });
  });
}

// Go's TestSynctestTimerRaceCtxCrash.
TEST_P(SynctestObjects, FunctionsOfTimersMayStartTimersThatFireAtOnce) {
  run([] {
    std::atomic<int> ran{0};
    for (int i = 0; i < 20; ++i)
      bubble([&] {
        for (int k = 0; k < 100; ++k) cairn::after_func(1s, [&] { cairn::after_func(0ns, [&] { ++ran; }); });
        sleep_for(2s);
      });
    EXPECT_EQ(ran, 2000);
  });
}

// A bubble's worth of work: everything that waits durably, with an outcome that does not depend on the order.
void busy_bubble(int seed) {
  const auto start = clock_type::now();
  const chan<cairn::gc_ptr<int>> work = make_chan<cairn::gc_ptr<int>>(2);
  const chan<std::string> results = make_chan<std::string>();
  wait_group workers;
  for (int w = 0; w < 3; ++w)
    workers.go([=] {
      for (const auto& item : work) {
        sleep_for(std::chrono::milliseconds(1 + *item % 7));
        results.send(std::to_string(*item));
      }
    });
  go([=] {
    const cairn::ticker t(1ms);
    for (int i = 0; i < 20; ++i) {
      t.c().recv();
      work.send(cairn::make_gc<int>(seed + i));
    }
    t.stop();
    work.close();
  });
  go([&workers, results] {
    workers.wait();
    results.close();
  });
  const auto [ctx, cancel] = cairn::with_timeout(cairn::background(), 1h);
  int sum = 0;
  std::size_t n = 0;
  for (const std::string& r : results) sum += std::stoi(r), ++n;
  EXPECT_EQ(n, 20u);
  EXPECT_EQ(sum, 20 * seed + 190);
  EXPECT_GE(clock_type::now() - start, 20ms);
  EXPECT_LT(clock_type::now() - start, 1s);
  EXPECT_FALSE(ctx.err());
  ctx.done().recv();
  EXPECT_EQ(clock_type::now() - start, 1h);
  cancel();
}

TEST_P(SynctestObjects, AHundredBubblesAtOnceUnderCollections) {
  run([] {
    const collections behind;
    const std::size_t rounds = test_count(5);
    for (std::size_t round = 0; round < rounds; ++round) {
      wait_group all;
      for (int i = 0; i < 100; ++i) all.go([i] { bubble([i] { busy_bubble(i); }); });
      all.wait();
    }
    EXPECT_TRUE(eventually([] { return cairn::num_goroutines() == 1; }));
  });
}

// Go's TestWaitGroupManyBubbles.
TEST_P(SynctestObjects, GroupsOfManyBubblesDoNotMix) {
  run([] {
    wait_group all;
    for (std::size_t i = 0; i < test_count(100, 20); ++i)
      all.go([] {
        bubble([] {
          const chan<void> cancel = make_chan<void>();
          wait_group g;
          for (int k = 0; k < 100; ++k) g.go([cancel] { cancel.recv(); });
          cairn::synctest::wait();
          cancel.close();
          g.wait();
        });
      });
    all.wait();
  });
}

}  // namespace
