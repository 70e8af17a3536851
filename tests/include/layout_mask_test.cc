// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Pointer masks of types of every kind, with the truth taken from real objects. That the collector uses them is tested
// in tests/api.
#include "cairn/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <any>
#include <compare>
#include <complex>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>

#include "cairn/allocator.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_ptr.h"
#include "cairn/gc_slice.h"
#include "cairn/gc_weak.h"
#include "cairn/make_gc.h"
#include "cairn/root.h"
#include "cairn/unique_gc.h"

namespace {

using cairn::gc_atomic;
using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::gc_weak;
using cairn::is_noscan;
using cairn::root;
using cairn::skip_destructor;
using cairn::unique_gc;
using cairn::detail::every_word;
using cairn::detail::is_zero_initialised;
using cairn::detail::pointer_mask;
using cairn::detail::repeated_mask;

struct cell {
  std::uint64_t id = 0;
  gc_ptr<cell> next;
};
struct unknown;  // never defined

using places = std::vector<const volatile void*>;

template <class... P>
places at(P&... part) {
  return {static_cast<const volatile void*>(std::addressof(part))...};
}

enum class precision { exact, conservative };

// The mask of T names the words of all `pointers`, which lie in `object`; no others if `exact`, else every word.
template <class T>
void expect_mask(T& object, const places& pointers, precision wanted = precision::exact) {
  static_assert(!is_noscan<T>);
  const auto* const start = reinterpret_cast<const unsigned char*>(std::addressof(object));
  std::uint64_t truth = 0;
  std::vector<std::size_t> offsets;
  for (const volatile void* p : pointers) {
    offsets.push_back(static_cast<std::size_t>(static_cast<const volatile unsigned char*>(p) - start));
    ASSERT_LE(offsets.back() + 8, sizeof(T));
    truth |= std::uint64_t{1} << offsets.back() / 8;
  }
  const std::uint64_t mask = pointer_mask<T>();
  EXPECT_EQ(mask, wanted == precision::exact ? truth : every_word<T>()) << __PRETTY_FUNCTION__;
  EXPECT_EQ(mask & truth, truth) << __PRETTY_FUNCTION__;
  EXPECT_EQ(mask & ~every_word<T>(), 0u);
  EXPECT_EQ(pointer_mask<const T>(), mask);

  // What the collector would see of a copy whose pointers have values of their own.
  std::vector<unsigned char> copy(sizeof(T));
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const std::uint64_t value = 0x7a5e00000000 + i;
    std::memcpy(&copy[offsets[i]], &value, 8);
  }
  std::vector<std::uint64_t> seen;
  for (std::size_t word = 0; word < 64 && word * 8 + 8 <= sizeof(T); ++word) {
    if ((mask >> word & 1) == 0) continue;
    seen.emplace_back();
    std::memcpy(&seen.back(), &copy[word * 8], 8);
  }
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] % 8 != 0) continue;  // nobody finds those
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 0x7a5e00000000 + i), 1)
        << __PRETTY_FUNCTION__ << " pointer " << i;
  }

  for (const std::size_t n : {1u, 2u, 3u, 7u, 20u}) {
    if (n * sizeof(T) > 512) break;
    std::uint64_t repeated = 0;
    for (std::size_t i = 0; i < n; ++i)
      for (const std::size_t offset : offsets) repeated |= std::uint64_t{1} << (i * sizeof(T) + offset) / 8;
    EXPECT_EQ(repeated_mask<T>(n) & repeated, repeated);
    EXPECT_TRUE(wanted != precision::exact || repeated_mask<T>(n) == repeated);
  }
}
template <class T>
void expect_mask(T& object, std::type_identity_t<places (*)(T&)> pointers,
                 precision wanted = precision::exact) {
  expect_mask(object, pointers(object), wanted);
}
template <class T>
void expect_mask(places (*pointers)(T&), precision wanted = precision::exact) {
  T object{};
  expect_mask(object, pointers(object), wanted);
}

// ---- aggregates ----------------------------------------------------------------------------------------------------

