// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Layouts: whatever a type looks like, every managed pointer in it keeps its object, and what is declared to
// be no pointer keeps nothing.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;

using slots = std::vector<gc_ptr<cell>*>;

// Fills every slot of an object of type T, of an array of T, and of a vector's T with cells, collects,
// compares; then clears the slots one by one and sees each cell die.
template <class T>
void expect_kept(slots (*slots_of)(T&)) {
  constexpr std::size_t n = 20;
  root<T> single;
  cairn::gc_slice<T> array;  // on this stack
  std::vector<cairn::gc_weak<cell>> weak;
  apart([&] { single = make_gc<T>(); });
  [&]() __attribute__((noinline)) {
    array = cairn::make_gc_array<T>(n);
    std::uint64_t id = 1000;
    for (T& element : array)
      for (gc_ptr<cell>* p : slots_of(element)) *p = make_list(id++, 2);
  }
  ();
  apart([&] {
    std::uint64_t id = 0;
    for (gc_ptr<cell>* p : slots_of(*single)) {
      *p = make_list(id++, 2);
      weak.emplace_back(*p);
    }
  });
  for (int round = 0; round < 3; ++round) {
    collect_and_reuse();
    std::uint64_t id = 0;
    for (gc_ptr<cell>* p : slots_of(*single)) {
      ASSERT_TRUE(is_list(*p, id, 2)) << "slot " << id;
      ++id;
    }
    id = 1000;
    for (T& element : array)
      for (gc_ptr<cell>* p : slots_of(element)) {
        ASSERT_TRUE(is_list(*p, id, 2)) << "slot " << id - 1000;
        ++id;
      }
  }
  for (std::size_t i = 0; i < weak.size(); ++i) {
    apart([&] { *slots_of(*single)[i] = nullptr; });
    ASSERT_TRUE(dies(weak[i])) << "slot " << i;
  }
}

struct mixed {
  char c;
  gc_ptr<cell> a;
  short s;
  double d;
  gc_ptr<cell> b;
  bool last;
};
TEST(Layout, AggregateOfMixedMembers) {
  expect_kept<mixed>([](mixed& m) { return slots{&m.a, &m.b}; });
}

struct outer {
  int before;
  mixed first;
  mixed rest[3];
  gc_ptr<cell> own;
  std::array<mixed, 2> more;
};
TEST(Layout, NestedAggregatesAndArrays) {
  expect_kept<outer>([](outer& o) {
    slots all{&o.own};
    for (mixed* m : {&o.first, &o.rest[0], &o.rest[1], &o.rest[2], &o.more[0], &o.more[1]}) {
      all.push_back(&m->a);
      all.push_back(&m->b);
    }
    return all;
  });
}

struct plain_base {
  std::uint64_t x;
  gc_ptr<cell> in_base;
};
struct second_base {
  gc_ptr<cell> in_second;
};
struct aggregate_with_bases : plain_base, second_base {
  gc_ptr<cell> own;
};
TEST(Layout, AggregateWithBases) {
  expect_kept<aggregate_with_bases>([](aggregate_with_bases& a) {
    return slots{&a.in_base, &a.in_second, &a.own};
  });
}

struct with_bits {
  unsigned a : 3;
  unsigned b : 20;
  gc_ptr<cell> first;
  std::uint64_t c : 40;
  std::uint64_t : 0;
  unsigned d : 1;
  gc_ptr<cell> second;
};
TEST(Layout, BitFields) {
  expect_kept<with_bits>([](with_bits& w) { return slots{&w.first, &w.second}; });
}

struct nothing {};
struct with_empty {
  nothing e1;
  gc_ptr<cell> a;
  [[no_unique_address]] nothing e2;
  gc_ptr<cell> b;
  nothing e3[3];
  gc_ptr<cell> c;
};
TEST(Layout, EmptyMembers) {
  expect_kept<with_empty>([](with_empty& w) { return slots{&w.a, &w.b, &w.c}; });
}

struct with_defaults {
  int x = 4;
  gc_ptr<cell> a = nullptr;
  std::uint64_t y[3] = {1, 2, 3};
  gc_ptr<cell> b;
};
TEST(Layout, DefaultMemberInitialisers) {
  expect_kept<with_defaults>([](with_defaults& w) { return slots{&w.a, &w.b}; });
}

struct alignas(64) over_aligned {
  gc_ptr<cell> a;
  alignas(32) char c;
  gc_ptr<cell> b;
};
TEST(Layout, OverAlignedMembers) {
  expect_kept<over_aligned>([](over_aligned& w) { return slots{&w.a, &w.b}; });
}

