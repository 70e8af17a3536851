// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// That marking reaches everything, by each of its ways: batches, lists, objects of each size with and without masks, in
// pieces. The collections are the public ones; what was lost shows in contents, counts and verify().
#include "gc/mark.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "api/support.h"
#include "gc/batch.h"
#include "gc/concurrent.h"
#include "scale.h"
#include "tests/heap/fake_os.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;

template <std::size_t words>
struct wide {
  gc_ptr<wide> next;
  std::uint64_t number;
  gc_ptr<wide> fill[words - 2];
};

// A list of n objects in random order, each also pointed to from the last field of one before it. Nothing but its head
// refers to it when this returns.
template <std::size_t words>
root<wide<words>> make_shuffled(std::size_t n) {
  root<wide<words>> head;
  apart([&] {
    std::vector<root<wide<words>>> all;
    for (std::size_t i = 0; i < n; ++i) all.emplace_back(make_gc<wide<words>>());
    std::mt19937_64 random(words);
    std::shuffle(all.begin(), all.end(), random);
    for (std::size_t i = 0; i < n; ++i) {
      all[i]->number = i;
      if (i + 1 < n) all[i]->next = all[i + 1].get();
      if constexpr (words > 2) all[random() % (i + 1)]->fill[words - 3] = all[i].get();
    }
    head = all[0].get();
  });
  return head;
}

template <std::size_t words>
void expect_all_kept(std::size_t n) {
  auto head = make_shuffled<words>(n);
  for (int i = 0; i < 3; ++i) cairn::gc::collect();
  std::size_t count = 0;
  for (wide<words>* p = head.get(); p != nullptr; p = p->next.get()) ASSERT_EQ(p->number, count++);
  EXPECT_EQ(count, n) << words << " words";
  EXPECT_TRUE(cairn::gc::verify());
}

