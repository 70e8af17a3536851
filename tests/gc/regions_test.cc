// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Sorting by region: what goes in comes out, once, region by region; markers that sort mark what others do, keep and
// hand over what they have; and collections that sort lose nothing.
#include "gc/regions.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "api/support.h"
#include "gc/batch.h"
#include "gc/mark.h"
#include "gc/work.h"
#include "heap/delay.h"
#include "scale.h"
#include "tests/heap/fake_os.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;
using cairn::gc::k_no_region;
using cairn::gc::k_regions;
using cairn::gc::marker;
using cairn::gc::region_lists;
using cairn::gc::sorter;
using cairn::gc::sorting_limits;
using cairn::gc::work_buf;
using cairn::gc::work_pool;

using entries = std::vector<std::uintptr_t>;

constexpr std::uintptr_t k_region_bytes = 2 << 20;

// Addresses all over the first n regions, whether or not they are committed: sorting reads nothing.
entries addresses(std::size_t n, std::size_t regions, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  entries all(n);
  for (std::uintptr_t& a : all)
    a = cairn::heap::g_space.base + (random() % (regions * k_region_bytes) & ~std::uintptr_t{7});
  return all;
}
void add(const region_lists& lists, const work_buf* b, entries& to) {
  ASSERT_NE(b->region, k_no_region);
  for (std::size_t i = 0; i < b->n; ++i)
    to.push_back(lists.start_of(b->region) + std::uintptr_t{b->offsets[i]} * 8);
}
entries take_all(work_pool& pool) {
  entries all;
  while (work_buf* b = pool.try_take_full()) {
    add(pool.regions(), b, all);
    pool.give_empty(b);
  }
  return all;
}
void sort_all(sorter& s, entries all) { EXPECT_EQ(s.sort(all.data(), all.data() + all.size()), all.data()); }
entries in_order(entries all) {
  std::sort(all.begin(), all.end());
  return all;
}