struct mixed {
  char c;
  gc_ptr<cell> a;
  short s;
  double d;
  gc_ptr<cell> b;
  bool last;
};
struct nested {
  int before;
  mixed first;
  mixed rest[3];
  gc_ptr<cell> own;
  std::array<mixed, 2> more;
};
struct many_dimensions {
  gc_ptr<cell> a[2][3];
  int numbers[2][2][2];
  std::array<std::array<gc_ptr<cell>, 2>, 2> b;
  std::array<std::pair<int, gc_ptr<cell>>[2], 2> c;
};
TEST(LayoutMask, AggregatesNestAndRepeat) {
  expect_mask<mixed>([](mixed& m) { return at(m.a, m.b); });
  expect_mask<nested>([](nested& n) {
    return at(n.first.a, n.first.b, n.rest[0].a, n.rest[0].b, n.rest[1].a, n.rest[1].b, n.rest[2].a,
              n.rest[2].b, n.own, n.more[0].a, n.more[0].b, n.more[1].a, n.more[1].b);
  });
  expect_mask<many_dimensions>([](many_dimensions& m) {
    return at(m.a[0][0], m.a[0][1], m.a[0][2], m.a[1][0], m.a[1][1], m.a[1][2], m.b[0][0], m.b[0][1],
              m.b[1][0], m.b[1][1], m.c[0][0].second, m.c[0][1].second, m.c[1][0].second, m.c[1][1].second);
  });
}

struct all_handles {
  int n;
  gc_ptr<cell> ptr;
  gc_atomic<cell> atomic;
  gc_slice<int> slice;
  cell* raw;
  const cell* const* raw_to_raw;
  gc_ptr<unknown> incomplete;
  unknown* raw_incomplete;
  gc_ptr<void> nothing;
  gc_ptr<const volatile cell> qualified;
};
struct own_roots {
  root<cell> r;
  gc_ptr<cell> p;
  gc_weak<cell> w;
  unique_gc<cell> u;
};
struct with_vector {
  int n;
  cairn::vector<gc_ptr<cell>> v;
};
TEST(LayoutMask, EveryHandleIsSeenAndRootsAreNot) {
  expect_mask<all_handles>([](all_handles& h) {
    return at(h.ptr, h.atomic, h.slice, h.raw, h.raw_to_raw, h.incomplete, h.raw_incomplete, h.nothing,
              h.qualified);
  });
  expect_mask<own_roots>([](own_roots& o) { return at(o.p); });
  static_assert(is_noscan<root<cell>> && is_noscan<gc_weak<cell>> && is_noscan<unique_gc<cell>>);
  expect_mask<with_vector>([](with_vector& w) {
    auto* const words = reinterpret_cast<std::uint64_t*>(&w.v);
    return at(words[0], words[1], words[2]);
  });
}

struct bits {
  unsigned a : 3;
  unsigned b : 20;
  gc_ptr<cell> first;
  std::uint64_t c : 40;
  std::uint64_t : 0;
  unsigned d : 1;
  int : 7;
  gc_ptr<cell> second;
  bool e : 1;
  const int f : 2;
};
struct nothing {};
struct no_default_nothing {
  no_default_nothing() {}
};
struct empties {
  nothing e1;
  gc_ptr<cell> a;
  [[no_unique_address]] nothing e2;
  gc_ptr<cell> b;
  nothing e3[3];
  [[no_unique_address]] no_default_nothing e4;
  gc_ptr<cell> c;
};
struct tail_base {
  tail_base() {}
  gc_ptr<cell> p;
  char c = 0;
};
struct tail_user {
  [[no_unique_address]] tail_base b;
  char in_tail;
  gc_ptr<cell> q;
};
struct alignas(64) over_aligned {
  gc_ptr<cell> a;
  alignas(32) char c;
  alignas(16) gc_ptr<cell> b;
};
struct qualified {
  const gc_ptr<cell> a;
  mutable gc_ptr<cell> b;
  volatile int c;
  cell* volatile d;
  const std::array<gc_ptr<cell>, 2> e;
  const gc_ptr<cell> f[2];
  const mixed g;
};
struct amp {
  gc_ptr<cell> p;
  void operator&() const = delete;
};
struct overloaded {
  int n;
  amp a;
  void operator&() const = delete;
  void operator,(int) const = delete;
};
struct functions {
  void (*f)(cell*);
  gc_ptr<cell> a;
  int cell::*m;
  gc_ptr<cell> (cell::*g)();
  gc_ptr<cell> b;
  std::nullptr_t n;
};
TEST(LayoutMask, MembersOfAllKinds) {
  expect_mask<bits>([](bits& b) { return at(b.first, b.second); });
  expect_mask<empties>([](empties& e) { return at(e.a, e.b, e.c); });
  expect_mask<over_aligned>([](over_aligned& o) { return at(o.a, o.b); });
  expect_mask<qualified>(
      [](qualified& q) { return at(q.a, q.b, q.d, q.e[0], q.e[1], q.f[0], q.f[1], q.g.a, q.g.b); });
  expect_mask<overloaded>([](overloaded& o) { return at(o.a.p); });
  expect_mask<functions>([](functions& f) { return at(f.a, f.b); });
  tail_user t{};
  EXPECT_EQ(pointer_mask<tail_user>() & 0b101, 0b101u);
  expect_mask(t, at(t.b.p, t.q), sizeof(tail_user) == 24 ? precision::conservative : precision::exact);
}