// Twenty members: more than a handful of cases of structured bindings.
struct wide {
  gc_ptr<cell> a;
  int b;
  gc_ptr<cell> c;
  char d;
  gc_ptr<cell> e;
  double f;
  gc_ptr<cell> g;
  short h;
  gc_ptr<cell> i;
  int j, k, l, m, n, o, p, q, r;
  gc_ptr<cell> s;
  std::uint64_t t, u, v, w, x;
  gc_ptr<cell> y;
  bool z;
};
TEST(Layout, ManyMembers) {
  expect_kept<wide>([](wide& w) { return slots{&w.a, &w.c, &w.e, &w.g, &w.i, &w.s, &w.y}; });
}

struct exactly_512 {
  gc_ptr<cell> first;
  std::uint64_t words[62];
  gc_ptr<cell> last;
};
struct more_than_512 {
  gc_ptr<cell> first;
  std::uint64_t words[63];
  gc_ptr<cell> last;
};
struct of_pages {
  gc_ptr<cell> first;
  std::uint64_t words[2000];
  gc_ptr<cell> middle;
  std::uint64_t more[9000];
  gc_ptr<cell> last;
};
TEST(Layout, AroundTheSizeWhereMasksEnd) {
  static_assert(sizeof(exactly_512) == 512);
  expect_kept<exactly_512>([](exactly_512& w) { return slots{&w.first, &w.last}; });
  expect_kept<more_than_512>([](more_than_512& w) { return slots{&w.first, &w.last}; });
  expect_kept<of_pages>([](of_pages& w) { return slots{&w.first, &w.middle, &w.last}; });
}

TEST(Layout, StandardPairsTuplesAndArrays) {
  using pair = std::pair<int, gc_ptr<cell>>;
  expect_kept<pair>([](pair& p) { return slots{&p.second}; });
  using tuple = std::tuple<gc_ptr<cell>, char, gc_ptr<cell>>;
  expect_kept<tuple>([](tuple& t) { return slots{&std::get<0>(t), &std::get<2>(t)}; });
  using array = std::array<gc_ptr<cell>, 5>;
  expect_kept<array>([](array& a) { return slots{&a[0], &a[1], &a[2], &a[3], &a[4]}; });
}

class hidden {
 public:
  slots all() { return {&a_, &b_[0], &b_[1], &c_}; }

 private:
  [[maybe_unused]] char x_ = 1;
  gc_ptr<cell> a_;
  [[maybe_unused]] std::uint64_t y_ = 2;
  gc_ptr<cell> b_[2];
  std::string text_ = "some text";
  gc_ptr<cell> c_;
};
TEST(Layout, ClassesThatShowNothing) {
  expect_kept<hidden>([](hidden& h) { return h.all(); });
}

class virtual_base {
 public:
  virtual ~virtual_base() = default;
  gc_ptr<cell> in_virtual;
};
class left : public virtual virtual_base {
 public:
  gc_ptr<cell> in_left;
};
class right : public virtual virtual_base {
 public:
  gc_ptr<cell> in_right;
};
class diamond : public left, public right {
 public:
  gc_ptr<cell> own;
};
TEST(Layout, VirtualBases) {
  expect_kept<diamond>([](diamond& d) { return slots{&d.in_virtual, &d.in_left, &d.in_right, &d.own}; });
}

class listed {
 public:
  listed() : number_(3) {}
  slots all() { return {&a_, &b_, &c_[0], &c_[1], &c_[2]}; }
  CAIRN_GC_FIELDS(listed, a_, b_, c_)

 private:
  [[maybe_unused]] int number_;
  gc_ptr<cell> a_;
  [[maybe_unused]] std::uint64_t other_ = 4;
  gc_ptr<cell> b_;
  std::array<gc_ptr<cell>, 3> c_;
};
TEST(Layout, ListedFields) {
  expect_kept<listed>([](listed& l) { return l.all(); });
}

struct listed_base {
  virtual ~listed_base() = default;
  gc_ptr<cell> in_base;
  CAIRN_GC_FIELDS(listed_base, in_base)
};
class listed_derived : public listed_base, public listed {
 public:
  slots everything() {
    slots s = all();
    s.push_back(&in_base);
    s.push_back(&own_);
    return s;
  }
  CAIRN_GC_FIELDS(listed_derived, own_)
  CAIRN_GC_BASES(listed_derived, listed_base, listed)

