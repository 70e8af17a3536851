// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The bias of mutexes that are mostly read; what they do for programs is in tests/api/rw_mutex_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "heap/delay.h"
#include "sched/fence.h"
#include "sched/m.h"
#include "tests/scale.h"
#include "tests/sched/lock_storm.h"

namespace {

using namespace std::chrono_literals;
using cairn::sched::current;
using cairn::sched::lock_storm;
using cairn::sync::rw_mutex;

// More than the first bias needs.
constexpr int k_many = (1 << 14) + 100;

// By the thread's record, which may have had others, and keeps what was given up.
std::uint64_t counted_here() { return current()->reads.total(); }

void read(rw_mutex& m, int times = 1) {
  for (int i = 0; i < times; ++i) {
    m.lock_shared();
    m.unlock_shared();
  }
}

class BiasedRwMutex : public testing::Test {
 protected:
  void SetUp() override {
    cairn::sched::self();
    if (!cairn::sched::prepare_fence()) GTEST_SKIP() << "the system has no fence for all";
  }
  void TearDown() override { cairn::heap::set_delays(0, 0); }
};

bool can_be_written(rw_mutex& m) {
  if (!m.try_lock()) return false;
  m.unlock();
  return true;
}

TEST_F(BiasedRwMutex, IsCountedByTheThreadOnceItWasReadOften) {
  rw_mutex m;
  read(m, k_many / 2);
  m.lock_shared();
  EXPECT_EQ(counted_here(), 0u);
  m.unlock_shared();
  read(m, k_many / 2);
  for (std::uint64_t held = 1; held <= 3; ++held) {
    m.lock_shared();
    EXPECT_EQ(counted_here(), held);
  }
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_EQ(counted_here(), 4u);
  for (std::uint64_t held = 4; held > 0; --held) {
    EXPECT_EQ(counted_here(), held);
    m.unlock_shared();
  }
  EXPECT_EQ(counted_here(), 0u);
  EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, IsHeldByThoseThatCameBeforeTheBiasToo) {
  rw_mutex m;
  m.lock_shared();
  m.lock_shared();
  read(m, k_many);
  m.lock_shared();
  EXPECT_EQ(counted_here(), 1u);
  for (int i = 0; i < 3; ++i) {
    if (i == 2) {
      EXPECT_FALSE(m.try_lock());
    }
    m.unlock_shared();
  }
  EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, ReadersThatMeetAreCountedByTheirThreads) {
  rw_mutex m;
  const std::uint64_t before = counted_here();
  m.lock_shared();
  EXPECT_EQ(counted_here(), before) << "it has met nobody";
  for (int i = 0; i < 3; ++i) m.lock_shared();
  EXPECT_EQ(counted_here(), before + 2);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(can_be_written(m));
    EXPECT_EQ(counted_here(), before) << "a writer has brought them into the word";
    m.unlock_shared();
  }
  EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, OnOneProcessorNobodyMeets) {
  cairn::run(
      [] {
        const cairn::lock_os_thread here;
        rw_mutex m;
        const std::uint64_t before = counted_here();
        for (int i = 0; i < 100; ++i) m.lock_shared();
        EXPECT_EQ(counted_here(), before);
        for (int i = 0; i < 100; ++i) m.unlock_shared();
        EXPECT_TRUE(can_be_written(m));
      },
      {.max_procs = 1});
}

// A bias of those that have met, then one of those that read often, with readers inside all the time.
TEST_F(BiasedRwMutex, ReadersThatMetStayInsideWhileTheBiasChanges) {
  rw_mutex m;
  const std::uint64_t before = counted_here();
  for (int i = 0; i < 4; ++i) m.lock_shared();
  EXPECT_EQ(counted_here(), before + 2);
  read(m, 2 * k_many);
  EXPECT_EQ(counted_here(), before) << "they were brought into the word";
  m.lock_shared();
  EXPECT_EQ(counted_here(), before + 1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(can_be_written(m));
    m.unlock_shared();
  }
  EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, AWriterFindsTheReadersOfAllThreads) {
  rw_mutex m;
  read(m, k_many);
  m.lock_shared();
  // It ends, and what it counted stays.
  std::thread([&] { m.lock_shared(); }).join();
  EXPECT_EQ(counted_here(), 1u);
  EXPECT_FALSE(m.try_lock());
  EXPECT_EQ(counted_here(), 0u);
  m.unlock_shared();
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_TRUE(can_be_written(m));
  EXPECT_TRUE(m.try_lock_shared());
  EXPECT_EQ(counted_here(), 0u);  // not at once again
  m.unlock_shared();
}

