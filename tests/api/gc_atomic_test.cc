// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_atomic: its operations, and lock-free structures on it while collections are forced.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "api/places.h"
#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::gc_atomic;
using cairn::gc_ptr;
using cairn::root;

TEST(GcAtomic, IsAWordAndLockFree) {
  static_assert(gc_atomic<cell>::is_always_lock_free);
  static_assert(sizeof(gc_atomic<cell>) == sizeof(void*));
}

TEST(GcAtomic, LoadsStoresAndExchanges) {
  gc_atomic<cell> a;
  EXPECT_FALSE(a.load());
  a.store(make_cell(1));
  collect_and_reuse();
  EXPECT_TRUE(a.load()->is(1));
  EXPECT_TRUE(a.load(std::memory_order_acquire)->is(1));
  a.store(make_cell(2), std::memory_order_release);
  collect_and_reuse();
  gc_ptr<cell> old = a.exchange(make_cell(3), std::memory_order_acq_rel);
  collect_and_reuse();
  EXPECT_TRUE(old->is(2));
  EXPECT_TRUE(a.load()->is(3));
  a.store(nullptr, std::memory_order_relaxed);
  EXPECT_FALSE(a.load(std::memory_order_relaxed));
  gc_atomic<cell> initialised{make_cell(4)};
  collect_and_reuse();
  EXPECT_TRUE(initialised.load()->is(4));
}

template <class Expected>
void compare_and_exchange() {
  gc_atomic<cell> a;
  root<cell> one = make_cell(1), two = make_cell(2), three = make_cell(3);
  Expected expected = nullptr;
  EXPECT_TRUE(a.compare_exchange_strong(expected, one));
  EXPECT_TRUE(expected == nullptr && a.load() == one);
  EXPECT_FALSE(a.compare_exchange_strong(expected, two));
  EXPECT_TRUE(expected == one && a.load() == one);
  EXPECT_TRUE(a.compare_exchange_strong(expected, two, std::memory_order_acq_rel, std::memory_order_relaxed));
  EXPECT_TRUE(a.load() == two);
  expected = one;
  EXPECT_FALSE(a.compare_exchange_weak(expected, three, std::memory_order_acq_rel));
  EXPECT_TRUE(expected == two);
  while (!a.compare_exchange_weak(expected, three, std::memory_order_release, std::memory_order_acquire)) {
  }
  EXPECT_TRUE(a.load() == three);
  while (!a.compare_exchange_weak(expected, nullptr)) {
  }
  EXPECT_FALSE(a.load());
}

TEST(GcAtomic, ComparesAndExchangesWithAManagedExpectation) { compare_and_exchange<gc_ptr<cell>>(); }
TEST(GcAtomic, ComparesAndExchangesWithARawExpectation) { compare_and_exchange<cell*>(); }

TEST(GcAtomic, KeepsItsObjectInEveryPlace) {
  struct holder {
    std::uint64_t before;
    gc_atomic<cell> a;
  };
  static gc_atomic<cell> in_static;
  thread_local gc_atomic<cell> in_thread;
  gc_atomic<cell> on_stack;
  root<holder> in_object = cairn::make_gc<holder>();
  [&]() __attribute__((noinline)) {
    in_static.store(make_list(1, 50));
    in_thread.store(make_list(2, 50));
    on_stack.store(make_list(3, 50));
    in_object->a.store(make_list(4, 50));
  }
  ();
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(is_list(in_static.load(), 1, 50));
    ASSERT_TRUE(is_list(in_thread.load(), 2, 50));
    ASSERT_TRUE(is_list(on_stack.load(), 3, 50));
    ASSERT_TRUE(is_list(in_object->a.load(), 4, 50));
  }
  in_static.store(nullptr);
}

