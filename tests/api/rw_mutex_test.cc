// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of readers and writers, between goroutines and threads that are none.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace sync = cairn::sync;
using sync::rw_mutex;
using sync::wait_group;

constinit rw_mutex static_mutex;

class RwMutex : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void program(F f) const {
    on_procs(GetParam(), f);
  }
};
INSTANTIATE_TEST_SUITE_P(Procs, RwMutex, testing::Values(1, 2, 8));

// Readers that all hold it at the same time: each waits for the others while it holds it.
TEST_P(RwMutex, AllReadersHoldItAtOnce) {
  program([] {
    for (int readers : {1, 3, 10}) {
      rw_mutex m;
      wait_group inside, all;
      inside.add(readers);
      for (int i = 0; i < readers; ++i)
        all.go([&] {
          std::shared_lock held(m);
          inside.done();
          inside.wait();
        });
      all.wait();
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    }
  });
}

// Who is inside, checked by everybody who is.
struct house {
  rw_mutex lock;
  std::atomic<int> readers{0}, writers{0};
  std::uint64_t plain = 0;  // written by writers only
  std::atomic<std::uint64_t> written{0};

  void read(bool slowly) {
    std::shared_lock held(lock);
    ++readers;
    if (writers != 0) ADD_FAILURE() << "a reader beside a writer";
    const std::uint64_t seen = plain;
    if (slowly) cairn::yield();
    if (seen != plain) ADD_FAILURE() << "it changed while it was read";
    --readers;
  }
  void write(bool slowly) {
    std::unique_lock held(lock);
    if (++writers != 1 || readers != 0) ADD_FAILURE() << "a writer is not alone";
    ++plain;
    if (slowly) cairn::yield();
    --writers;
    ++written;
  }
  void storm(std::uint64_t times, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < times; ++i) {
      const std::uint64_t r = mix(seed << 32 | i);
      if (r % 10 == 0) write(r % 640 == 0);
      else if (r % 10 == 1 && lock.try_lock_shared()) lock.unlock_shared();
      else if (r % 10 == 2 && lock.try_lock()) lock.unlock();
      else read(r % 64 == 3);
    }
  }
};

