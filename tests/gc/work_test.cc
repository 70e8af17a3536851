// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/work.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>
#include <vector>

#include "heap/delay.h"
#include "tests/heap/fake_os.h"
#include "tests/scale.h"

namespace cairn::gc {
namespace {

std::vector<std::uintptr_t> take_all(work_pool& pool) {
  std::vector<std::uintptr_t> all;
  while (work_buf* b = pool.try_take_full()) {
    all.insert(all.end(), b->entries, b->entries + b->n);
    pool.give_empty(b);
  }
  return all;
}

TEST(WorkPool, IsEmptyUntilABufferIsPut) {
  static work_pool pool;
  EXPECT_TRUE(pool.is_empty());
  EXPECT_FALSE(pool.has_full());
  EXPECT_EQ(pool.try_take_full(), nullptr);
  work_buf* b = pool.take_empty();
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->n, 0u);
  b->entries[b->n++] = 8;
  pool.put_full(b);
  EXPECT_FALSE(pool.is_empty());
  EXPECT_TRUE(pool.has_full());
  EXPECT_EQ(take_all(pool), std::vector<std::uintptr_t>{8});
  EXPECT_TRUE(pool.is_empty());
}

TEST(WorkPool, SpareBuffersAreASmallPartOfTheHeap) {
  constexpr std::size_t k_mib = 1 << 20;
  for (std::size_t live = 0; live < 64 * k_mib; live += k_mib) {
    const spare_buffers spare = spare_buffers::of(live, false);
    EXPECT_LE(spare.least, spare.most);
    EXPECT_LE(spare.least * sizeof(work_buf), live / 256 + 64 * 1024) << live;
    EXPECT_LE(spare.most * sizeof(work_buf), live / 64 + 64 * 1024) << live;
  }
  // A large one has what a mark of a graph asks for within some milliseconds.
  EXPECT_GE(spare_buffers::of(128 * k_mib, false).least, 256u);
  EXPECT_GE(spare_buffers::of(64 * k_mib, true).least, 512u);
  EXPECT_EQ(spare_buffers::of(1024 * k_mib, true).most, 4096u);
  EXPECT_EQ(spare_buffers::of(SIZE_MAX, true).most, 4096u);
}

TEST(WorkPool, ReservesAsManyAsAreInUseWithinTheBounds) {
  static work_pool pool;
  std::vector<work_buf*> taken;
  // So many can be taken then, from what was reserved and no slab of the system's.
  const auto spare = [&] {
    heap::fake_os fake;
    fake.fail_kind(heap::fake_os::k_map);
    std::size_t n = 0;
    while (work_buf* b = pool.take_empty()) taken.push_back(b), ++n;
    return n;
  };
  pool.begin_cycle(20 << 20);
  const spare_buffers bounds = spare_buffers::of(20 << 20, false);
  pool.reserve();
  EXPECT_EQ(spare(), bounds.least);
  pool.reserve();
  EXPECT_EQ(spare(), bounds.least) << "of those that are in use there are few";
  while (taken.size() < 4 * bounds.most) {
    pool.reserve();
    const std::size_t n = spare();
    EXPECT_GE(n, bounds.least);
    EXPECT_LE(n, bounds.most);
  }
  for (work_buf* b : taken) pool.give_empty(b);
  const std::size_t before = heap::metadata_bytes();
  pool.reserve();
  EXPECT_EQ(heap::metadata_bytes(), before) << "there are plenty";
}

TEST(WorkPool, WhatOthersThanWorkersHaveFoundComesFirst) {
  static work_pool pool;
  auto of = [](std::uintptr_t entry) {
    work_buf* b = pool.take_empty();
    b->entries[b->n++] = entry;
    return b;
  };
  pool.put_full(of(8));
  EXPECT_FALSE(pool.has_shaded());
  { work_writer(pool).push(16); }
  EXPECT_TRUE(pool.has_shaded());
  pool.put_full(of(24));
  EXPECT_EQ(take_all(pool), (std::vector<std::uintptr_t>{16, 24, 8}));
  EXPECT_TRUE(pool.is_empty());
  pool.put_shaded(of(32));
  EXPECT_TRUE(pool.has_full());
  EXPECT_FALSE(pool.is_empty());
  work_buf* b = pool.try_take_shaded();
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->entries[0], 32u);
  pool.give_empty(b);
  EXPECT_EQ(pool.try_take_shaded(), nullptr);
  EXPECT_TRUE(pool.is_empty());
}

