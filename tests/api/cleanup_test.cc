// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Cleanups: run after the object is gone, can be stopped, any number per object.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::add_cleanup;
using cairn::root;

TEST(Cleanup, RunsOnceAfterTheObjectIsGone) {
  static std::atomic<int> ran{0}, early{0};
  const int n = static_cast<int>(test_count(10'000, 500));
  std::vector<std::unique_ptr<cairn::gc_weak<cell>>> weak(static_cast<std::size_t>(n));
  apart([&] {
    for (auto& w : weak) {
      cell* c = make_cell(1);
      w = std::make_unique<cairn::gc_weak<cell>>(c);
      add_cleanup(c, [watch = w.get()] {
        if (!is_gone(*watch)) ++early;
        ++ran;
      });
    }
  });
  EXPECT_TRUE(collect_until([n] { return ran == n; })) << ran;
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(ran, n);
  EXPECT_EQ(early, 0);
}

TEST(Cleanup, DoesNotRunWhileTheObjectIsReachable) {
  static std::atomic<int> ran{0};
  root<cell> held;
  apart([&] {
    held = make_cell(1);
    add_cleanup(cairn::gc_ptr<cell>(held), [] { ++ran; });
  });
  for (int i = 0; i < 5; ++i) collect_and_reuse();
  EXPECT_EQ(ran, 0);
  aside([&] {
    EXPECT_TRUE(held->is(1));
    held.reset();
  });
  EXPECT_TRUE(collect_until([] { return ran == 1; }));
}

TEST(Cleanup, ManyOfOneObjectAllRun) {
  static std::atomic<std::uint64_t> sum{0};
  apart([] {
    cell* c = make_cell(1);
    for (std::uint64_t i = 1; i <= 1000; ++i) add_cleanup(c, [i] { sum += i; });
  });
  EXPECT_TRUE(collect_until([] { return sum == 500'500; })) << sum;
}

TEST(Cleanup, AStoppedOneDoesNotRun) {
  static std::atomic<int> stopped_ran{0}, other_ran{0};
  apart([] {
    cell* c = make_cell(1);
    cairn::stop_handle first = add_cleanup(c, [] { ++stopped_ran; });
    add_cleanup(c, [] { ++other_ran; });
    cairn::stop_handle third = add_cleanup(c, [] { ++stopped_ran; });
    EXPECT_TRUE(first.stop());
    EXPECT_FALSE(first.stop());
    cairn::stop_handle copy = third;
    EXPECT_TRUE(copy.stop());
    EXPECT_FALSE(third.stop());
    cairn::keep_alive(c);
  });
  EXPECT_TRUE(collect_until([] { return other_ran == 1; }));
  collect_and_reuse();
  EXPECT_EQ(stopped_ran, 0);
}

TEST(Cleanup, StopAfterItRanSaysFalse) {
  static std::atomic<int> ran{0};
  cairn::stop_handle handle;
  EXPECT_FALSE(handle.stop());  // a handle of nothing
  apart([&] { handle = add_cleanup(make_cell(1), [] { ++ran; }); });
  ASSERT_TRUE(collect_until([] { return ran == 1; }));
  EXPECT_FALSE(handle.stop());
}

TEST(Cleanup, AStoppedOneLetsGoOfWhatItHolds) {
  cairn::gc_weak<cell> held_by_it;
  root<cell> object;
  apart([&] {
    object = make_cell(1);
    cell* other = make_cell(2);
    held_by_it = other;
    cairn::stop_handle handle = add_cleanup(cairn::gc_ptr<cell>(object),
                                            [other] { cairn::keep_alive(other); });
    collect_and_reuse();
    EXPECT_FALSE(is_gone(held_by_it));
    EXPECT_TRUE(handle.stop());
  });
  EXPECT_TRUE(dies(held_by_it));
  EXPECT_TRUE(object->is(1));
}

TEST(Cleanup, KeepsWhatItHoldsUntilItRan) {
  static std::atomic<int> ran{0}, damaged{0};
  root<cell> object;
  apart([&] {
    object = make_cell(1);
    cell* other = make_list(4, 40);
    add_cleanup(cairn::gc_ptr<cell>(object), [other] {
      if (!is_list(other, 4, 40)) ++damaged;
      ++ran;
    });
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  aside([&] { object.reset(); });
  EXPECT_TRUE(collect_until([] { return ran == 1; }));
  EXPECT_EQ(damaged, 0);
}

TEST(Cleanup, RunsAfterTheDestructor) {
  static std::atomic<int> sequence{0}, destroyed{-1}, cleaned{-1};
  struct type {
    std::uint64_t x = 1;
    ~type() { destroyed = sequence++; }
  };
  apart([] { add_cleanup(cairn::make_gc<type>(), [] { cleaned = sequence++; }); });
  EXPECT_TRUE(collect_until([] { return cleaned >= 0; }));
  EXPECT_EQ(destroyed, 0);
  EXPECT_EQ(cleaned, 1);
}

TEST(Cleanup, WaitsForAnObjectThatItsFinalizerBringsBack) {
  static root<cell> back;
  static std::atomic<int> finalized{0}, cleaned{0};
  apart([] {
    cell* c = make_cell(1);
    cairn::set_finalizer(c, [](cell* dying) {
      back = dying;
      ++finalized;
    });
    add_cleanup(c, [] { ++cleaned; });
  });
  ASSERT_TRUE(collect_until([] { return finalized == 1; }));
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(cleaned, 0);
  aside([] {
    EXPECT_TRUE(back->is(1));
    back.reset();
  });
  EXPECT_TRUE(collect_until([] { return cleaned == 1; }));
}

TEST(Cleanup, OfAnInteriorPointerIsTheWholeObjects) {
  static std::atomic<int> ran{0};
  root<std::uint64_t> inside;
  apart([&] {
    cell* c = make_cell(1);
    inside = &c->seal[1];
    add_cleanup(c, [] { ++ran; });
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(ran, 0);
  aside([&] { inside.reset(); });
  EXPECT_TRUE(collect_until([] { return ran == 1; }));
}

TEST(Cleanup, OfWhatIsNoManagedObjectIsRefused) {
  int on_stack = 0;
  auto on_heap = std::make_unique<int>();
  EXPECT_THROW(add_cleanup(&on_stack, [] {}), std::invalid_argument);
  EXPECT_THROW(add_cleanup(on_heap.get(), [] {}), std::invalid_argument);
  EXPECT_THROW(add_cleanup(cairn::gc_ptr<int>(), [] {}), std::invalid_argument);
}

TEST(Cleanup, AddedAndStoppedByManyThreadsWhileOthersCollect) {
  static std::atomic<int> ran{0};
  std::atomic<int> expected{0};
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < test_count(5000, 300); ++i) {
        cairn::stop_handle handle = add_cleanup(make_cell(i), [] { ++ran; });
        if (mix(i + t) % 3 != 0 || !handle.stop()) ++expected;
      }
    });
  for (auto& t : threads) t.join();
  stop.store(true);
  collector.join();
  EXPECT_TRUE(collect_until([&] { return ran == expected; })) << ran << " of " << expected;
  collect_and_reuse();
  EXPECT_EQ(ran, expected);
}

}  // namespace