struct references {
  int n;
  gc_ptr<cell>& r;
  gc_ptr<cell> p;
};
struct const_references {
  const int& r;
  gc_ptr<cell> p;
};
struct rvalue_references {
  gc_ptr<cell> p;
  int&& r;
};
TEST(LayoutMask, ReferencesAreLookedAtConservatively) {
  gc_ptr<cell> other;
  references r{1, other, nullptr};
  expect_mask(r, at(r.p), precision::conservative);
  static const int one = 1;
  const_references c{one, nullptr};
  expect_mask(c, at(c.p), precision::conservative);
  int two = 2;
  rvalue_references v{nullptr, std::move(two)};
  expect_mask(v, at(v.p), precision::conservative);
  static_assert(!is_noscan<const_references> && !is_zero_initialised<const_references>);
}

struct [[gnu::packed]] packed {
  char c;
  cell* p;
  unsigned u : 3;
  int n;
};
struct packed_outer {
  packed a[2];
  gc_ptr<cell> q;
};
#if defined(__clang__)  // g++ refuses to pack a member with constructors
struct [[gnu::packed]] packed_handle {
  char c;
  gc_ptr<cell> p;
  char d;
};
#endif
TEST(LayoutMask, PackedPointers) {
  packed p{};
  const auto* const start = reinterpret_cast<const unsigned char*>(&p);
  expect_mask(p, places{start + 1}, precision::conservative);
  packed_outer o{};
  expect_mask(o, at(o.q),
              pointer_mask<packed_outer>() == every_word<packed_outer>() ? precision::conservative
                                                                         : precision::exact);
  EXPECT_EQ(pointer_mask<packed_outer>() & 0b1111, 0b1111u);
#if defined(__clang__)
  EXPECT_EQ(pointer_mask<packed_handle>(), sizeof(packed_handle) == 24 ? 0b10u : every_word<packed_handle>());
#endif
}

// ---- elements that {} does not initialise --------------------------------------------------------------------------

int some_global;
struct only_explicit {
  explicit only_explicit(int n = 0) : n_(n) {}
  int n_;
};
struct no_default {
  no_default(int) {}
};
struct hidden_first {
  std::strong_ordering o = std::strong_ordering::equal;
  gc_ptr<cell> p;
};
struct hidden_reference {
  int& r = some_global;
  gc_ptr<cell> p;
};
struct hidden_rvalue_reference {
  int x;
  const int&& r = 3;
  gc_ptr<cell> p;
};
struct hidden_middle {
  int x;
  only_explicit e = only_explicit(3);
  gc_ptr<cell> p;
};
struct hidden_later {
  int x;
  gc_ptr<cell> p;
  no_default d = 3;
  int y;
  gc_ptr<cell> q;
};
struct hidden_mutex {
  gc_ptr<cell> p;
  std::mutex m;
  no_default d = 3;
  gc_ptr<cell> q;
};
TEST(LayoutMask, ElementsThatCannotBeCounted) {
  hidden_first f;
  expect_mask(f, at(f.p), precision::conservative);
  hidden_reference r{};
  expect_mask(r, at(r.p), precision::conservative);
  expect_mask<hidden_middle>([](hidden_middle& h) { return at(h.p); }, precision::conservative);
  expect_mask<hidden_later>([](hidden_later& h) { return at(h.p, h.q); }, precision::conservative);
  expect_mask<hidden_mutex>([](hidden_mutex& h) { return at(h.p, h.q); }, precision::conservative);
  static_assert(!is_noscan<hidden_rvalue_reference>);
  EXPECT_EQ(pointer_mask<hidden_rvalue_reference>(), 0b111u);
}

// ---- unions and structs without names ------------------------------------------------------------------------------