TEST_F(BiasedRwMutex, MayBeUnlockedByAnotherThreadAttachedOrNot) {
  for (int attached = 0; attached < 2; ++attached) {
    rw_mutex m;
    read(m, k_many);
    m.lock_shared();
    m.lock_shared();
    EXPECT_EQ(counted_here(), 2u);
    std::thread([&] {
      if (attached != 0) cairn::sched::self();
      m.unlock_shared();
    }).join();
    EXPECT_FALSE(m.try_lock());
    m.unlock_shared();
    EXPECT_TRUE(can_be_written(m));
  }
}

TEST_F(BiasedRwMutex, AWaitingWriterGetsItFromTheLastReader) {
  for (int round = 0; round < 2; ++round) {
    rw_mutex m;
    read(m, k_many);
    m.lock_shared();
    m.lock_shared();
    std::atomic<bool> written{false};
    std::thread writer([&] {
      m.lock();
      written = true;
      m.unlock();
    });
    while (m.try_lock_shared()) {
      m.unlock_shared();
      std::this_thread::yield();
    }
    m.unlock_shared();
    EXPECT_FALSE(written);
    m.unlock_shared();
    writer.join();
    EXPECT_TRUE(written);
  }
}

TEST_F(BiasedRwMutex, MoreMutexesThanPlacesAreHeldAtOnce) {
  std::deque<rw_mutex> all(3 * cairn::sched::read_counts::k_places);
  for (rw_mutex& m : all) read(m, k_many);
  for (int round = 0; round < 2; ++round) {
    for (rw_mutex& m : all) m.lock_shared();
    EXPECT_EQ(counted_here(), std::uint64_t{cairn::sched::read_counts::k_places});
    for (rw_mutex& m : all) m.unlock_shared();
    EXPECT_EQ(counted_here(), 0u);
  }
  for (rw_mutex& m : all) m.lock_shared();
  for (rw_mutex& m : all) EXPECT_FALSE(m.try_lock());
  for (rw_mutex& m : all) m.unlock_shared();
  for (rw_mutex& m : all) EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, MoreReadersThanAPlaceCountsHoldItAtOnce) {
  rw_mutex m;
  read(m, k_many);
  constexpr std::uint64_t k_most = cairn::sched::read_counts::k_most;
  for (std::uint64_t i = 0; i < k_most + 1000; ++i) m.lock_shared();
  EXPECT_EQ(counted_here(), k_most);
  for (std::uint64_t i = 0; i < k_most + 999; ++i) m.unlock_shared();
  EXPECT_FALSE(m.try_lock());
  m.unlock_shared();
  EXPECT_TRUE(can_be_written(m));
}

TEST_F(BiasedRwMutex, AnotherOneAtTheSameAddressIsNotHeldByFormerReaders) {
  alignas(rw_mutex) unsigned char place[sizeof(rw_mutex)];
  auto* m = new (place) rw_mutex;
  read(*m, k_many);
  m->lock_shared();  // and is given up so
  const std::uint64_t lost = counted_here();
  EXPECT_GT(lost, 0u);
  unsigned char given_up[sizeof(rw_mutex)];
  std::memcpy(given_up, place, sizeof given_up);
  m = new (place) rw_mutex;
  EXPECT_TRUE(can_be_written(*m));
  m = new (place) rw_mutex;
  read(*m, k_many);
  m->lock_shared();
  EXPECT_EQ(counted_here(), lost + 1);
  m->unlock_shared();
  EXPECT_EQ(counted_here(), lost);
  EXPECT_TRUE(can_be_written(*m));
  // The count would be in the way of tests that come after, for it is this thread's for good.
  std::memcpy(place, given_up, sizeof given_up);
  m->unlock_shared();
  EXPECT_EQ(counted_here(), lost - 1);
}

