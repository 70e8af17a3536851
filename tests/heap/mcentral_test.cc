// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/mcentral.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "heap/delay.h"
#include "heap/mcache.h"
#include "heap/mheap.h"
#include "tests/scale.h"

namespace cairn::heap {
namespace {

constexpr unsigned k_class = 2 * 5;  // some small class with pointers

class MCentral : public testing::Test {
 protected:
  void SetUp() override {
    static const bool ready = the_heap.init();
    ASSERT_TRUE(ready);
    while (the_heap.needs_sweep() && the_heap.sweep_one(true) != 0) {
    }
    // What earlier tests have left in the heap's own lists is garbage. What they marked is the second time.
    for (int i = 0; i < 2; ++i) {
      start_sweep();
      while (the_heap.sweep_some() != 0) {
      }
    }
  }
  void TearDown() override { set_delays(0, 0); }

  static mspan* make_span(unsigned span_class = k_class) {
    return the_heap.allocate_span(span_class < 2 ? 5 : detail::k_class_pages[span_class / 2], span_class,
                                  nullptr, the_heap.sweepgen());
  }
  static void fill(mspan* s) {
    unsigned index = 0;
    while (s->take_run(SIZE_MAX, index) != 0) {
    }
  }
  static void start_sweep() {
    the_heap.advance_generation();
    the_heap.begin_sweep();
  }
};

TEST_F(MCentral, HandsOutWhatHasFreeSlotsAndSweepsWhatHasNone) {
  static mcentral central;
  const std::uint32_t h = the_heap.sweepgen();
  mspan* with_room = make_span();
  mspan* full = make_span();
  fill(full);
  central.put(with_room, h);
  central.put(full, h);
  EXPECT_EQ(central.take_swept(h), with_room);
  EXPECT_EQ(with_room->sweepgen.load(), h + 3);
  EXPECT_EQ(central.take_swept(h), nullptr);
  EXPECT_FALSE(central.needs_sweep(h));
  // Of the next generation's view what is not marked is free.
  EXPECT_TRUE(central.needs_sweep(h + 2));
  cpu_use used;
  interval spent;
  EXPECT_EQ(central.take(h + 2, used, spent), full);
  EXPECT_EQ(full->n_alloc, 0u);
  EXPECT_EQ(central.freed.load(), full->n_slots);
  the_heap.free_span(full);
  the_heap.free_span(with_room);
}

// Threads take spans and put them back, with waits inside of the list's operations.
TEST_F(MCentral, ASpanIsInOneHandAtATime) {
  static mcentral central;
  constexpr int k_threads = 4, k_spans = 3;
  const std::size_t rounds = test_count(20'000, 1'000);
  const std::uint32_t h = the_heap.sweepgen();
  std::unordered_map<mspan*, std::atomic<int>> owners;
  for (int i = 0; i < k_spans; ++i) {
    mspan* s = make_span();
    owners[s] = 0;
    central.put(s, h);
  }
  std::atomic<int> in_two_hands{0};
  std::atomic<std::size_t> taken{0};
  set_delays(20, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < rounds; ++i) {
        mspan* mine[2] = {central.take_swept(h), central.take_swept(h)};
        for (mspan* s : mine)
          if (s != nullptr && owners.at(s).fetch_add(1, std::memory_order_relaxed) != 0) ++in_two_hands;
        for (mspan* s : mine) {
          if (s == nullptr) continue;
          ++taken;
          owners.at(s).fetch_sub(1, std::memory_order_relaxed);
          central.put(s, h);
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(in_two_hands.load(), 0);
  EXPECT_GT(taken.load(), rounds);
  std::size_t left = 0;
  while (mspan* s = central.take_swept(h)) {
    ++left;
    the_heap.free_span(s);
  }
  EXPECT_EQ(left, owners.size());
}

// Large spans are made and freed by hand while a sweeper takes them, too: each is got once. (A record that the sweeper
// has freed may be another thread's span by then, and is got as that.)
TEST_F(MCentral, ALargeSpanIsTakenByItsOwnerOrByTheSweeper) {
  static mcentral central;
  const std::size_t rounds = test_count(3'000, 300);
  const std::uint32_t h = the_heap.sweepgen();
  constexpr int k_threads = 3;
  std::atomic<std::size_t> by_owner{0}, by_sweeper{0};
  std::atomic<int> running{k_threads};
  set_delays(20, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < rounds; ++i) {
        mspan* mine[3];
        for (mspan*& s : mine) {
          s = make_span(0);
          fill(s);
          central.put(s, h);
        }
        for (int k : {1, 2, 0}) {
          if (!central.take_large(mine[k], h)) continue;
          ++by_owner;
          mine[k]->group(0).alloc.store(0, std::memory_order_relaxed);
          mine[k]->n_alloc = 0;
          the_heap.free_span(mine[k]);
        }
      }
      --running;
    });
  }
  // As of the next generation; by itself, so that the owners' generation stays theirs.
  std::thread sweeper([&] {
    bool last_look = false;
    while (!last_look) {
      last_look = running == 0;
      if (last_look || by_sweeper < by_owner / 4)
        while (central.sweep_one(h + 2, true) != 0) ++by_sweeper;
      else std::this_thread::yield();
    }
  });
  for (std::thread& t : threads) t.join();
  sweeper.join();
  EXPECT_EQ(by_owner.load() + by_sweeper.load(), k_threads * 3 * rounds);
}

TEST_F(MCentral, WhoShouldNotWaitFilesAnEmptySpanInsteadOfFreeingIt) {
  mcentral& central = the_heap.central[k_class];
  mspan* s = make_span();
  const std::size_t first = s->first;
  fill(s);
  central.put(s, the_heap.sweepgen());
  start_sweep();
  the_heap.pages_lock.lock();
  EXPECT_EQ(the_heap.sweep_one(false), detail::k_class_pages[k_class / 2]);
  the_heap.pages_lock.unlock();
  EXPECT_TRUE(g_space.info_of(first).in_use());
  EXPECT_EQ(central.take_swept(the_heap.sweepgen()), s);
  EXPECT_EQ(s->n_alloc, 0u);
  // With the lock to be had it is freed.
  fill(s);
  central.put(s, the_heap.sweepgen());
  EXPECT_EQ(the_heap.sweep_one(true), 0u);
  start_sweep();
  EXPECT_NE(the_heap.sweep_one(false), 0u);
  EXPECT_FALSE(g_space.info_of(first).in_use());
}

TEST_F(MCentral, ABatchIsFiledAndFreedAsOneByOne) {
  constexpr unsigned k_spans = 2 * mcentral::k_batch + 3;
  mcentral& central = the_heap.central[k_class];
  const std::size_t spans_before = central.spans.load(), pages_before = the_heap.pages_in_use();
  const std::uint64_t freed_before = central.freed.load();
  std::vector<mspan*> live;
  std::size_t garbage = 0;
  for (unsigned i = 0; i < k_spans; ++i) {
    mspan* s = make_span();
    fill(s);
    // By turns full, with one object, and empty.
    const unsigned marked = i % 3 == 0 ? s->n_slots : i % 3 == 1 ? 1 : 0;
    s->mark_slots(0, marked);
    garbage += s->n_slots - marked;
    central.put(s, the_heap.sweepgen());
    if (marked != 0) live.push_back(s);
  }
  start_sweep();
  const std::size_t pages_full = the_heap.pages_in_use();
  std::size_t swept = 0;
  while (const std::size_t pages = the_heap.sweep_some()) swept += pages;
  EXPECT_EQ(swept, k_spans * detail::k_class_pages[k_class / 2]);
  EXPECT_EQ(central.freed.load() - freed_before, garbage);
  EXPECT_EQ(central.spans.load() - spans_before, live.size());
  EXPECT_EQ(the_heap.pages_in_use() - pages_before, live.size() * detail::k_class_pages[k_class / 2]);
  EXPECT_EQ(the_heap.pages_in_use_before_sweep(), pages_full);
  std::size_t with_room = 0;
  while (mspan* s = central.take_swept(the_heap.sweepgen())) {
    EXPECT_EQ(s->n_alloc, 1u);
    ++with_room;
    s->return_slots(0, 1);
    the_heap.free_span(s);
  }
  EXPECT_EQ(with_room, live.size() / 2);
  start_sweep();  // the full ones are garbage now
  while (the_heap.sweep_some() != 0) {
  }
  EXPECT_EQ(central.spans.load(), spans_before);
}

// Threads refill their caches and give spans back, so that they take spans of each other all the time: no two are given
// the same slot.
TEST_F(MCentral, CachesAreGivenDistinctSlots) {
  constexpr int k_threads = 4;
  const std::size_t rounds = test_count(300, 30);
  set_delays(20, 1);
  std::vector<std::vector<std::uintptr_t>> slots(k_threads);
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([&mine = slots[static_cast<std::size_t>(t)], rounds] {
      auto cache = std::make_unique<mcache>();
      cache->most_run_bytes = 512;
      for (std::size_t i = 0; i < rounds; ++i) {
        for (int k = 0; k < 5; ++k) {
          const refill_result got = refill(*cache, k_class, 0);
          if (got.slot == nullptr) return;
          mine.push_back(reinterpret_cast<std::uintptr_t>(got.slot));
        }
        flush(*cache, false);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  std::unordered_map<std::uintptr_t, int> seen;
  for (const auto& mine : slots) {
    EXPECT_EQ(mine.size(), 5 * rounds);
    for (const std::uintptr_t a : mine) EXPECT_EQ(seen[a]++, 0) << a;
  }
}

}  // namespace
}  // namespace cairn::heap
