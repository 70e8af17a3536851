// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The functions of cairn::gc: collections on demand and by the heap's growth, exact counters, limits,
// verification.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/size_classes.h"
#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace gc = cairn::gc;
using cairn::root;

[[gnu::noinline]] void make_garbage(std::size_t bytes) {
  struct kib {
    std::uint64_t words[128];
  };
  for (std::size_t i = 0; i < bytes / sizeof(kib); ++i) cairn::make_gc<kib>()->words[i % 128] = i;
}

// Nothing of earlier tests is left, not even for a cycle longer.
gc::stats settled() {
  gc::stats s = gc::read_stats();
  int unchanged = 0;
  collect_until([&] {
    const gc::stats now = gc::read_stats();
    unchanged = now.heap_objects == s.heap_objects && now.gc_cycles != s.gc_cycles ? unchanged + 1
                : now.heap_objects == s.heap_objects                               ? unchanged
                                                                                   : 0;
    s = now;
    return unchanged == 4;
  });
  return s;
}

TEST(Collect, FreesWhatIsUnreachableBeforeItReturns) {
  (void)settled();
  const std::size_t before = gc::read_stats().heap_objects;
  apart([] { (void)make_list(0, 100'000); });
  EXPECT_TRUE(collect_until([before] { return gc::read_stats().heap_objects <= before; }));
  const gc::stats s = gc::read_stats();
  EXPECT_EQ(s.total_allocs - s.total_frees, s.heap_objects);
}

TEST(Collect, CountsCycles) {
  const gc::stats a = gc::read_stats();
  gc::collect();
  const gc::stats b = gc::read_stats();
  gc::collect();
  gc::collect();
  const gc::stats c = gc::read_stats();
  EXPECT_GE(b.gc_cycles, a.gc_cycles + 1);
  EXPECT_GE(c.gc_cycles, b.gc_cycles + 2);
  EXPECT_EQ(b.forced_cycles, a.forced_cycles + 1);
  EXPECT_EQ(c.forced_cycles, b.forced_cycles + 2);
}

TEST(Collect, FromManyThreadsAtOnceServesAll) {
  const gc::stats a = gc::read_stats();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 20; ++i) {
        cairn::gc_weak<cell> weak;
        [&]() __attribute__((noinline)) { weak = make_cell(1); }
        ();
        gc::collect();
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_GE(gc::read_stats().gc_cycles, a.gc_cycles + 20);
  EXPECT_TRUE(gc::verify());
}

TEST(Stats, AreExactAfterCollect) {
  struct of_192 {
    root<cell>* unused;
    std::uint64_t words[23];
  };
  static_assert(sizeof(of_192) == 192);
  constexpr std::size_t index = 13;
  static_assert(k_go_sizes[index] == 192);
  const gc::stats a = settled();
  std::vector<root<of_192>> kept;
  apart([&] {
    for (int i = 0; i < 1000; ++i) kept.emplace_back(cairn::make_gc<of_192>());
    for (int i = 0; i < 500; ++i) (void)cairn::make_gc<of_192>();
  });
  ASSERT_TRUE(collect_until([&] { return gc::read_stats().heap_objects == a.heap_objects + 1000; }))
      << gc::read_stats().heap_objects - a.heap_objects;
  const gc::stats b = gc::read_stats();
  EXPECT_EQ(b.total_allocs - a.total_allocs, 1500u);
  EXPECT_EQ(b.total_frees - a.total_frees, 500u);
  EXPECT_EQ(b.total_alloc_bytes - a.total_alloc_bytes, 1500u * 192);
  EXPECT_EQ(b.heap_live_bytes - a.heap_live_bytes, 1000u * 192);
  EXPECT_EQ(b.per_class[index].objects_in_use - a.per_class[index].objects_in_use, 1000u);
  EXPECT_EQ(b.per_class[index].objects_freed - a.per_class[index].objects_freed, 500u);
  EXPECT_GE(b.per_class[index].spans, 1000u * 192 / 8192);
  kept.clear();
  ASSERT_TRUE(collect_until([&] { return gc::read_stats().heap_objects == a.heap_objects; }));
  const gc::stats c = gc::read_stats();
  EXPECT_EQ(c.total_frees - a.total_frees, 1500u);
  EXPECT_EQ(c.per_class[index].objects_in_use, a.per_class[index].objects_in_use);
}

TEST(Stats, CountLargeObjects) {
  const gc::stats a = settled();
  root<std::uint64_t> kept;
  apart([&] { kept = cairn::make_gc_array<std::uint64_t>(1 << 20).data(); });
  ASSERT_TRUE(collect_until([&] { return gc::read_stats().heap_objects == a.heap_objects + 1; }));
  const gc::stats b = gc::read_stats();
  EXPECT_EQ(b.total_allocs - a.total_allocs, 1u);
  EXPECT_GE(b.total_alloc_bytes - a.total_alloc_bytes, std::size_t{8} << 20);
  EXPECT_GE(b.heap_live_bytes, a.heap_live_bytes + (8u << 20));
  kept.reset();
  EXPECT_TRUE(collect_until([&] { return gc::read_stats().heap_objects == a.heap_objects; }));
}

TEST(Stats, SizeClassesAreGos) {
  const gc::stats s = gc::read_stats();
  for (std::size_t i = 0; i < 67; ++i) EXPECT_EQ(s.per_class[i].object_size, k_go_sizes[i]);
}

TEST(Stats, ClassesAddUpToTheHeap) {
  std::vector<root<cell>> kept;
  for (int i = 0; i < 1000; ++i) kept.emplace_back(make_list(0, 10));
  const gc::stats s = settled();
  std::size_t objects = 0;
  for (const auto& c : s.per_class) objects += c.objects_in_use;
  EXPECT_EQ(objects, s.heap_objects);  // nothing large is alive
  EXPECT_GE(s.heap_objects, 10'000u);
}

TEST(Stats, MappedIdleAndReleasedAreOrderedAndCountersOnlyGrow) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!stop.load()) {
        make_garbage(1 << 20);
        (void)cairn::make_gc_bytes(1 << 20);
      }
    });
  gc::stats last = gc::read_stats();
  const auto end = std::chrono::steady_clock::now() + test_seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    const gc::stats s = gc::read_stats();
    ASSERT_GE(s.heap_mapped_bytes, s.heap_idle_bytes);
    ASSERT_GE(s.heap_idle_bytes, s.heap_released_bytes);
    ASSERT_GE(s.total_allocs, last.total_allocs);
    ASSERT_GE(s.total_frees, last.total_frees);
    ASSERT_GE(s.total_alloc_bytes, last.total_alloc_bytes);
    ASSERT_GE(s.total_allocs, s.total_frees);
    ASSERT_GE(s.gc_cycles, last.gc_cycles);
    ASSERT_GE(s.gc_cycles, s.forced_cycles);
    ASSERT_GE(s.total_pause, last.total_pause);
    ASSERT_GE(s.max_pause, last.max_pause);
    ASSERT_GE(s.pauses.count(), last.pauses.count());
    ASSERT_GE(s.mark_time, last.mark_time);
    ASSERT_TRUE(s.gc_cpu_fraction >= 0 && s.gc_cpu_fraction <= 1);
    last = s;
    if (s.gc_cycles % 3 == 0) gc::free_os_memory();
  }
  stop.store(true);
  for (auto& t : threads) t.join();
  EXPECT_GT(last.gc_cycles, 0u);
  EXPECT_GT(last.mark_time.count(), 0);
}

