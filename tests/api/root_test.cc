// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// root: usable anywhere, copied, moved, in containers, made and destroyed by many threads.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::root;

TEST(Root, KeepsItsObjectUntilItIsDestroyed) {
  cairn::gc_weak<cell> weak;
  auto held = std::make_unique<root<cell>>();
  apart([&] {
    *held = make_cell(1);
    weak = *held;
  });
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  aside([&] { held.reset(); });
  EXPECT_TRUE(dies(weak));
}

TEST(Root, ACopyKeepsTheObjectWhenTheOriginalGoes) {
  cairn::gc_weak<cell> weak;
  std::vector<root<cell>> held(2);
  apart([&] {
    held[0] = make_cell(2);
    held[1] = held[0];
    weak = held[0];
  });
  aside([&] { held[0].reset(); });
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  aside([&] {
    EXPECT_TRUE(held[1]->is(2));
    held.pop_back();
  });
  EXPECT_TRUE(dies(weak));
}

TEST(Root, MovingLeavesNullBehind) {
  root<cell> a = make_cell(3);
  root<cell> b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): what the interface promises
  EXPECT_TRUE(b->is(3));
  a = std::move(b);
  EXPECT_FALSE(b);
  collect_and_reuse();
  EXPECT_TRUE(a->is(3));
}

TEST(Root, SelfAssignmentKeepsTheObject) {
  root<cell> a = make_cell(3);
  root<cell>& same = a;
  a = same;
  collect_and_reuse();
  EXPECT_TRUE(a->is(3));
}

TEST(Root, ConvertsBetweenBaseAndDerived) {
  struct shape {
    std::uint64_t kind = 1;
  };
  struct circle : shape {
    cairn::gc_ptr<cell> centre;
  };
  root<circle> c = cairn::make_gc<circle>();
  c->centre = make_cell(4);
  root<shape> s = c;
  c.reset();
  collect_and_reuse();
  EXPECT_EQ(s->kind, 1u);
  EXPECT_TRUE(cairn::static_pointer_cast<circle>(s)->centre->is(4));
}

TEST(Root, ThousandsInAGrowingVectorKeepTheirObjects) {
  std::vector<root<cell>> all;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    all.emplace_back(make_cell(i));
    if (i % 5000 == 0) collect_and_reuse();
  }
  all.erase(all.begin() + 5, all.begin() + 10000);
  collect_and_reuse();
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(all[i]->is(i));
  for (std::size_t i = 5; i < all.size(); ++i) ASSERT_TRUE(all[i]->is(i + 9995));
}

TEST(Root, LivesInEveryStandardContainer) {
  std::map<int, root<cell>> map;
  std::unordered_set<root<cell>> set;
  std::function<bool()> function;
  std::promise<root<cell>> promise;
  std::shared_ptr<root<cell>> shared;
  [&]() __attribute__((noinline)) {
    map[1] = make_cell(1);
    set.insert(make_cell(2));
    function = [r = root<cell>(make_cell(3))] { return r->is(3); };
    promise.set_value(make_cell(4));
    shared = std::make_shared<root<cell>>(make_cell(5));
  }
  ();
  collect_and_reuse();
  EXPECT_TRUE(map[1]->is(1));
  EXPECT_TRUE((*set.begin())->is(2));
  EXPECT_TRUE(function());
  EXPECT_TRUE(promise.get_future().get()->is(4));
  EXPECT_TRUE((*shared)->is(5));
}

TEST(Root, AnExceptionInFlightKeepsItsObject) {
  struct failure {
    root<cell> where;
  };
  struct collects_when_unwound {
    ~collects_when_unwound() { collect_and_reuse(); }
  };
  try {
    collects_when_unwound now;
    throw failure{make_cell(6)};
  } catch (const failure& f) {
    collect_and_reuse();
    EXPECT_TRUE(f.where->is(6));
  }
}

TEST(Root, IsMadeOnOneThreadAndDestroyedOnAnother) {
  std::vector<root<cell>> all;
  std::thread([&] {
    for (std::uint64_t i = 0; i < 1000; ++i) all.emplace_back(make_cell(i));
  }).join();
  collect_and_reuse();
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(all[i]->is(i));
  cairn::gc_weak<cell> weak;
  apart([&] { weak = all[500]; });
  std::thread([&] { all.clear(); }).join();
  EXPECT_TRUE(dies(weak));
}

TEST(Root, ManyThreadsMakeAndDestroyWhileOthersCollect) {
  const std::size_t rounds = test_count(300, 20);
  std::mutex lock;
  std::vector<root<cell>> shared(64);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < rounds; ++i) {
        std::vector<root<cell>> mine;
        for (std::uint64_t k = 0; k < 50; ++k) mine.emplace_back(make_cell(k));
        for (std::uint64_t k = 0; k < 50; ++k) ASSERT_TRUE(mine[k]->is(k));
        std::lock_guard guard(lock);
        root<cell>& slot = shared[(t * 7 + i) % shared.size()];
        ASSERT_TRUE(!slot || slot->is(slot->id));
        slot = mine[i % 50];
      }
    });
  }
  for (auto& t : threads) t.join();
  stop.store(true);
  collector.join();
}

}  // namespace