TEST_P(RwMutex, ExcludesWritersAmongGoroutinesAndThreads) {
  house h;
  program([&h] { by_threads_and_goroutines([&h](std::uint64_t seed) { h.storm(test_count(3'000), seed); }); });
  EXPECT_EQ(h.plain, h.written);
  EXPECT_TRUE(h.lock.try_lock());
  h.lock.unlock();
}

// From when a writer waits nobody else comes in to read, and a reader that is inside does not notice.
TEST_P(RwMutex, AWaitingWriterHoldsBackNewReaders) {
  program([] {
    rw_mutex m;
    std::atomic<int> step{0};
    m.lock_shared();
    auto writer = cairn::spawn([&] {
      std::unique_lock held(m);
      EXPECT_EQ(step.exchange(1), 0);
      cairn::sleep_for(2ms);
    });
    EXPECT_TRUE(eventually([&] {  // until it waits
      if (!m.try_lock_shared()) return true;
      m.unlock_shared();
      return false;
    }));
    auto reader = cairn::spawn([&] {
      std::shared_lock held(m);
      EXPECT_EQ(step.exchange(2), 1);
    });
    cairn::sleep_for(5ms);
    EXPECT_EQ(step, 0);
    EXPECT_FALSE(m.try_lock_shared());
    EXPECT_FALSE(m.try_lock());
    m.unlock_shared();
    writer.get();
    reader.get();
    EXPECT_EQ(step, 2);
  });
}

// While one writes, a writer and then readers come: all readers go before that writer.
// So many goroutines stand in line to do `what`.
bool wait_in_line(std::ptrdiff_t n, const char* what) {
  return eventually([=] {
    const auto all = cairn::goroutines();
    return std::count_if(all.begin(), all.end(), [what](const auto& g) { return g.wait_reason == what; }) == n;
  });
}

TEST_P(RwMutex, ReadersThatWaitedGoBeforeTheNextWriter) {
  program([] {
    for (int round = 0; round < 5; ++round) {
      rw_mutex m;
      std::atomic<int> read{0};
      constexpr int k_readers = 10;
      m.lock();
      auto second = cairn::spawn([&] {
        std::unique_lock held(m);
        EXPECT_EQ(read, k_readers);
      });
      EXPECT_TRUE(wait_in_line(1, "rw_mutex lock"));
      wait_group all, inside;
      inside.add(k_readers);
      for (int i = 0; i < k_readers; ++i)
        all.go([&] {
          std::shared_lock held(m);
          ++read;
          inside.done();
          inside.wait();  // together
        });
      EXPECT_TRUE(wait_in_line(k_readers, "rw_mutex lock_shared"));
      EXPECT_EQ(read, 0);
      m.unlock();
      all.wait();
      second.get();
    }
  });
}

// Readers that follow each other without a gap do not keep a writer out, nor the other way round.
TEST_P(RwMutex, NeitherSideStarves) {
  program([] {
    for (bool readers_are_many : {true, false}) {
      rw_mutex m;
      std::atomic<bool> stop{false};
      std::atomic<std::uint64_t> rounds{0};
      wait_group all;
      for (int i = 0; i < 3; ++i)
        all.go([&] {
          while (!stop) {
            if (readers_are_many) m.lock_shared();
            else m.lock();
            cairn::yield();
            ++rounds;
            if (readers_are_many) m.unlock_shared();
            else m.unlock();
          }
        });
      EXPECT_TRUE(eventually([&] { return rounds > 100; }));
      for (int i = 0; i < 20; ++i) {
        if (readers_are_many) std::unique_lock held(m);
        else std::shared_lock held(m);
      }
      stop = true;
      all.wait();
    }
  });
}

TEST(RwMutexLocks, WorkWithTheLocksOfTheLibrary) {
  rw_mutex m, other;
  {
    std::shared_lock a(m), b(m);
    std::unique_lock c(m, std::try_to_lock);
    EXPECT_FALSE(c.owns_lock());
    std::shared_lock d(m, std::try_to_lock);
    EXPECT_TRUE(d.owns_lock());
  }
  {
    std::scoped_lock both(m, other);
    std::shared_lock a(m, std::try_to_lock);
    EXPECT_FALSE(a.owns_lock());
    EXPECT_FALSE(other.try_lock());
  }
  std::lock_guard last(m);
}

TEST(RwMutexLocks, MayBeUnlockedByAnother) {
  on_one_and_two_procs([] {
    rw_mutex m;
    m.lock();
    cairn::spawn([&] { m.unlock(); }).get();
    m.lock_shared();
    m.lock_shared();
    cairn::spawn([&] { m.unlock_shared(); }).get();
    EXPECT_FALSE(m.try_lock());
    cairn::spawn([&] { m.unlock_shared(); }).get();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST(RwMutexLocks, MayBeDestroyedByWhoLockedItLast) {
  struct counted {
    rw_mutex lock;
    std::atomic<int> users{4};
  };
  // By writing, or by reading.
  auto drop_one = [](counted* c, bool writes) {
    bool last = false;
    if (writes) {
      c->lock.lock();
      last = --c->users == 0;
      c->lock.unlock();
    } else {
      c->lock.lock_shared();
      c->lock.unlock_shared();
      c->lock.lock();
      last = --c->users == 0;
      c->lock.unlock();
    }
    if (last) delete c;
  };
  on_one_and_two_procs([drop_one] {
    for (std::size_t i = 0; i < test_count(3'000); ++i) {
      auto* c = new counted;
      wait_group all;
      for (int k = 0; k < 3; ++k) all.go([=] { drop_one(c, k == 0); });
      drop_one(c, i % 2 == 0);
      all.wait();
    }
  });
}

struct guarded {
  rw_mutex lock;
  cairn::gc_ptr<cell> list;
  int written = 0;
};

TEST_P(RwMutex, LivesInCollectedObjects) {
  program([] {
    cairn::gc_ptr<guarded> shared = cairn::make_gc<guarded>();
    collections back_to_back;
    wait_group all;
    for (int i = 0; i < 4; ++i)
      all.go([shared, i] {
        for (std::size_t k = 0; k < test_count(200); ++k) {
          if (static_cast<int>(k % 4) == i) {
            std::unique_lock held(shared->lock);
            shared->list = make_list(k, 10);
            ++shared->written;
          } else {
            std::shared_lock held(shared->lock);
            if (cell* first = shared->list.get(); first != nullptr && !is_list(first, first->id, 10))
              ADD_FAILURE() << "the list is broken";
            if (k % 8 == 0) cairn::yield();
          }
        }
      });
    EXPECT_TRUE(back_to_back.await(3));
    all.wait();
    EXPECT_GT(shared->written, 0);
  });
}

// Some wait to read, some to write, some come and go without end, when main returns.
TEST(RwMutexLocks, AreUsedAgainAfterARunThatEndedWithWaiters) {
  for (std::size_t i = 0; i < test_count(20); ++i)
    on_procs(i % 2 == 0 ? 1 : 2, [i] {
      if (i % 3 == 0) static_mutex.lock_shared();
      else static_mutex.lock();
      for (int k = 0; k < 10; ++k)
        cairn::go([k] {
          while (true) {
            if (k % 3 == 0) std::unique_lock held(static_mutex);
            else std::shared_lock held(static_mutex);
          }
        });
      for (std::size_t k = 0; k < i % 5; ++k) cairn::yield();
      if (i % 4 == 0) cairn::sleep_for(2ms);
      if (i % 3 == 0) static_mutex.unlock_shared();
      else static_mutex.unlock();
      if (i % 5 == 0) cairn::yield();
    });
  std::shared_lock read(static_mutex);
  read.unlock();
  std::unique_lock write(static_mutex);
}

// Threads that wait beside goroutines that are dropped get it: whoever stands behind them is called.
TEST(RwMutexLocks, AThreadThatWaitsBesideDroppedGoroutinesGetsIt) {
  for (std::size_t i = 0; i < test_count(12); ++i) {
    std::vector<std::thread> waiters;
    on_procs(2, [&] {
      if (i % 2 == 0) static_mutex.lock_shared();
      else static_mutex.lock();
      for (int k = 0; k < 4; ++k)
        cairn::go([k, i] {
          if ((k + i / 2) % 2 == 0) std::unique_lock held(static_mutex);
          else std::shared_lock held(static_mutex);
        });
      cairn::sleep_for(1ms);
      waiters.emplace_back([] { std::unique_lock held(static_mutex); });
      waiters.emplace_back([] { std::shared_lock held(static_mutex); });
      cairn::sleep_for(2ms);
      if (i % 2 == 0) static_mutex.unlock_shared();
      else static_mutex.unlock();
    });
    for (std::thread& waiter : waiters) waiter.join();
  }
}

using RwMutexDeathTest = testing::Test;

TEST(RwMutexDeathTest, MisuseAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  rw_mutex m;
  EXPECT_DEATH(m.unlock(), "cairn: sync::rw_mutex: unlock\\(\\) of a mutex that is not locked for writing");
  EXPECT_DEATH(m.unlock_shared(),
               "cairn: sync::rw_mutex: unlock_shared\\(\\) of a mutex that is not locked for reading");
  EXPECT_DEATH((m.lock_shared(), m.unlock()), "not locked for writing");
  EXPECT_DEATH((m.lock(), m.unlock_shared()), "not locked for reading");
  EXPECT_DEATH(cairn::run([] {
                 rw_mutex inside;
                 inside.lock_shared();
                 inside.unlock_shared();
                 inside.unlock_shared();
               }),
               "not locked for reading");
}

}  // namespace