struct anonymous_union {
  gc_ptr<cell> a;
  union {
    std::uint64_t n;
    gc_ptr<cell> p;
  };
  int z;
};
struct anonymous_scalar_union {
  union {
    int n;
    float f;
  };
  gc_ptr<cell> p;
};
union named {
  std::uint64_t n = 0;
  gc_ptr<cell> p;
};
struct named_union {
  int x;
  named u;
  int y[4];
  gc_ptr<cell> q;
};
struct vector3 {
  union {
    struct {
      float x, y, z;
    };
    float v[3];
  };
};
struct uses_vector3 {
  vector3 position;
  gc_ptr<cell> p;
  vector3 all[2];
};
struct unnamed_type {
  struct {
    int a;
    gc_ptr<cell> p;
  } inner;
  int n;
};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
struct anonymous_struct {
  struct {
    int a;
    cell* p;
  };
  gc_ptr<cell> q;
};
struct flexible {
  gc_ptr<cell> p;
  int n;
  gc_ptr<cell> more[];
};
struct zero_length {
  int n[0];
  gc_ptr<cell> p;
  gc_ptr<cell> more[0];
};
#pragma GCC diagnostic pop
template <class X>
struct template_of_union {
  X x;
  union {
    int n;
    X y;
  };
};
template <class X>
places in_function_template() {
  struct local {
    union {
      int n;
      X y;
    };
    gc_ptr<cell> p;
  };
  local l{};
  expect_mask(l, at(l.p), precision::conservative);
  return {};
}
TEST(LayoutMask, UnionsAndStructsWithoutNames) {
  expect_mask<anonymous_union>([](anonymous_union& a) { return at(a.a, a.p); }, precision::conservative);
  expect_mask<anonymous_scalar_union>([](anonymous_scalar_union& a) { return at(a.p); },
                                      precision::conservative);
  expect_mask<named>([](named& n) { return at(n.p); });
  expect_mask<named_union>([](named_union& n) { return at(n.u, n.q); });
  expect_mask<anonymous_struct>([](anonymous_struct& a) { return at(a.p, a.q); }, precision::conservative);
  expect_mask<template_of_union<cell*>>([](template_of_union<cell*>& t) { return at(t.x, t.y); });
  in_function_template<char>();
  in_function_template<cell*>();
  // g++ does not tell this from a struct without a name.
  EXPECT_EQ(pointer_mask<unnamed_type>() & 0b010, 0b010u);
  // A nameless union in a member is that member's business.
  uses_vector3 v{};
  const std::uint64_t in_vectors = 0b111011;
  EXPECT_EQ(pointer_mask<uses_vector3>() & ~in_vectors, 0b100u);
  EXPECT_EQ(reinterpret_cast<char*>(&v.p) - reinterpret_cast<char*>(&v), 16);
  EXPECT_NE(pointer_mask<flexible>() & 1, 0u);
  EXPECT_NE(pointer_mask<zero_length>() & 1, 0u);
}

// ---- bases ---------------------------------------------------------------------------------------------------------

struct base {
  int x;
  gc_ptr<cell> in_base;
};
struct second_base {
  gc_ptr<cell> in_second;
};
struct all_in_base : base {};
struct base_and_own : base {
  gc_ptr<cell> own;
};
struct two_bases : base, second_base {
  int n;
  gc_ptr<cell> own;
};
struct deep : two_bases {
  gc_ptr<cell> deepest;
};
struct number_base {
  int x;
};
struct number_base_and_own : number_base {
  gc_ptr<cell> own;
};
struct fixed_base {
  fixed_base() = default;
  fixed_base(fixed_base&&) = delete;
  int x = 0;
  gc_ptr<cell> p;
};
struct atomic_base {
  std::atomic<int> n;
  gc_atomic<cell> a;
};
struct of_fixed_base : fixed_base {
  gc_ptr<cell> own;
};
struct of_atomic_base : atomic_base {
  int n;
};
TEST(LayoutMask, BasesWithMembersAreLookedAtConservatively) {
  expect_mask<all_in_base>([](all_in_base& d) { return at(d.in_base); }, precision::conservative);
  expect_mask<base_and_own>([](base_and_own& d) { return at(d.in_base, d.own); }, precision::conservative);
  expect_mask<two_bases>([](two_bases& d) { return at(d.in_base, d.in_second, d.own); },
                         precision::conservative);
  expect_mask<deep>([](deep& d) { return at(d.in_base, d.in_second, d.own, d.deepest); },
                    precision::conservative);
  expect_mask<number_base_and_own>([](number_base_and_own& d) { return at(d.own); }, precision::conservative);
  expect_mask<of_fixed_base>([](of_fixed_base& d) { return at(d.p, d.own); }, precision::conservative);
  expect_mask<of_atomic_base>([](of_atomic_base& d) { return at(d.a); }, precision::conservative);
}