TEST(Stats, CountersOnlyGrowWhileThreadsComeAndGo) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> makers;
  for (int t = 0; t < 2; ++t)
    makers.emplace_back([&] {
      while (!stop.load()) std::thread([] { make_garbage(1 << 10); }).join();
    });
  std::size_t allocs = 0, frees = 0, backwards = 0;
  const auto end = std::chrono::steady_clock::now() + test_seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    const gc::stats s = gc::read_stats();
    if (s.total_allocs < allocs || s.total_frees < frees) ++backwards;
    allocs = s.total_allocs, frees = s.total_frees;
  }
  stop.store(true);
  for (auto& t : makers) t.join();
  EXPECT_EQ(backwards, 0u);
}

TEST(Stats, PausesAreRecordedAsMutatorsSawThem) {
  std::atomic<bool> stop{false};
  std::thread mutator([&] {
    while (!stop.load()) make_garbage(1 << 16);
  });
  std::this_thread::sleep_for(20ms);
  const gc::stats a = gc::read_stats();
  for (int i = 0; i < 20; ++i) {
    gc::collect();
    std::this_thread::sleep_for(2ms);  // the mutator runs again, so that the next stop is another one for it
  }
  const gc::stats b = gc::read_stats();
  stop.store(true);
  mutator.join();
  const gc::histogram since = b.pauses - a.pauses;
  EXPECT_GE(since.count(), 10u);  // the mutator may wait for the collector by itself now and then
  EXPECT_EQ(since.count(), b.pauses.count() - a.pauses.count());
  EXPECT_GT(since.max().count(), 0);
  EXPECT_LE(since.percentile(50), since.percentile(99));
  EXPECT_LE(since.percentile(99), since.percentile(100));
  EXPECT_LE(since.percentile(100), 2 * since.max() + 1us);
  EXPECT_EQ(gc::histogram(a.pauses - a.pauses).count(), 0u);
  EXPECT_GE(b.max_pause, b.last_pause);
  EXPECT_GE(b.total_pause, b.max_pause);
}