TEST(GcAtomic, LetsGoOfWhatWasReplaced) {
  static gc_atomic<cell> a;
  cairn::gc_weak<cell> stored, exchanged, swapped;
  apart([&] {
    a.store(make_cell(1));
    stored = a.load();
    a.store(make_cell(2));
    exchanged = a.load();
    a.exchange(make_cell(3));
    gc_ptr<cell> expected = a.load();
    swapped = expected;
    a.compare_exchange_strong(expected, make_cell(4));
  });
  EXPECT_TRUE(dies(stored));
  EXPECT_TRUE(dies(exchanged));
  EXPECT_TRUE(dies(swapped));
  EXPECT_TRUE(a.load()->is(4));
}

// Popped nodes are pushed again as new objects only: without ABA each number comes out exactly once.
TEST(GcAtomic, ATreiberStackLosesAndRepeatsNothing) {
  cairn::attach_thread attached;  // this thread pops too, and makes nothing that would attach it
  static gc_atomic<cell> top;
  constexpr std::uint64_t k_threads = 6;
  const std::uint64_t per_thread = test_count(30'000, 1000);
  std::vector<std::atomic<std::uint8_t>> popped(k_threads * per_thread);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> total{0};
  auto push = [](cell* c) {
    cell* head = top.load();
    do c->next = head;
    while (!top.compare_exchange_weak(head, c));
  };
  auto pop = [&] {
    cell* head = top.load();
    while (head != nullptr && !top.compare_exchange_weak(head, head->next)) {
    }
    if (head == nullptr) return false;
    EXPECT_TRUE(head->is(head->id));
    popped[head->id].fetch_add(1);
    total.fetch_add(1);
    return true;
  };
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < k_threads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < per_thread; ++i) {
        push(make_cell(t * per_thread + i));
        if (mix(t * per_thread + i) % 4 != 0) pop();
      }
    });
  }
  for (auto& t : threads) t.join();
  while (pop()) {
  }
  stop.store(true);
  collector.join();
  EXPECT_EQ(total.load(), k_threads * per_thread);
  for (auto& count : popped) ASSERT_EQ(count.load(), 1);
}

// Michael and Scott's queue without counters or hazard pointers.
TEST(GcAtomic, AQueueKeepsTheOrderOfEachProducer) {
  struct node {
    std::uint64_t producer, number;
    gc_atomic<node> next;
  };
  struct queue {
    gc_atomic<node> head, tail;
    void push(std::uint64_t producer, std::uint64_t number) {
      node* fresh = cairn::make_gc<node>();
      fresh->producer = producer;
      fresh->number = number;
      while (true) {
        node* last = tail.load();
        node* next = last->next.load();
        if (next != nullptr) {
          tail.compare_exchange_strong(last, next);
        } else if (last->next.compare_exchange_strong(next, fresh)) {
          tail.compare_exchange_strong(last, fresh);
          return;
        }
      }
    }
    node* pop() {
      while (true) {
        node* first = head.load();
        node* next = first->next.load();
        if (next == nullptr) return nullptr;
        node* last = tail.load();
        if (first == last) tail.compare_exchange_strong(last, next);
        if (head.compare_exchange_strong(first, next)) return next;
      }
    }
  };
  root<queue> q = cairn::make_gc<queue>();
  q->head.store(cairn::make_gc<node>());
  q->tail.store(q->head.load());
  constexpr std::uint64_t k_producers = 3;
  const std::uint64_t each = test_count(30'000, 1000);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<std::thread> producers;
  for (std::uint64_t p = 0; p < k_producers; ++p)
    producers.emplace_back([&, p] {
      for (std::uint64_t i = 0; i < each; ++i) q->push(p, i);
    });
  std::uint64_t expected[k_producers] = {}, received = 0;
  while (received < k_producers * each) {
    node* n = q->pop();
    if (n == nullptr) continue;
    ASSERT_EQ(n->number, expected[n->producer]);
    ++expected[n->producer];
    ++received;
  }
  for (auto& p : producers) p.join();
  stop.store(true);
  collector.join();
}

}  // namespace