template <class Self>
struct mixin {
  Self* self() { return static_cast<Self*>(this); }
};
struct second_empty {};
struct empty_base : mixin<empty_base> {
  int n;
  gc_ptr<cell> p;
  unsigned b : 4;
  gc_ptr<cell> q;
};
struct starts_with_nothing {
  nothing e;
  int x;
  gc_ptr<cell> p;
};
struct same_empty_base_and_member : nothing {
  nothing e;
  gc_ptr<cell> p;
};
struct empty_base_and_first : nothing {
  starts_with_nothing s;
  gc_ptr<cell> p;
};
struct only_empty_bases : nothing, second_empty {};
struct uses_bases {
  only_empty_bases e;
  all_in_base b;
  number_base n;
  gc_ptr<cell> p;
};
struct empty_base_and_union : nothing {
  union {
    int n;
    gc_ptr<cell> p;
  };
};
TEST(LayoutMask, EmptyBases) {
  expect_mask<empty_base>([](empty_base& d) { return at(d.p, d.q); });
  expect_mask<same_empty_base_and_member>([](same_empty_base_and_member& d) { return at(d.p); },
                                          precision::conservative);
  expect_mask<empty_base_and_first>([](empty_base_and_first& d) { return at(d.s.p, d.p); },
                                    precision::conservative);
  expect_mask<empty_base_and_union>([](empty_base_and_union& d) { return at(d.p); }, precision::conservative);
  static_assert(is_noscan<only_empty_bases>);
  uses_bases u{};
  EXPECT_EQ(pointer_mask<uses_bases>(), pointer_mask<all_in_base>() << 1 | std::uint64_t{1} << 4);
  EXPECT_EQ(reinterpret_cast<char*>(&u.p) - reinterpret_cast<char*>(&u), 32);
}

// ---- odd members ---------------------------------------------------------------------------------------------------

struct list_constructed {
  list_constructed(std::initializer_list<int>) {}
  gc_ptr<cell> p;
};
struct takes_anything {
  takes_anything() = default;
  template <class X>
  takes_anything(X&&) {}
  gc_ptr<cell> p;
};
struct converts_to_anything {
  gc_ptr<cell> p;
  template <class X>
  operator X() const;
};
struct holds_lists {
  int n;
  list_constructed l;
  gc_ptr<cell> q;
};
struct holds_takers {
  gc_ptr<cell> q;
  takes_anything t;
};
struct holds_converters {
  int n;
  converts_to_anything c;
  gc_ptr<cell> q;
};
struct holds_library {
  std::string name;
  gc_ptr<cell> a;
  std::vector<int> v;
  std::unique_ptr<int> u;
  gc_ptr<cell> b;
  std::mutex m;
  std::atomic<int> count;
  std::atomic<cell*> raw;
  std::thread t;
  gc_ptr<cell> c;
  std::complex<double> z;
  std::chrono::steady_clock::time_point when;
  gc_ptr<cell> d;
};
struct holds_optional {
  int n;
  std::optional<int> i;
  std::variant<int, std::string> v;
  std::tuple<int, char> t;
  gc_ptr<cell> p;
};
struct holds_lambda {
  decltype([] { return 1; }) f;
  gc_ptr<cell> p;
};
TEST(LayoutMask, MembersWithConstructorsOfTheirOwn) {
  holds_lists h{};
  EXPECT_EQ(pointer_mask<holds_lists>(), 0b110u);
  expect_mask(h, at(h.l.p, h.q));
  expect_mask<holds_takers>([](holds_takers& t) { return at(t.q, t.t.p); }, precision::conservative);
  expect_mask<holds_converters>([](holds_converters& c) { return at(c.c.p, c.q); });
  holds_library l{};
  const std::uint64_t known = pointer_mask<holds_library>();
  places expected = at(l.a, l.b, l.c, l.d, l.raw);
  auto* const words = reinterpret_cast<std::uint64_t*>(&l.u);  // classes of which nothing is known
  expected.push_back(words);
  expected.push_back(&l.t);
  for (std::size_t i = 0; i < sizeof(std::mutex) / 8; ++i)
    expected.push_back(reinterpret_cast<std::uint64_t*>(&l.m) + i);
  if (known != every_word<holds_library>()) {
    // The mutex is a union.
    EXPECT_EQ(known >> 4 & 1, 1u);
  }
  expect_mask(l, expected, known == every_word<holds_library>() ? precision::conservative : precision::exact);
  expect_mask<holds_optional>([](holds_optional& o) { return at(o.p); });
  expect_mask<holds_lambda>([](holds_lambda& o) { return at(o.p); });
}

