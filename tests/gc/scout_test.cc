// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Running ahead of lists: what a scout has noted is reachable from the starts that were marked, and from nothing else;
// long lists in no order, of each kind, are kept whole and freed whole.
#include "gc/scout.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <unordered_set>
#include <vector>

#include "api/support.h"
#include "gc/mark.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;
using cairn::gc::marker;
using cairn::gc::scout;
using cairn::gc::work_buf;
using cairn::gc::work_pool;

// ---- a scout by itself, on lists that no cycle marks ----------------------------------------------------------------

cairn::heap::bit_group& bits_of(const cell* c, std::uint64_t& bit) {
  cairn::heap::object_ref o;
  EXPECT_TRUE(cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(c), o));
  bit = cairn::heap::bit_of(o.index);
  return cairn::heap::g_space.group_of(o.first, o.index);
}
bool is_marked(const cell* c) {
  std::uint64_t bit = 0;
  return (bits_of(c, bit).marked() & bit) != 0;
}

class Scout : public testing::Test {
 protected:
  static constexpr std::size_t k_cells = 20'000;
  using cells = std::vector<cell*>;

  void TearDown() override {
    std::uint64_t bit = 0;
    for (const cells& list : made_)
      for (const cell* c : list) bits_of(c, bit).clear_marks();
    no_cycle_.reset();
    EXPECT_TRUE(cairn::gc::verify());
  }
  // A list in no order, or a ring.
  const cells& make_shuffled(bool is_ring = false) {
    cells all;
    for (std::size_t i = 0; i < k_cells; ++i) all.push_back(make_cell(i));
    std::shuffle(all.begin(), all.end(), random_);
    for (std::size_t i = 0; i + 1 < k_cells; ++i) all[i]->next = all[i + 1];
    if (is_ring) all.back()->next = all.front();
    return made_.emplace_back(std::move(all));
  }
  // By a marker that does not scout: all of the list.
  static void mark(work_pool& pool, const cell* head) {
    auto m = std::make_unique<marker>(pool);
    m->candidate(reinterpret_cast<std::uintptr_t>(head));
    m->drain_beside(SIZE_MAX, SIZE_MAX);
  }
  static std::vector<std::uintptr_t> take_all(scout& s, work_pool& pool) {
    std::vector<std::uintptr_t> all;
    auto add = [&](work_buf* b) {
      all.insert(all.end(), b->entries, b->entries + b->n);
      pool.give_empty(b);
    };
    while (s.has_reached()) {
      if (work_buf* b = s.take()) add(b);
      while (work_buf* b = pool.try_take_full()) add(b);
    }
    return all;
  }

  std::unique_ptr<cairn::gc::no_gc_scope> no_cycle_ = std::make_unique<cairn::gc::no_gc_scope>();
  std::mt19937_64 random_{1};
  std::vector<cells> made_;
};

TEST_F(Scout, HasNothingToTellAsLongAsNoStartIsMarked) {
  static work_pool pool;
  auto s = std::make_unique<scout>(pool);
  make_shuffled();
  EXPECT_FALSE(s->has_reached());
  for (std::size_t i = 0; i < 2 * k_cells; ++i) s->advance();
  EXPECT_FALSE(s->has_reached());
  EXPECT_TRUE(pool.is_empty());
  s->give_up();
}

TEST_F(Scout, TellsOfTheListWhoseObjectsWereMarkedAndOfNoOther) {
  static work_pool pool;
  auto s = std::make_unique<scout>(pool);
  made_.reserve(2);
  const cells& reached = make_shuffled();
  const cells& garbage = make_shuffled();
  // Where the starts are is left to chance, and the heap may be large since earlier tests: until some were on the list,
  // and were noted from.
  std::vector<std::uintptr_t> notes;
  std::uint64_t bit = 0;
  patience left;
  while (notes.empty() && !left.is_over()) {
    for (std::size_t i = 0; i < 1000; ++i) s->advance();
    mark(pool, reached[0]);
    notes = take_all(*s, pool);
    for (const cell* c : reached) bits_of(c, bit).clear_marks();
  }
  ASSERT_FALSE(notes.empty());
  const std::unordered_set<const void*> live(reached.begin(), reached.end());
  for (const std::uintptr_t note : notes)
    EXPECT_TRUE(live.contains(reinterpret_cast<const void*>(note))) << "unreachable, or inside an object";
  for (const cell* c : garbage) ASSERT_FALSE(is_marked(c));
  s->give_up();
}

TEST_F(Scout, DoesNotGoRoundARingForGood) {
  static work_pool pool;
  auto s = std::make_unique<scout>(pool);
  const cells& ring = make_shuffled(true);
  for (std::size_t i = 0; i < 50 * k_cells; ++i) s->advance();
  mark(pool, ring[0]);
  // Each start leads round once, or until it meets what was noted lately.
  EXPECT_LE(take_all(*s, pool).size(), 64 * k_cells);
  s->give_up();
}

TEST_F(Scout, ForgetsWithTheRound) {
  static work_pool pool;
  auto s = std::make_unique<scout>(pool);
  const cells& list = make_shuffled();
  for (std::size_t i = 0; i < k_cells; ++i) s->advance();
  s->give_up();
  mark(pool, list[0]);
  EXPECT_FALSE(s->has_reached());
  EXPECT_TRUE(pool.is_empty());
}

