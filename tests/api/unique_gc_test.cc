// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// unique_gc: destroyed and freed at scope end, movable, shared on demand; and keep_alive.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_unique_gc;
using cairn::root;
using cairn::unique_gc;

struct owned {
  static inline std::atomic<int> alive{0};
  std::uint64_t id;
  gc_ptr<cell> held;
  std::string text = std::string(60, 'x');
  explicit owned(std::uint64_t n = 0) : id(n), held(make_cell(n)) { ++alive; }
  owned(const owned&) = delete;
  ~owned() { --alive; }
};

TEST(UniqueGc, DestroysAtScopeEnd) {
  {
    unique_gc<owned> u = make_unique_gc<owned>(5u);
    EXPECT_EQ(owned::alive, 1);
    EXPECT_EQ(u->id, 5u);
    EXPECT_TRUE((*u).held->is(5));
    EXPECT_TRUE(u && u.get() != nullptr);
  }
  EXPECT_EQ(owned::alive, 0);
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(owned::alive, 0);
}

TEST(UniqueGc, FreesTheMemoryAtScopeEnd) {
  cairn::gc::no_gc_scope no_cycle;
  const auto before = cairn::gc::read_stats();
  std::set<void*> addresses;
  for (int i = 0; i < 100'000; ++i) addresses.insert(make_unique_gc<cell>().get());
  const auto after = cairn::gc::read_stats();
  EXPECT_LT(addresses.size(), 10'000u) << "no slot was used again without a collection";
  EXPECT_LT(after.heap_mapped_bytes - after.heap_idle_bytes,
            before.heap_mapped_bytes - before.heap_idle_bytes + (2u << 20));
}

// Freed slots of types that are not made again must not stand in the way of those that are.
TEST(UniqueGc, FreesTheMemoryAlsoAfterManyOfAnotherType) {
  struct of_240 {
    std::uint64_t words[30];
  };
  cairn::gc::no_gc_scope no_cycle;
  std::vector<unique_gc<of_240>> others;
  for (int i = 0; i < 200; ++i) others.push_back(make_unique_gc<of_240>());
  others.clear();
  std::set<void*> addresses;
  for (int i = 0; i < 100'000; ++i) addresses.insert(make_unique_gc<cell>().get());
  EXPECT_LT(addresses.size(), 10'000u) << "no slot was used again without a collection";
}

TEST(UniqueGc, FreesLargeObjectsAtScopeEnd) {
  struct large {
    unsigned char bytes[1 << 20];
  };
  cairn::gc::no_gc_scope no_cycle;
  const auto before = cairn::gc::read_stats();
  for (int i = 0; i < 500; ++i) {
    auto u = make_unique_gc<large>();
    for (std::size_t k = 0; k < sizeof(large); k += 4096) {
      ASSERT_EQ(u->bytes[k], 0);
      u->bytes[k] = 1;
    }
  }
  EXPECT_LT(cairn::gc::read_stats().heap_mapped_bytes, before.heap_mapped_bytes + (200u << 20));
}

TEST(UniqueGc, MovesItsObject) {
  unique_gc<owned> a = make_unique_gc<owned>(1u), b;
  EXPECT_FALSE(b);
  b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b->id, 1u);
  b = make_unique_gc<owned>(2u);
  EXPECT_EQ(owned::alive, 1);
  unique_gc<owned> c = std::move(b);
  EXPECT_EQ(c->id, 2u);
  c.reset();
  EXPECT_FALSE(c);
  EXPECT_EQ(owned::alive, 0);
  c.reset();
  static_assert(!std::is_copy_constructible_v<unique_gc<owned>> &&
                !std::is_copy_assignable_v<unique_gc<owned>>);
}

TEST(UniqueGc, KeepsItsObjectAndWhatItReachesInMallocMemory) {
  std::vector<unique_gc<owned>> all;
  for (std::uint64_t i = 0; i < 2000; ++i) all.push_back(make_unique_gc<owned>(i));
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    for (std::uint64_t k = 0; k < 2000; ++k) ASSERT_TRUE(all[k]->id == k && all[k]->held->is(k));
  }
  all.clear();
  EXPECT_EQ(owned::alive, 0);
}

TEST(UniqueGc, SharedItIsTheCollectors) {
  root<owned> shared;
  apart([&] {
    unique_gc<owned> u = make_unique_gc<owned>(3u);
    shared = u.share();
    EXPECT_FALSE(u);
  });
  EXPECT_EQ(owned::alive, 1);
  collect_and_reuse();
  aside([&] { EXPECT_TRUE(shared->id == 3 && shared->held->is(3)); });
  EXPECT_EQ(owned::alive, 1);
  aside([&] { shared.reset(); });
  EXPECT_TRUE(collect_until([] { return owned::alive == 0; }));
}

TEST(UniqueGc, AFreedSlotIsZeroWhenUsedAgain) {
  for (int i = 0; i < 10'000; ++i) {
    auto u = make_unique_gc<cell>();
    ASSERT_TRUE(u->id == 0 && u->seal[3] == 0 && u->next == nullptr);
    u->stamp(~std::uint64_t{0});
    auto tiny = make_unique_gc<std::uint32_t>();
    ASSERT_EQ(*tiny, 0u);
    *tiny = ~0u;
  }
}

TEST(UniqueGc, FreedOnOtherThreadsWhileOthersCollect) {
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<unique_gc<owned>> handed(64);
  std::mutex lock;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < test_count(5000, 300); ++i) {
        unique_gc<owned> u = make_unique_gc<owned>(i);
        std::lock_guard guard(lock);
        std::swap(u, handed[mix(i + t) % handed.size()]);
        ASSERT_TRUE(!u || u->held->is(u->id));
      }
    });
  for (auto& t : threads) t.join();
  stop.store(true);
  collector.join();
  handed.clear();
  EXPECT_EQ(owned::alive, 0);
}