TEST(LayoutMask, PairsTuplesOptionals) {
  using pair = std::pair<int, gc_ptr<cell>>;
  expect_mask<pair>([](pair& p) { return at(p.second); });
  using pairs = std::pair<mixed, std::pair<gc_ptr<cell>, char>>;
  expect_mask<pairs>([](pairs& p) { return at(p.first.a, p.first.b, p.second.first); });
  using tuple = std::tuple<gc_ptr<cell>, char, gc_ptr<cell>>;
  expect_mask<tuple>([](tuple& t) { return at(std::get<0>(t), std::get<2>(t)); }, precision::conservative);
  using optional = std::optional<gc_ptr<cell>>;
  optional o = gc_ptr<cell>();
  expect_mask(o, at(*o), precision::conservative);
  gc_ptr<cell> p;
  std::pair<gc_ptr<cell>&, gc_ptr<cell>> r(p, nullptr);
  expect_mask(r, at(r.second), precision::conservative);
  using array = std::array<gc_ptr<cell>, 5>;
  expect_mask<array>([](array& a) { return at(a[0], a[1], a[2], a[3], a[4]); });
  EXPECT_EQ((pointer_mask<std::array<gc_ptr<cell>, 0>>()), 0u);
}

// get<> of these names other things than the members.
struct with_get {
  int n;
  gc_ptr<cell> p;
  template <std::size_t>
  friend int get(const with_get&) {
    return 0;
  }
};

class hidden {
 public:
  places all() { return at(a_, b_[0], b_[1], c_); }

 private:
  gc_ptr<cell> a_;
  gc_ptr<cell> b_[2];
  std::string text_ = "some text";
  gc_ptr<cell> c_;
};
class virtual_base {
 public:
  virtual ~virtual_base() = default;
  gc_ptr<cell> in_virtual;
};
class left : public virtual virtual_base {
 public:
  gc_ptr<cell> in_left;
};
class diamond : public left, public virtual virtual_base {
 public:
  gc_ptr<cell> own;
};
struct abstract {
  virtual void f() = 0;
  virtual ~abstract() = default;
  gc_ptr<cell> p;
};

}  // namespace

template <>
struct std::tuple_size<with_get> : std::integral_constant<std::size_t, 1> {};
template <>
struct std::tuple_element<0, with_get> {
  using type = int;
};

namespace {

TEST(LayoutMask, ClassesThatShowNothing) {
  expect_mask<with_get>([](with_get& w) { return at(w.p); }, precision::conservative);
  expect_mask<hidden>([](hidden& h) { return h.all(); }, precision::conservative);
  diamond d;
  expect_mask(d, at(d.in_virtual, d.in_left, d.own), precision::conservative);
  static_assert(!is_noscan<abstract> && !skip_destructor<abstract> && !is_zero_initialised<abstract>);
  EXPECT_EQ(pointer_mask<abstract>(), 0b11u);
  gc_ptr<cell> captured;
  auto lambda = [captured, n = 3] { return captured.get() == nullptr ? n : 0; };
  EXPECT_EQ(pointer_mask<decltype(lambda)>(), 0b11u);
  EXPECT_EQ(lambda(), 3);
  static_assert(!is_noscan<decltype(lambda)>);
}

// ---- the end of masks ----------------------------------------------------------------------------------------------

struct exactly_512 {
  gc_ptr<cell> first;
  std::uint64_t numbers[62];
  gc_ptr<cell> last;
};
struct bytes_520 {
  gc_ptr<cell> first;
  std::uint64_t numbers[63];
  gc_ptr<cell> last;
};
struct bytes_504 {
  std::uint64_t numbers[62];
  gc_ptr<cell> last;
};
struct members_32 {
  int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o;
  gc_ptr<cell> p;
  int a1, b1, c1, d1, e1, f1, g1, h1, i1, j1, k1, l1, m1, n1, o1;
  gc_ptr<cell> p1;
};
struct members_33 {
  int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o;
  gc_ptr<cell> p;
  int a1, b1, c1, d1, e1, f1, g1, h1, i1, j1, k1, l1, m1, n1, o1;
  gc_ptr<cell> p1;
  char z;
};
struct members_40 {
  int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, a1, b1, c1, d1, e1, f1,
      g1, h1, i1, j1, k1, l1, m1, n1;
};
TEST(LayoutMask, WhereMasksEnd) {
  static_assert(sizeof(exactly_512) == 512);
  expect_mask<exactly_512>([](exactly_512& e) { return at(e.first, e.last); });
  expect_mask<bytes_504>([](bytes_504& e) { return at(e.last); });
  EXPECT_EQ(pointer_mask<bytes_520>(), ~std::uint64_t{0});
  EXPECT_EQ(pointer_mask<gc_ptr<cell>[64]>(), ~std::uint64_t{0});
  EXPECT_EQ(pointer_mask<gc_ptr<cell>[1000]>(), ~std::uint64_t{0});
  EXPECT_EQ(pointer_mask<mixed[2]>(), repeated_mask<mixed>(2));
  EXPECT_EQ(repeated_mask<gc_ptr<cell>>(64), ~std::uint64_t{0});
  EXPECT_EQ(repeated_mask<gc_ptr<cell>>(63), ~std::uint64_t{0} >> 1);
  EXPECT_EQ(repeated_mask<gc_ptr<cell>>(0), 0u);
  EXPECT_EQ(repeated_mask<bytes_504>(1), pointer_mask<bytes_504>());
  EXPECT_EQ(repeated_mask<int>(100), 0u);
  expect_mask<members_32>([](members_32& m) { return at(m.p, m.p1); });
  expect_mask<members_33>([](members_33& m) { return at(m.p, m.p1); }, precision::conservative);
  static_assert(!is_noscan<members_33> && !is_noscan<members_40>);
}

// ---- CAIRN_GC_FIELDS -----------------------------------------------------------------------------------------------

class listed {
 public:
  listed() : number_(3) {}
  std::uint64_t others() { return number_ + other_; }
  places all() { return at(a_, b_, c_[0], c_[1], c_[2], d_[0][0].a, d_[0][0].b, raw_); }