TEST(Sorter, WhatGoesInComesOutOnce) {
  static work_pool pool;
  auto s = std::make_unique<sorter>(pool);
  const entries all = addresses(test_count(200'000), k_regions);
  sort_all(*s, all);
  EXPECT_GT(s->entries(), 0u);
  s->hand_over();
  EXPECT_EQ(s->entries(), 0u);
  EXPECT_EQ(in_order(take_all(pool)), in_order(all));
  EXPECT_TRUE(pool.is_empty());
}

TEST(Sorter, HasNoTableBeforeItSorts) {
  static work_pool pool;
  EXPECT_LE(sizeof(sorter), 64u);
  auto s = std::make_unique<sorter>(pool);
  EXPECT_EQ(s->take(0), nullptr);
  s->hand_over();
  entries all = addresses(1000, 4);
  {
    cairn::heap::fake_os fake;
    fake.fail_kind(cairn::heap::fake_os::k_map);
    EXPECT_EQ(s->sort(all.data(), all.data() + all.size()), all.data() + all.size())
        << "all stay where they are";
  }
  EXPECT_EQ(s->entries(), 0u);
  EXPECT_EQ(s->take(0), nullptr);
  sort_all(*s, all);
  EXPECT_EQ(s->entries(), all.size());
  s->hand_over();
  EXPECT_EQ(in_order(take_all(pool)), in_order(all));
}

TEST(Sorter, NeedsNoMemoryForATableThatWasMade) {
  static work_pool pool;
  auto first = std::make_unique<sorter>(pool), s = std::make_unique<sorter>(pool);
  const entries all = addresses(1000, 4);
  sort_all(*first, all);
  first->hand_over();
  take_all(pool);  // and its buffers are free
  {
    cairn::heap::fake_os fake;
    fake.fail_kind(cairn::heap::fake_os::k_map);
    EXPECT_FALSE(s->make_tails());
  }
  EXPECT_TRUE(s->make_tails());
  {
    cairn::heap::fake_os fake;
    fake.fail_kind(cairn::heap::fake_os::k_map);
    EXPECT_TRUE(s->make_tails());
    sort_all(*s, all);
  }
  s->hand_over();
  EXPECT_EQ(in_order(take_all(pool)), in_order(all));
}

TEST(Sorter, ABufferHoldsOneRegionsCandidates) {
  static work_pool pool;
  auto s = std::make_unique<sorter>(pool);
  sort_all(*s, addresses(10'000, 4));
  for (std::uint32_t region = 0; region < 4; ++region) {
    EXPECT_FALSE(pool.is_empty());
    std::size_t n = 0;
    auto look_at = [&](work_buf* b) {
      EXPECT_EQ(b->region, region);
      entries of;
      add(pool.regions(), b, of);
      for (std::uintptr_t a : of) EXPECT_EQ((a - cairn::heap::g_space.base) / k_region_bytes, region);
      n += b->n;
      pool.give_empty(b);
    };
    while (work_buf* b = pool.regions().try_take(region)) look_at(b);
    if (work_buf* b = s->take(region)) look_at(b);
    EXPECT_GT(n, 2000u);
    EXPECT_EQ(s->take(region), nullptr);
  }
  EXPECT_EQ(s->entries(), 0u);
  EXPECT_TRUE(pool.is_empty());
}

TEST(Sorter, LeavesTagsAndWhatLiesBeyondTheLastRegion) {
  static work_pool pool;
  auto s = std::make_unique<sorter>(pool);
  const std::uintptr_t base = cairn::heap::g_space.base, end = base + k_regions * k_region_bytes;
  entries all = {base + 64, (base + 128) | cairn::gc::k_oblet_tag, end - 8, end,
                 (base + 8) | cairn::gc::k_stack_tag};
  const entries kept = {all[1], all[3], all[4]};
  const std::uintptr_t* to = s->sort(all.data(), all.data() + all.size());
  EXPECT_EQ(entries(all.data(), const_cast<std::uintptr_t*>(to)), kept);
  EXPECT_EQ(s->entries(), 2u);
  s->hand_over();
  EXPECT_EQ(in_order(take_all(pool)), (entries{base + 64, end - 8}));
}

TEST(Sorter, TakesWhatThereIsOfAnyRegion) {
  static work_pool pool;
  auto s = std::make_unique<sorter>(pool);
  const entries all = addresses(1'000, 300);
  sort_all(*s, all);
  EXPECT_TRUE(pool.is_empty());
  entries seen;
  while (s->entries() != 0) {
    work_buf* b = s->take_next();
    add(pool.regions(), b, seen);
    pool.give_empty(b);
  }
  EXPECT_EQ(in_order(seen), in_order(all));
}

TEST(Sorter, LeavesWhatThereIsNoMemoryFor) {
  static work_pool pool;
  auto s = std::make_unique<sorter>(pool);
  entries all = addresses(10'000, 300), seen;
  {
    cairn::heap::fake_os os;
    os.fail_kind(cairn::heap::fake_os::k_map);
    all.resize(static_cast<std::size_t>(s->sort(all.data(), all.data() + all.size()) - all.data()));
    EXPECT_EQ(all.size() + s->entries(), 10'000u);
    EXPECT_FALSE(all.empty());
  }
  sort_all(*s, all);
  s->hand_over();
  EXPECT_EQ(in_order(take_all(pool)), in_order(addresses(10'000, 300)));
}

TEST(RegionLists, TheFullestComesFirstAndWhereSomebodyIsLast) {
  static work_pool pool;
  region_lists& lists = pool.regions();
  EXPECT_EQ(lists.enter(), k_no_region);
  auto put = [&](std::uint32_t region, int n) {
    for (int i = 0; i < n; ++i) {
      work_buf* b = pool.take_empty();
      b->region = region;
      b->offsets[b->n++] = 1;
      pool.put_region(b);
    }
  };
  put(7, 2);
  put(k_regions - 1, 3);
  put(0, 1);
  EXPECT_EQ(lists.buffers(), 6u);
  EXPECT_EQ(lists.enter(), k_regions - 1);
  EXPECT_EQ(lists.enter(), 7u);
  EXPECT_EQ(lists.enter(), 0u);
  EXPECT_EQ(lists.enter(), k_regions - 1) << "there is no other";
  lists.leave(7);
  EXPECT_EQ(lists.enter(), 7u);
  EXPECT_EQ(take_all(pool).size(), 6u);
  EXPECT_EQ(lists.enter(), k_no_region);
}

TEST(RegionLists, RegionsGrowWithTheHeap) {
  auto lists = std::make_unique<region_lists>();
  for (std::size_t bytes : {std::size_t{64} << 20, std::size_t{4} << 30, std::size_t{100} << 30}) {
    lists->fit(bytes, bytes);
    EXPECT_LT(bytes >> lists->shift(), k_regions);
    EXPECT_TRUE(lists->shift() == 21 || bytes >> (lists->shift() - 1) >= k_regions);
  }
}

TEST(RegionLists, SmallHeapsAreNotSorted) {
  auto lists = std::make_unique<region_lists>();
  EXPECT_FALSE(lists->is_crowded(1'000'000)) << "before it is known how large the heap is";
  lists->fit(1 << 30, 1 << 20);
  EXPECT_FALSE(lists->is_crowded(1'000'000));
  lists->fit(1 << 30, 1 << 28);
  EXPECT_FALSE(lists->is_crowded(10));
  EXPECT_TRUE(lists->is_crowded(1'000'000));
  lists->fit(1 << 30, 1 << 20, sorting_limits::always());
  EXPECT_TRUE(lists->is_crowded(-1'000'000));
}

// Each worker sorts what it takes anew, some times: everything comes out once in the end, and the round ends.
TEST(RegionLists, ARoundOfSortersLosesNothing) {
  static work_pool pool;
  cairn::heap::set_delays(100, 3);
  constexpr int k_workers = 3;
  const entries all = addresses(test_count(60'000), 200);
  std::vector<entries> seen(k_workers);
  pool.begin_round();
  auto work = [&](int id) {
    auto s = std::make_unique<sorter>(pool);
    std::mt19937_64 random(static_cast<std::uint64_t>(id));
    for (;;) {
      work_buf* b = s->entries() != 0 && random() % 2 == 0 ? s->take_next() : nullptr;
      if (b == nullptr) b = pool.try_take_full();
      if (b == nullptr && s->entries() != 0) b = s->take_next();
      if (b == nullptr) b = pool.wait_for_work();
      if (b == nullptr) return;
      entries of;
      add(pool.regions(), b, of);
      pool.give_empty(b);
      if (random() % 4 == 0) {
        seen[static_cast<std::size_t>(id)].insert(seen[static_cast<std::size_t>(id)].end(), of.begin(),
                                                  of.end());
      } else {
        sort_all(*s, of);
        if (pool.is_wanted()) s->hand_over();
      }
    }
  };
  {
    sorter first(pool);
    sort_all(first, all);
    first.hand_over();
  }
  std::vector<std::thread> threads;
  for (int id = 1; id < k_workers; ++id)
    threads.emplace_back([&, id] {
      if (!pool.join()) return;
      work(id);
      pool.leave();
    });
  work(0);
  pool.leave();
  pool.await_others();
  for (std::thread& t : threads) t.join();
  cairn::heap::set_delays(0, 0);
  entries together;
  for (const entries& some : seen) together.insert(together.end(), some.begin(), some.end());
  EXPECT_EQ(in_order(together), in_order(all));
  EXPECT_TRUE(pool.is_empty());
}

// ---- markers that sort ----------------------------------------------------------------------------------------------

struct knot {
  gc_ptr<knot> to[4];
};

// A random graph, of which the last one knows all.
std::vector<knot*> make_knots(std::size_t n) {
  std::vector<knot*> all;
  std::mt19937_64 random(5);
  for (std::size_t i = 0; i < n; ++i) {
    all.push_back(make_gc<knot>());
    if (i != 0) all[i]->to[0] = all[i - 1];
  }
  for (knot* k : all)
    for (int e = 1; e < 4; ++e) k->to[e] = all[random() % n];
  return all;
}
class SortingMarker : public testing::Test {
 protected:
  explicit SortingMarker(std::size_t knots = 5'000) : n_(knots) {}
  void SetUp() override {
    knots_ = make_knots(n_);
    pool_.regions().fit(cairn::heap::g_space.committed.load(), 0, sorting_limits::always());
  }
  void TearDown() override {
    for (const knot* k : knots_) {
      cairn::heap::object_ref o;
      ASSERT_TRUE(cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(k), o));
      EXPECT_TRUE(cairn::heap::is_marked(o));
    }
    for (const knot* k : knots_) {
      cairn::heap::object_ref o;
      if (cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(k), o))
        cairn::heap::g_space.group_of(o.first, o.index).clear_marks();
    }
    EXPECT_FALSE(m_->has_work());
    EXPECT_TRUE(pool_.is_empty());
    no_cycle_.reset();
    EXPECT_TRUE(cairn::gc::verify());
  }
  void begin() { m_->candidate(reinterpret_cast<std::uintptr_t>(knots_.back())); }
  static work_pool& the_pool() {
    static work_pool pool;
    return pool;
  }

  const std::size_t n_;
  std::unique_ptr<cairn::gc::no_gc_scope> no_cycle_ = std::make_unique<cairn::gc::no_gc_scope>();
  work_pool& pool_ = the_pool();
  std::unique_ptr<marker> m_ = std::make_unique<marker>(pool_);
  std::vector<knot*> knots_;
};

TEST_F(SortingMarker, MarksAllAtOnce) {
  begin();
  EXPECT_FALSE(m_->drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_EQ(m_->objects_marked, n_);
}

TEST_F(SortingMarker, MarksAllInPieces) {
  begin();
  int pieces = 0;
  while (m_->drain_beside(32, SIZE_MAX)) {
    EXPECT_TRUE(m_->has_work() || pool_.has_full());
    ++pieces;
  }
  EXPECT_GT(pieces, 10);
  EXPECT_EQ(m_->objects_marked, n_);
}

TEST_F(SortingMarker, HandsOverWhatItHasSorted) {
  begin();
  auto other = std::make_unique<marker>(pool_);
  std::size_t turns = 0;
  for (bool more = true; more; ++turns) {
    marker& m = turns % 2 == 0 ? *m_ : *other;
    more = m.drain_beside(64, SIZE_MAX);
    EXPECT_TRUE(m.try_flush());
    EXPECT_FALSE(m.has_work());
    EXPECT_EQ(more, pool_.has_full());
  }
  EXPECT_GT(turns, 10u);
  EXPECT_EQ(m_->objects_marked + other->objects_marked, n_);
}

TEST_F(SortingMarker, GivesToWhoWantsWork) {
  begin();
  ASSERT_TRUE(m_->drain_beside(64, SIZE_MAX));
  ASSERT_TRUE(pool_.is_empty());
  pool_.ask();
  // It looks for wishes after every other batch, and is stopped there: what it has given it might take back, where all
  // of the graph lies in a region or two.
  EXPECT_TRUE(m_->drain_beside(cairn::gc::k_batch + 1, SIZE_MAX));
  EXPECT_TRUE(pool_.has_full());
  auto other = std::make_unique<marker>(pool_);
  EXPECT_FALSE(other->drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_FALSE(m_->drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_EQ(m_->objects_marked + other->objects_marked, n_);
}

// All candidates of its graph fit on a stack.
class SmallSortingMarker : public SortingMarker {
 protected:
  SmallSortingMarker() : SortingMarker(1'500) {}
};

TEST_F(SmallSortingMarker, MarksOnWithoutMemory) {
  begin();
  {
    cairn::heap::fake_os os;
    os.fail_kind(cairn::heap::fake_os::k_map);
    EXPECT_FALSE(m_->drain_beside(SIZE_MAX, SIZE_MAX));
  }
  EXPECT_EQ(m_->objects_marked, n_);
}

// ---- collections that sort ------------------------------------------------------------------------------------------

TEST(SortedMark, KeepsAGraphListsAndLargeArrays) {
  const std::size_t n = test_count(20'000);
  root<gc_ptr<knot>> held;
  root<cell> list;
  apart([&] {
    auto all = cairn::make_gc_array<gc_ptr<knot>>(n);
    held = all.data();
    const std::vector<knot*> knots = make_knots(n);
    for (std::size_t i = 0; i < n; ++i) all[i] = knots[i];
    list = make_list(0, 1'000);
  });
  cairn::heap::set_delays(1, 7);  // each other cycle sorts
  for (int i = 0; i < 6; ++i) cairn::gc::collect();
  apart([&] {
    EXPECT_TRUE(is_list(list.get(), 0, 1'000));
    for (std::size_t i = 1; i < n; ++i) ASSERT_EQ(held.get()[i]->to[0], held.get()[i - 1]);
  });
  EXPECT_TRUE(cairn::gc::verify());
  held = nullptr;
  list = nullptr;
  const std::size_t before = cairn::gc::read_stats().heap_objects;
  for (int i = 0; i < 4; ++i) cairn::gc::collect();
  EXPECT_LT(cairn::gc::read_stats().heap_objects, before - n / 2) << "what nothing refers to is freed";
  cairn::heap::set_delays(0, 0);
}

}  // namespace
