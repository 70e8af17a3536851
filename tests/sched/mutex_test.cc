// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The bias of mutexes that one thread locks over and over; what mutexes do for programs is in tests/api/sync_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "heap/delay.h"
#include "sched/fence.h"
#include "sched/m.h"
#include "tests/scale.h"
#include "tests/sched/lock_storm.h"

namespace cairn::detail {

struct mutex_bias {
  static bool is_there(const sync::mutex& m) { return m.bias_.load(std::memory_order_relaxed) != 0; }
  static bool is_mine(const sync::mutex& m) {
    return m.bias_.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(sched::current());
  }
};

}  // namespace cairn::detail

namespace {

using namespace std::chrono_literals;
using cairn::detail::mutex_bias;
using cairn::sched::lock_storm;
using cairn::sync::mutex;

// More than the bias needs.
constexpr int k_many = (1 << 12) + 100;

void lock_and_unlock(mutex& m, int times = k_many) {
  for (int i = 0; i < times; ++i) std::lock_guard held(m);
}
bool is_free(mutex& m) {
  if (!m.try_lock()) return false;
  m.unlock();
  return true;
}
bool is_free_for_another(mutex& m) {
  bool is = false;
  std::thread([&] { is = is_free(m); }).join();
  return is;
}

class BiasedMutex : public testing::Test {
 protected:
  void SetUp() override {
    cairn::sched::self();
    if (!cairn::sched::prepare_fence()) GTEST_SKIP() << "the system has no fence for all";
  }
  void TearDown() override { cairn::heap::set_delays(0, 0); }
};

TEST_F(BiasedMutex, IsTheThreadsThatHasLockedItOftenInARow) {
  mutex m;
  lock_and_unlock(m, k_many / 2);
  EXPECT_FALSE(mutex_bias::is_there(m));
  lock_and_unlock(m, k_many / 2 + 1);
  EXPECT_TRUE(mutex_bias::is_mine(m));
  lock_and_unlock(m);
  EXPECT_TRUE(is_free(m));
  m.lock();
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  EXPECT_TRUE(mutex_bias::is_mine(m));
}

TEST_F(BiasedMutex, IsNobodysWhereThreadsTakeTurns) {
  mutex m;
  for (int i = 0; i < 4; ++i) {
    lock_and_unlock(m, k_many / 2);
    std::thread([&] { lock_and_unlock(m, k_many / 2); }).join();
  }
  EXPECT_FALSE(mutex_bias::is_there(m));
}

TEST_F(BiasedMutex, AnotherThreadEndsTheBias) {
  mutex m;
  lock_and_unlock(m);
  m.lock();
  EXPECT_TRUE(mutex_bias::is_mine(m));
  EXPECT_FALSE(is_free_for_another(m));
  EXPECT_TRUE(mutex_bias::is_mine(m));  // it is held: that can be seen without
  m.unlock();
  EXPECT_TRUE(is_free_for_another(m));
  EXPECT_FALSE(mutex_bias::is_there(m));
  EXPECT_TRUE(is_free(m));
  EXPECT_FALSE(mutex_bias::is_there(m));  // not at once again
  lock_and_unlock(m);
  EXPECT_TRUE(mutex_bias::is_mine(m));
}

TEST_F(BiasedMutex, MayBeUnlockedByAnotherThreadAttachedOrNot) {
  for (int attached = 0; attached < 2; ++attached) {
    mutex m;
    lock_and_unlock(m);
    m.lock();
    std::thread([&] {
      if (attached != 0) cairn::sched::self();
      m.unlock();
    }).join();
    EXPECT_FALSE(mutex_bias::is_there(m));
    EXPECT_TRUE(is_free(m));
  }
}

TEST_F(BiasedMutex, IsGivenToWhoWaitsForIt) {
  for (int round = 0; round < 20; ++round) {
    mutex m;
    lock_and_unlock(m);
    m.lock();
    std::atomic<bool> done{false};
    std::thread other([&] {
      std::lock_guard held(m);
      done = true;
    });
    if (round % 2 == 0)
      while (mutex_bias::is_there(m)) std::this_thread::yield();
    EXPECT_FALSE(done);
    m.unlock();
    other.join();
    EXPECT_TRUE(done);
    EXPECT_TRUE(is_free(m));
  }
}

TEST_F(BiasedMutex, SurvivesItsOwner) {
  mutex m;
  std::thread([&] {
    lock_and_unlock(m);
    m.lock();
  }).join();
  EXPECT_TRUE(mutex_bias::is_there(m));
  EXPECT_FALSE(m.try_lock());
  m.unlock();
  EXPECT_TRUE(is_free(m));
}

TEST_F(BiasedMutex, AnotherOneAtTheSameAddressIsFree) {
  alignas(mutex) unsigned char place[sizeof(mutex)];
  auto* m = new (place) mutex;
  lock_and_unlock(*m);
  m->lock();  // and is given up so
  m = new (place) mutex;
  EXPECT_TRUE(is_free(*m));
  EXPECT_TRUE(is_free_for_another(*m));
}

// Who unlocks before the last one does not touch it any more, be it by the bias or while that ends.
TEST_F(BiasedMutex, MayBeDestroyedByWhoeverLockedItLast) {
  struct shared {
    mutex m;
    int users = 3;
  };
  const std::size_t rounds = test_count(1'000, 100);
  for (std::size_t i = 0; i < rounds; ++i) {
    auto* s = new shared;
    cairn::heap::set_delays(0, 0);
    lock_and_unlock(s->m);
    cairn::heap::set_delays(100, i);
    EXPECT_TRUE(mutex_bias::is_mine(s->m));
    auto leave = [s] {
      s->m.lock();
      const bool is_last = --s->users == 0;
      s->m.unlock();
      if (is_last) delete s;
    };
    std::thread others[] = {std::thread(leave), std::thread(leave)};
    leave();
    for (std::thread& t : others) t.join();
  }
}

TEST_F(BiasedMutex, GoroutinesOfOneThreadExcludeOneAnother) {
  cairn::run(
      [] {
        mutex m;
        lock_and_unlock(m);
        m.lock();
        EXPECT_TRUE(mutex_bias::is_mine(m));
        auto other = cairn::spawn([&m] {
          EXPECT_FALSE(m.try_lock());
          std::lock_guard held(m);
          return mutex_bias::is_there(m);
        });
        cairn::yield();
        m.unlock();
        EXPECT_FALSE(other.get());
        EXPECT_TRUE(is_free(m));
      },
      {.max_procs = 1});
}

mutex left_locked;

TEST_F(BiasedMutex, StaysLockedByAGoroutineThatEndsWithTheRun) {
  cairn::run([] {
    cairn::sync::wait_group locked;
    locked.add();
    cairn::go([&locked] {
      lock_and_unlock(left_locked);
      left_locked.lock();
      EXPECT_TRUE(mutex_bias::is_mine(left_locked));
      locked.done();
      cairn::sleep_for(1h);
    });
    locked.wait();
  });
  EXPECT_FALSE(left_locked.try_lock());
  left_locked.unlock();
  EXPECT_TRUE(is_free(left_locked));
}

using MutexBiasDeathTest = BiasedMutex;

TEST_F(MutexBiasDeathTest, MisuseAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  mutex m;
  const char* message = "unlock\\(\\) of a mutex that is not locked";
  EXPECT_DEATH((lock_and_unlock(m), m.unlock()), message);
  EXPECT_DEATH((lock_and_unlock(m), std::thread([&] { m.unlock(); }).join()), message);
}

// Checks who is inside.
class room {
 public:
  // So that the first bias does not take long.
  room() { lock_and_unlock(lock_, k_many - 200); }

  // Inside until leave(), maybe on another thread.
  void enter() {
    lock_.lock();
    begin();
  }
  bool try_enter() {
    if (!lock_.try_lock()) return false;
    begin();
    return true;
  }
  void leave() {
    ++after_;
    if (--inside_ != 0) std::abort();
    lock_.unlock();
  }
  static constexpr std::uint64_t k_actions = 64;
  void act(std::uint64_t action, std::uint64_t) {
    if (action == lock_storm<room>::k_common) return cairn::yield();
    for (int i = 0; i < 30; ++i) {
      enter();
      leave();
    }
  }
  bool is_consistent() {
    std::lock_guard held(lock_);
    return inside_ == 0 && before_ == after_;
  }
  std::uint64_t seen_biased() const { return seen_biased_; }

 private:
  void begin() {
    if (++inside_ != 1 || before_ != after_) std::abort();
    ++before_;
    if (mutex_bias::is_mine(lock_)) ++seen_biased_;
  }

  mutex lock_;
  std::atomic<int> inside_{0};
  std::uint64_t before_ = 0, after_ = 0, seen_biased_ = 0;  // under the lock
};

class BiasedMutexStorm : public BiasedMutex, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Procs, BiasedMutexStorm, testing::Values(1, 2, 8));

// With delays biases come and go all the time.
TEST_P(BiasedMutexStorm, ExcludesWhileTheBiasComesAndGoes) {
  cairn::heap::set_delays(1, 11);
  lock_storm<room>().run(GetParam(), test_count(30'000, 1'000));
}

TEST_P(BiasedMutexStorm, ExcludesWithManyDelays) {
  cairn::heap::set_delays(20, 12);
  lock_storm<room>().run(GetParam(), test_count(5'000, 300));
}

}  // namespace