 private:
  CAIRN_GC_FIELDS(listed, a_, b_, c_, d_, raw_)
  unsigned number_;
  gc_ptr<cell> a_;
  std::uint64_t other_ = 4;
  gc_ptr<cell> b_;
  std::array<gc_ptr<cell>, 3> c_;
  mixed d_[1][1] = {};
  cell* raw_ = nullptr;
};
class derived_unlisted : public listed {
 public:
  gc_ptr<cell> own;
};
class derived_listed : private listed, private virtual_base {
 public:
  places everything() {
    places p = all();
    p.push_back(&in_virtual);
    p.push_back(&own_);
    return p;
  }
  CAIRN_GC_FIELDS(derived_listed, own_)
  CAIRN_GC_BASES(derived_listed, listed, virtual_base)

 private:
  std::string d_;
  gc_ptr<cell> own_;
};
struct abstract_listed {
  virtual void f() = 0;
  virtual ~abstract_listed() = default;
  int n = 0;
  gc_ptr<cell> p;
  CAIRN_GC_FIELDS(abstract_listed, p)
};
class concrete final : public abstract_listed {
 public:
  void f() override {}
  gc_ptr<cell> q;
  std::uint64_t z = 0;
  CAIRN_GC_FIELDS(concrete, q)
  CAIRN_GC_BASES(concrete, abstract_listed)
};
template <class K, class V>
class node_of {
 public:
  node_of() = default;
  node_of* next() { return next_; }
  places all() { return at(next_, value_); }
  CAIRN_GC_FIELDS(node_of, next_, value_, key_)

