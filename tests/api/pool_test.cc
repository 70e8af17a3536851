// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Pools: what is put in comes out once, and not after two collections; beside collections, from goroutines and threads.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace sync = cairn::sync;
using sync::wait_group;

TEST(Pool, OfNothingGivesNothing) {
  sync::pool<cell> p;
  EXPECT_EQ(p.try_get(), nullptr);
  p.put(nullptr);
  EXPECT_EQ(p.try_get(), nullptr);
}

TEST(Pool, MakesADefaultOneIfItIsNotToldHow) {
  struct page {
    int bytes[32] = {1};
  };
  sync::pool<page> p;
  cairn::gc_ptr<page> a = p.get(), b = p.get();
  ASSERT_NE(a, nullptr);
  EXPECT_NE(a, b);
  EXPECT_EQ(b->bytes[0], 1);
  p.put(a);
  EXPECT_EQ(p.get(), a);
  EXPECT_NE(p.get(), nullptr);
}

TEST(Pool, OfWhatCannotBeMadeOfNothingGivesNothingByItself) {
  struct number {
    explicit number(int value) : n(value) {}
    int n;
  };
  sync::pool<number> p;
  EXPECT_EQ(p.get(), nullptr);
  p.put(cairn::make_gc<number>(7));
  EXPECT_EQ(p.get()->n, 7);
  EXPECT_EQ(p.get(), nullptr);
}

TEST(Pool, OnlyGetMakes) {
  sync::pool<cell> p([] { return make_cell(3); });
  EXPECT_EQ(p.try_get(), nullptr);
  p.put(make_cell(4));
  EXPECT_TRUE(p.try_get()->is(4));
  EXPECT_TRUE(p.get()->is(3));
}

TEST(Pool, MakesWhatItHasNot) {
  int made = 0;
  sync::pool<cell> p([&made, owned = std::make_unique<int>(10)] {
    return make_cell(static_cast<unsigned>(*owned + made++));
  });
  cairn::gc_ptr<cell> a = p.get(), b = p.get();
  EXPECT_EQ(a->id, 10u);
  EXPECT_EQ(b->id, 11u);
  p.put(b);
  EXPECT_EQ(p.get(), b);
  EXPECT_EQ(made, 2);
  EXPECT_EQ(p.get()->id, 12u);
}

TEST(Pool, PassesOnWhatMakeThrows) {
  sync::pool<cell> p([]() -> cell* { throw std::runtime_error("no cell"); });
  EXPECT_THROW(p.get(), std::runtime_error);
  p.put(make_cell(1));
  EXPECT_TRUE(p.get()->is(1));
}

// Without a collection nothing is lost, however many there are and whoever put them in.
TEST(Pool, GivesBackAllThatWasPutIn) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      cairn::gc::no_gc_scope none;
      for (std::size_t n : {1, 2, 130, 500, 3000}) {
        sync::pool<cell> p;
        for (std::size_t i = 0; i < n; ++i) p.put(make_cell(i));
        std::thread thread([&] { p.put(make_cell(n)); });
        thread.join();
        std::set<std::uint64_t> seen;
        for (std::size_t i = 0; i <= n; ++i) {
          cairn::gc_ptr<cell> c = p.try_get();
          ASSERT_NE(c, nullptr) << i << " of " << n;
          EXPECT_TRUE(seen.insert(c->id).second);
        }
        EXPECT_EQ(p.try_get(), nullptr);
      }
    });
}

// What another put in is found too, but for the one that each P keeps for itself.
TEST(Pool, TakesFromOthers) {
  on_procs(4, [] {
    cairn::gc::no_gc_scope none;
    sync::pool<cell> p;
    constexpr std::size_t k_each = 100;
    wait_group all;
    for (std::uint64_t g = 0; g < 8; ++g)
      all.go([&, g] {
        for (std::uint64_t i = 0; i < k_each; ++i) {
          p.put(make_cell(g * k_each + i));
          if (i % 10 == 0) cairn::yield();
        }
      });
    all.wait();
    std::size_t found = 0;
    while (p.try_get() != nullptr) ++found;
    EXPECT_GE(found, 8 * k_each - 3);
  });
}

