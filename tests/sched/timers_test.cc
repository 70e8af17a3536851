// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/timers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "sched/futex.h"
#include "tests/heap/fake_os.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

// Writes its number into a list when it fires.
struct noting : timer {
  noting() : timer(fire) {}
  noting(std::vector<int>& l, int n) : timer(fire), list(&l), number(n) {}
  static void fire(timer& t, std::int64_t) {
    auto& self = static_cast<noting&>(t);
    ++self.fired;
    if (self.list != nullptr) self.list->push_back(self.number);
  }
  std::vector<int>* list = nullptr;
  int number = 0;
  int fired = 0;
};

// Runs all that is due, however much.
std::int64_t run_all(timers& heap, std::int64_t now) {
  std::int64_t next;
  while ((next = heap.run_due(now)) <= now) {
  }
  return next;
}

TEST(Timers, FireInTheOrderOfTheirTimes) {
  timers heap;
  std::vector<int> order;
  std::vector<std::unique_ptr<noting>> all;
  std::mt19937 random(1);
  std::vector<int> times(500);
  for (int i = 0; i < 500; ++i) times[static_cast<std::size_t>(i)] = i;
  std::shuffle(times.begin(), times.end(), random);
  for (int when : times) {
    all.push_back(std::make_unique<noting>(order, when));
    EXPECT_TRUE(heap.start(*all.back(), when).done);
  }
  EXPECT_EQ(heap.earliest(), 0);
  EXPECT_EQ(heap.active(), 500u);
  EXPECT_EQ(run_all(heap, 249), 250);
  EXPECT_EQ(order.size(), 250u);
  EXPECT_EQ(run_all(heap, 1000), timers::k_never);
  EXPECT_EQ(order.size(), 500u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(heap.active(), 0u);
}

TEST(Timers, OfEqualTimesFireInTheOrderOfTheirStarts) {
  timers heap;
  std::vector<int> order;
  std::vector<std::unique_ptr<noting>> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(std::make_unique<noting>(order, i));
    heap.start(*all.back(), i % 3);
  }
  run_all(heap, 10);
  ASSERT_EQ(order.size(), 300u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i % 100 * 3 + i / 100);
}

TEST(Timers, RunDueStopsAfterSomeAndSaysThatThereIsMore) {
  timers heap;
  std::vector<int> order;
  std::vector<std::unique_ptr<noting>> all;
  for (int i = 0; i < timers::k_most_at_once + 1; ++i) {
    all.push_back(std::make_unique<noting>(order, i));
    heap.start(*all.back(), 5);
  }
  EXPECT_EQ(heap.run_due(5), 5);
  EXPECT_EQ(order.size(), static_cast<std::size_t>(timers::k_most_at_once));
  EXPECT_EQ(heap.run_due(5), timers::k_never);
  EXPECT_EQ(order.size(), all.size());
}

TEST(Timers, StartTellsWhoIsFirst) {
  timers heap;
  noting a, b, c;
  EXPECT_TRUE(heap.start(a, 100).is_first);
  EXPECT_FALSE(heap.start(b, 100).is_first);
  EXPECT_TRUE(heap.start(c, 99).is_first);
  EXPECT_EQ(heap.earliest(), 99);
  EXPECT_TRUE(heap.reset(b, 50).is_first);
  EXPECT_FALSE(heap.reset(b, 60).is_first);
}

TEST(Timers, StopTellsWhetherItCameInTime) {
  timers heap;
  noting t;
  EXPECT_FALSE(timers::stop(t)) << "never started";
  heap.start(t, 10);
  EXPECT_TRUE(timers::stop(t));
  EXPECT_FALSE(timers::stop(t)) << "stopped before";
  EXPECT_EQ(heap.active(), 0u);
  EXPECT_EQ(run_all(heap, 20), timers::k_never);
  EXPECT_EQ(t.fired, 0);
  heap.start(t, 30);
  run_all(heap, 30);
  EXPECT_EQ(t.fired, 1);
  EXPECT_FALSE(timers::stop(t)) << "has fired";
}