TEST(UniqueGc, WeakReferencesAndCleanupsOfItWork) {
  static std::atomic<int> cleaned{0};
  unique_gc<owned> u = make_unique_gc<owned>(1u);
  cairn::gc_weak<owned> weak = u.get();
  cairn::add_cleanup(u.get(), [] { ++cleaned; });
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  EXPECT_EQ(cleaned, 0);
  u.reset();
  EXPECT_TRUE(dies(weak));
  EXPECT_TRUE(collect_until([] { return cleaned == 1; }));
}

// ---- keep_alive -------------------------------------------------------------------------------------------

struct handle {
  static inline std::atomic<bool> closed{false};
  std::uint64_t number = 5;
  ~handle() { closed = true; }
};

TEST(KeepAlive, KeepsUntilHere) {
  static std::atomic<bool> closed_early{false};
  apart([] {
    gc_ptr<handle> h = cairn::make_gc<handle>();
    const std::uint64_t number = h->number;  // the last use of the object itself
    for (int i = 0; i < 5; ++i) {
      collect_and_reuse();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    closed_early = handle::closed.load();
    EXPECT_EQ(number, 5u);
    cairn::keep_alive(h);
  });
  EXPECT_FALSE(closed_early);
  EXPECT_TRUE(collect_until([] { return handle::closed.load(); }));
}

TEST(KeepAlive, TakesEveryKindOfPointer) {
  cell* raw = make_cell(1);
  gc_ptr<cell> managed = raw;
  root<cell> rooted = raw;
  cairn::keep_alive(raw);
  cairn::keep_alive(managed);
  cairn::keep_alive(rooted);
  EXPECT_TRUE(raw->is(1));
}

// Types of one size whose pointers lie at different words share spans, and a slot that one thread has freed by hand may
// lie in a span that another allocates from.
template <int Word>
struct pointing_at_word {
  std::uint64_t before[Word];
  gc_ptr<cell> pointer;
  std::uint64_t behind[11 - Word];
};
template <class T>
[[gnu::noinline]] T* make_pointing(std::uint64_t id) {
  T* p = cairn::make_gc<T>();
  p->pointer = make_cell(id);
  return p;
}

TEST(UniqueGc, ItsSlotIsScannedForWhatItHoldsNextThoughTheSpanIsAnothers) {
  root<pointing_at_word<1>> first;
  root<pointing_at_word<5>> second;
  root<pointing_at_word<9>> third;
  apart([&] {
    auto owner = make_unique_gc<pointing_at_word<1>>();
    first = make_pointing<pointing_at_word<1>>(1);
    const void* slot = owner.get();
    std::thread([&, given = std::move(owner)]() mutable {
      given.reset();
      second = make_pointing<pointing_at_word<5>>(2);
    }).join();
    ASSERT_EQ(static_cast<const void*>(second.get()), slot) << "the freed slot was not used again";
    third = make_pointing<pointing_at_word<9>>(3);
  });
  collect_and_reuse();
  collect_and_reuse();
  EXPECT_TRUE(first->pointer->is(1));
  EXPECT_TRUE(second->pointer->is(2));
  EXPECT_TRUE(third->pointer->is(3));
}

// The span's record is used again for the next large object.
TEST(UniqueGc, LeavesNothingOfAWeakReferenceToALargeObject) {
  struct large {
    std::uint64_t words[100'000];
  };
  for (int i = 0; i < 10; ++i) {
    auto owned = make_unique_gc<large>();
    cairn::gc_weak<large> weak = owned.get();
    owned.reset();
    EXPECT_FALSE(weak.lock());
    root<large> next = cairn::make_gc<large>();
    cairn::gc_weak<large> weak_next = next;
    cairn::gc::collect();
    ASSERT_TRUE(weak_next.lock() == next);
    cairn::gc_weak<large> again = next;
    weak_next.reset();
    again.reset();
  }
}

}  // namespace