TEST(Marker, KeepsObjectsOfEverySizeClassAndLargeOnes) {
  expect_all_kept<2>(test_count(20'000));
  expect_all_kept<3>(test_count(20'000));
  expect_all_kept<8>(test_count(20'000));
  expect_all_kept<20>(test_count(5'000));
  expect_all_kept<64>(test_count(3'000));  // the largest with a mask
  expect_all_kept<65>(test_count(3'000));  // the smallest without
  expect_all_kept<1024>(test_count(500));  // a page
  expect_all_kept<2049>(test_count(200));  // more than one piece
  expect_all_kept<4096>(test_count(100));  // the largest of a class
  expect_all_kept<5000>(test_count(100));  // a span of its own
}

TEST(Marker, FindsWhatOnlyTheLastWordOfALargeArrayRefersTo) {
  // Around pieces of 16 KiB and oblets of 128 KiB.
  for (std::size_t bytes : {16u << 10, (16u << 10) + 8, 128u << 10, (128u << 10) + 8, (256u << 10) - 8,
                            (384u << 10) + (16u << 10) + 8, 3u << 20}) {
    const std::size_t n = bytes / 8;
    root<gc_ptr<cell>> array = cairn::make_gc_array<gc_ptr<cell>>(n).data();
    const std::size_t pieces[] = {0, n / 2, n - 1};
    apart([&] {
      for (std::size_t i : pieces) array.get()[i] = make_list(i, 10);
    });
    cairn::gc::collect();
    cairn::gc::collect();
    for (std::size_t i : pieces) EXPECT_TRUE(is_list(array.get()[i].get(), i, 10)) << bytes;
  }
}

TEST(Marker, FollowsAListThroughPointersIntoTheMiddle) {
  struct node {
    std::uint64_t before[3];
    gc_ptr<std::uint64_t> inside;  // the next one's last word
    std::uint64_t number;
  };
  root<node> head;
  const std::size_t n = test_count(50'000);
  apart([&] {
    node* first = make_gc<node>();
    head = first;
    node* last = first;
    for (std::size_t i = 1; i < n; ++i) {
      node* next = make_gc<node>();
      next->number = i;
      last->inside = gc_ptr<std::uint64_t>(&next->number);
      last = next;
    }
  });
  cairn::gc::collect();
  cairn::gc::collect();
  std::size_t count = 1;
  for (std::uint64_t* p = head->inside.get(); p != nullptr; ++count) {
    ASSERT_EQ(*p, count);
    p = reinterpret_cast<node*>(reinterpret_cast<char*>(p) - offsetof(node, number))->inside.get();
  }
  EXPECT_EQ(count, n);
  EXPECT_TRUE(cairn::gc::verify());
}

// To the object: what earlier tests have left must not die meanwhile.
TEST(Marker, CountsWhatItReachesOnceHoweverManyWaysLeadThere) {
  struct knot {
    gc_ptr<knot> to[7];
  };
  on_clear_stack([] {
    collect_leftovers();
    auto objects = [] { return cairn::gc::read_stats().heap_objects; };
    const std::size_t before = objects();
    root<gc_ptr<knot>> held;
    const std::size_t n = test_count(30'000);
    apart([&] {
      auto all = cairn::make_gc_array<gc_ptr<knot>>(n);
      held = all.data();
      for (auto& p : all) p = make_gc<knot>();
      std::mt19937_64 random(7);
      for (auto& p : all)
        for (auto& to : p->to) to = all.data()[random() % n];
    });
    cairn::gc::collect();
    cairn::gc::collect();
    EXPECT_EQ(objects() - before, n + 1);
    held = nullptr;
    EXPECT_TRUE(collect_until([&] { return objects() == before; })) << objects() - before;
  });
}

// Marks that no cycle has set.
void clear_mark(std::uintptr_t object) {
  cairn::heap::object_ref o;
  ASSERT_TRUE(cairn::heap::find_object(object, o));
  cairn::heap::g_space.group_of(o.first, o.index).clear_marks();
}
void clear_marks(const cell* list) {
  for (; list != nullptr; list = list->next) clear_mark(reinterpret_cast<std::uintptr_t>(list));
}

// A quantum of an assist is as short for a list as for anything else.
TEST(Marker, ABudgetOfObjectsHoldsForAListToo) {
  auto no_cycle = std::make_unique<cairn::gc::no_gc_scope>();
  cell* head = make_list(0, 1000);
  static cairn::gc::work_pool pool;
  const auto made = std::make_unique<cairn::gc::marker>(pool);  // not among the roots, with all its words
  cairn::gc::marker& m = *made;
  m.candidate(reinterpret_cast<std::uintptr_t>(head));
  EXPECT_TRUE(m.drain_beside(32, SIZE_MAX));
  EXPECT_GE(m.objects_marked, 32u);
  EXPECT_LE(m.objects_marked, 32u + 2 * 64u);  // looked at between two turns of a list, of 64 objects each
  EXPECT_FALSE(m.drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_EQ(m.objects_marked, 1000u);
  clear_marks(head);
  no_cycle.reset();
  EXPECT_TRUE(cairn::gc::verify());
}

// What a cycle at once does before it leaves the rest to the collector's thread.
void expect_budget_of_a_cycle_at_once(std::span<const std::uintptr_t> from) {
  using cairn::gc::k_at_once_bytes, cairn::gc::k_at_once_objects;
  static cairn::gc::work_pool pool;
  const auto made = std::make_unique<cairn::gc::marker>(pool, true);
  cairn::gc::marker& m = *made;
  for (const std::uintptr_t word : from) m.candidate(word);
  EXPECT_TRUE(m.drain_alone(k_at_once_objects, k_at_once_bytes));
  // It is looked at after two turns of a list, of 64 objects each; a piece of an array, and a batch of small objects.
  EXPECT_LE(m.objects_marked, k_at_once_objects + 2 * 64);
  EXPECT_LE(m.bytes_scanned, k_at_once_bytes + cairn::gc::k_piece_bytes + cairn::gc::k_batch * 512);
  EXPECT_TRUE(m.has_work() || !pool.is_empty());
  EXPECT_FALSE(m.drain_alone(SIZE_MAX, SIZE_MAX));
}

// No longer does a thread stand still for one, whatever there is to mark.
TEST(Marker, ACycleAtOnceMarksListsAndArraysUpToItsBudget) {
  auto no_cycle = std::make_unique<cairn::gc::no_gc_scope>();
  cell* head = make_list(0, 10'000);
  std::vector<std::uintptr_t> cells, arrays;
  for (const cell* c = head; c != nullptr; c = c->next) cells.push_back(reinterpret_cast<std::uintptr_t>(c));
  expect_budget_of_a_cycle_at_once(std::span(cells).first(1));
  clear_marks(head);
  expect_budget_of_a_cycle_at_once(cells);
  clear_marks(head);
  // Of null pointers, on which no object follows: of 16 KiB each, and of several megabytes.
  for (const std::size_t n : {std::size_t{2048}, std::size_t{400'000}}) {
    arrays.clear();
    for (int i = 0; i < 40; ++i)
      arrays.push_back(reinterpret_cast<std::uintptr_t>(cairn::make_gc_array<gc_ptr<cell>>(n).data()));
    expect_budget_of_a_cycle_at_once(arrays);
    for (const std::uintptr_t array : arrays) clear_mark(array);
  }
  no_cycle.reset();
  EXPECT_TRUE(cairn::gc::verify());
}

TEST(Marker, MarksWhatTheBarrierHasShadedBeforeWhatItHas) {
  auto no_cycle = std::make_unique<cairn::gc::no_gc_scope>();
  constexpr std::size_t k_cells = 1000;
  cell* head = make_list(0, k_cells);
  cell* shaded = make_list(k_cells, 1);
  static cairn::gc::work_pool pool;
  const auto made = std::make_unique<cairn::gc::marker>(pool);  // not among the roots, with all its words
  cairn::gc::marker& m = *made;
  for (const cell* c = head; c != nullptr; c = c->next) m.candidate(reinterpret_cast<std::uintptr_t>(c));
  { cairn::gc::work_writer(pool).push(reinterpret_cast<std::uintptr_t>(shaded)); }
  EXPECT_TRUE(m.drain_beside(32, SIZE_MAX));
  EXPECT_TRUE(pool.is_empty());
  cairn::heap::object_ref o;
  ASSERT_TRUE(cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(shaded), o));
  EXPECT_TRUE(cairn::heap::is_marked(o));
  EXPECT_LT(m.objects_marked, k_cells);
  EXPECT_FALSE(m.drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_EQ(m.objects_marked, k_cells + 1);
  clear_marks(head);
  clear_marks(shaded);
  no_cycle.reset();
  EXPECT_TRUE(cairn::gc::verify());
}

TEST(Marker, KeepsWhatItCannotHandOverForWantOfMemory) {
  auto no_cycle = std::make_unique<cairn::gc::no_gc_scope>();
  constexpr std::size_t k_cells = 1000;
  cell* head = make_list(0, k_cells);
  static cairn::gc::work_pool pool;
  const auto made = std::make_unique<cairn::gc::marker>(pool);  // not among the roots, with all its words
  cairn::gc::marker& m = *made;
  for (const cell* c = head; c != nullptr; c = c->next) m.candidate(reinterpret_cast<std::uintptr_t>(c));
  {
    cairn::heap::fake_os os;
    os.fail_kind(cairn::heap::fake_os::k_map);
    EXPECT_FALSE(m.try_flush());
    EXPECT_TRUE(m.has_work());
    EXPECT_TRUE(pool.is_empty());
    // Some of it is scanned and some not.
    EXPECT_TRUE(m.drain_beside(32, SIZE_MAX));
    EXPECT_FALSE(m.try_flush());
    EXPECT_TRUE(m.has_work());
  }
  EXPECT_TRUE(m.try_flush());
  EXPECT_FALSE(m.has_work());
  EXPECT_FALSE(pool.is_empty());
  EXPECT_FALSE(m.drain_beside(SIZE_MAX, SIZE_MAX));
  EXPECT_EQ(m.objects_marked, k_cells);
  EXPECT_TRUE(pool.is_empty());
  clear_marks(head);
  no_cycle.reset();
  EXPECT_TRUE(cairn::gc::verify());
}

}  // namespace