 private:
  K key_ = {};
  gc_ptr<node_of> next_;
  V value_ = {};
};
struct holds_listed {
  int x;
  listed inner;
  gc_ptr<cell> own;
};
class nothing_listed {
 public:
  nothing_listed() = default;
  CAIRN_GC_FIELDS(nothing_listed)
  std::uintptr_t number_ = 0;
};
TEST(LayoutMask, ListedFields) {
  expect_mask<listed>([](listed& l) { return l.all(); });
  derived_unlisted u;
  places p = u.all();
  p.push_back(&u.own);
  expect_mask(u, p, precision::conservative);
  expect_mask<holds_listed>([](holds_listed& h) {
    places all = h.inner.all();
    all.push_back(&h.own);
    return all;
  });
  node_of<int, gc_ptr<cell>> n;
  expect_mask(n, n.all());
  EXPECT_EQ(n.next(), nullptr);
  EXPECT_EQ(pointer_mask<nothing_listed>(), 0u);
}
TEST(LayoutMask, ListedBases) {
  derived_listed d;
  places p = d.everything();
  // virtual_base lists nothing, so the word before its member, which points to its functions, is looked at too.
  p.push_back(static_cast<const volatile unsigned char*>(p[p.size() - 2]) - 8);
  expect_mask(d, p);
  concrete c;
  expect_mask(c, at(c.p, c.q));
  EXPECT_EQ(pointer_mask<abstract_listed>(), 0b100u);
}

// Recursive types: while the class is read it is incomplete.
struct tree {
  gc_ptr<tree> left, right;
  gc_slice<tree> children;
  cairn::vector<tree> more;
  gc_atomic<tree> shared;
  std::vector<root<tree>> roots;
  gc_weak<tree> parent;
  std::unordered_map<int, root<tree>> names;
  gc_ptr<tree> find(int n) { return n == 0 ? left : more.empty() ? right : more.front().find(n - 1); }
};
TEST(LayoutMask, RecursiveTypes) {
  tree t{};
  expect_mask(t, [](tree& o) {
    places p = at(o.left, o.right, o.children, o.shared);
    for (std::size_t i = 0; i < 3; ++i) p.push_back(reinterpret_cast<std::uint64_t*>(&o.more) + i);
    for (std::size_t i = 0; i < sizeof(o.names) / 8; ++i)
      p.push_back(reinterpret_cast<std::uint64_t*>(&o.names) + i);
    return p;
  }(t));
  EXPECT_EQ(t.find(0), nullptr);
  struct local {
    int n;
    gc_ptr<local> next;
  };
  expect_mask<local>([](local& l) { return at(l.next); });
}

// What else is said of the types above.
TEST(LayoutMask, TypesOfUnknownShapeAreNeitherNoscanNorZero) {
  static_assert(!is_noscan<vector3> && !is_noscan<named> && !is_noscan<with_get> && !is_noscan<flexible>);
  static_assert(!is_noscan<packed> && !is_noscan<all_in_base> && !is_noscan<of_fixed_base> &&
                !is_noscan<of_atomic_base>);
  static_assert(is_zero_initialised<nested> && is_zero_initialised<many_dimensions> &&
                is_zero_initialised<exactly_512>);
  static_assert(!is_zero_initialised<hidden_first> && !is_zero_initialised<hidden_reference>);
  static_assert(!is_zero_initialised<hidden_middle> && !is_zero_initialised<anonymous_union>);
  static_assert(!is_zero_initialised<with_get> && !is_zero_initialised<hidden> &&
                !is_zero_initialised<all_in_base>);
  static_assert(skip_destructor<with_vector> && !skip_destructor<own_roots> && !skip_destructor<virtual_base>);
  static_assert(!skip_destructor<holds_library> && skip_destructor<hidden_later>);
}

// ---- random layouts ------------------------------------------------------------------------------------------------

// Ten members of random types; the seed is part of the type, so the layouts are the same in every run.
template <std::uint64_t seed, int i>
struct random_member {
  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }
  using choices = std::tuple<char, gc_ptr<cell>, short, int, gc_slice<char>, double, mixed, std::array<char, 3>,
                             cell*, nothing, gc_ptr<cell>[2], std::pair<char, gc_ptr<int>>, long double, base>;
  using type = std::tuple_element_t<mix(seed * 100 + i) % std::tuple_size_v<choices>, choices>;
};
template <std::uint64_t seed>
struct random_layout {
  typename random_member<seed, 0>::type m0;
  typename random_member<seed, 1>::type m1;
  typename random_member<seed, 2>::type m2;
  typename random_member<seed, 3>::type m3;
  typename random_member<seed, 4>::type m4;
  typename random_member<seed, 5>::type m5;
  typename random_member<seed, 6>::type m6;
  typename random_member<seed, 7>::type m7;
  typename random_member<seed, 8>::type m8;
  typename random_member<seed, 9>::type m9;
};

void add_pointers(places&, nothing&) {}
template <class T>
requires std::is_arithmetic_v<T>
void add_pointers(places&, T&) {}
void add_pointers(places&, std::array<char, 3>&) {}
template <class T>
void add_pointers(places& all, gc_ptr<T>& p) {
  all.push_back(&p);
}
void add_pointers(places& all, cell*& p) { all.push_back(&p); }
void add_pointers(places& all, gc_slice<char>& s) { all.push_back(&s); }
void add_pointers(places& all, mixed& m) {
  all.push_back(&m.a);
  all.push_back(&m.b);
}
void add_pointers(places& all, base& b) { all.push_back(&b.in_base); }
void add_pointers(places& all, gc_ptr<cell> (&a)[2]) {
  all.push_back(&a[0]);
  all.push_back(&a[1]);
}
void add_pointers(places& all, std::pair<char, gc_ptr<int>>& p) { all.push_back(&p.second); }

template <std::uint64_t seed>
void expect_random_mask() {
  using layout = random_layout<seed>;
  layout o{};
  places all;
  [&all](auto&... member) { (add_pointers(all, member), ...); }(o.m0, o.m1, o.m2, o.m3, o.m4, o.m5, o.m6,
                                                                o.m7, o.m8, o.m9);
  if constexpr (is_noscan<layout>) EXPECT_TRUE(all.empty());
  else expect_mask(o, all);
  EXPECT_TRUE(is_zero_initialised<layout>);
}
template <std::uint64_t... seed>
void expect_random_masks(std::integer_sequence<std::uint64_t, seed...>) {
  (expect_random_mask<seed>(), ...);
}
TEST(LayoutMask, RandomLayouts) { expect_random_masks(std::make_integer_sequence<std::uint64_t, 40>()); }

}  // namespace