TEST(WorkPool, DiscardGivesUpWhatIsThere) {
  static work_pool pool;
  for (int i = 0; i < 10; ++i) {
    work_buf* b = pool.take_empty();
    ASSERT_NE(b, nullptr);
    b->entries[b->n++] = 8;
    if (i % 2 == 0) pool.put_full(b);
    else pool.put_shaded(b);
  }
  pool.discard();
  EXPECT_TRUE(pool.is_empty());
  EXPECT_EQ(pool.take_empty()->n, 0u);
}

TEST(WorkPool, AnAssistsWishIsHeardUntilABufferIsPut) {
  static work_pool pool;
  EXPECT_FALSE(pool.is_wanted());
  pool.ask();
  EXPECT_TRUE(pool.is_wanted());
  pool.put_full(pool.take_empty());
  EXPECT_FALSE(pool.is_wanted());
  take_all(pool);
  EXPECT_FALSE(pool.is_wanted());
}

TEST(WorkWriter, HandsOverAllEntriesInOrderWithinABuffer) {
  static work_pool pool;
  constexpr std::size_t k_entries = 3 * work_buf::k_entries + 5;
  {
    work_writer out(pool);
    for (std::size_t i = 1; i <= k_entries; ++i) out.push(8 * i);
  }
  std::vector<std::uintptr_t> all = take_all(pool);
  ASSERT_EQ(all.size(), k_entries);
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), std::uintptr_t{0}), 8 * k_entries * (k_entries + 1) / 2);
  EXPECT_EQ(all.front() % 8, 0u);
}

TEST(WorkWriter, WithNothingToSayLeavesThePoolAsItWas) {
  static work_pool pool;
  { work_writer out(pool); }
  EXPECT_TRUE(pool.is_empty());
}

// Every entry n begets n - 1: the workers together see each of them, and all come to an end.
TEST(WorkPool, ARoundEndsWhenNobodyHasWorkAndNoneIsLeft) {
  static work_pool pool;
  constexpr int k_workers = 4;
  constexpr std::uintptr_t k_first = 2000;
  std::atomic<std::uint64_t> seen{0};
  pool.begin_round();
  {
    work_writer out(pool);
    for (int i = 0; i < 3; ++i) out.push(k_first);
  }
  auto work = [&] {
    while (work_buf* b = pool.wait_for_work()) {
      work_writer out(pool);
      for (std::size_t n = 0; n < b->n; ++n) {
        seen.fetch_add(1);
        if (b->entries[n] > 1) out.push(b->entries[n] - 1);
      }
      pool.give_empty(b);
    }
    pool.leave();
  };
  std::vector<std::thread> workers;
  for (int i = 1; i < k_workers; ++i) {
    workers.emplace_back([&] {
      if (pool.join()) work();
    });
  }
  work();
  pool.await_others();
  for (std::thread& t : workers) t.join();
  EXPECT_EQ(seen.load(), 3 * k_first);
  EXPECT_TRUE(pool.is_empty());
  EXPECT_FALSE(pool.join()) << "the round is over";
}

class WorkPoolStorm : public testing::Test {
 protected:
  void SetUp() override { heap::set_delays(20, 1); }
  void TearDown() override { heap::set_delays(0, 0); }
};

