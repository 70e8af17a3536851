// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_atomic: every operation, and a stack that threads push to and pop from at once. gc_weak and cleanups as
// far as they need no collection.
#include "cairn/gc_atomic.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/cleanup.h"
#include "cairn/gc_weak.h"
#include "cairn/make_gc.h"
#include "cairn/root.h"
#include "cairn/run.h"

namespace {

using cairn::gc_atomic;
using cairn::gc_ptr;
using cairn::make_gc;

struct node {
  std::uint64_t v = 0;
  gc_ptr<node> next;
};

TEST(GcAtomic, LoadsStoresAndExchanges) {
  node* a = make_gc<node>(std::uint64_t{1});
  node* b = make_gc<node>(std::uint64_t{2});
  gc_atomic<node> x;
  EXPECT_TRUE(x.load() == nullptr);
  x.store(a);
  EXPECT_TRUE(x.load(std::memory_order_acquire) == a);
  x.store(gc_ptr<node>(b), std::memory_order_release);
  EXPECT_TRUE(x.exchange(a, std::memory_order_acq_rel) == b);
  EXPECT_TRUE(x.exchange(nullptr) == a);
  x.store(nullptr, std::memory_order_relaxed);
  EXPECT_TRUE(gc_atomic<node>(a).load() == a);
  static_assert(gc_atomic<node>::is_always_lock_free);
}

TEST(GcAtomic, ComparesAndReportsWhatItFound) {
  node* a = make_gc<node>(std::uint64_t{1});
  node* b = make_gc<node>(std::uint64_t{2});
  gc_atomic<node> x(a);
  node* raw = b;
  EXPECT_FALSE(x.compare_exchange_strong(raw, b));
  EXPECT_EQ(raw, a);
  EXPECT_TRUE(x.compare_exchange_strong(raw, b));
  EXPECT_EQ(raw, a);
  gc_ptr<node> managed = a;
  EXPECT_FALSE(x.compare_exchange_weak(managed, a, std::memory_order_acq_rel, std::memory_order_acquire));
  EXPECT_TRUE(managed == b);
  while (!x.compare_exchange_weak(managed, nullptr, std::memory_order_release)) {
  }
  EXPECT_TRUE(x.load() == nullptr);
}

struct stack {
  gc_atomic<node> top;
  void push(node* n) {
    node* seen = top.load(std::memory_order_relaxed);
    do n->next = seen;
    while (!top.compare_exchange_weak(seen, n, std::memory_order_release, std::memory_order_relaxed));
  }
  node* pop() {
    node* seen = top.load(std::memory_order_acquire);
    while (seen != nullptr && !top.compare_exchange_weak(seen, seen->next, std::memory_order_acquire)) {
    }
    return seen;
  }
};

TEST(GcAtomic, HoldsALockFreeStack) {
  constexpr std::uint64_t k_threads = 4, k_each = 20000;
  cairn::root<stack> s = make_gc<stack>();
  std::atomic<std::uint64_t> sum{0};
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < k_threads; ++t) {
      threads.emplace_back([&s, &sum, t] {
        cairn::attach_thread attached;
        std::uint64_t popped = 0;
        for (std::uint64_t i = 0; i < k_each; ++i) {
          s->push(make_gc<node>(t * k_each + i));
          if (i % 2 == 1) popped += s->pop()->v;
        }
        sum.fetch_add(popped, std::memory_order_relaxed);
      });
    }
  }
  while (node* n = s->pop()) sum.fetch_add(n->v, std::memory_order_relaxed);
  constexpr std::uint64_t k_all = k_threads * k_each;
  EXPECT_EQ(sum.load(), k_all * (k_all - 1) / 2);
}

TEST(GcWeak, GivesItsObjectWhileThatLives) {
  cairn::root<node> r = make_gc<node>(std::uint64_t{5});
  cairn::gc_weak<node> w = r, copy = w, moved = std::move(w), null;
  EXPECT_TRUE(w.lock() == nullptr && null.lock() == nullptr);
  EXPECT_TRUE(moved.lock() == r && copy.lock() == r);
  w = copy;
  copy.reset();
  EXPECT_TRUE(copy.lock() == nullptr && w.lock() == r);
  w = *&w;
  EXPECT_TRUE(w.lock() == r);
  cairn::gc_weak<std::uint64_t> inside = &r->v;
  EXPECT_EQ(*inside.lock(), 5u);
  w = nullptr;
  EXPECT_TRUE(w.lock() == nullptr);
}

TEST(Cleanup, CanBeStoppedOnce) {
  auto flag = std::make_shared<int>(0);
  node* n = make_gc<node>();
  cairn::stop_handle h = cairn::add_cleanup(n, [flag] { ++*flag; });
  cairn::keep_alive(n);
  EXPECT_EQ(flag.use_count(), 2);
  EXPECT_TRUE(h.stop());
  EXPECT_EQ(flag.use_count(), 1);
  EXPECT_FALSE(h.stop());
  EXPECT_FALSE(cairn::stop_handle().stop());
  EXPECT_EQ(*flag, 0);
}

TEST(Cleanup, RefusesWhatIsNoObject) {
  auto flag = std::make_shared<int>(0);
  int local = 0;
  EXPECT_THROW(cairn::add_cleanup(&local, [flag] { ++*flag; }), std::invalid_argument);
  EXPECT_THROW(cairn::set_finalizer(&local, [flag](int*) { ++*flag; }), std::invalid_argument);
  EXPECT_EQ(flag.use_count(), 1);
}

TEST(Finalizer, IsDroppedWhenItIsReplaced) {
  auto flag = std::make_shared<int>(0);
  gc_ptr<node> n = make_gc<node>();
  cairn::set_finalizer(n, [flag](node*) { ++*flag; });
  EXPECT_EQ(flag.use_count(), 2);
  cairn::set_finalizer(n, [](node*) {});
  EXPECT_EQ(flag.use_count(), 1);
  cairn::set_finalizer(n.get(), [flag](const node*) { ++*flag; });
  EXPECT_EQ(flag.use_count(), 2);
  cairn::set_finalizer(n, nullptr);
  EXPECT_EQ(flag.use_count(), 1);
  EXPECT_EQ(*flag, 0);
}

}  // namespace
