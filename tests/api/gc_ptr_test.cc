// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_ptr and root, each operation in each place where one may live, with a collection and reuse of freed
// memory after it.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_set>
#include <utility>

#include "api/places.h"
#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;

template <class Place>
class PointerIn : public testing::Test {};
TYPED_TEST_SUITE(PointerIn, all_places, place_names);

template <class Place, class T>
using in = typename Place::template of<T>;

// Objects are made and stored by functions of their own, so that only the slot holds them.
template <class H>
[[gnu::noinline]] void store_cell(H& slot, std::uint64_t id) {
  slot = make_cell(id);
}
template <class H>
[[gnu::noinline]] void store_list(H& slot, std::uint64_t first, std::size_t length) {
  slot = make_list(first, length);
}

// What is made apart comes in a root; no register of the test keeps it.
template <class H>
[[gnu::noinline]] void hand_over(root<cell>& from, H& slot) {
  slot = from;
  from.reset();
}

TYPED_TEST(PointerIn, IsNullByDefault) {
  in<TypeParam, cell> a;
  EXPECT_FALSE(a.slot());
  EXPECT_TRUE(a.slot() == nullptr);
  EXPECT_TRUE(nullptr == a.slot());
  EXPECT_TRUE(a.slot().get() == nullptr);
}

TYPED_TEST(PointerIn, KeepsItsObject) {
  in<TypeParam, cell> a;
  store_cell(a.slot(), 7);
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(a.slot()->is(7));
    ASSERT_TRUE((*a.slot()).is(7));
    ASSERT_TRUE(a.slot());
  }
}

TYPED_TEST(PointerIn, KeepsWhatItsObjectReaches) {
  in<TypeParam, cell> a;
  store_list(a.slot(), 100, 20000);
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(is_list(a.slot(), 100, 20000));
  }
}

TYPED_TEST(PointerIn, LetsGoOfItsObjectWhenOverwritten) {
  in<TypeParam, cell> a;
  cairn::gc_weak<cell> weak;
  root<cell> handed;
  apart([&] {
    handed = make_cell(3);
    weak = handed;
  });
  hand_over(handed, a.slot());
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  store_cell(a.slot(), 4);
  EXPECT_TRUE(dies(weak));
  EXPECT_TRUE(a.slot()->is(4));
}

TYPED_TEST(PointerIn, LetsGoOfItsObjectOnReset) {
  in<TypeParam, cell> a;
  cairn::gc_weak<cell> weak;
  root<cell> handed;
  apart([&] {
    handed = make_list(1, 10);
    weak = handed->next;
  });
  hand_over(handed, a.slot());
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  aside([&] { a.slot().reset(); });
  EXPECT_FALSE(a.slot());
  EXPECT_TRUE(dies(weak));
}

TYPED_TEST(PointerIn, TakesEveryKindOfPointer) {
  in<TypeParam, cell> a;
  cell* raw = make_cell(1);
  gc_ptr<cell> managed = make_cell(2);
  root<cell> rooted = make_cell(3);
  a.slot() = raw;
  EXPECT_TRUE(a.slot()->is(1));
  a.slot() = managed;
  EXPECT_TRUE(a.slot()->is(2));
  a.slot() = rooted;
  EXPECT_TRUE(a.slot()->is(3));
  a.slot() = nullptr;
  EXPECT_FALSE(a.slot());
  a.slot() = {};
  EXPECT_FALSE(a.slot());
  a.slot() = raw;
  a.slot() = a.slot().get();
  EXPECT_TRUE(a.slot()->is(1));
}

TYPED_TEST(PointerIn, GivesEveryKindOfPointer) {
  in<TypeParam, cell> a;
  store_cell(a.slot(), 5);
  cell* raw = a.slot();
  const cell* raw_const = a.slot();
  void* untyped = a.slot();
  gc_ptr<cell> managed = a.slot();
  gc_ptr<const cell> managed_const = a.slot();
  root<cell> rooted = a.slot();
  EXPECT_TRUE(raw->is(5) && raw == untyped && raw_const == raw);
  EXPECT_TRUE(managed == raw && managed_const == raw && rooted == raw);
}