TEST(Timers, AStoppedRecordMayBeFreedAtOnce) {
  timers heap;
  std::vector<int> order;
  noting stays(order, 1);
  heap.start(stays, 1000);
  for (int i = 0; i < 1000; ++i) {
    auto t = std::make_unique<noting>(order, -1);
    heap.start(*t, i);
    EXPECT_TRUE(timers::stop(*t));
  }
  run_all(heap, 2000);
  EXPECT_EQ(order, std::vector<int>{1});
}

TEST(Timers, ResetMovesToEarlierAndToLater) {
  timers heap;
  std::vector<int> order;
  noting a(order, 1), b(order, 2), c(order, 3);
  heap.start(a, 10);
  heap.start(b, 20);
  heap.start(c, 30);
  timer_change later = heap.reset(a, 25);
  EXPECT_TRUE(later.done && later.was_active);
  timer_change earlier = heap.reset(c, 5);
  EXPECT_TRUE(earlier.done && earlier.was_active && earlier.is_first);
  EXPECT_EQ(heap.active(), 3u);
  EXPECT_EQ(run_all(heap, 10), 20);
  EXPECT_EQ(run_all(heap, 24), 25);
  EXPECT_EQ(run_all(heap, 25), timers::k_never);
  EXPECT_EQ(order, (std::vector<int>{3, 2, 1}));
  timer_change idle = heap.reset(a, 40);
  EXPECT_TRUE(idle.done);
  EXPECT_FALSE(idle.was_active);
  EXPECT_EQ(run_all(heap, 40), timers::k_never);
  EXPECT_EQ(a.fired, 2);
}

TEST(Timers, ResetToEarlierComesToTheHeapThatWasAsked) {
  timers a, b;
  noting t;
  a.start(t, 100);
  EXPECT_TRUE(b.reset(t, 200).done);
  EXPECT_EQ(b.earliest(), timers::k_never) << "put off where it is";
  EXPECT_TRUE(b.reset(t, 50).is_first);
  EXPECT_EQ(a.active(), 0u);
  EXPECT_EQ(b.active(), 1u);
  EXPECT_EQ(run_all(a, 500), timers::k_never);
  EXPECT_EQ(t.fired, 0);
  run_all(b, 50);
  EXPECT_EQ(t.fired, 1);
}

TEST(Timers, APeriodicTimerComesAgainAndSkipsWhatItMissed) {
  timers heap;
  noting t;
  heap.start(t, 10, 10);
  EXPECT_EQ(run_all(heap, 10), 20);
  EXPECT_EQ(run_all(heap, 19), 20);
  EXPECT_EQ(run_all(heap, 57), 60);
  EXPECT_EQ(t.fired, 2);
  EXPECT_EQ(run_all(heap, 60), 70);
  EXPECT_TRUE(heap.reset(t, 100, 3).was_active);
  EXPECT_EQ(run_all(heap, 100), 103);
  EXPECT_EQ(t.fired, 4);
  EXPECT_TRUE(timers::stop(t));
  EXPECT_EQ(run_all(heap, 1000), timers::k_never);
  EXPECT_EQ(t.fired, 4);
}

TEST(Timers, TimesAtTheEndsOfTheRangeDoNoHarm) {
  timers heap;
  noting past, future, wide;
  heap.start(past, std::numeric_limits<std::int64_t>::min());
  heap.start(future, timers::k_never);
  heap.start(wide, 5, timers::k_never);
  EXPECT_EQ(heap.earliest(), 0);
  EXPECT_EQ(run_all(heap, 7), timers::k_never);
  EXPECT_EQ(past.fired, 1);
  EXPECT_EQ(wide.fired, 1);
  EXPECT_EQ(future.fired, 0);
  EXPECT_EQ(heap.active(), 2u);
}

struct starts_itself : timer {
  explicit starts_itself(timers& h) : timer(fire), heap(h) {}
  static void fire(timer& t, std::int64_t now) {
    auto& self = static_cast<starts_itself&>(t);
    if (++self.fired < 5) {
      EXPECT_TRUE(self.heap.start(t, now + 10).done);
    }
  }
  timers& heap;
  int fired = 0;
};

