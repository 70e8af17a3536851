// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Mutexes, semaphores and condition variables, between goroutines and threads that are none.
#include <gtest/gtest.h>

#include <array>
#include <climits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace sync = cairn::sync;
using sync::wait_group;

constinit sync::mutex static_mutex;
constinit sync::cond static_cond;
constinit sync::semaphore static_semaphore(2);

// Counts with a lock and without one.
struct tally {
  sync::mutex lock;
  std::uint64_t inside = 0, entered = 0;
  std::atomic<std::uint64_t> expected{0};

  void enter(bool slowly) {
    std::lock_guard guard(lock);
    if (++inside != 1) ADD_FAILURE() << "two hold it";
    if (slowly) cairn::yield();
    ++entered;
    --inside;
  }
  void storm(std::uint64_t times, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < times; ++i) enter(mix(seed * times + i) % 64 == 0);
    expected += times;
  }
};

// ---- mutex --------------------------------------------------------------------------------------------------------

TEST(Mutex, ExcludesGoroutinesAndThreads) {
  for (int procs : {1, 2, 8}) {
    tally t;
    on_procs(procs, [&t] {
      by_threads_and_goroutines([&t](std::uint64_t seed) { t.storm(test_count(5'000), seed); });
    });
    EXPECT_EQ(t.entered, t.expected);
  }
}

TEST(Mutex, WorksWithTheLocksOfTheLibrary) {
  sync::mutex a, b;
  {
    std::scoped_lock both(a, b);
    EXPECT_FALSE(a.try_lock());
    EXPECT_FALSE(b.try_lock());
  }
  std::unique_lock held(a);
  std::unique_lock second(a, std::try_to_lock);
  EXPECT_FALSE(second.owns_lock());
  held.unlock();
  EXPECT_TRUE(second.try_lock());
}

// Two that take the same two in both orders.
TEST(Mutex, ScopedLocksDoNotDeadlock) {
  on_one_and_two_procs([] {
    sync::mutex a, b;
    std::uint64_t n = 0;
    wait_group all;
    const std::size_t times = test_count(5'000);
    for (int i = 0; i < 4; ++i)
      all.go([&, i] {
        for (std::size_t k = 0; k < times; ++k) {
          std::scoped_lock both(i % 2 == 0 ? a : b, i % 2 == 0 ? b : a);
          ++n;
        }
      });
    all.wait();
    EXPECT_EQ(n, 4 * times);
  });
}

TEST(Mutex, AWaiterLeavesItsProcToOthers) {
  on_procs(1, [] {
    sync::mutex m;
    m.lock();
    wait_group all;
    std::atomic<int> through{0};
    for (std::size_t i = 0; i < 100; ++i)
      all.go([&] {
        std::lock_guard guard(m);
        ++through;
      });
    EXPECT_TRUE(cairn::spawn([] { return true; }).get());
    for (int i = 0; i < 200; ++i) cairn::yield();
    EXPECT_EQ(through, 0);
    m.unlock();
    all.wait();
    EXPECT_EQ(through, 100);
  });
}

// The hog holds it nearly all the time.
void expect_fair(bool hog_is_thread) {
  sync::mutex m;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0};
  auto hog = [&] {
    while (!stop) {
      std::lock_guard guard(m);
      for (int i = 0; i < 1000; ++i) asm volatile("" ::: "memory");
      ++rounds;
    }
  };
  wait_group all;
  std::thread thread;
  if (hog_is_thread) thread = std::thread(hog);
  else all.go(hog);
  EXPECT_TRUE(eventually([&] { return rounds > 100; }));
  std::chrono::nanoseconds longest{0};
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    std::lock_guard guard(m);
    longest = std::max<std::chrono::nanoseconds>(longest, std::chrono::steady_clock::now() - start);
  }
  stop = true;
  all.wait();
  if (thread.joinable()) cairn::blocking([&] { thread.join(); });
  EXPECT_LT(longest, 1s);
}

TEST(MutexFairness, ALoserGetsItBesideAGoroutineThatRelocks) {
  on_one_and_two_procs([] { expect_fair(false); });
}

TEST(MutexFairness, ALoserGetsItBesideAThreadThatRelocks) {
  on_one_and_two_procs([] { expect_fair(true); });
}

TEST(MutexFairness, AThreadGetsItBesideAGoroutineThatRelocks) { expect_fair(false); }

// All goroutines wait for a thread that has called nothing but lock().
TEST(Mutex, WaitingForAThreadIsNoDeadlock) {
  on_procs(1, [] {
    sync::mutex m;
    sync::semaphore s(1);
    std::atomic<bool> held{false};
    std::thread holder([&] {
      m.lock();
      s.acquire();
      held = true;
      std::this_thread::sleep_for(20ms);
      s.release();
      m.unlock();
    });
    EXPECT_TRUE(eventually([&] { return held.load(); }));
    s.acquire();
    std::lock_guard guard(m);
    cairn::blocking([&] { holder.join(); });
  });
}

TEST(Mutex, MayBeDestroyedByWhoLockedItLast) {
  struct counted {
    sync::mutex lock;
    int users = 4;
  };
  auto drop_one = [](counted* c) {
    c->lock.lock();
    const bool last = --c->users == 0;
    c->lock.unlock();
    if (last) delete c;
  };
  on_one_and_two_procs([drop_one] {
    for (std::size_t i = 0; i < test_count(3'000); ++i) {
      auto* c = new counted;
      wait_group all;
      for (int k = 0; k < 3; ++k) all.go([=] { drop_one(c); });
      drop_one(c);
      all.wait();
    }
  });
}

struct guarded {
  sync::mutex lock;
  sync::cond changed;
  sync::semaphore units{1};
  cairn::gc_ptr<cell> list;
  int turn = 0;
};

TEST(Mutex, LivesInCollectedObjects) {
  on_one_and_two_procs([] {
    cairn::gc_ptr<guarded> shared = cairn::make_gc<guarded>();
    collections back_to_back;
    wait_group all;
    for (int i = 0; i < 4; ++i)
      all.go([shared, i] {
        for (int k = 0; k < 50; ++k) {
          shared->units.acquire();
          {
            std::unique_lock guard(shared->lock);
            shared->changed.wait(guard, [&] { return shared->turn % 4 == i; });
            EXPECT_TRUE(shared->list == nullptr || is_list(shared->list.get(), 7, 20));
            shared->list = make_list(7, 20);
            ++shared->turn;
            shared->changed.notify_all();
          }
          shared->units.release();
          if (k % 8 == 0) cairn::yield();
        }
      });
    EXPECT_TRUE(back_to_back.await(3));  // while all but one wait
    shared->units.release(3);            // so that all can wait for their turn
    all.wait();
    EXPECT_EQ(shared->turn, 200);
  });
}

using SyncDeathTest = testing::Test;

TEST(SyncDeathTest, UnlockingWhatIsNotLockedAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  sync::mutex m;
  EXPECT_DEATH(m.unlock(), "cairn: sync::mutex: unlock\\(\\) of a mutex that is not locked");
  EXPECT_DEATH(cairn::run([] {
                 sync::mutex inside;
                 inside.lock();
                 inside.unlock();
                 inside.unlock();
               }),
               "not locked");
}

// ---- the end of a run ---------------------------------------------------------------------------------------------

// Some wait, some are on their way, some come and go without end, when main returns.
TEST(Mutex, IsUsedAgainAfterARunThatEndedWithWaiters) {
  for (std::size_t i = 0; i < test_count(20); ++i)
    on_procs(i % 2 == 0 ? 1 : 2, [i] {
      static_mutex.lock();
      for (int k = 0; k < 10; ++k)
        cairn::go([] {
          while (true) std::lock_guard guard(static_mutex);
        });
      for (std::size_t k = 0; k < i % 5; ++k) cairn::yield();
      if (i % 3 == 0) cairn::sleep_for(2ms);  // so that they starve
      static_mutex.unlock();
      if (i % 4 == 0) cairn::yield();
    });
  std::lock_guard guard(static_mutex);
}

TEST(Mutex, AThreadThatWaitsBesideDroppedGoroutinesGetsIt) {
  for (std::size_t i = 0; i < test_count(10); ++i) {
    std::thread waiter;
    on_procs(2, [&] {
      static_mutex.lock();
      for (int k = 0; k < 5; ++k) cairn::go([] { std::lock_guard guard(static_mutex); });
      cairn::sleep_for(1ms);
      waiter = std::thread([] { std::lock_guard guard(static_mutex); });
      cairn::sleep_for(2ms);
      static_mutex.unlock();
    });
    waiter.join();
  }
}

TEST(Semaphore, IsUsedAgainAfterARunThatEndedWithWaiters) {
  for (std::size_t i = 0; i < test_count(20); ++i)
    on_procs(i % 2 == 0 ? 1 : 2, [i] {
      static_semaphore.acquire(2);
      for (int k = 0; k < 10; ++k)
        cairn::go([k] { static_semaphore.acquire(1 + k % 2), static_semaphore.release(1 + k % 2); });
      for (std::size_t k = 0; k < i % 5; ++k) cairn::yield();
      static_semaphore.release(2);
      if (i % 4 == 0) cairn::yield();
    });
  EXPECT_TRUE(static_semaphore.try_acquire(2));
  EXPECT_FALSE(static_semaphore.try_acquire());
  static_semaphore.release(2);
}

TEST(Cond, IsUsedAgainAfterARunThatEndedWithWaiters) {
  for (std::size_t i = 0; i < test_count(10); ++i)
    on_procs(2, [i] {
      for (int k = 0; k < 5; ++k)
        cairn::go([] {
          std::unique_lock guard(static_mutex);
          static_cond.wait(guard);
        });
      if (i % 2 == 0) cairn::sleep_for(1ms);
    });
  on_procs(1, [] {
    bool ready = false;
    auto waiter = cairn::spawn([&] {
      std::unique_lock guard(static_mutex);
      static_cond.wait(guard, [&] { return ready; });
    });
    cairn::yield();
    {
      std::lock_guard guard(static_mutex);
      ready = true;
    }
    static_cond.notify_one();
    waiter.get();
  });
}

// They lie on the stack of main, which is gone when the waiters are dropped.
TEST(Mutex, MayBeGoneWhenItsWaitersAreDropped) {
  for (std::size_t i = 0; i < test_count(20); ++i)
    on_procs(2, [] {
      sync::mutex m;
      sync::cond never;
      sync::semaphore none(0);
      m.lock();
      for (int k = 0; k < 3; ++k) {
        cairn::go([&m] { m.lock(); });
        cairn::go([&none] { none.acquire(); });
        cairn::go([&never] {
          sync::mutex mine;
          mine.lock();
          never.wait(mine);
        });
      }
      cairn::sleep_for(500us);
    });
}

// ---- semaphore ----------------------------------------------------------------------------------------------------

TEST(Semaphore, CountsUnits) {
  sync::semaphore s(3);
  EXPECT_TRUE(s.try_acquire(2));
  EXPECT_FALSE(s.try_acquire(2));
  EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
  EXPECT_TRUE(s.try_acquire(0));
  s.release(5);
  s.acquire(4);
  EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
}

TEST(Semaphore, RefusesWhatCannotBe) {
  EXPECT_THROW(sync::semaphore(-1), std::invalid_argument);
  EXPECT_THROW(sync::semaphore(INT64_MAX), std::invalid_argument);
  sync::semaphore s(1);
  EXPECT_THROW(s.acquire(-1), std::invalid_argument);
  EXPECT_THROW(s.try_acquire(-1), std::invalid_argument);
  EXPECT_THROW(s.release(-1), std::invalid_argument);
  EXPECT_THROW(s.release(INT64_MAX), std::logic_error);
  EXPECT_TRUE(s.try_acquire());
}

TEST(Semaphore, LetsNoMoreInThanItHasUnits) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      sync::semaphore s(10);
      std::atomic<std::int64_t> inside{0};
      auto use = [&](std::uint64_t seed) {
        for (std::uint64_t i = 0; i < test_count(2'000); ++i) {
          const auto n = static_cast<std::int64_t>(mix(seed << 32 | i) % 11);
          s.acquire(n);
          if ((inside += n) > 10) ADD_FAILURE() << "too many units are in use";
          if (i % 16 == 0) cairn::yield();
          inside -= n;
          s.release(n);
        }
      };
      std::vector<std::thread> threads;
      for (std::uint64_t i = 0; i < 2; ++i) threads.emplace_back([&use, i] { use(100 + i); });
      wait_group all;
      for (std::uint64_t i = 0; i < 10; ++i) all.go([&use, i] { use(i); });
      all.wait();
      cairn::blocking([&threads] {
        for (std::thread& thread : threads) thread.join();
      });
      EXPECT_TRUE(s.try_acquire(10));
    });
}

// Goroutines with different wants, which come one after the other.
TEST(Semaphore, IsFirstInFirstOut) {
  on_one_and_two_procs([] {
    sync::semaphore s(0);
    std::mutex lock;
    std::vector<int> order;
    wait_group all;
    const std::array<std::int64_t, 6> wants = {5, 1, 3, 1, 1, 4};
    for (int i = 0; i < 6; ++i) {
      all.go([&, i] {
        s.acquire(wants[static_cast<std::size_t>(i)]);
        std::lock_guard guard(lock);
        order.push_back(i);
      });
      cairn::sleep_for(5ms);
    }
    auto let_in = [&] {
      std::lock_guard guard(lock);
      return order.size();
    };
    s.release(4);  // enough for all but the first
    EXPECT_FALSE(s.try_acquire());
    cairn::sleep_for(5ms);
    EXPECT_EQ(let_in(), 0u);
    for (std::size_t i = 0; i < 6; ++i) {
      std::int64_t missing = wants[i] - (i == 0 ? 4 : 0);
      s.release(missing);
      EXPECT_TRUE(eventually([&] { return let_in() == i + 1; }));
    }
    all.wait();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST(Semaphore, OneReleaseLetsInAllForWhomItIsEnough) {
  on_one_and_two_procs([] {
    sync::semaphore s(0);
    wait_group all;
    std::atomic<int> through{0};
    for (int i = 0; i < 10; ++i)
      all.go([&] {
        s.acquire(2);
        ++through;
      });
    cairn::sleep_for(5ms);
    s.release(13);
    EXPECT_TRUE(eventually([&] { return through == 6; }));
    s.release(7);
    all.wait();
    EXPECT_TRUE(s.try_acquire(0));
    EXPECT_FALSE(s.try_acquire(1));
  });
}

// ---- cond ---------------------------------------------------------------------------------------------------------

TEST(Cond, ANotificationWakesOneOfThoseThatWait) {
  on_one_and_two_procs([] {
    sync::mutex m;
    sync::cond c;
    c.notify_one();  // nobody is there: it is lost
    std::atomic<int> waiting{0}, woken{0};
    wait_group all;
    for (int i = 0; i < 5; ++i)
      all.go([&] {
        std::unique_lock guard(m);
        ++waiting;
        c.wait(guard);
        EXPECT_TRUE(guard.owns_lock());
        ++woken;
      });
    EXPECT_TRUE(eventually([&] {
      std::lock_guard guard(m);
      return waiting == 5;
    }));
    cairn::sleep_for(5ms);
    EXPECT_EQ(woken, 0);
    for (int i = 1; i <= 3; ++i) {
      c.notify_one();
      EXPECT_TRUE(eventually([&] { return woken == i; }));
      cairn::sleep_for(2ms);
      EXPECT_EQ(woken, i);
    }
    c.notify_all();
    all.wait();
    EXPECT_EQ(woken, 5);
  });
}

// Who comes after a notification does not take it from those who were there.
TEST(Cond, ALaterWaiterDoesNotTakeANotification) {
  on_one_and_two_procs([] {
    for (std::size_t round = 0; round < test_count(500); ++round) {
      sync::mutex m;
      sync::cond c;
      bool first_waits = false, second_waits = false;
      std::atomic<bool> first_woke{false}, second_woke{false};
      auto first = cairn::spawn([&] {
        std::unique_lock guard(m);
        first_waits = true;
        c.wait(guard);
        first_woke = true;
      });
      while (true) {
        std::unique_lock guard(m);
        if (first_waits) break;
        guard.unlock();
        cairn::yield();
      }
      c.notify_one();
      auto second = cairn::spawn([&] {
        std::unique_lock guard(m);
        second_waits = true;
        c.wait(guard);
        second_woke = true;
      });
      first.get();
      EXPECT_TRUE(first_woke);
      EXPECT_FALSE(second_woke);
      while (true) {
        std::unique_lock guard(m);
        if (second_waits) break;
        guard.unlock();
        cairn::yield();
      }
      EXPECT_FALSE(second_woke);
      c.notify_one();
      second.get();
    }
  });
}

// A queue with room for few, used by goroutines and threads: no wake is lost, and no element.
template <class Lock>
void pass_through_a_queue() {
  struct {
    Lock lock;
    sync::cond not_empty, not_full;
    std::vector<std::uint64_t> elements;
  } queue;
  const std::uint64_t per_producer = test_count(3'000);
  std::atomic<std::uint64_t> sum{0};
  auto produce = [&] {
    for (std::uint64_t i = 1; i <= per_producer; ++i) {
      std::unique_lock guard(queue.lock);
      queue.not_full.wait(guard, [&] { return queue.elements.size() < 4; });
      queue.elements.push_back(i);
      queue.not_empty.notify_one();
    }
  };
  auto consume = [&] {
    for (std::uint64_t i = 1; i <= per_producer; ++i) {
      std::unique_lock guard(queue.lock);
      queue.not_empty.wait(guard, [&] { return !queue.elements.empty(); });
      sum += queue.elements.back();
      queue.elements.pop_back();
      queue.not_full.notify_one();
    }
  };
  std::thread producer(produce), consumer(consume);
  wait_group all;
  for (int i = 0; i < 3; ++i) {
    all.go(produce);
    all.go(consume);
  }
  all.wait();
  cairn::blocking([&] {
    producer.join();
    consumer.join();
  });
  EXPECT_EQ(sum, 4 * per_producer * (per_producer + 1) / 2);
}

TEST(Cond, LosesNoWake) {
  for (int procs : {1, 2, 8}) on_procs(procs, pass_through_a_queue<sync::mutex>);
}

TEST(Cond, WorksWithAMutexOfThreads) { on_procs(2, pass_through_a_queue<std::mutex>); }

TEST(Cond, ALockThatIsNotHeldIsAnErrorAndNobodyWaits) {
  sync::mutex m;
  sync::cond c;
  std::unique_lock guard(m, std::defer_lock);
  EXPECT_THROW(c.wait(guard), std::system_error);
  c.notify_all();
}

}  // namespace