TYPED_TEST(PointerIn, CopiesAndMovesKeepTheObject) {
  in<TypeParam, cell> a;
  store_cell(a.slot(), 6);
  {
    auto copy = a.slot();
    a.slot() = nullptr;
    collect_and_reuse();
    EXPECT_TRUE(copy->is(6));
    a.slot() = std::move(copy);
  }
  collect_and_reuse();
  EXPECT_TRUE(a.slot()->is(6));
  auto& same = a.slot();
  a.slot() = same;
  collect_and_reuse();
  EXPECT_TRUE(a.slot()->is(6));
}

TYPED_TEST(PointerIn, SwapsWithAnother) {
  in<TypeParam, cell> a;
  typename in<TypeParam, cell>::handle b;
  store_cell(a.slot(), 1);
  b = make_cell(2);
  for (std::uint64_t i = 0; i < 8; ++i) {
    std::swap(a.slot(), b);
    collect_and_reuse();
    ASSERT_TRUE(a.slot()->is(i % 2 == 0 ? 2 : 1));
    ASSERT_TRUE(b->is(i % 2 == 0 ? 1 : 2));
  }
}

TYPED_TEST(PointerIn, ComparesAndHashesAsAnAddress) {
  in<TypeParam, cell> a;
  cell* row = cairn::make_gc_array<cell>(3).data();
  a.slot() = row + 1;
  gc_ptr<cell> managed = row + 1;
  root<cell> rooted = row + 2;
  EXPECT_TRUE(a.slot() == row + 1 && row + 1 == a.slot() && a.slot() == managed && managed == a.slot());
  EXPECT_TRUE(a.slot() != rooted && rooted != a.slot() && a.slot() != nullptr);
  EXPECT_TRUE(a.slot() < rooted && a.slot() <= managed && rooted > a.slot() && a.slot() > row &&
              row < a.slot());
  EXPECT_TRUE((a.slot() <=> managed) == std::strong_ordering::equal);
  EXPECT_EQ(std::hash<gc_ptr<cell>>()(gc_ptr<cell>(a.slot())), std::hash<cell*>()(row + 1));
  using handle = typename in<TypeParam, cell>::handle;
  EXPECT_EQ(std::hash<handle>()(a.slot()), std::hash<cell*>()(row + 1));
}

TYPED_TEST(PointerIn, MovesWithinAnArray) {
  in<TypeParam, std::uint64_t> a;
  [&]() __attribute__((noinline)) {
    cairn::gc_slice<std::uint64_t> row = cairn::make_gc_array<std::uint64_t>(100);
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = mix(i);
    a.slot() = row.data();
  }
  ();
  auto& p = a.slot();
  auto check = [&](std::uint64_t i) {
    collect_and_reuse();
    return *p == mix(i) && p[1] == mix(i + 1);
  };
  EXPECT_TRUE(check(0));
  EXPECT_TRUE((++p, check(1)));
  EXPECT_TRUE((p += 10, check(11)));
  EXPECT_TRUE((p -= 3, check(8)));
  EXPECT_TRUE((--p, check(7)));
  EXPECT_TRUE(*(p++) == mix(7) && check(8));
  EXPECT_TRUE(*(p--) == mix(8) && check(7));
  EXPECT_TRUE(*(p + 5) == mix(12) && *(5 + p) == mix(12) && *(p - 7) == mix(0) && p[-7] == mix(0));
  EXPECT_EQ((p + 5) - p, 5);
  EXPECT_EQ(p - (p - 7).get(), 7);
}

TYPED_TEST(PointerIn, IsLeftAloneWhenItIsNoHeapAddress) {
  in<TypeParam, std::uint64_t> a;
  static std::uint64_t in_data = 3;
  std::uint64_t on_stack = 4;
  std::uint64_t* addresses[] = {&in_data, &on_stack, reinterpret_cast<std::uint64_t*>(8),
                                reinterpret_cast<std::uint64_t*>(~std::uintptr_t{7}),
                                reinterpret_cast<std::uint64_t*>(0x7fff'ffff'f000)};
  for (std::uint64_t* address : addresses) {
    a.slot() = address;
    collect_and_reuse();
    EXPECT_TRUE(a.slot() == address);
  }
  a.slot() = nullptr;
}