// A cycle that allocation asks for runs on a thread of its own, and is counted when it is over.
bool more_cycles_than(std::size_t n) {
  patience left;
  while (gc::read_stats().gc_cycles <= n && !left.is_over())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return gc::read_stats().gc_cycles > n;
}

TEST(SetPercent, ReturnsTheOldValue) {
  const int start = gc::set_percent(50);
  EXPECT_EQ(gc::set_percent(200), 50);
  EXPECT_EQ(gc::set_percent(cairn::gc_off), 200);
  EXPECT_EQ(gc::set_percent(start), cairn::gc_off);
  EXPECT_EQ(gc::set_percent(start), start);
}

TEST(SetPercent, OffStartsNoCycle) {
  const int start = gc::set_percent(cairn::gc_off);
  gc::collect();
  const auto cycles = gc::read_stats().gc_cycles;
  make_garbage(64 << 20);
  EXPECT_EQ(gc::read_stats().gc_cycles, cycles);
  gc::collect();  // on demand all the same
  EXPECT_EQ(gc::read_stats().gc_cycles, cycles + 1);
  gc::set_percent(start);
}

TEST(SetPercent, GarbageIsCollectedByTheHeapsGrowth) {
  const int start = gc::set_percent(100);
  gc::collect();
  const gc::stats a = gc::read_stats();
  make_garbage(384 << 20);
  const gc::stats b = gc::read_stats();
  EXPECT_TRUE(more_cycles_than(a.gc_cycles + 4));
  EXPECT_EQ(b.forced_cycles, a.forced_cycles);
  EXPECT_LT(b.heap_mapped_bytes - b.heap_idle_bytes, a.heap_mapped_bytes - a.heap_idle_bytes + (64u << 20));
  gc::set_percent(start);
}

TEST(SetPercent, ASmallerOneCollectsMoreOften) {
  (void)settled();
  root<std::byte> live = cairn::make_gc_bytes(32 << 20).data();
  auto cycles_at = [](int percent) {
    const int old = gc::set_percent(percent);
    gc::collect();
    const auto before = gc::read_stats().gc_cycles;
    make_garbage(512 << 20);
    const auto n = gc::read_stats().gc_cycles - before;
    gc::set_percent(old);
    return n;
  };
  const auto often = cycles_at(25), seldom = cycles_at(400);
  EXPECT_GT(often, 2 * seldom) << often << " and " << seldom;
  EXPECT_GE(seldom, 1u);
  EXPECT_TRUE(live);
}

TEST(SetPercent, TheGoalFollowsIt) {
  const int start = gc::set_percent(100);
  gc::collect();
  const std::size_t without = gc::read_stats().heap_goal_bytes;  // of static data, which sanitizers make large
  root<std::byte> live = cairn::make_gc_bytes(32 << 20).data();
  gc::collect();
  const std::size_t at_100 = gc::read_stats().heap_goal_bytes;
  EXPECT_GE(at_100, 60u << 20);
  EXPECT_LE(at_100, without + (70u << 20));
  gc::set_percent(50);
  gc::collect();
  const std::size_t at_50 = gc::read_stats().heap_goal_bytes;
  EXPECT_GE(at_50, 46u << 20);
  EXPECT_LT(at_50, at_100);
  gc::set_percent(start);
  EXPECT_TRUE(live);
}

TEST(SetMemoryLimit, ReturnsTheOldValue) {
  const std::size_t start = gc::set_memory_limit(1u << 30);
  EXPECT_EQ(gc::set_memory_limit(start), 1u << 30);
  EXPECT_EQ(gc::set_memory_limit(start), start);
}

TEST(SetMemoryLimit, CollectsEvenWithThePercentOff) {
  const int percent = gc::set_percent(cairn::gc_off);
  // What earlier tests left idle counts, and would be room for all the garbage below.
  gc::free_os_memory();
  const gc::stats a = gc::read_stats();
  const std::size_t limit = a.heap_mapped_bytes - a.heap_released_bytes + a.metadata_bytes + a.stack_bytes +
                            (64u << 20);
  const std::size_t old = gc::set_memory_limit(limit);
  for (int i = 0; i < 16; ++i) {
    make_garbage(32 << 20);
    const gc::stats s = gc::read_stats();
    EXPECT_LT(s.heap_mapped_bytes - s.heap_released_bytes, limit + (32u << 20));
  }
  EXPECT_TRUE(more_cycles_than(a.gc_cycles));
  gc::set_memory_limit(old);
  gc::set_percent(percent);
}

