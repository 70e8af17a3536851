// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_weak: does not keep, is cleared before anything of the object runs, and races with collections.
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
using cairn::gc_weak;
using cairn::root;

TEST(GcWeak, LocksWhileTheObjectLives) {
  root<cell> held = make_cell(1);
  gc_weak<cell> from_root = held, from_raw = held.get(), from_managed = cairn::gc_ptr<cell>(held);
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    for (const auto* w : {&from_root, &from_raw, &from_managed}) {
      ASSERT_TRUE(w->lock() == held);
      ASSERT_TRUE(w->lock()->is(1));
    }
  }
}

TEST(GcWeak, DoesNotKeepItsObject) {
  gc_weak<cell> weak;
  apart([&] { weak = make_list(1, 10); });
  EXPECT_TRUE(dies(weak));
}

TEST(GcWeak, OfNullLocksToNull) {
  gc_weak<cell> empty, from_null = static_cast<cell*>(nullptr);
  EXPECT_FALSE(empty.lock());
  EXPECT_FALSE(from_null.lock());
  gc_weak<cell> copy = empty;
  EXPECT_FALSE(copy.lock());
  empty.reset();
  EXPECT_FALSE(empty.lock());
}

TEST(GcWeak, WhatLockGaveKeepsTheObject) {
  gc_weak<cell> weak;
  root<cell> held;
  apart([&] {
    held = make_list(5, 100);
    weak = held;
  });
  cell* locked = weak.lock();
  held.reset();
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(is_list(locked, 5, 100));
    ASSERT_TRUE(weak.lock() == locked);
  }
}

TEST(GcWeak, CopiesAssignsAndResets) {
  root<cell> one = make_cell(1), two = make_cell(2);
  gc_weak<cell> a = one, b = a;
  EXPECT_TRUE(b.lock() == one);
  b = gc_weak<cell>(two);
  EXPECT_TRUE(a.lock() == one && b.lock() == two);
  a = b;
  EXPECT_TRUE(a.lock() == two);
  gc_weak<cell>& same = a;
  a = same;
  EXPECT_TRUE(a.lock() == two);
  a.reset();
  EXPECT_FALSE(a.lock());
  EXPECT_TRUE(b.lock() == two);
}

TEST(GcWeak, ManyOfOneObjectAreClearedTogether) {
  std::vector<gc_weak<cell>> all;
  root<cell> held;
  apart([&] {
    held = make_cell(1);
    for (int i = 0; i < 1000; ++i) all.emplace_back(held);
  });
  apart([&] {
    for (const auto& w : all) ASSERT_TRUE(w.lock()->is(1));
    held.reset();
  });
  ASSERT_TRUE(dies(all[0]));
  for (const auto& w : all) ASSERT_TRUE(is_gone(w));
}

TEST(GcWeak, OfABaseGivesTheBase) {
  struct left {
    std::uint64_t l = 1;
  };
  struct right {
    std::uint64_t r = 2;
  };
  struct both : left, right {};
  root<both> held = cairn::make_gc<both>();
  gc_weak<right> weak = held;
  collect_and_reuse();
  EXPECT_TRUE(weak.lock().get() == static_cast<right*>(held.get()));
  EXPECT_EQ(weak.lock()->r, 2u);
}

TEST(GcWeak, WorksInEveryPlace) {
  struct holder {
    gc_weak<cell> weak;
  };
  static gc_weak<cell> in_static;
  thread_local gc_weak<cell> in_thread;
  auto in_malloc = std::make_unique<gc_weak<cell>>();
  root<holder> in_object = cairn::make_gc<holder>();
  root<cell> held;
  apart([&] { held = make_cell(3); });
  [&]() __attribute__((noinline)) { in_static = in_thread = *in_malloc = in_object->weak = held; }
  ();
  collect_and_reuse();
  EXPECT_FALSE(is_gone(in_static) || is_gone(in_thread) || is_gone(*in_malloc) || is_gone(in_object->weak));
  aside([&] { held.reset(); });
  EXPECT_TRUE(dies(in_static));
  EXPECT_TRUE(is_gone(in_thread) && is_gone(*in_malloc) && is_gone(in_object->weak));
}

TEST(GcWeak, OfACycleIsCleared) {
  gc_weak<cell> weak;
  apart([&] {
    cell* a = make_cell(1);
    a->next = make_cell(2, a);
    weak = a;
  });
  EXPECT_TRUE(dies(weak));
}

// Seen by what runs for the dead object: the weak reference is null by then.
struct looks_back {
  static inline gc_weak<looks_back> weak;
  static inline std::atomic<int> in_destructor{-1};
  ~looks_back() { in_destructor = is_gone(weak); }
};

TEST(GcWeak, IsClearedBeforeTheDestructorRuns) {
  apart([] { looks_back::weak = cairn::make_gc<looks_back>(); });
  EXPECT_TRUE(collect_until([] { return looks_back::in_destructor >= 0; }));
  EXPECT_EQ(looks_back::in_destructor, 1);
}