// A pointer into any part keeps the whole.
TYPED_TEST(PointerIn, KeepsTheWholeObjectByAMember) {
  in<TypeParam, std::uint64_t> a;
  for (std::size_t i = 0; i < 4; ++i) {
    [&]() __attribute__((noinline)) { a.slot() = &make_list(50, 100)->seal[i]; }
    ();
    collect_and_reuse();
    auto* whole = reinterpret_cast<cell*>(reinterpret_cast<char*>(a.slot().get() - i) - offsetof(cell, seal));
    ASSERT_TRUE(is_list(whole, 50, 100));
  }
}

struct base_a {
  std::uint64_t a = 1;
  virtual ~base_a() = default;
};
struct base_b {
  std::uint64_t b = 2;
  gc_ptr<cell> held;
  virtual ~base_b() = default;
};
struct derived : base_a, base_b {
  std::uint64_t c = 3;
};

TYPED_TEST(PointerIn, KeepsTheWholeObjectByABase) {
  in<TypeParam, base_b> a;
  [&]() __attribute__((noinline)) {
    gc_ptr<derived> d = make_gc<derived>();
    d->held = make_cell(9);
    a.slot() = d;
  }
  ();
  collect_and_reuse();
  EXPECT_EQ(a.slot()->b, 2u);
  EXPECT_TRUE(a.slot()->held->is(9));
  auto whole = cairn::static_pointer_cast<derived>(a.slot());
  EXPECT_EQ(whole->c, 3u);
  EXPECT_EQ(whole->a, 1u);
  EXPECT_TRUE(cairn::dynamic_pointer_cast<derived>(a.slot()) == whole);
  EXPECT_TRUE(cairn::dynamic_pointer_cast<base_a>(a.slot()) != nullptr);
}

TYPED_TEST(PointerIn, CastsBetweenConstAndNot) {
  in<TypeParam, const cell> a;
  a.slot() = gc_ptr<cell>(make_cell(3));
  collect_and_reuse();
  EXPECT_TRUE(a.slot()->is(3));
  auto writable = cairn::const_pointer_cast<cell>(a.slot());
  writable->stamp(4);
  EXPECT_TRUE(a.slot()->is(4));
}

TYPED_TEST(PointerIn, DynamicCastToAnotherTypeIsNull) {
  struct unrelated : base_a {};
  in<TypeParam, base_a> a;
  a.slot() = gc_ptr<derived>(make_gc<derived>());
  EXPECT_TRUE(cairn::dynamic_pointer_cast<derived>(a.slot()) != nullptr);
  EXPECT_TRUE(cairn::dynamic_pointer_cast<unrelated>(a.slot()) == nullptr);
}

TYPED_TEST(PointerIn, DoesNotKeepACycleThatItLeft) {
  in<TypeParam, cell> a;
  cairn::gc_weak<cell> weak;
  root<cell> handed;
  apart([&] {
    handed = make_list(1, 1000);
    cell* last = handed;
    while (last->next) last = last->next;
    last->next = handed;
    weak = last;
  });
  hand_over(handed, a.slot());
  collect_and_reuse();
  EXPECT_FALSE(is_gone(weak));
  aside([&] { a.slot() = nullptr; });
  EXPECT_TRUE(dies(weak));
}

TYPED_TEST(PointerIn, KeepsObjectsOfEverySize) {
  in<TypeParam, std::byte> a;
  for (std::size_t bytes = 1; bytes < 300000; bytes += bytes / 3 + 1) {
    [&]() __attribute__((noinline)) {
      auto made = cairn::make_gc_bytes(bytes);
      for (std::size_t i = 0; i < bytes; ++i) made[i] = static_cast<std::byte>(mix(bytes + i));
      a.slot() = made.data() + bytes / 2;
    }
    ();
    collect_and_reuse();
    const std::byte* first = a.slot().get() - bytes / 2;
    for (std::size_t i = 0; i < bytes; ++i)
      ASSERT_EQ(first[i], static_cast<std::byte>(mix(bytes + i))) << bytes << " bytes, byte " << i;
  }
}

