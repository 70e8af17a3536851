// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/biased_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "heap/delay.h"
#include "scale.h"

namespace {

using namespace cairn::sched;

class BiasedLock : public testing::Test {
 protected:
  void SetUp() override {
    self();
    can_be_biased_ = prepare_fence();
  }
  void TearDown() override { cairn::heap::set_delays(0, 0); }

  void use(int times = 1) {
    runtime_section section;
    for (int i = 0; i < times; ++i) {
      lock.lock(current());
      lock.unlock();
    }
  }
  void get_bias() { use(static_cast<int>(biased_lock::k_streak) + 2); }
  void use_in_thread(int times = 1) {
    std::thread([&] {
      self();
      use(times);
    }).join();
  }

  biased_lock lock;
  bool can_be_biased_ = false;
};

TEST_F(BiasedLock, IsHeldFromLockToUnlock) {
  runtime_section section;
  for (int i = 0; i < 3000; ++i) {
    EXPECT_EQ(lock.version() & 1, 0u);
    lock.lock(current());
    EXPECT_EQ(lock.version() & 1, 1u);
    EXPECT_FALSE(lock.try_lock(current()));
    lock.unlock();
  }
}

TEST_F(BiasedLock, HasAnotherVersionAfterEachUse) {
  runtime_section section;
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t before = lock.version();
    lock.lock(current());
    lock.unlock();
    EXPECT_GT(lock.version(), before);
  }
}

TEST_F(BiasedLock, IsBiasedToWhoTakesItManyTimesInARow) {
  use(static_cast<int>(biased_lock::k_streak));
  EXPECT_FALSE(lock.is_biased());
  use(2);
  EXPECT_EQ(lock.is_biased(), can_be_biased_);
  use(1000);
  EXPECT_EQ(lock.is_biased(), can_be_biased_);
}

TEST_F(BiasedLock, IsNotBiasedAmongTwoThatTakeTurns) {
  for (int round = 0; round < 20; ++round) {
    use(100);
    use_in_thread(100);
  }
  EXPECT_FALSE(lock.is_biased());
}

TEST_F(BiasedLock, LosesTheBiasToTheFirstOtherOne) {
  get_bias();
  use_in_thread();
  EXPECT_FALSE(lock.is_biased());
  get_bias();
  EXPECT_EQ(lock.is_biased(), can_be_biased_);
}

TEST_F(BiasedLock, IsNeverBiasedToAThreadThatIsNotAttached) {
  std::thread([&] {
    for (std::uint32_t i = 0; i < 3 * biased_lock::k_streak; ++i) {
      lock.lock(nullptr);
      lock.unlock();
    }
  }).join();
  EXPECT_FALSE(lock.is_biased());
  get_bias();
  std::thread([&] {
    lock.lock(nullptr);
    lock.unlock();
  }).join();
  EXPECT_FALSE(lock.is_biased());
}

TEST_F(BiasedLock, CanBeTriedByAnotherOneThoughItIsBiased) {
  get_bias();
  std::thread([&] {
    runtime_section section(self());
    ASSERT_TRUE(lock.try_lock(current()));
    lock.unlock();
  }).join();
  EXPECT_FALSE(lock.is_biased());
}

TEST_F(BiasedLock, CannotBeTakenWhileItIsHeldByTheOneWhoHasTheBias) {
  get_bias();
  runtime_section section;
  lock.lock(current());
  bool has_got_it = true;
  std::thread([&] {
    runtime_section inner(self());
    has_got_it = lock.try_lock(current());
  }).join();
  EXPECT_FALSE(has_got_it);
  lock.unlock();
}

// One thread keeps it long enough to get the bias, over and over, and others come in between, at random times.
void storm(biased_lock& lock, int threads, std::uint64_t rounds) {
  std::uint64_t inside = 0, total = 0;
  std::atomic<std::uint64_t> biased{0}, expected{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      self();
      std::uint64_t random = static_cast<std::uint64_t>(t) * 0x9e3779b97f4a7c15u + 1;
      for (std::uint64_t round = 0; round < rounds; ++round) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const std::uint64_t uses = 1 + (random >> 33) % (t % 2 == 0 ? 3 * biased_lock::k_streak : 3);
        for (std::uint64_t i = 0; i < uses; ++i) {
          runtime_section section;
          lock.lock(current());
          if (++inside != 1 || (lock.version() & 1) == 0) std::abort();
          ++total;
          --inside;
          lock.unlock();
        }
        biased.fetch_add(lock.is_biased() ? 1 : 0, std::memory_order_relaxed);
        expected.fetch_add(uses, std::memory_order_relaxed);
        if (t % 2 != 0) std::this_thread::yield();
      }
    });
  for (auto& t : all) t.join();
  EXPECT_EQ(inside, 0u);
  EXPECT_EQ(total, expected.load());
  if (has_fence_for_all.load()) {
    EXPECT_GT(biased.load(), 0u);
  }
}

TEST_F(BiasedLock, ExcludesWhileTheBiasComesAndGoes) { storm(lock, 4, test_count(2'000)); }

TEST_F(BiasedLock, ExcludesWithRandomDelays) {
  cairn::heap::set_delays(2, 7);
  storm(lock, 4, test_count(100));
}

}  // namespace
