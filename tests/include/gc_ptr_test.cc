// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_ptr and root: what the compiler knows of them, conversions, comparisons, arithmetic. That they keep objects alive
// is tested in tests/api.
#include "cairn/gc_ptr.h"

#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cairn/allocator.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_slice.h"
#include "cairn/gc_weak.h"
#include "cairn/make_gc.h"
#include "cairn/root.h"
#include "cairn/unique_gc.h"

namespace {

struct base {
  virtual ~base() = default;
  int b = 1;
};
struct second_base {
  virtual ~second_base() = default;
  int s = 2;
};
struct derived : base, second_base {
  int d = 3;
};
struct point {
  int x, y;
};

// ---- compile time ------------------------------------------------------------------------------------------------

template <class P>
constexpr bool behaves_like_a_pointer() {
  static_assert(std::is_nothrow_default_constructible_v<P>);
  static_assert(std::is_copy_constructible_v<P> && std::is_copy_assignable_v<P>);
  static_assert(std::is_nothrow_move_constructible_v<P> && std::is_nothrow_move_assignable_v<P>);
  static_assert(std::is_nothrow_destructible_v<P>);
  static_assert(std::is_constructible_v<bool, P> &&
                !std::is_convertible_v<P, bool> == !std::is_convertible_v<int*, bool>);
  static_assert(std::is_convertible_v<P, typename P::element_type*>);
  static_assert(std::is_convertible_v<typename P::element_type*, P>);
  static_assert(std::is_convertible_v<std::nullptr_t, P>);
  static_assert(std::is_convertible_v<P, void*>);
  static_assert(!std::is_convertible_v<P, long> && !std::is_convertible_v<long, P>);
  return true;
}
static_assert(behaves_like_a_pointer<cairn::gc_ptr<point>>());
static_assert(behaves_like_a_pointer<cairn::root<point>>());

static_assert(sizeof(cairn::gc_ptr<point>) == 8 && alignof(cairn::gc_ptr<point>) == 8);
static_assert(std::is_standard_layout_v<cairn::gc_ptr<point>>);
static_assert(std::is_trivially_destructible_v<cairn::gc_ptr<point>>);
static_assert(!std::is_trivially_copyable_v<cairn::gc_ptr<point>>);
static_assert(std::is_nothrow_copy_constructible_v<cairn::gc_ptr<point>>);
static_assert(sizeof(cairn::root<point>) == 16);
static_assert(sizeof(cairn::gc_weak<point>) == 16 &&
              std::is_nothrow_copy_constructible_v<cairn::gc_weak<point>>);
static_assert(sizeof(cairn::gc_atomic<point>) == 8 && !std::is_copy_constructible_v<cairn::gc_atomic<point>>);
static_assert(sizeof(cairn::gc_slice<point>) == 24 &&
              std::is_trivially_destructible_v<cairn::gc_slice<point>>);
static_assert(!std::is_copy_constructible_v<cairn::unique_gc<point>>);
static_assert(std::is_nothrow_move_constructible_v<cairn::unique_gc<point>>);

template <template <class> class P>
constexpr bool converts_as_pointers_do() {
  static_assert(std::is_convertible_v<P<derived>, P<base>> && !std::is_convertible_v<P<base>, P<derived>>);
  static_assert(std::is_convertible_v<P<point>, P<const point>> &&
                !std::is_convertible_v<P<const point>, P<point>>);
  static_assert(std::is_convertible_v<P<point>, P<void>> && !std::is_convertible_v<P<void>, P<point>>);
  static_assert(!std::is_convertible_v<P<const point>, point*> &&
                std::is_convertible_v<P<const point>, const void*>);
  static_assert(!std::is_convertible_v<P<const point>, void*>);
  static_assert(!std::is_convertible_v<P<point>, P<base>>);
  static_assert(!std::is_assignable_v<P<point>&, P<const point>>);
  return true;
}
static_assert(converts_as_pointers_do<cairn::gc_ptr>());
static_assert(converts_as_pointers_do<cairn::root>());
static_assert(std::is_convertible_v<cairn::gc_ptr<derived>, cairn::root<base>>);
static_assert(std::is_convertible_v<cairn::root<derived>, cairn::gc_ptr<base>>);
static_assert(!std::is_convertible_v<cairn::root<base>, cairn::gc_ptr<derived>>);
static_assert(std::is_convertible_v<cairn::gc_slice<int>, cairn::gc_slice<const int>>);
static_assert(!std::is_convertible_v<cairn::gc_slice<const int>, cairn::gc_slice<int>>);
static_assert(!std::is_convertible_v<cairn::gc_slice<derived>, cairn::gc_slice<base>>);

static_assert(std::random_access_iterator<cairn::gc_ptr<int>>);
static_assert(std::is_same_v<std::pointer_traits<cairn::gc_ptr<int>>::rebind<char>, cairn::gc_ptr<char>>);
static_assert(std::is_same_v<std::pointer_traits<cairn::gc_ptr<int>>::element_type, int>);

constinit cairn::gc_ptr<point> g_constant;
constinit cairn::gc_ptr<point> g_constant_null = nullptr;
constinit thread_local cairn::gc_ptr<point> g_thread_constant;
constinit cairn::gc_slice<point> g_constant_slice;
constinit cairn::gc_atomic<point> g_constant_atomic;

// ---- run time -----------------------------------------------------------------------------------------------------

template <class P>
class PointerTest : public testing::Test {};
struct gc_ptr_kind {
  template <class T>
  using of = cairn::gc_ptr<T>;
};
struct root_kind {
  template <class T>
  using of = cairn::root<T>;
};
using kinds = testing::Types<gc_ptr_kind, root_kind>;
TYPED_TEST_SUITE(PointerTest, kinds);

TYPED_TEST(PointerTest, IsNullUntilItIsAssigned) {
  typename TypeParam::template of<point> p;
  EXPECT_TRUE(p == nullptr);
  EXPECT_FALSE(p);
  EXPECT_EQ(p.get(), nullptr);
  point* n = cairn::make_gc<point>(1, 2);
  p = n;
  EXPECT_TRUE(p != nullptr);
  EXPECT_EQ(p->y, 2);
  EXPECT_EQ((*p).x, 1);
  p = {};
  EXPECT_TRUE(nullptr == p);
}

TYPED_TEST(PointerTest, ComparesWithEveryKindOfPointer) {
  auto s = cairn::make_gc_array<point>(3);
  typename TypeParam::template of<point> a = &s[0], b = &s[1];
  cairn::root<point> r = a.get();
  cairn::gc_ptr<const point> c = a.get();
  EXPECT_TRUE(a == r && r == a && a == c && c == a && a == &s[0] && &s[0] == a);
  EXPECT_TRUE(a != b && b != a && a != nullptr && nullptr != a && a != &s[1] && &s[1] != a);
  EXPECT_TRUE(a < b && b > a && a <= r && r >= a && a < &s[1] && &s[0] < b && c < b);
  EXPECT_EQ(a <=> b, std::strong_ordering::less);
  EXPECT_EQ(&s[1] <=> a, std::strong_ordering::greater);
}

TYPED_TEST(PointerTest, MovesThroughAnArrayAsAPointer) {
  auto s = cairn::make_gc_array<int>(5);
  for (int i = 0; i < 5; ++i) s[static_cast<std::size_t>(i)] = i;
  typename TypeParam::template of<int> p = s.data();
  EXPECT_EQ(p[3], 3);
  EXPECT_EQ(*++p, 1);
  EXPECT_EQ(*p++, 1);
  EXPECT_EQ(*p--, 2);
  EXPECT_EQ(*--p, 0);
  p += 4;
  EXPECT_EQ(*p, 4);
  p -= 2;
  EXPECT_EQ(*p, 2);
  EXPECT_EQ(*(p + 1), 3);
  EXPECT_EQ(*(1 + p), 3);
  EXPECT_EQ(*(p - 1), 1);
  EXPECT_EQ(p - s.data(), 2);
  EXPECT_EQ(s.data() + 5 - p, 3);
}

TYPED_TEST(PointerTest, AdjustsTheAddressOnConversionToABase) {
  typename TypeParam::template of<derived> d = cairn::make_gc<derived>();
  typename TypeParam::template of<second_base> s = d;
  EXPECT_EQ(s->s, 2);
  EXPECT_NE(static_cast<void*>(s.get()), static_cast<void*>(d.get()));
  EXPECT_TRUE(s == d);
  EXPECT_TRUE(static_pointer_cast<derived>(s) == d);
  EXPECT_TRUE(dynamic_pointer_cast<derived>(s) == d);
  typename TypeParam::template of<base> plain = cairn::make_gc<base>();
  EXPECT_TRUE(dynamic_pointer_cast<derived>(plain) == nullptr);
  typename TypeParam::template of<const derived> c = d;
  EXPECT_TRUE(const_pointer_cast<derived>(c) == d);
  s = nullptr;
  s = d;
  EXPECT_EQ(s->s, 2);
}

TYPED_TEST(PointerTest, HashesAsThePlainPointer) {
  using pointer = typename TypeParam::template of<point>;
  point* n = cairn::make_gc<point>();
  EXPECT_EQ(std::hash<pointer>()(n), std::hash<point*>()(n));
  const std::unordered_set<cairn::root<point>> set{pointer(n), pointer(n), pointer()};
  EXPECT_EQ(set.size(), 2u);
}

TYPED_TEST(PointerTest, SurvivesAssignmentToItself) {
  typename TypeParam::template of<point> p = cairn::make_gc<point>(7, 8);
  auto& same = p;
  p = same;
  EXPECT_EQ(p->x, 7);
  p = std::move(same);
  EXPECT_EQ(p->x, 7);
  std::swap(p, same);
  EXPECT_EQ(p->x, 7);
}

TEST(GcPtr, CanWalkAListByTheAddressOfItsLinks) {
  struct node {
    int v;
    cairn::gc_ptr<node> next;
  };
  cairn::gc_ptr<node> head;
  for (int i = 0; i < 4; ++i) head = cairn::make_gc<node>(i, head);
  for (cairn::gc_ptr<node>* p = &head; *p; p = &(*p)->next) {
    if ((*p)->v == 2) {
      *p = (*p)->next;
      break;
    }
  }
  std::vector<int> left;
  for (node* n = head; n != nullptr; n = n->next) left.push_back(n->v);
  EXPECT_EQ(left, (std::vector<int>{3, 1, 0}));
}

TEST(GcPtr, OfStaticsIsNullBeforeAnyInitialiserRuns) {
  EXPECT_TRUE(g_constant == nullptr && g_constant_null == nullptr && g_thread_constant == nullptr);
  EXPECT_TRUE(g_constant_slice.empty() && g_constant_atomic.load() == nullptr);
}

TEST(Root, IsNullAfterItWasMovedFrom) {
  point* n = cairn::make_gc<point>(5, 6);
  cairn::root<point> a = n;
  cairn::root<point> b = std::move(a);
  EXPECT_TRUE(a == nullptr && b == n);
  a = std::move(b);
  EXPECT_TRUE(b == nullptr && a == n);
  a.reset();
  EXPECT_TRUE(a == nullptr);
  a = n;
  cairn::root<point> c = a;
  EXPECT_TRUE(c == n && a == n);
}

TEST(Root, LivesInOrdinaryContainers) {
  std::vector<cairn::root<point>> v;
  for (int i = 0; i < 1000; ++i) v.push_back(cairn::make_gc<point>(i, -i));
  v.erase(v.begin(), v.begin() + 500);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(v[static_cast<std::size_t>(i)]->x, i + 500);
}

}  // namespace
