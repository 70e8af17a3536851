// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/work.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>
#include <vector>

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

TEST(WorkPool, DiscardGivesUpWhatIsThere) {
  static work_pool pool;
  for (int i = 0; i < 10; ++i) {
    work_buf* b = pool.take_empty();
    ASSERT_NE(b, nullptr);
    b->entries[b->n++] = 8;
    pool.put_full(b);
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
  std::vector<std::thread> workers;
  for (int i = 0; i < k_workers; ++i) {
    workers.emplace_back([&] {
      if (!pool.join()) return;
      while (work_buf* b = pool.wait_for_work()) {
        work_writer out(pool);
        for (std::size_t n = 0; n < b->n; ++n) {
          seen.fetch_add(1);
          if (b->entries[n] > 1) out.push(b->entries[n] - 1);
        }
        pool.give_empty(b);
      }
      pool.leave();
    });
  }
  for (std::thread& t : workers) t.join();
  pool.await_others();
  EXPECT_EQ(seen.load(), 3 * k_first);
  EXPECT_TRUE(pool.is_empty());
  EXPECT_FALSE(pool.join()) << "the round is over";
}

}  // namespace
}  // namespace cairn::gc
