// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Finalizers: once, in dependency order, with the object whole; they may bring it back.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::root;
using cairn::set_finalizer;

TEST(Finalizer, RunsOnceWithTheObjectWhole) {
  static std::atomic<int> ran{0}, damaged{0};
  constexpr int n = 5000;
  apart([] {
    for (std::uint64_t i = 0; i < n; ++i) {
      set_finalizer(make_list(i, 5), [i](cell* c) {
        if (!is_list(c, i, 5)) ++damaged;
        ++ran;
      });
    }
  });
  EXPECT_TRUE(collect_until([] { return ran == n; })) << ran;
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(ran, n);
  EXPECT_EQ(damaged, 0);
}

TEST(Finalizer, WaitsUntilTheObjectIsUnreachable) {
  static std::atomic<int> ran{0};
  root<cell> held;
  apart([&] {
    held = make_cell(1);
    set_finalizer(cairn::gc_ptr<cell>(held), [](cell*) { ++ran; });
  });
  for (int i = 0; i < 5; ++i) collect_and_reuse();
  EXPECT_EQ(ran, 0);
  aside([&] { held.reset(); });
  EXPECT_TRUE(collect_until([] { return ran == 1; }));
}

// What earlier objects have left behind the end of a large one, in its last page, may refer to the object itself.
TEST(Finalizer, RunsForALargeObjectInMemoryThatHeldOthersBefore) {
  static std::atomic<int> ran{0};
  struct large {
    cairn::gc_ptr<cell> pointer;
    std::uint64_t words[6000];
  };
  constexpr int n = 50;
  apart([] { make_list(0, 100'000); });
  for (int i = 0; i < 2; ++i) collect_and_reuse();
  apart([] {
    for (int i = 0; i < n; ++i) set_finalizer(cairn::make_gc<large>(), [](large*) { ++ran; });
  });
  EXPECT_TRUE(collect_until([] { return ran == n; })) << ran;
}

TEST(Finalizer, TheMemoryGoesAfterwards) {
  static std::atomic<int> ran{0};
  apart([] {});
  cairn::gc::collect();
  const std::size_t before = cairn::gc::read_stats().heap_objects;
  apart([] {
    for (int i = 0; i < 100; ++i) set_finalizer(make_list(0, 10), [](cell*) { ++ran; });
  });
  EXPECT_TRUE(collect_until([before] { return ran == 100 && cairn::gc::read_stats().heap_objects <= before; }))
      << cairn::gc::read_stats().heap_objects << " objects, " << before << " before";
}

TEST(Finalizer, MayBringTheObjectBackOnce) {
  static root<cell> back;
  static std::atomic<int> ran{0};
  cairn::gc_weak<cell> weak;
  apart([] {
    set_finalizer(make_list(7, 30), [](cell* c) {
      back = c;
      ++ran;
    });
  });
  ASSERT_TRUE(collect_until([] { return ran == 1; }));
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    aside([] { ASSERT_TRUE(is_list(back, 7, 30)); });
  }
  apart([&] {
    weak = back;
    back.reset();
  });
  EXPECT_TRUE(dies(weak));
  collect_and_reuse();
  EXPECT_EQ(ran, 1);
}

TEST(Finalizer, MayBeSetAgainOnAnObjectThatCameBack) {
  static root<cell> back;
  static std::atomic<int> ran{0};
  static void (*again)(cell*) = [](cell* c) {
    if (ran < 3) {
      back = c;
      set_finalizer(c, again);
    }
    ++ran;
  };
  apart([] { set_finalizer(make_cell(3), again); });
  for (int i = 1; i < 4; ++i) {
    ASSERT_TRUE(collect_until([i] { return ran == i; })) << i;
    collect_and_reuse();
    aside([] { ASSERT_TRUE(back->is(3)); });
    apart([] { back.reset(); });
  }
  EXPECT_TRUE(collect_until([] { return ran == 4; }));
}

TEST(Finalizer, IsRemovedByNull) {
  static std::atomic<int> ran{0};
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    set_finalizer(c, [](cell*) { ++ran; });
    set_finalizer(c, nullptr);
    set_finalizer(c, nullptr);  // there is none any more
  });
  EXPECT_TRUE(dies(weak));
  for (int i = 0; i < 2; ++i) collect_and_reuse();
  EXPECT_EQ(ran, 0);
}

