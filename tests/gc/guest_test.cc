// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/guest.h"

#include <atomic>
#include <thread>
#include <vector>

#include <cairn/cairn.h>

#include <gtest/gtest.h>

#include "api/support.h"
#include "gc/cycle_state.h"
#include "gc/runtime.h"

namespace {

using cairn::gc::for_whom;
using cairn::gc::guest;

struct node {
  cairn::gc_ptr<node> left, right;
};

cairn::gc_ptr<node> make_tree(int depth) {
  auto n = cairn::make_gc<node>();
  if (depth == 0) return n;
  n->left = make_tree(depth - 1);
  n->right = make_tree(depth - 1);
  return n;
}

long count(const cairn::gc_ptr<node>& n) { return n == nullptr ? 0 : 1 + count(n->left) + count(n->right); }

// Attached threads that come as guests again and again, whether or not there is a cycle, until the end of the scope.
class comers {
 public:
  explicit comers(int n) {
    for (int i = 0; i < n; ++i)
      threads_.emplace_back([this, i] {
        cairn::attach_thread here;
        cairn::sched::m& self = *cairn::sched::current();
        while (!stop_.load(std::memory_order_relaxed)) {
          guest g(self, i % 2 == 0 ? for_whom::all : for_whom::itself);
          for (int pieces = 0; pieces < 3; ++pieces) scanned_.fetch_add(g.piece(), std::memory_order_relaxed);
        }
      });
  }
  ~comers() {
    stop_ = true;
    for (std::thread& t : threads_) t.join();
  }
  std::size_t scanned() const { return scanned_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> scanned_{0};
  std::vector<std::thread> threads_;
};

TEST(Guest, ManyComeAndGoInAndBetweenCyclesAndNothingIsLost) {
  constexpr int k_depth = 12;
  auto tree = make_tree(k_depth);
  const comers guests(6);
  int cycles = 0;
  for (; cycles < 40 || guests.scanned() == 0; ++cycles) {
    ASSERT_LT(cycles, 4000) << "no guest was let in";
    tree->left = make_tree(k_depth - 1);
    cairn::gc::collect();
    ASSERT_EQ(count(tree), (2L << k_depth) - 1);
  }
  EXPECT_TRUE(cairn::gc::verify());
}

TEST(Guest, WhatGuestsMarkIsCountedWhenTheCycleIsOver) {
  cairn_test::on_clear_stack([] {
    cairn_test::collect_leftovers();  // parts of earlier trees, which would die while this one is looked at
    auto tree = make_tree(14);
    constexpr std::size_t k_tree_bytes = ((2u << 14) - 1) * sizeof(node);
    cairn::gc::collect();
    const auto alone = cairn::gc::read_stats().heap_live_bytes;
    const comers guests(4);
    for (int i = 0; i < 20; ++i) {
      cairn::gc::collect();
      const auto beside = cairn::gc::read_stats().heap_live_bytes;
      ASSERT_GE(beside, k_tree_bytes);
      ASSERT_LE(beside, alone + k_tree_bytes / 10);
    }
    EXPECT_EQ(count(tree), (2L << 14) - 1);
  });
}

TEST(PieceClock, EndsASliceWithThePieceWhoseEndIsNearest) {
  cairn::gc::piece_clock even(1000, 3000);
  EXPECT_FALSE(even.is_over(1800));
  EXPECT_FALSE(even.is_over(2599)) << "the next piece would end at 3398, this one did 401 before";
  EXPECT_TRUE(even.is_over(3400));
  cairn::gc::piece_clock early(1000, 3000);
  EXPECT_FALSE(early.is_over(1900));
  EXPECT_TRUE(early.is_over(2800)) << "the next one would end 700 too late";
  cairn::gc::piece_clock one(1000, 3000);
  EXPECT_TRUE(one.is_over(9000));
}

TEST(Guest, IsNotLetInWhileNothingIsMarked) {
  cairn::gc::collect();
  ASSERT_EQ(cairn::gc::current_phase(), cairn::gc::phase::off);
  cairn::attach_thread here;
  guest g(*cairn::sched::current(), for_whom::itself);
  EXPECT_EQ(g.piece(), 0u);
  EXPECT_FALSE(guest::is_anybody_inside());
}

}  // namespace