TEST_F(Scout, MarkersOfARoundMarkAListTogetherAndNothingElse) {
  static work_pool pool;
  made_.reserve(2);
  const cells& reached = make_shuffled();
  const cells& garbage = make_shuffled();
  auto a = std::make_unique<marker>(pool, true), b = std::make_unique<marker>(pool);
  a->candidate(reinterpret_cast<std::uintptr_t>(reached[0]));
  pool.begin_round();
  std::thread other([&] {
    if (!pool.join()) return;
    b->drain_shared();
    pool.leave();
  });
  a->drain_shared();
  pool.leave();
  pool.await_others();
  other.join();
  EXPECT_TRUE(pool.is_empty());
  EXPECT_GE(a->objects_marked + b->objects_marked, k_cells);
  for (const cell* c : reached) ASSERT_TRUE(is_marked(c));
  for (const cell* c : garbage) ASSERT_FALSE(is_marked(c));
}

// ---- collections ----------------------------------------------------------------------------------------------------

struct tag {
  std::uint64_t number, rest[3];
};
struct link {
  gc_ptr<link> next, before;
  gc_ptr<tag> mark;
};

// Too long for the caches, so that each object has to be waited for. Some are linked both ways, and have objects
// besides.
root<link> make_links(std::size_t n, bool both_ways) {
  root<link> head;
  apart([&] {
    auto all = cairn::make_gc_array<gc_ptr<link>>(n);
    for (auto& p : all) p = make_gc<link>();
    std::mt19937_64 random(n);
    for (std::size_t i = n - 1; i > 0; --i) std::swap(all[i], all[random() % (i + 1)]);
    for (std::size_t i = 0; i < n; ++i) {
      if (i + 1 < n) all[i]->next = all[i + 1];
      if (both_ways && i > 0) all[i]->before = all[i - 1];
      if (both_ways || i % 1000 == 0) (all[i]->mark = make_gc<tag>())->number = i;
    }
    head = all[0].get();
  });
  return head;
}

void expect_whole(const root<link>& head, std::size_t n, bool both_ways) {
  std::size_t i = 0;
  for (const link* p = head.get(); p != nullptr; p = p->next.get(), ++i) {
    if (both_ways || i % 1000 == 0) {
      ASSERT_EQ(p->mark->number, i);
    }
  }
  EXPECT_EQ(i, n);
}

std::size_t objects() { return cairn::gc::read_stats().heap_objects; }

void keeps_and_frees(bool both_ways) {
  const std::size_t n = test_count(500'000, 20'000);
  collect_leftovers();
  const std::size_t before = objects();
  root<link> kept = make_links(n, both_ways), dropped = make_links(n / 2, both_ways);
  for (int i = 0; i < 3; ++i) cairn::gc::collect();
  const std::size_t both = objects();
  dropped = nullptr;
  const std::size_t half = both_ways ? n : n / 2 + (n / 2 + 999) / 1000;
  EXPECT_TRUE(collect_until([&] { return objects() <= both - half; })) << both - objects();
  expect_whole(kept, n, both_ways);
  EXPECT_TRUE(cairn::gc::verify());
  kept = nullptr;
  EXPECT_TRUE(collect_until([&] { return objects() <= before; })) << objects() - before;
}

// The addresses that the links of the next lists will have, in what frames of the next calls lie over.
[[gnu::noinline]] void leave_addresses() {
  constexpr std::uintptr_t k_hidden = ~std::uintptr_t{0};
  std::vector<std::uintptr_t> addresses;
  apart([&] {
    const root<link> list = make_links(test_count(500'000, 20'000), true);
    for (const link* p = list.get(); p != nullptr; p = p->next.get())
      addresses.push_back(reinterpret_cast<std::uintptr_t>(p) ^ k_hidden);
  });
  clear_stack();
  for (int i = 0; i < 3; ++i) cairn::gc::collect();
  std::uintptr_t words[16384];
  for (std::size_t i = 0; i < std::size(words); ++i)
    const_cast<volatile std::uintptr_t&>(words[i]) = addresses[i % addresses.size()] ^ k_hidden;
}

TEST(LongList, IsFreedWholeAfterCallsThatLeftItsAddressesOnTheStack) {
  leave_addresses();
  on_clear_stack([] { keeps_and_frees(true); });
}

TEST(LongList, InNoOrderIsKeptWholeAndFreedWhole) {
  on_clear_stack([] { keeps_and_frees(false); });
}
TEST(LongList, LinkedBothWaysIsKeptWholeAndFreedWhole) {
  on_clear_stack([] { keeps_and_frees(true); });
}

// The parts of a list change places while it is marked: nothing of it is lost.
TEST(LongList, IsKeptWholeWhileItsPartsChangePlaces) {
  const std::size_t n = test_count(200'000, 10'000);
  root<link> head = make_links(n, false);
  std::mt19937_64 random(5);
  const int rounds = static_cast<int>(test_count(20, 4));
  for (int round = 0; round < rounds; ++round) {
    std::thread collector([] { cairn::gc::collect(); });
    // a b c to a c b, at places near the front and all over the list.
    for (int turn = 0; turn < 30; ++turn) {
      link* a = head.get();
      for (std::size_t i = random() % (turn % 10 == 0 ? n / 2 : 100); i > 0; --i) a = a->next.get();
      link* const b = a->next.get();
      link* b_end = b;
      for (std::size_t i = random() % 1000; i > 0; --i) b_end = b_end->next.get();
      link* const c = b_end->next.get();
      link* c_end = c;
      for (std::size_t i = random() % 1000; i > 0; --i) c_end = c_end->next.get();
      b_end->next = c_end->next;
      c_end->next = b;
      a->next = c;
    }
    collector.join();
    std::size_t count = 0, numbered = 0;
    for (link* p = head.get(); p != nullptr; p = p->next.get(), ++count) {
      if (p->mark == nullptr) continue;
      ASSERT_EQ(p->mark->number % 1000, 0u);
      ++numbered;
    }
    ASSERT_EQ(count, n);
    ASSERT_EQ(numbered, (n + 999) / 1000);
  }
  EXPECT_TRUE(cairn::gc::verify());
}

}  // namespace
