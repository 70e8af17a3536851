// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/share.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "api/support.h"
#include "gc/runtime.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::root;
using cairn::gc::current_phase;
using cairn::gc::phase;

// A graph that takes some tens of milliseconds to mark and that any number of markers can share.
class forest {
 public:
  forest() {
    apart([this] {
      for (auto& tree : trees_) tree = make_list(0, 4'000);
    });
    cairn::gc::collect();
  }

 private:
  root<cell> trees_[100];
};

void allocate_some() {
  for (int i = 0; i < 2'000; ++i) cairn::make_gc<cell>();
}

// Attached threads that do `f` again and again until the end of the scope.
class crowd {
 public:
  template <class F>
  crowd(int n, F f) {
    for (int i = 0; i < n; ++i)
      threads_.emplace_back([this, f] {
        cairn::attach_thread here;
        while (!stop_.load(std::memory_order_relaxed)) f();
      });
  }
  ~crowd() {
    stop_ = true;
    for (std::thread& t : threads_) t.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

class with_procs {
 public:
  explicit with_procs(int n) : before_(cairn::max_procs(n)) {}
  ~with_procs() { cairn::max_procs(before_); }

 private:
  int before_;
};

TEST(Share, ThoseWhoAllocateMarkWhileAllProcessorsAreWanted) {
  const with_procs two(2);
  const forest live;
  const crowd others(2, allocate_some);
  EXPECT_TRUE(spin_until([] {
    allocate_some();
    return cairn::gc::shares::spent_ns() != 0;
  }));
}

TEST(Share, WhoOnlyStoresPointersTakesPart) {
  const with_procs two(2);
  const forest live;
  std::atomic<bool> took_part{false};
  const crowd allocators(1, allocate_some);
  const crowd storers(1, [&took_part] {
    const auto a = cairn::make_gc<cell>(), b = cairn::make_gc<cell>();
    const auto& paid_up_to = cairn::sched::current()->share_from;
    const std::uint64_t before = paid_up_to;
    for (int i = 0; i < 1'000'000 && paid_up_to == before; ++i) a->next = i % 2 == 0 ? a : b;
    if (paid_up_to != before) took_part = true;
  });
  EXPECT_TRUE(spin_until([&took_part] {
    allocate_some();
    return took_part.load();
  }));
}

TEST(Share, ACycleEndsThoughNobodyAllocatesAnyMore) {
  const with_procs two(2);
  const forest live;
  std::atomic<bool> allocate{true};
  const crowd others(2, [&] {
    if (allocate) allocate_some();
  });
  for (int i = 0; i < 5; ++i) {
    allocate = true;
    ASSERT_TRUE(spin_until([] { return current_phase() == phase::mark; }));
    allocate = false;
    ASSERT_TRUE(spin_until([] { return current_phase() == phase::off; }));
  }
  EXPECT_TRUE(cairn::gc::verify());
}

TEST(Share, NobodyTakesASliceWhileAProcessorIsFree) {
  const with_procs many(8);
  const forest live;
  const auto before = cairn::gc::read_stats().gc_cycles;
  ASSERT_TRUE(spin_until([&] {
    allocate_some();
    return cairn::gc::read_stats().gc_cycles > before + 3;
  }));
  EXPECT_EQ(cairn::gc::shares::spent_ns(), 0u);
}

TEST(Share, WhatSlicesMarkCountsAsTheCollectorsTime) {
  const with_procs two(2);
  const forest live;
  const auto before = cairn::gc::read_stats();
  {
    const crowd others(3, allocate_some);
    ASSERT_TRUE(spin_until([&] {
      return cairn::gc::shares::spent_ns() != 0 && cairn::gc::read_stats().gc_cycles > before.gc_cycles + 3;
    }));
  }
  EXPECT_GT(cairn::gc::read_stats().mark_time, before.mark_time);
  EXPECT_TRUE(cairn::gc::verify());
}

}  // namespace