TEST(SetMemoryLimit, BelowWhatLivesSlowsButDoesNotFail) {
  root<std::byte> live = cairn::make_gc_bytes(48 << 20).data();
  const std::size_t old = gc::set_memory_limit(16u << 20);
  make_garbage(64 << 20);
  gc::set_memory_limit(old);
  EXPECT_TRUE(gc::verify());
  EXPECT_TRUE(live);
}

TEST(SetPercent, MemoryOfAHeapThatOutgrewItsGoalIsReturnedAfterOneCollection) {
  auto backed = [] {
    const gc::stats s = gc::read_stats();
    return s.heap_mapped_bytes - s.heap_released_bytes;
  };
  const int percent = gc::set_percent(cairn::gc_off);
  root<std::byte> live = cairn::make_gc_bytes(16 << 20).data();
  make_garbage(256 << 20);
  EXPECT_GE(backed(), 200u << 20);
  gc::set_percent(percent);
  gc::collect();
  patience left(test_seconds(60));
  while (backed() > (128u << 20) && !left.is_over())
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LE(backed(), 128u << 20);
  EXPECT_TRUE(live);
}

TEST(FreeOsMemory, GivesAllIdleMemoryBack) {
  apart([] { (void)cairn::make_gc_array<std::uint64_t>(16 << 20); });
  clear_stack();
  EXPECT_TRUE(collect_until([] {
    gc::free_os_memory();
    const gc::stats s = gc::read_stats();
    return s.heap_released_bytes >= (128u << 20) && s.heap_idle_bytes - s.heap_released_bytes < (8u << 20);
  })) << gc::read_stats().heap_idle_bytes
      << " idle, " << gc::read_stats().heap_released_bytes << " released";
  auto again = cairn::make_gc_array<std::uint64_t>(16 << 20);  // comes back zeroed
  for (std::size_t i = 0; i < again.size(); i += 500) ASSERT_EQ(again[i], 0u);
}

TEST(NoGcScope, HoldsCyclesBack) {
  const int start = gc::set_percent(10);
  const std::size_t limit = gc::set_memory_limit(32u << 20);
  std::uint64_t cycles;
  {
    gc::no_gc_scope outer;
    cycles = gc::read_stats().gc_cycles;
    {
      gc::no_gc_scope inner;
      make_garbage(32 << 20);
    }
    make_garbage(32 << 20);
    std::thread([] { make_garbage(32 << 20); }).join();
    EXPECT_EQ(gc::read_stats().gc_cycles, cycles);
    EXPECT_EQ(gc::current_phase(), gc::phase::off);
  }
  gc::set_memory_limit(limit);
  make_garbage(64 << 20);
  EXPECT_TRUE(more_cycles_than(cycles));
  gc::set_percent(start);
}

TEST(NoGcScope, CollectingInsideThrows) {
  {
    gc::no_gc_scope scope;
    EXPECT_THROW(gc::collect(), std::logic_error);
    EXPECT_THROW(gc::free_os_memory(), std::logic_error);
    EXPECT_THROW((void)gc::verify(), std::logic_error);
  }
  EXPECT_NO_THROW(gc::collect());
  EXPECT_TRUE(gc::verify());
}

TEST(NoGcScope, CollectingElsewhereWaitsForItsEnd) {
  std::atomic<bool> done{false};
  std::thread other;
  {
    gc::no_gc_scope scope;
    other = std::thread([&] {
      gc::collect();
      done = true;
    });
    std::this_thread::sleep_for(100ms);
    EXPECT_FALSE(done);
  }
  other.join();
  EXPECT_TRUE(done);
}

TEST(Verify, FindsNothingInAHeapAtWork) {
  root<cell> live = make_list(0, 10'000);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      while (!stop.load()) ASSERT_TRUE(is_list(make_list(t, 500), t, 500));
    });
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(gc::verify());
    if (i % 4 == 0) gc::collect();
  }
  stop.store(true);
  for (auto& t : threads) t.join();
  gc::collect();
  EXPECT_TRUE(gc::verify());
  EXPECT_TRUE(is_list(live, 0, 10'000));
}

TEST(CurrentPhase, IsOffBetweenCycles) {
  gc::collect();
  EXPECT_EQ(gc::current_phase(), gc::phase::off);
}

TEST(AdjustExternalBytes, CountsTowardsTheGoal) {
  const int start = gc::set_percent(100);
  gc::collect();
  const auto cycles = gc::read_stats().gc_cycles;
  for (int i = 0; i < 64; ++i) {
    gc::adjust_external_bytes(1 << 20);
    make_garbage(16 << 10);
  }
  EXPECT_TRUE(more_cycles_than(cycles));
  gc::adjust_external_bytes(-(64 << 20));
  gc::set_percent(start);
}

}  // namespace
