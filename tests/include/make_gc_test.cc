// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// make_gc: construction of every kind of type, alignment, zeroed memory, exceptions; unique_gc; destroy().
#include "cairn/make_gc.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "cairn/cleanup.h"
#include "cairn/gc_ptr.h"
#include "cairn/unique_gc.h"

namespace {

using cairn::gc_ptr;
using cairn::make_gc;

struct aggregate {
  int a;
  gc_ptr<aggregate> p;
  int b;
};
class with_constructor {
 public:
  with_constructor(int v, gc_ptr<aggregate> p) : v_(v), p_(std::move(p)) {}
  int v() const { return v_; }
  aggregate* p() const { return p_; }

 private:
  int v_;
  gc_ptr<aggregate> p_;
};
class leaves_members_alone {
 public:
  leaves_members_alone() {}
  std::uint64_t words[5];
};

TEST(MakeGc, TakesParenthesesAndBraces) {
  aggregate* a = make_gc<aggregate>();
  EXPECT_TRUE(a->a == 0 && a->p == nullptr && a->b == 0);
  aggregate* b = make_gc<aggregate>(1, a);
  EXPECT_TRUE(b->a == 1 && b->p == a && b->b == 0);
  aggregate* c = make_gc<aggregate>(1, a, 3);
  EXPECT_EQ(c->b, 3);
  with_constructor* d = make_gc<with_constructor>(4, b);
  EXPECT_TRUE(d->v() == 4 && d->p() == b);
  std::string* s = make_gc<std::string>(40, 'x');
  EXPECT_EQ(*s, std::string(40, 'x'));
  const aggregate* e = make_gc<const aggregate>(9, nullptr, 8);
  EXPECT_EQ(e->b, 8);
  auto* moved = make_gc<std::unique_ptr<int>>(std::make_unique<int>(3)).get();
  EXPECT_EQ(**moved, 3);
}

TEST(MakeGc, StartsFromZeroes) {
  for (int i = 0; i < 2000; ++i) {
    leaves_members_alone* p = make_gc<leaves_members_alone>();
    for (const std::uint64_t w : p->words) ASSERT_EQ(w, 0u);
    std::memset(static_cast<void*>(p), 0xff, sizeof *p);
  }
}

template <std::size_t Align>
struct alignas(Align) aligned {
  char c;
};
template <std::size_t Align>
void expect_aligned() {
  for (int i = 0; i < 20; ++i) {
    aligned<Align>* p = make_gc<aligned<Align>>();
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % Align, 0u) << Align;
    auto s = cairn::make_gc_array<aligned<Align>>(3);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(s.data()) % Align, 0u) << Align;
  }
}
TEST(MakeGc, HonoursAlignment) {
  expect_aligned<1>();
  expect_aligned<2>();
  expect_aligned<8>();
  expect_aligned<16>();
  expect_aligned<64>();
  expect_aligned<256>();
  expect_aligned<4096>();
}

TEST(MakeGc, GivesTinyObjectsWordsOfTheirOwn) {
  std::uint16_t* p[200];
  for (std::uint16_t i = 0; i < 200; ++i) {
    p[i] = make_gc<std::uint16_t>(i);
    make_gc<char>('x');
    make_gc<std::uint64_t>(~std::uint64_t{0});
  }
  for (std::uint16_t i = 0; i < 200; ++i) {
    ASSERT_EQ(*p[i], i);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p[i]) % 2, 0u);
  }
}

TEST(MakeGc, MakesLargeObjects) {
  struct large {
    gc_ptr<aggregate> first;
    char bytes[100000];
    gc_ptr<aggregate> last;
  };
  large* p = make_gc<large>();
  EXPECT_TRUE(p->first == nullptr && p->last == nullptr && p->bytes[99999] == 0);
  p->last = make_gc<aggregate>(5, nullptr, 6);
  EXPECT_EQ(p->last->b, 6);
}

struct throws {
  explicit throws(bool b) {
    if (b) throw std::runtime_error("as asked");
  }
  ~throws() { ++destroyed; }
  static inline int destroyed = 0;
};
TEST(MakeGc, PassesOnWhatAConstructorThrows) {
  throws::destroyed = 0;
  EXPECT_THROW(make_gc<throws>(true), std::runtime_error);
  EXPECT_THROW(cairn::make_unique_gc<throws>(true), std::runtime_error);
  EXPECT_EQ(throws::destroyed, 0);
}

TEST(Destroy, RunsTheDestructorOnce) {
  throws::destroyed = 0;
  gc_ptr<throws> p = make_gc<throws>(false);
  cairn::destroy(p);
  EXPECT_EQ(throws::destroyed, 1);
  cairn::destroy(p.get());
  EXPECT_EQ(throws::destroyed, 1);
  cairn::destroy(gc_ptr<throws>());
  cairn::destroy(make_gc<aggregate>());
  cairn::destroy(make_gc<aggregate>().get());
}

struct counted {
  static inline int alive = 0;
  counted() { ++alive; }
  ~counted() { --alive; }
};
TEST(Destroy, DestroysAWholeArray) {
  counted::alive = 0;
  auto s = cairn::make_gc_array<counted>(9);
  EXPECT_EQ(counted::alive, 9);
  cairn::destroy(s.data());
  EXPECT_EQ(counted::alive, 0);
}

TEST(UniqueGc, DestroysAtItsEnd) {
  counted::alive = 0;
  {
    auto a = cairn::make_unique_gc<counted>();
    auto b = std::move(a);
    EXPECT_FALSE(a);
    EXPECT_TRUE(b);
    EXPECT_EQ(counted::alive, 1);
    a = std::move(b);
    EXPECT_EQ(counted::alive, 1);
    a = cairn::make_unique_gc<counted>();
    EXPECT_EQ(counted::alive, 1);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(UniqueGc, GivesItsObjectAway) {
  counted::alive = 0;
  gc_ptr<counted> shared;
  {
    auto a = cairn::make_unique_gc<counted>();
    counted* const object = a.get();
    shared = a.share();
    EXPECT_TRUE(shared == object && !a);
  }
  EXPECT_EQ(counted::alive, 1);
  cairn::destroy(shared);
  EXPECT_EQ(counted::alive, 0);
}

TEST(UniqueGc, OwnsSmallPointerFreeObjects) {
  for (int i = 0; i < 1000; ++i) {
    auto a = cairn::make_unique_gc<int>(i);
    auto b = cairn::make_unique_gc<int>(-i);
    ASSERT_EQ(*a + *b, 0);
    b.reset();
    ASSERT_EQ(*a, i);
  }
}

}  // namespace