// Kept through one collection, dropped by the second; the pool itself stays.
TEST(Pool, IsEmptiedInTwoSteps) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      sync::pool<cell> p;
      std::vector<cairn::gc_weak<cell>> put;
      cairn::spawn([&] {
        for (std::uint64_t i = 0; i < 200; ++i) {
          cell* c = make_cell(i);
          put.emplace_back(c);
          p.put(c);
        }
      }).get();
      cairn::gc::collect();
      std::size_t kept = 0;
      cairn::spawn([&] {
        for (const auto& w : put) kept += w.lock() != nullptr;
        while (p.try_get() != nullptr) {
        }
      }).get();
      // All, unless another cycle came by itself.
      EXPECT_TRUE(kept == 200 || kept == 0) << kept;
      cairn::spawn([&] {
        put.clear();
        for (std::uint64_t i = 0; i < 200; ++i) {
          cell* c = make_cell(i);
          put.emplace_back(c);
          p.put(c);
        }
      }).get();
      cairn::gc::collect();
      cairn::gc::collect();
      std::size_t left = 0;
      for (const auto& w : put) left += !is_gone(w);
      EXPECT_LE(left, 3u);  // a stale word on a stack may keep some
      EXPECT_LE(left, 3u);
      std::size_t found = 0;
      while (p.try_get() != nullptr) ++found;
      EXPECT_EQ(found, 0u);
      p.put(make_cell(1));
      EXPECT_TRUE(p.try_get()->is(1));
    });
}

// A pool that nobody uses any more keeps nothing either, nor does one that is gone.
TEST(Pool, LetsGoWithoutBeingUsed) {
  cairn::gc_weak<cell> in_used, in_gone;
  sync::pool<cell> p;
  apart([&] {
    cell* c = make_cell(1);
    in_used = cairn::gc_weak<cell>(c);
    p.put(c);
    sync::pool<cell> gone([keeps = cairn::root<cell>(make_cell(2))] { return keeps.get(); });
    in_gone = cairn::gc_weak<cell>(gone.get());
  });
  EXPECT_TRUE(dies(in_used));
  EXPECT_TRUE(dies(in_gone));
}

// Each object is used by one at a time, and is what it was when it was put in.
TEST(Pool, NeverGivesOneToTwo) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      struct item {
        std::atomic<int> users{0};
        cairn::gc_ptr<cell> list;
        std::uint64_t number = 0;
      };
      std::atomic<std::uint64_t> made{0};
      sync::pool<item> p([&] {
        cairn::gc_ptr<item> x = cairn::make_gc<item>();
        x->number = ++made;
        x->list = make_list(x->number, 3);
        return x;
      });
      collections back_to_back;
      const std::size_t times = test_count(3'000);
      const auto use = [&](std::uint64_t seed) {
        for (std::uint64_t i = 0; i < times; ++i) {
          cairn::gc_ptr<item> held[3];
          const std::size_t n = 1 + mix(seed << 32 | i) % 3;
          for (std::size_t k = 0; k < n; ++k) {
            held[k] = p.get();
            if (held[k]->users.fetch_add(1) != 0) ADD_FAILURE() << "two use it";
            if (!is_list(held[k]->list.get(), held[k]->number, 3)) ADD_FAILURE() << "its list is broken";
          }
          if (i % 16 == 0) cairn::yield();
          for (std::size_t k = 0; k < n; ++k) {
            held[k]->list = make_list(held[k]->number, 3);
            --held[k]->users;
            p.put(held[k]);
          }
        }
      };
      std::vector<std::thread> threads;
      for (std::uint64_t i = 0; i < 2; ++i) threads.emplace_back([&use, i] { use(i); });
      wait_group all;
      for (std::uint64_t i = 0; i < 8; ++i) all.go([&use, i] { use(10 + i); });
      all.wait();
      cairn::blocking([&threads] {
        for (std::thread& thread : threads) thread.join();
      });
    });
}

TEST(Pool, FollowsTheNumberOfProcs) {
  on_procs(1, [] {
    cairn::gc::no_gc_scope none;
    sync::pool<cell> p;
    p.put(make_cell(1));
    cairn::max_procs(6);
    wait_group all;
    for (int i = 0; i < 50; ++i)
      all.go([&] {
        for (int k = 0; k < 50; ++k) {
          p.put(make_cell(2));
          cairn::yield();
          if (cairn::gc_ptr<cell> c = p.try_get(); c != nullptr && !c->is(1) && !c->is(2)) ADD_FAILURE();
        }
      });
    all.wait();
  });
}

struct holder {
  sync::pool<cell> objects{[] { return make_cell(5); }};
};

TEST(Pool, LivesInCollectedObjects) {
  on_one_and_two_procs([] {
    cairn::gc_ptr<holder> h = cairn::make_gc<holder>();
    for (int i = 0; i < 5; ++i) {
      cairn::gc_ptr<cell> c = h->objects.get();
      EXPECT_TRUE(c->is(5));
      cairn::gc::collect();
      h->objects.put(c);
    }
    for (int i = 0; i < 50; ++i) cairn::make_gc<holder>()->objects.put(make_cell(6));
    collect_and_reuse();
    EXPECT_TRUE(h->objects.get()->is(5));
  });
}

}  // namespace