 private:
  [[maybe_unused]] double d_ = 1;
  gc_ptr<cell> own_;
};
TEST(Layout, ListedFieldsAndBases) {
  expect_kept<listed_derived>([](listed_derived& l) { return l.everything(); });
}

struct holds_listed {
  int x;
  listed inner;
  gc_ptr<cell> own;
};
TEST(Layout, AggregateOfClassesWithListedFields) {
  expect_kept<holds_listed>([](holds_listed& h) {
    slots s = h.inner.all();
    s.push_back(&h.own);
    return s;
  });
}

// Objects of several types share a span: each must be looked at as what it is.
TEST(Layout, TypesOfOneSizeMixInASpan) {
  struct front {
    gc_ptr<cell> p;
    std::uint64_t n[3];
  };
  struct back {
    std::uint64_t n[3];
    gc_ptr<cell> p;
  };
  std::vector<root<front>> fronts;
  std::vector<root<back>> backs;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    // At first only one type lives in the span.
    fronts.emplace_back(make_gc<front>(make_cell(i)));
    if (i >= 1500) {
      backs.emplace_back(make_gc<back>());
      backs.back()->p = make_cell(i);
    }
  }
  collect_and_reuse();
  for (std::uint64_t i = 0; i < 3000; ++i) ASSERT_TRUE(fronts[i]->p->is(i));
  for (std::uint64_t i = 0; i < 1500; ++i) ASSERT_TRUE(backs[i]->p->is(i + 1500));
}

// ---- what keeps nothing -----------------------------------------------------------------------------------

TEST(Layout, NumbersKeepNothing) {
  struct numbers {
    std::uintptr_t address[8];
  };
  static_assert(cairn::is_noscan<std::uintptr_t>);
  root<numbers> holder = make_gc<numbers>();
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    for (auto& a : holder->address) a = reinterpret_cast<std::uintptr_t>(c);
  });
  EXPECT_TRUE(dies(weak));
  EXPECT_NE(holder->address[7], 0u);
}

TEST(Layout, BytesKeepNothing) {
  cairn::gc_slice<std::byte> bytes = cairn::make_gc_bytes(1000);
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    for (std::size_t i = 0; i + 8 <= 1000; i += 8) *reinterpret_cast<cell**>(&bytes[i]) = c;
  });
  EXPECT_TRUE(dies(weak));
}

// A number beside a pointer is not one, where the layout is known.
TEST(Layout, NumbersBesidePointersOfAnAggregateKeepNothing) {
  struct unusual {  // 416 bytes: nothing else of this class is made here
    gc_ptr<cell> pointer;
    std::uintptr_t numbers[51];
  };
  root<unusual> holder = make_gc<unusual>();
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    for (auto& n : holder->numbers) n = reinterpret_cast<std::uintptr_t>(c);
  });
  EXPECT_TRUE(dies(weak));
}

class declared_noscan {
 public:
  declared_noscan() : value_(0) {}
  void hide(void* p) { value_ = reinterpret_cast<std::uintptr_t>(p); }

 private:
  std::uintptr_t value_;
  [[maybe_unused]] char text_[48] = {};
};

}  // namespace

template <>
inline constexpr bool cairn::is_noscan<declared_noscan> = true;

namespace {

TEST(Layout, ClassesDeclaredNoscanKeepNothing) {
  root<declared_noscan> holder = make_gc<declared_noscan>();
  cairn::gc_slice<declared_noscan> array = cairn::make_gc_array<declared_noscan>(10);
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    holder->hide(c);
    for (auto& element : array) element.hide(c);
  });
  EXPECT_TRUE(dies(weak));
}

// Aggregates of numbers have no pointers either, however they are nested.
TEST(Layout, AggregatesOfNumbersKeepNothing) {
  struct point {
    std::uintptr_t x, y;
  };
  struct segment {
    point ends[2];
    std::array<point, 3> more;
    int colour;
  };
  static_assert(cairn::is_noscan<int> && cairn::is_noscan<double> && cairn::is_noscan<std::byte>);
  static_assert(!cairn::is_noscan<cell> && !cairn::is_noscan<mixed> && !cairn::is_noscan<hidden>);
  root<segment> single = make_gc<segment>();
  cairn::gc_slice<segment> array = cairn::make_gc_array<segment>(50);
  cairn::gc_weak<cell> weak;
  apart([&] {
    cell* c = make_cell(1);
    weak = c;
    single->ends[1].y = single->more[2].x = reinterpret_cast<std::uintptr_t>(c);
    for (auto& s : array) s = *single;
  });
  EXPECT_TRUE(dies(weak));
}

}  // namespace