// a -> b -> c, all with finalizers: a's runs first, and b and c are whole then; b's before c's.
TEST(Finalizer, RunsInDependencyOrder) {
  static std::mutex lock;
  static std::vector<std::uint64_t> order;
  for (int round = 0; round < 3; ++round) {
    apart([] {
      order.clear();
      cell* next = nullptr;
      for (std::uint64_t i = 5; i-- > 0;) {
        next = make_cell(i, next);
        set_finalizer(next, [](cell* c) {
          std::lock_guard guard(lock);
          order.push_back(c->id);
        });
      }
    });
    ASSERT_TRUE(collect_until([] {
      std::lock_guard guard(lock);
      return order.size() == 5;
    }));
    std::lock_guard guard(lock);
    EXPECT_EQ(order, (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
  }
}

// As in Go, objects of a cycle with a finalizer may never be finalized; they must not be damaged or finalized
// twice.
TEST(Finalizer, InACycleRunsAtMostOnce) {
  static std::atomic<int> ran{0}, damaged{0};
  apart([] {
    cell* a = make_cell(1);
    cell* b = make_cell(2, a);
    a->next = b;
    set_finalizer(a, [](cell* c) {
      if (!c->is(1) || !c->next->is(2)) ++damaged;
      ++ran;
    });
  });
  for (int i = 0; i < 5; ++i) collect_and_reuse();
  EXPECT_LE(ran, 1);
  EXPECT_EQ(damaged, 0);
}

TEST(Finalizer, WhatItHoldsIsKeptUntilItRan) {
  static std::atomic<int> ran{0}, damaged{0};
  root<cell> held;
  apart([&] {
    held = make_cell(1);
    cell* other = make_list(9, 9);  // a raw pointer in a function that the library keeps counts
    set_finalizer(cairn::gc_ptr<cell>(held), [other](cell*) {
      if (!is_list(other, 9, 9)) ++damaged;
      ++ran;
    });
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  aside([&] { held.reset(); });
  EXPECT_TRUE(collect_until([] { return ran == 1; }));
  EXPECT_EQ(damaged, 0);
}

TEST(Finalizer, TakesMoveOnlyFunctions) {
  static std::atomic<int> seen{0};
  apart([] { set_finalizer(make_cell(1), [owned = std::make_unique<int>(42)](cell*) { seen = *owned; }); });
  EXPECT_TRUE(collect_until([] { return seen == 42; }));
}

TEST(Finalizer, RunsBeforeTheDestructor) {
  static std::atomic<int> sequence{0}, finalized{-1}, destroyed{-1};
  struct type {
    std::uint64_t x = 5;
    ~type() {
      destroyed = sequence++;
      x = 0;
    }
  };
  apart([] {
    set_finalizer(cairn::make_gc<type>(), [](type* t) { finalized = t->x == 5 ? sequence++ : 100; });
  });
  EXPECT_TRUE(collect_until([] { return destroyed >= 0; }));
  EXPECT_EQ(finalized, 0);
  EXPECT_EQ(destroyed, 1);
}

TEST(Finalizer, ABroughtBackObjectIsNotDestroyed) {
  static std::atomic<int> destroyed{0};
  struct type {
    std::uint64_t x = 5;
    ~type() { ++destroyed; }
  };
  static root<type> back;
  static std::atomic<bool> ran{false};
  apart([] {
    set_finalizer(cairn::make_gc<type>(), [](type* t) {
      back = t;
      ran = true;
    });
  });
  ASSERT_TRUE(collect_until([] { return ran.load(); }));
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(destroyed, 0);
  aside([] {
    EXPECT_EQ(back->x, 5u);
    back.reset();
  });
  EXPECT_TRUE(collect_until([] { return destroyed == 1; }));
}

TEST(Finalizer, OfTinyAndLargeObjectsRun) {
  static std::atomic<int> ran{0};
  apart([] {
    for (int i = 0; i < 100; ++i) {
      set_finalizer(cairn::make_gc<std::uint64_t>(5u), [](std::uint64_t* p) { ran += *p == 5; });
      set_finalizer(cairn::make_gc_array<std::uint64_t>(20000).data(),
                    [](std::uint64_t* p) { ran += p[19999] == 0; });
    }
  });
  EXPECT_TRUE(collect_until([] { return ran == 200; })) << ran;
}

}  // namespace