// Threads put numbered buffers and take others' out, with delays between a pop's look and its exchange. Each number
// comes out once, with the contents that it was put with, and no buffer is in two hands.
TEST_F(WorkPoolStorm, EveryBufferComesOutOnceAndWhole) {
  static work_pool pool;
  constexpr std::uintptr_t k_threads = 6;
  const std::uintptr_t rounds = test_count(20'000, 2'000);
  std::vector<std::atomic<unsigned>> came_out(k_threads * rounds);
  std::atomic<unsigned> spoilt{0};
  auto look_at = [&](const work_buf* b) {
    if (b->n != 3 || b->entries[1] != ~b->entries[0] || b->entries[2] != b->entries[0]) ++spoilt;
    else ++came_out[b->entries[0]];
  };
  std::vector<std::thread> threads;
  for (std::uintptr_t t = 0; t < k_threads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uintptr_t i = 0; i < rounds; ++i) {
        work_buf* b = pool.take_empty();
        ASSERT_NE(b, nullptr);
        const std::uintptr_t number = t * rounds + i;
        b->entries[0] = number;
        b->entries[1] = ~number;
        b->entries[2] = number;
        b->n = 3;
        pool.put_full(b);
        // So that few buffers go round fast: the same ones come back to the top again and again.
        if (work_buf* other = pool.try_take_full()) {
          look_at(other);
          other->entries[1] = 0;
          pool.give_empty(other);
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  while (work_buf* b = pool.try_take_full()) {
    look_at(b);
    pool.give_empty(b);
  }
  EXPECT_EQ(spoilt.load(), 0u);
  for (std::size_t i = 0; i < came_out.size(); ++i) ASSERT_EQ(came_out[i].load(), 1u) << i;
}

// Rounds one after the other, with workers that come when they like, work that begets work, and outsiders who put and
// take buffers meanwhile as barriers and assists do. What workers were given has been seen when a round is over.
TEST_F(WorkPoolStorm, ARoundEndsOnlyWhenAllIsDone) {
  static work_pool pool;
  constexpr std::uintptr_t k_foreign = 1;
  constexpr int k_helpers = 3;
  const unsigned rounds = static_cast<unsigned>(test_count(300, 30));
  std::atomic<unsigned> round{0};
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> seen{0}, foreign_put{0}, foreign_taken{0};
  // An entry 2 n begets two entries, 2 (n - 1); an odd one is an outsider's.
  auto work = [&] {
    while (work_buf* b = pool.wait_for_work()) {
      work_writer out(pool);
      for (std::size_t i = 0; i < b->n; ++i) {
        if (b->entries[i] == k_foreign) {
          ++foreign_taken;
          continue;
        }
        ++seen;
        if (b->entries[i] > 2)
          for (int k = 0; k < 2; ++k) out.push(b->entries[i] - 2);
      }
      pool.give_empty(b);
    }
    pool.leave();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < k_helpers; ++i) {
    threads.emplace_back([&] {
      for (unsigned at = 0; !over;) {
        if (round == at) {
          std::this_thread::yield();
          continue;
        }
        at = round;
        if (pool.join()) work();
      }
    });
  }
  threads.emplace_back([&] {
    while (!over) {
      { work_writer(pool).push(k_foreign); }
      ++foreign_put;
      if (foreign_put % 8 == 0) std::this_thread::yield();
    }
  });
  for (unsigned r = 0; r < rounds; ++r) {
    constexpr unsigned k_depth = 10;
    { work_writer(pool).push(2 * k_depth); }
    seen = 0;
    pool.begin_round();
    ++round;
    work();
    EXPECT_EQ(seen.load(), (std::uint64_t{1} << k_depth) - 1) << "the round was finished early";
    EXPECT_FALSE(pool.join()) << "the round is over";
    pool.await_others();
  }
  over = true;
  for (std::thread& t : threads) t.join();
  for (const std::uintptr_t entry : take_all(pool)) foreign_taken += entry == k_foreign;
  EXPECT_EQ(foreign_taken.load(), foreign_put.load());
}

}  // namespace
}  // namespace cairn::gc