rw_mutex left_locked;

TEST_F(BiasedRwMutex, StaysLockedByAGoroutineThatEndsWithTheRun) {
  cairn::run([] {
    cairn::sync::wait_group locked;
    locked.add();
    cairn::go([&locked] {
      read(left_locked, k_many);
      left_locked.lock_shared();
      EXPECT_EQ(counted_here(), 1u);
      locked.done();
      cairn::sleep_for(1h);
    });
    locked.wait();
  });
  EXPECT_FALSE(left_locked.try_lock());
  left_locked.unlock_shared();
  EXPECT_TRUE(can_be_written(left_locked));
}

using RwMutexBiasDeathTest = BiasedRwMutex;

TEST_F(RwMutexBiasDeathTest, MisuseAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  rw_mutex m;
  const char* message = "unlock_shared\\(\\) of a mutex that is not locked for reading";
  EXPECT_DEATH((read(m, k_many), m.unlock_shared()), message);
  EXPECT_DEATH((read(m, k_many), m.lock_shared(), m.unlock()), "not locked for writing");
  EXPECT_DEATH((read(m, k_many), std::thread([&] { m.unlock_shared(); }).join()), message);
}

// Checks which readers and writers are inside.
class house {
 public:
  // So that the first bias does not take long.
  house() { read(lock_, k_many / 2); }

  // Inside for reading until leave(), maybe on another thread.
  void enter() {
    lock_.lock_shared();
    begin_to_read();
  }
  bool try_enter() {
    if (!lock_.try_lock_shared()) return false;
    begin_to_read();
    return true;
  }
  void leave() {
    if (writers_ != 0) std::abort();
    --readers_;
    lock_.unlock_shared();
  }
  static constexpr std::uint64_t k_actions = 128;
  void act(std::uint64_t action, std::uint64_t random) {
    switch (action) {
      case lock_storm<house>::k_common:
        lock_.lock();
        return change(random % 4 == 0);
      case lock_storm<house>::k_common + 1:
        if (lock_.try_lock()) change(false);
        return;
      default:
        enter();
        leave();
    }
  }
  bool is_consistent() {
    std::unique_lock held(lock_);
    return readers_ == 0 && writers_ == 0 && plain_ == written_;
  }
  std::uint64_t seen_biased() const { return seen_biased_; }

 private:
  void begin_to_read() {
    ++readers_;
    if (writers_ != 0) std::abort();
    if (plain_ != written_) std::abort();
    if (counted_here() != 0) ++seen_biased_;
  }
  void change(bool slowly) {
    if (++writers_ != 1 || readers_ != 0) std::abort();
    ++plain_;
    if (slowly) cairn::yield();
    ++written_;
    --writers_;
    lock_.unlock();
  }

  rw_mutex lock_;
  std::atomic<int> readers_{0}, writers_{0};
  std::uint64_t plain_ = 0;
  std::atomic<std::uint64_t> written_{0}, seen_biased_{0};
};

class BiasedRwMutexStorm : public BiasedRwMutex, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Procs, BiasedRwMutexStorm, testing::Values(1, 2, 8));

// Here readers meet, and writers come before a bias has lasted for long.
TEST_P(BiasedRwMutexStorm, ExcludesAtFullSpeed) {
  lock_storm<house>().run(GetParam(), test_count(300'000, 10'000));
}

// With delays biases come and go all the time.
TEST_P(BiasedRwMutexStorm, ExcludesWhileTheBiasComesAndGoes) {
  cairn::heap::set_delays(1, 11);
  lock_storm<house>().run(GetParam(), test_count(60'000, 2'000));
}

TEST_P(BiasedRwMutexStorm, ExcludesWithManyDelays) {
  cairn::heap::set_delays(20, 12);
  lock_storm<house>().run(GetParam(), test_count(20'000, 1'000));
}

}  // namespace