TEST(GcWeak, IsClearedBeforeFinalizerAndCleanupRun) {
  static gc_weak<cell> weak;
  static std::atomic<int> in_finalizer{-1}, in_cleanup{-1};
  apart([] {
    cell* c = make_cell(1);
    weak = c;
    cairn::set_finalizer(c, [](cell*) { in_finalizer = is_gone(weak); });
    cairn::add_cleanup(c, [] { in_cleanup = is_gone(weak); });
  });
  EXPECT_TRUE(collect_until([] { return in_cleanup >= 0; }));
  EXPECT_EQ(in_finalizer, 1);
  EXPECT_EQ(in_cleanup, 1);
}

TEST(GcWeak, StaysNullWhenTheFinalizerBringsTheObjectBack) {
  gc_weak<cell> before;
  static root<cell> back;
  static std::atomic<bool> ran{false};
  apart([&] {
    cell* c = make_cell(8);
    before = c;
    cairn::set_finalizer(c, [](cell* dying) {
      back = dying;
      ran = true;
    });
  });
  ASSERT_TRUE(collect_until([] { return ran.load(); }));
  collect_and_reuse();
  EXPECT_TRUE(is_gone(before));
  gc_weak<cell> after;
  aside([&] {
    EXPECT_TRUE(back->is(8));
    after = back;
  });
  collect_and_reuse();
  aside([&] { EXPECT_TRUE(after.lock() == back); });
  EXPECT_TRUE(is_gone(before));
  apart([] { back.reset(); });
  EXPECT_TRUE(dies(after));
}

TEST(GcWeak, ADestroyedObjectsReferencesAreOfNoHarm) {
  auto owner = cairn::make_unique_gc<cell>();
  gc_weak<cell> weak = owner.get();
  owner.reset();
  collect_and_reuse();
  EXPECT_TRUE(is_gone(weak));
}

// lock() races with the cycle that decides on the object: it gives null or an object that is whole and stays
// so.
TEST(GcWeak, LockingRacesWithCollections) {
  struct shared_slot {
    gc_weak<cell> weak;
    std::uint64_t id = 0;
    std::mutex lock;
  };
  std::vector<std::unique_ptr<shared_slot>> slots;
  for (int i = 0; i < 32; ++i) slots.push_back(std::make_unique<shared_slot>());
  std::atomic<bool> stop{false}, rest{false};
  std::atomic<std::uint64_t> found{0}, missed{0};
  auto work = [&](std::uint64_t seed) {
    for (std::uint64_t i = seed; !stop.load(); i = mix(i)) {
      // What is locked while a cycle marks stays for that cycle; with no rest all of them always would.
      while (rest.load() && !stop.load()) std::this_thread::yield();
      shared_slot& s = *slots[i % slots.size()];
      cell* c;
      std::uint64_t id;
      {
        std::lock_guard guard(s.lock);
        c = s.weak.lock();
        id = s.id;
        if (c == nullptr) {
          s.id = i;
          s.weak = make_cell(i, make_cell(i + 1));
        }
      }
      if (c == nullptr) {
        ++missed;
      } else {
        ++found;
        ASSERT_TRUE(c->is(id) && c->next->is(id + 1));
      }
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 4; ++t) threads.emplace_back(work, mix(t));
  // On a busy machine, under a sanitizer, the threads may come to little in that time.
  auto is_enough = [&] { return missed.load() > slots.size() && found.load() > 0; };
  patience least(test_seconds(2)), most(test_seconds(2) + k_patience);
  for (unsigned n = 0;; ++n) {
    const bool is_long = least.is_over(), is_too_long = most.is_over();
    if (is_too_long || (is_long && is_enough())) break;
    rest.store(n % 4 == 0);
    cairn::gc::collect();
  }
  stop.store(true);
  for (auto& t : threads) t.join();
  EXPECT_GT(missed.load(), slots.size());
  EXPECT_GT(found.load(), 0u);
}

TEST(GcWeak, MadeAndDroppedByTheMillionLeavesNothing) {
  const auto before = cairn::gc::read_stats().metadata_bytes;
  for (int round = 0; round < 20; ++round) {
    apart([] {
      for (int i = 0; i < 20000; ++i) {
        gc_weak<cell> a = make_cell(1);
        gc_weak<cell> b = a;
        b.reset();
      }
    });
  }
  cairn::gc::collect();
  EXPECT_LT(cairn::gc::read_stats().metadata_bytes, before + (64u << 20));
}

// With one P: who collects is asked to make room every ten milliseconds, and must not be stopped where it holds
// what the other one needs to go on.
TEST(GcWeak, AreMadeWhileAnotherGoroutineCollects) {
  std::vector<gc_weak<cell>> many;
  std::vector<root<cell>> kept;
  for (std::size_t i = 0; i < test_count(300'000, 30'000); ++i) {
    cairn::gc_ptr<cell> c = make_cell(i);
    many.emplace_back(c);
    kept.emplace_back(c);
  }
  std::atomic<bool> is_over{false};
  std::atomic<int> made{0};
  cairn::run(
      [&] {
        cairn::sync::wait_group all;
        all.go([&] {
          for (int i = 0; i < 20; ++i) cairn::gc::collect();
          is_over = true;
        });
        all.go([&] {
          while (!is_over) {
            gc_weak<cell> w = make_cell(1);
            ++made;
          }
        });
        all.go([&] {
          while (!is_over) cairn::timer(std::chrono::milliseconds(made % 3));
        });
        all.wait();
      },
      {.max_procs = 1});
  EXPECT_GT(made, 0);
}

}  // namespace
