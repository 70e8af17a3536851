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
#include "heap/pause.h"
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

// What a storm counts under the lock: one word each, so that whoever is in at the same time loses or finds something.
struct record {
  std::atomic<std::uint32_t> inside{0};  // relaxed, both: written under the lock, by plain loads and stores
  std::atomic<std::uint64_t> total{0};
};

// The word counts releases, so one that was lost, or came twice, is found by the next one that comes.
void use_once(biased_lock& lock, record& seen) {
  runtime_section section;
  lock.lock(current());
  const std::uint32_t before = seen.inside.load(std::memory_order_relaxed);
  seen.inside.store(before + 1, std::memory_order_relaxed);
  const std::uint64_t total = seen.total.load(std::memory_order_relaxed);
  const std::uint64_t version = lock.version();
  if (before != 0 || (version & 1) == 0 || version >> 2 != total) std::abort();
  seen.total.store(total + 1, std::memory_order_relaxed);
  if (seen.inside.load(std::memory_order_relaxed) != 1) std::abort();
  seen.inside.store(0, std::memory_order_relaxed);
  lock.unlock();
}

struct storm_of {
  std::uint32_t streak;
  int keepers;   // take it for long enough to get the bias, over and over
  int visitors;  // come in between, at random times
  std::uint64_t rounds;
  bool ends_threads = false;  // each keeper is a new thread after a while, so that its m is the next one's
};

void take_turns(biased_lock& lock, record& seen, std::uint64_t seed, std::uint64_t most, std::uint64_t rounds,
                std::atomic<std::uint64_t>& biased) {
  self();
  std::uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    for (std::uint64_t i = (random >> 33) % most + 1; i > 0; --i) use_once(lock, seen);
    biased.fetch_add(lock.is_biased() ? 1 : 0, std::memory_order_relaxed);
    if (most <= 3) {
      for (std::uint64_t i = (random >> 40) % 64; i > 0; --i) cairn::heap::cpu_relax();
      if ((random >> 50) % 16 == 0) std::this_thread::yield();
    }
  }
}

void storm(const storm_of& how) {
  biased_lock lock(how.streak);
  record seen;
  std::atomic<std::uint64_t> biased{0};
  std::vector<std::thread> all;
  for (int t = 0; t < how.keepers + how.visitors; ++t)
    all.emplace_back([&, t] {
      const std::uint64_t most = t < how.keepers ? 3 * std::uint64_t{how.streak} + 3 : 3;
      const auto seed = static_cast<std::uint64_t>(t);
      if (t >= how.keepers || !how.ends_threads)
        return take_turns(lock, seen, seed, most, how.rounds, biased);
      constexpr std::uint64_t k_life = 20;
      for (std::uint64_t life = 0; life < how.rounds / k_life + 1; ++life)
        std::thread([&] { take_turns(lock, seen, seed + life, most, k_life, biased); }).join();
    });
  for (auto& t : all) t.join();
  EXPECT_EQ(seen.inside, 0u);
  EXPECT_EQ(lock.version() & 1, 0u);
  EXPECT_EQ(lock.version() >> 2, seen.total);
  if (has_fence_for_all.load()) {
    EXPECT_GT(biased.load(), 0u);
  }
}

TEST_F(BiasedLock, ExcludesWhileTheBiasComesAndGoes) {
  storm({biased_lock::k_streak, 2, 2, test_count(1'000)});
}

// A streak of 3: the bias is gained and lost at every turn.
TEST_F(BiasedLock, ExcludesWhileTheBiasHardlyStays) {
  storm({3, 1, 1, test_count(30'000)});
  storm({3, 3, 0, test_count(10'000)});
  storm({3, 2, 2, test_count(10'000)});
}

TEST_F(BiasedLock, ExcludesWhileThreadsEndWithTheBias) { storm({20, 2, 1, test_count(1'000), true}); }

TEST_F(BiasedLock, ExcludesWithRandomDelays) {
  cairn::heap::set_delays(2, 7);
  storm({biased_lock::k_streak, 2, 2, test_count(50)});
  cairn::heap::set_delays(20, 7);
  storm({3, 3, 1, test_count(3'000)});
}

}  // namespace