TEST(Timers, AFunctionMayStartItsTimerAgain) {
  timers heap;
  starts_itself t(heap);
  heap.start(t, 10);
  EXPECT_EQ(run_all(heap, 10), 20);
  EXPECT_EQ(t.fired, 1);
  EXPECT_TRUE(timers::stop(t));
  heap.start(t, 20);
  for (int now = 20; now < 200; ++now) run_all(heap, now);
  EXPECT_EQ(t.fired, 5);
}

TEST(Timers, ZombiesAreAtMostAQuarterWhileTimersAreStarted) {
  timers heap;
  std::vector<noting> live(1000);
  for (noting& t : live) heap.start(t, 1'000'000);
  std::size_t most = 0;
  for (int i = 0; i < 20000; ++i) {
    noting t;
    heap.start(t, i % 2 == 0 ? 500'000 + i : 2'000'000 - i);
    timers::stop(t);
    most = std::max(most, heap.zombies());
  }
  // The walk round the heap may take a moment to come to where they are.
  EXPECT_LT(most, 500u);
  EXPECT_EQ(heap.active(), 1000u);
  for (noting& t : live) timers::stop(t);
  for (int i = 0; i < 100 && heap.zombies() != 0; ++i) heap.run_due(0);
  EXPECT_EQ(heap.zombies(), 0u);
  EXPECT_EQ(heap.earliest(), timers::k_never);
}

TEST(Timers, RunDueMakesTheEarliestTimeTrueAgain) {
  timers heap;
  noting a, b, rest[20];
  heap.start(a, 10);
  heap.start(b, 20);
  for (noting& t : rest) heap.start(t, 100);
  timers::stop(a);
  EXPECT_TRUE(heap.reset(b, 50).was_active);
  EXPECT_EQ(heap.earliest(), 10) << "too early is allowed";
  EXPECT_EQ(heap.run_due(30), 50);
  EXPECT_EQ(b.fired, 0);
  EXPECT_EQ(heap.active(), 21u);
}

TEST(Timers, NoCallDoesMoreThanAFewSteps) {
  timers heap;
  std::vector<noting> all(5000);
  for (noting& t : all) heap.start(t, 10);
  noting last;
  heap.start(last, 11);
  for (noting& t : all) timers::stop(t);
  std::size_t zombies = heap.zombies();
  EXPECT_EQ(zombies, all.size());
  while (heap.run_due(20) <= 20) {
    EXPECT_GE(heap.zombies() + 2 * timers::k_most_at_once, zombies);
    EXPECT_LT(heap.zombies(), zombies) << "each call gets on";
    zombies = heap.zombies();
  }
  EXPECT_EQ(last.fired, 1);
  EXPECT_EQ(heap.zombies(), 0u);
}

TEST(Timers, MoveToAnotherHeap) {
  timers from, to;
  std::vector<int> order;
  std::vector<std::unique_ptr<noting>> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(std::make_unique<noting>(order, i));
    from.start(*all.back(), 1000 - i, i == 999 ? 10'000 : 0);
    if (i % 3 == 0) timers::stop(*all.back());
  }
  EXPECT_TRUE(from.move_all_to(to));
  EXPECT_EQ(from.active(), 0u);
  EXPECT_EQ(from.earliest(), timers::k_never);
  EXPECT_EQ(to.active(), 666u);
  EXPECT_TRUE(timers::stop(*all[1]));
  EXPECT_EQ(to.active(), 665u);
  run_all(to, 2000);
  EXPECT_EQ(order.size(), 665u);
  EXPECT_TRUE(std::is_sorted(order.rbegin(), order.rend()));
}

TEST(Timers, ForEachVisitsWhatIsActiveAndWhatIsRunning) {
  timers heap;
  noting a, b, c;
  struct looks : timer {
    explicit looks(timers& h) : timer(fire), heap(h) {}
    static void fire(timer& t, std::int64_t) {
      auto& self = static_cast<looks&>(t);
      self.heap.for_each([&](timer* p) { self.seen_itself += p == &t; });
    }
    timers& heap;
    int seen_itself = 0;
  } d(heap);
  heap.start(a, 10);
  heap.start(b, 20);
  heap.start(c, 30, 5);
  heap.start(d, 15);
  timers::stop(b);
  std::vector<timer*> seen;
  heap.for_each([&](timer* t) { seen.push_back(t); });
  std::sort(seen.begin(), seen.end());
  std::vector<timer*> expected = {&a, &c, &d};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(seen, expected);
  run_all(heap, 16);
  EXPECT_EQ(d.seen_itself, 1);
  seen.clear();
  heap.for_each([&](timer* t) { seen.push_back(t); });
  EXPECT_EQ(seen, std::vector<timer*>{&c});
}

TEST(Timers, WithoutMemoryNothingIsLost) {
  heap::fake_os os;
  timers heap, other;
  std::vector<noting> all(5000);
  std::size_t started = 0;
  os.fail_kind(heap::fake_os::k_map);
  EXPECT_FALSE(heap.start(all[0], 1).done);
  os.fail_kind(heap::fake_os::k_map, false);
  EXPECT_TRUE(heap.start(all[0], 1).done);
  ++started;
  os.fail_kind(heap::fake_os::k_map);
  while (started < all.size() && heap.start(all[started], static_cast<std::int64_t>(started) + 1).done)
    ++started;
  ASSERT_LT(started, all.size());
  timer_change refused = heap.reset(all[started - 1], 0);
  EXPECT_FALSE(refused.done);
  EXPECT_TRUE(refused.was_active);
  EXPECT_TRUE(heap.reset(all[started - 1], 100'000).done) << "needs no memory";
  EXPECT_FALSE(heap.move_all_to(other));
  EXPECT_EQ(heap.active(), started);
  run_all(heap, 200'000);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].fired, i < started ? 1 : 0);
  os.fail_kind(heap::fake_os::k_map, false);
  EXPECT_TRUE(heap.start(all.back(), 1).done);
  run_all(heap, 200'000);
  EXPECT_EQ(all.back().fired, 1);
}

TEST(Timers, MemoryOfASpikeGoesBack) {
  heap::fake_os os;
  timers heap;
  constexpr std::size_t k_many = 100'000;
  std::vector<noting> all(k_many);
  for (std::size_t i = 0; i < k_many; ++i) heap.start(all[i], static_cast<std::int64_t>(i * 7919 % k_many));
  run_all(heap, k_many);
  std::size_t bytes = 0;
  for (auto [p, n] : os.given_back) bytes += n;
  EXPECT_GT(bytes, k_many * 40) << "of 48 for each";
  for (std::size_t i = 0; i < k_many; ++i) heap.start(all[i], static_cast<std::int64_t>(i * 7919 % k_many));
  EXPECT_EQ(heap.active(), k_many);
  run_all(heap, k_many);
  for (noting& t : all) ASSERT_EQ(t.fired, 2);
}

// A long random history against a model that is obviously right.
TEST(Timers, AreAsAMultimapOfTimes) {
  const std::size_t count = test_count(1'000'000, 20'000);
  timers heaps[2];
  std::vector<int> fired;
  std::vector<noting> all(count);
  std::multimap<std::int64_t, int> model;
  std::vector<std::multimap<std::int64_t, int>::iterator> place(count, model.end());
  std::mt19937_64 random(42);
  for (std::size_t i = 0; i < count; ++i) {
    all[i].list = &fired;
    all[i].number = static_cast<int>(i);
    const auto when = static_cast<std::int64_t>(random() % 1'000'000'000);
    ASSERT_TRUE(heaps[i % 2].start(all[i], when).done);
    place[i] = model.emplace(when, static_cast<int>(i));
  }
  std::int64_t now = 0;
  for (int round = 0; round < 5 || !model.empty(); ++round) {
    for (std::size_t n = 0; n < count / 4; ++n) {
      const std::size_t i = random() % count;
      const bool active = place[i] != model.end();
      const auto when = now + static_cast<std::int64_t>(random() % 1'000'000'000);
      if (active) model.erase(place[i]);
      place[i] = model.end();
      if (round >= 5 || random() % 4 != 0) {
        ASSERT_EQ(timers::stop(all[i]), active);
      } else {
        ASSERT_EQ(heaps[random() % 2].reset(all[i], when).was_active, active);
        place[i] = model.emplace(when, static_cast<int>(i));
      }
    }
    now += 200'000'000;
    fired.clear();
    std::int64_t next = std::min(run_all(heaps[0], now), run_all(heaps[1], now));
    std::vector<int> expected;
    while (!model.empty() && model.begin()->first <= now) {
      expected.push_back(model.begin()->second);
      place[static_cast<std::size_t>(expected.back())] = model.end();
      model.erase(model.begin());
    }
    std::sort(fired.begin(), fired.end());
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(fired, expected);
    ASSERT_EQ(heaps[0].active() + heaps[1].active(), model.size());
    ASSERT_LE(next, model.empty() ? timers::k_never : model.begin()->first);
  }
}

// ---- with threads ----

// Memory that is overwritten as soon as its user says that nobody touches it any more.
struct watched : timer {
  explicit watched() : timer(fire) {}
  static void fire(timer& t, std::int64_t) {
    auto& self = static_cast<watched&>(t);
    EXPECT_EQ(self.alive, 0x600d);
    for (int i = 0; i < 20; ++i) heap::maybe_delay("watched");
    EXPECT_EQ(self.alive, 0x600d);
    ++self.fired;  // plain: stop orders it
  }
  ~watched() { alive = 0xdead; }
  int alive = 0x600d;
  int fired = 0;
};

TEST(Timers, NobodyTouchesATimerAfterStopHasReturned) {
  delays random_delays(20);
  timers heaps[3];
  std::atomic<long> stopped{0}, fired{0};
  crowd threads;
  for (int n = 0; n < 2; ++n) {
    threads.add([&](const std::atomic<bool>& stop) {
      while (!stop.load()) {
        for (timers& heap : heaps) heap.run_due(now_ns());
        std::this_thread::yield();
      }
    });
  }
  for (unsigned n = 0; n < 3; ++n) {
    threads.add([&, n](const std::atomic<bool>& stop) {
      std::mt19937 random(n);
      while (!stop.load()) {
        watched t;
        const std::int64_t period = random() % 3 == 0 ? 1000 : 0;
        EXPECT_TRUE(heaps[n].start(t, now_ns() + random() % 2000, period).done);
        for (unsigned i = random() % 4; i != 0; --i)
          EXPECT_TRUE(heaps[random() % 3].reset(t, now_ns() + random() % 2000, period).done);
        if (random() % 2 == 0) std::this_thread::yield();
        const bool in_time = timers::stop(t);
        EXPECT_FALSE(timers::stop(t));
        if (period == 0 && !in_time) {
          EXPECT_GE(t.fired, 1);
        }
        (in_time ? stopped : fired).fetch_add(1);
      }
    });
  }
  std::this_thread::sleep_for(test_seconds(1));
  threads.end();
  EXPECT_GT(stopped.load(), 0);
  EXPECT_GT(fired.load(), 0);
  for (timers& heap : heaps) EXPECT_EQ(heap.active(), 0u);
}

// A waiter that is woken by its timer and starts the same record again at once, on another thread than the one that is
// still returning from the function.
struct waker : timer {
  waker() : timer(fire) {}
  static void fire(timer& t, std::int64_t) {
    static_cast<waker&>(t).ready.store(true, std::memory_order_release);
  }
  std::atomic<bool> ready{false};
};

TEST(Timers, WhoIsWokenMayStartOrFreeTheRecordAtOnce) {
  delays random_delays(20);
  timers heaps[2];
  crowd threads;
  for (int n = 0; n < 2; ++n) {
    threads.add([&](const std::atomic<bool>& stop) {
      while (!stop.load()) {
        for (timers& heap : heaps) heap.run_due(now_ns());
        std::this_thread::yield();
      }
    });
  }
  std::atomic<int> done{0};
  const int rounds = static_cast<int>(test_count(2000, 200));
  for (int n = 0; n < 2; ++n) {
    threads.add([&, n](const std::atomic<bool>&) {
      for (int i = 0; i < rounds; ++i) {
        auto t = std::make_unique<waker>();
        for (int again = 0; again < 3; ++again) {
          EXPECT_TRUE(heaps[(n + again) % 2].start(*t, now_ns() + 500).done);
          while (!t->ready.load(std::memory_order_acquire)) std::this_thread::yield();
          t->ready.store(false);
        }
      }
      done.fetch_add(1);
    });
  }
  EXPECT_TRUE(eventually([&] { return done.load() == 2; }));
}

// As one in a collected object: `condemned` is what the collector knows, and nobody may look into it once it is
// `freed`.
struct weak_one : timer {
  weak_one() : timer(fire, true) {}
  static void fire(timer& t, std::int64_t) {
    auto& self = static_cast<weak_one&>(t);
    self.fired.fetch_add(1);
    heap::maybe_delay("weak timer fires");
    if (self.freed.load()) ADD_FAILURE() << "a timer fires after its object was freed";
  }
  static bool is_dead(const timer* t) noexcept { return static_cast<const weak_one*>(t)->condemned.load(); }
  std::atomic<bool> abandoned{false}, condemned{false}, freed{false};
  std::atomic<int> fired{0};
};

TEST(Timers, StopDeadStopsTheDeadAmongTheWeak) {
  timers heap;
  weak_one dead, alive, stopped;
  noting strong;
  for (timer* t : {static_cast<timer*>(&dead), static_cast<timer*>(&alive), static_cast<timer*>(&stopped),
                   static_cast<timer*>(&strong)})
    EXPECT_TRUE(heap.start(*t, 100).done);
  EXPECT_TRUE(timers::stop(stopped));
  dead.condemned = stopped.condemned = true;
  heap.stop_dead(weak_one::is_dead);
  EXPECT_EQ(heap.active(), 2u);
  EXPECT_FALSE(timers::stop(dead)) << "it is active";
  EXPECT_EQ(run_all(heap, 100), timers::k_never);
  EXPECT_EQ(dead.fired, 0);
  EXPECT_EQ(alive.fired, 1);
  EXPECT_EQ(strong.fired, 1);
  EXPECT_EQ(heap.zombies(), 0u);
}

TEST(Timers, AWeakPeriodicTimerComesAgainUntilItIsDead) {
  timers heap;
  weak_one t;
  EXPECT_TRUE(heap.start(t, 10, 10).done);
  EXPECT_EQ(run_all(heap, 25), 30);
  EXPECT_TRUE(heap.reset(t, 5, 10).done);
  EXPECT_EQ(run_all(heap, 29), 35);
  EXPECT_EQ(t.fired, 2);
  t.condemned = true;
  heap.stop_dead(weak_one::is_dead);
  EXPECT_EQ(run_all(heap, 1000), timers::k_never);
  EXPECT_EQ(t.fired, 2);
}

TEST(Timers, StopDeadWaitsForTheFunctionThatRuns) {
  static std::atomic<bool> running, may_end, has_ended;
  running = may_end = has_ended = false;
  struct slow : timer {
    slow()
        : timer(
              [](timer&, std::int64_t) {
                running = true;
                while (!may_end) std::this_thread::yield();
                has_ended = true;
              },
              true) {}
  } t;
  timers heap;
  EXPECT_TRUE(heap.start(t, 1).done);
  crowd threads;
  threads.add([&](const std::atomic<bool>&) { run_all(heap, 1); });
  while (!running) std::this_thread::yield();
  threads.add([&](const std::atomic<bool>&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    may_end = true;
  });
  heap.stop_dead([](const timer*) noexcept { return true; });
  EXPECT_TRUE(has_ended);
  threads.end();
}

// Owners start timers and abandon some; a collector condemns what it finds abandoned, stops that in all heaps, the one
// that takes the timers of the others last, and takes it for free.
TEST(Timers, NoneFiresAfterItsObjectWasFreed) {
  delays random_delays(10);
  constexpr int k_heaps = 3, k_owners = 2;
  timers heaps[k_heaps];
  std::vector<std::vector<weak_one>> all(k_owners);
  for (auto& of_owner : all) of_owner = std::vector<weak_one>(200);
  std::atomic<int> freed{0};
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      for (timers& heap : heaps) heap.run_due(now_ns());
    }
  });
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      for (int i = 1; i < k_heaps; ++i) EXPECT_TRUE(heaps[i].move_all_to(heaps[0]));
      std::this_thread::yield();
    }
  });
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      for (auto& of_owner : all)
        for (weak_one& t : of_owner) t.condemned = t.abandoned.load();
      for (int i = k_heaps; i-- > 0;) heaps[i].stop_dead(weak_one::is_dead);
      for (auto& of_owner : all)
        for (weak_one& t : of_owner)
          if (t.condemned) t.freed = true;
      heap::maybe_delay("freed");
      for (auto& of_owner : all)
        for (weak_one& t : of_owner) {
          if (!t.condemned) continue;
          t.condemned = t.freed = false;
          t.abandoned = false;
          freed.fetch_add(1);
        }
    }
  });
  for (unsigned n = 0; n < k_owners; ++n) {
    threads.add([&, n](const std::atomic<bool>& stop) {
      std::mt19937 random(n);
      while (!stop.load()) {
        weak_one& t = all[n][random() % all[n].size()];
        if (t.abandoned) continue;
        const std::int64_t when = now_ns() + random() % 50'000;
        switch (random() % 4) {
          case 0:
            timers::stop(t);
            break;
          case 1:
            t.abandoned = true;
            break;
          default:
            EXPECT_TRUE(heaps[random() % k_heaps].reset(t, when, random() % 2 * 20'000).done);
        }
      }
    });
  }
  std::this_thread::sleep_for(test_seconds(1));
  threads.end();
  EXPECT_GT(freed, 100);
  for (timers& heap : heaps) heap.stop_all([](timer&) noexcept {});
  for (timers& heap : heaps) {
    EXPECT_EQ(heap.active(), 0u);
    EXPECT_EQ(heap.zombies(), 0u);
  }
}

TEST(Timers, ZombiesOfTheOwnerAndOfOthersAreCountedTogether) {
  timers heap, other;
  std::vector<noting> all(40);
  for (noting& t : all) heap.start(t, 100);
  for (std::size_t i = 0; i < 30; ++i)
    EXPECT_TRUE(timers::stop(all[i], i % 3 == 0 ? &heap : i % 3 == 1 ? &other : nullptr));
  EXPECT_EQ(heap.zombies(), 30u);
  EXPECT_EQ(other.zombies(), 0u);
  EXPECT_EQ(heap.active(), 10u);
  run_all(heap, 100);
  EXPECT_EQ(heap.zombies(), 0u);
  EXPECT_EQ(heap.active(), 0u);
}

TEST(Timers, FireExactlyOnceInAStormOfAll) {
  delays random_delays(10);
  constexpr std::size_t k_heaps = 3;
  timers heaps[k_heaps];
  struct counted : timer {
    counted() : timer([](timer& t, std::int64_t) { static_cast<counted&>(t).fired.fetch_add(1); }) {}
    std::atomic<int> fired{0};
    int won = 0;  // starts that were not undone; by its owner
  };
  std::vector<std::vector<counted>> all(3);
  for (auto& of_thread : all) of_thread = std::vector<counted>(200);
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      for (timers& heap : heaps) heap.run_due(now_ns());
      heaps[0].for_each([](timer* t) { EXPECT_NE(t, nullptr); });
    }
  });
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      EXPECT_TRUE(heaps[2].move_all_to(heaps[1]));
      std::this_thread::yield();
    }
  });
  for (unsigned n = 0; n < all.size(); ++n) {
    threads.add([&, n](const std::atomic<bool>& stop) {
      std::mt19937 random(n);
      while (!stop.load()) {
        counted& t = all[n][random() % all[n].size()];
        const std::int64_t when = now_ns() + random() % 50'000;
        if (random() % 3 == 0) {
          if (timers::stop(t)) --t.won;
        } else {
          timer_change change = heaps[random() % k_heaps].reset(t, when);
          EXPECT_TRUE(change.done);
          if (!change.was_active) ++t.won;
        }
      }
    });
  }
  std::this_thread::sleep_for(test_seconds(1));
  threads.end();
  for (timers& heap : heaps) run_all(heap, timers::k_never - 1);
  for (auto& of_thread : all) {
    for (counted& t : of_thread) EXPECT_EQ(t.fired.load(), t.won);
  }
  for (timers& heap : heaps) EXPECT_EQ(heap.active(), 0u);
}

}  // namespace
}  // namespace cairn::sched