// ---- what only a gc_ptr does ------------------------------------------------------------------------------

TEST(GcPtr, IsOneWordAndTriviallyDestructible) {
  static_assert(sizeof(gc_ptr<cell>) == sizeof(void*) && alignof(gc_ptr<cell>) == alignof(void*));
  static_assert(std::is_trivially_destructible_v<gc_ptr<cell>>);
  static_assert(!std::is_trivially_copyable_v<gc_ptr<cell>>);
  static_assert(!std::is_convertible_v<gc_ptr<const cell>, gc_ptr<cell>>);
  static_assert(std::is_nothrow_copy_constructible_v<gc_ptr<cell>> &&
                std::is_nothrow_copy_assignable_v<gc_ptr<cell>>);
}

TEST(GcPtr, ListsAreEditedThroughAPointerToAPointer) {
  gc_ptr<cell> head = make_list(0, 100);
  for (gc_ptr<cell>* p = &head; *p;) {
    if ((*p)->id % 3 == 0) *p = (*p)->next;
    else p = &(*p)->next;
  }
  collect_and_reuse();
  std::uint64_t expected = 1;
  std::size_t n = 0;
  for (cell* c = head; c != nullptr; c = c->next, ++n) {
    ASSERT_TRUE(c->is(expected));
    expected += expected % 3 == 1 ? 1 : 2;
  }
  EXPECT_EQ(n, 66u);
}

TEST(GcPtr, WorksAsAKeyOfContainers) {
  root<cell> first = make_list(0, 50);  // the containers lie in malloc memory: the list itself keeps its cells
  std::unordered_set<gc_ptr<cell>> set;
  std::map<gc_ptr<cell>, std::uint64_t> map;
  for (cell* c = first; c != nullptr; c = c->next) {
    set.insert(c);
    map[c] = c->id;
  }
  collect_and_reuse();
  for (cell* c = first; c != nullptr; c = c->next) {
    EXPECT_EQ(set.count(c), 1u);
    EXPECT_EQ(map.at(c), c->id);
  }
}

TEST(GcPtr, IteratesAsARandomAccessIterator) {
  auto row = cairn::make_gc_array<int>(1000);
  gc_ptr<int> first = row.data();
  for (int i = 0; i < 1000; ++i) first[i] = static_cast<int>(mix(static_cast<std::uint64_t>(i)) % 10000);
  std::sort(first, first + 1000);
  EXPECT_TRUE(std::is_sorted(first.get(), first.get() + 1000));
  EXPECT_TRUE(gc_ptr<int>::pointer_to(row[3]) == first + 3);
}

TEST(GcPtr, ToVoidKeepsTheObject) {
  gc_ptr<void> untyped;
  [&]() __attribute__((noinline)) { untyped = make_cell(12); }
  ();
  collect_and_reuse();
  EXPECT_TRUE(static_cast<cell*>(untyped.get())->is(12));
  EXPECT_TRUE(cairn::static_pointer_cast<cell>(untyped)->is(12));
}

TEST(GcPtr, CapturedByALambdaOnTheStackKeepsTheObject) {
  gc_ptr<cell> p = make_cell(4);
  auto f = [p] { return p->is(4); };
  p = nullptr;
  collect_and_reuse();
  EXPECT_TRUE(f());
}

// A slot is written over and over while others collect: the barrier in all its states.
TEST(GcPtr, StoresWhileOthersCollect) {
  root<cell> holder = make_cell(0);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  for (std::uint64_t i = 1; i < 200000; ++i) {
    holder->next = make_cell(i, i % 100 == 0 ? nullptr : holder->next.get());
    ASSERT_TRUE(holder->next->is(i));
    if (i % 100 == 99) {
      std::uint64_t expected = i;
      for (cell* c = holder->next; c != nullptr; c = c->next) ASSERT_TRUE(c->is(expected--));
    }
  }
  stop.store(true);
  collector.join();
}

}  // namespace
