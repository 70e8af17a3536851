// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/metadata.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "tests/heap/fake_os.h"

namespace cairn::heap {
namespace {

struct alignas(64) record {
  std::uint64_t words[9] = {};
  int touched = 5;
};

TEST(Metadata, IsZeroAlignedAndCounted) {
  const std::size_t before = metadata_bytes();
  for (std::size_t align = 1; align <= 65536; align *= 4) {
    for (std::size_t bytes : {0, 1, 100, 5000, 1 << 20}) {
      char* p = static_cast<char*>(metadata_alloc(bytes, align));
      ASSERT_NE(p, nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % align, 0u);
      for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(p[i], 0);
      std::memset(p, 0xff, bytes);
      EXPECT_GE(metadata_bytes(), before + bytes);
      metadata_free(p);
      EXPECT_EQ(metadata_bytes(), before);
    }
  }
  metadata_free(nullptr);
  EXPECT_EQ(metadata_alloc(std::size_t{1} << 60), nullptr);
  EXPECT_EQ(metadata_bytes(), before);
}

TEST(Metadata, MappedMemoryIsCountedInWholePages) {
  fake_os fake;
  const std::size_t before = metadata_bytes(), page = fake.physical_page_bytes();
  char* p = static_cast<char*>(metadata_map(page + 1));
  ASSERT_NE(p, nullptr);
  p[2 * page - 1] = 1;
  EXPECT_EQ(metadata_bytes(), before + 2 * page);
  EXPECT_EQ(fake.mapped_bytes(), 2 * page);
  fake.fail_kind(fake_os::k_map);
  EXPECT_EQ(metadata_map(1), nullptr);
  EXPECT_EQ(metadata_bytes(), before + 2 * page);
}

TEST(FixedAlloc, GivesDistinctAlignedConstructedObjects) {
  static fixed_alloc<record> pool;
  ASSERT_TRUE(pool.reserve(1000));
  fake_os fake;
  fake.fail_kind(fake_os::k_map);
  std::set<record*> seen;
  for (int i = 0; i < 1000; ++i) {
    record* r = pool.take();
    ASSERT_NE(r, nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(r) % 64, 0u);
    ASSERT_EQ(r->touched, 5);
    for (std::uint64_t w : r->words) ASSERT_EQ(w, 0u);
    std::memset(static_cast<void*>(r), 0xee, sizeof *r);
    ASSERT_TRUE(seen.insert(r).second);
  }
  for (record* r : seen) {
    for (std::uint64_t w : r->words) ASSERT_EQ(w, 0xeeee'eeee'eeee'eeeeu);
  }
  EXPECT_EQ(pool.in_use(), 1000u);
  EXPECT_GE(pool.items(), 1000u);
  EXPECT_GE(pool.bytes(), 1000 * sizeof(record));
  EXPECT_EQ(fake.calls(fake_os::k_map), 0u);
}

TEST(FixedAlloc, GivingDoesNotTouchTheObject) {
  static fixed_alloc<record> pool;
  ASSERT_TRUE(pool.reserve(2));
  record* r = pool.take();
  for (std::uint64_t& w : r->words) w = 42;
  r->touched = 6;
  pool.give(r);
  pool.give(nullptr);
  for (std::uint64_t w : r->words) EXPECT_EQ(w, 42u);
  // Last in, first out, with what its last owner left.
  EXPECT_EQ(pool.take(), r);
  EXPECT_EQ(r->touched, 6);
}

TEST(FixedAlloc, SeveralAreGivenAtOnce) {
  static fixed_alloc<std::uint64_t> pool;
  std::uint64_t* items[4];
  for (std::uint64_t*& p : items) p = pool.take();
  const std::size_t made = pool.items();
  pool.give(items, 3);
  EXPECT_EQ(pool.in_use(), 1u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.take(), items[i]);
  EXPECT_EQ(pool.items(), made);
}

TEST(FixedAlloc, FallsBackToTheOsAndThenToNull) {
  static fixed_alloc<record> pool;
  fake_os fake;
  record* first = pool.take();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(fake.calls(fake_os::k_map), 1u);
  fake.fail_kind(fake_os::k_map);
  std::vector<record*> taken{first};
  while (record* r = pool.take()) taken.push_back(r);
  EXPECT_EQ(taken.size(), pool.items());
  EXPECT_EQ(pool.in_use(), pool.items());
  EXPECT_EQ(pool.take(), nullptr);
  pool.give(taken.back());
  EXPECT_EQ(pool.take(), taken.back());
  // What reserve() brings is found by a pool that had run dry.
  ASSERT_TRUE(pool.reserve(10));
  for (int i = 0; i < 10; ++i) EXPECT_NE(pool.take(), nullptr);
}

TEST(FixedAlloc, ReserveMakesOnlyWhatIsMissing) {
  static fixed_alloc<record> pool;
  ASSERT_TRUE(pool.reserve(1000));
  const std::size_t items = pool.items();
  ASSERT_TRUE(pool.reserve(1000));
  EXPECT_EQ(pool.items(), items);
  for (std::size_t i = 0; i < items; ++i) ASSERT_NE(pool.take(), nullptr);
  ASSERT_TRUE(pool.reserve(1));
  EXPECT_GT(pool.items(), items);
}

TEST(FixedAlloc, ObjectsLargerThanASlabWork) {
  struct big {
    char bytes[100000];
  };
  static fixed_alloc<big> pool;
  big* from_os = pool.take();
  ASSERT_NE(from_os, nullptr);
  from_os->bytes[99999] = 1;
  ASSERT_TRUE(pool.reserve(3));
  big* a = pool.take();
  big* b = pool.take();
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  a->bytes[99999] = b->bytes[0] = 1;
  EXPECT_EQ(pool.in_use(), 3u);
}

TEST(FixedAlloc, AllComesBackInAnyOrder) {
  static fixed_alloc<std::uint64_t> pool;
  std::uint64_t seed = 88172645463325252u;
  std::vector<std::uint64_t*> taken;
  std::set<std::uint64_t*> owned;
  for (int round = 0; round < 200000; ++round) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    // Grows for a while, then shrinks, so that the stack of free items crosses slabs both ways.
    const bool grow = (round / 20000) % 2 == 0 ? seed % 4 != 0 : seed % 4 == 0;
    if (grow) {
      std::uint64_t* p = pool.take();
      ASSERT_NE(p, nullptr);
      ASSERT_TRUE(owned.insert(p).second);
      taken.push_back(p);
    } else if (!taken.empty()) {
      std::swap(taken[seed / 4 % taken.size()], taken.back());
      owned.erase(taken.back());
      pool.give(taken.back());
      taken.pop_back();
    }
    ASSERT_EQ(pool.in_use(), taken.size());
  }
}

TEST(FixedAlloc, ThreadsTakeGiveAndReserveAtOnce) {
  static fixed_alloc<record> pool;
  constexpr int k_threads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([t] {
      std::vector<record*> mine;
      const std::uint64_t name = static_cast<std::uint64_t>(t) + 1;
      for (int i = 0; i < 3000; ++i) {
        if (i % 100 == 0) {
          ASSERT_TRUE(pool.reserve(64));
        }
        record* r = pool.take();
        ASSERT_NE(r, nullptr);
        r->words[0] = name;
        mine.push_back(r);
        if (i % 3 == 0) {
          ASSERT_EQ(mine.front()->words[0], name);
          pool.give(mine.front());
          mine.front() = mine.back();
          mine.pop_back();
        }
      }
      for (record* r : mine) {
        ASSERT_EQ(r->words[0], name);
        pool.give(r);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace cairn::heap
