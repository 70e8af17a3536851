// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What types tell about themselves beside their masks: noscan, zero initialisation, destructors that may be
// skipped, and what may lie in an object.
#include "cairn/layout.h"

#include <gtest/gtest.h>

#include <any>
#include <complex>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "cairn/allocator.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_ptr.h"
#include "cairn/gc_slice.h"
#include "cairn/gc_weak.h"
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
using cairn::detail::is_zero_initialised;

enum class colour { grey };
struct cell {
  std::uint64_t id = 0;
  gc_ptr<cell> next;
};
struct mixed {
  char c;
  gc_ptr<cell> a;
  short s;
  double d;
  gc_ptr<cell> b;
  bool last;
};
struct nothing {};
struct no_default_nothing {
  no_default_nothing() {}
};
struct number_base {
  int x;
};
int some_global;

// ---- noscan --------------------------------------------------------------------------------------------------------

struct numbers {
  int a;
  double b;
  bool c[3][2];
  std::array<char, 7> d;
  std::byte e;
  unsigned f : 3;
  long double g;
  colour h;
  nothing i;
};
struct numbers_and_more {
  numbers n[2];
  std::pair<int, const char> p;
  std::tuple<int, float> t;
  std::optional<double> o;
  std::variant<int, double> v;
  std::atomic<int> a;
  std::string s;
  std::complex<float> c;
  std::chrono::milliseconds m;
};
struct derived_numbers : number_base, nothing {
  int y;
};
struct more_derived_numbers : derived_numbers {
  numbers z[2];
};
struct int_then_pointer {
  int n;
  gc_ptr<cell> p;
};
struct int_then_raw {
  int n;
  cell* p;
};
struct derived_pointer : int_then_pointer {};
struct derived_raw : int_then_raw {};
struct derived_member_pointer : number_base {
  int_then_pointer m;
};
struct derived_member_raw : number_base {
  int_then_raw m;
  int n;
};
struct derived_atomic : number_base {
  gc_atomic<cell> a;
};
class no_pointers {
 public:
  no_pointers() : value_(0) {}

  std::uintptr_t value_;
};
struct holds_no_pointers {
  int n;
  no_pointers p;
};
class owner {
 public:
  ~owner() { ++some_global; }
  gc_ptr<cell> p;
};

}  // namespace

// After the classes, before their use.
template <>
inline constexpr bool cairn::is_noscan<no_pointers> = true;
template <>
inline constexpr bool cairn::skip_destructor<owner> = true;

namespace {

TEST(LayoutNoscan, FollowsFromTheType) {
  static_assert(is_noscan<int> && is_noscan<const volatile double> && is_noscan<colour> && is_noscan<wchar_t>);
  static_assert(is_noscan<numbers> && is_noscan<const numbers> && is_noscan<numbers[3][4]> &&
                is_noscan<nothing>);
  static_assert(is_noscan<numbers_and_more> && is_noscan<std::array<numbers, 3>> &&
                is_noscan<no_default_nothing>);
  static_assert(is_noscan<derived_numbers> && is_noscan<more_derived_numbers>);
  static_assert(is_noscan<void (*)(cell*)> && is_noscan<int cell::*> && is_noscan<std::nullptr_t>);
  static_assert(is_noscan<std::vector<gc_ptr<cell>>> && is_noscan<std::string>);
  static_assert(is_noscan<no_pointers> && is_noscan<const no_pointers[2]> && is_noscan<holds_no_pointers>);
}
TEST(LayoutNoscan, IsNeverSaidOfWhatHasAPointer) {
  static_assert(!is_noscan<gc_ptr<cell>> && !is_noscan<gc_ptr<int>> && !is_noscan<gc_slice<int>>);
  static_assert(!is_noscan<gc_atomic<int>> && !is_noscan<int*> && !is_noscan<const gc_ptr<cell>[2]>);
  static_assert(!is_noscan<cairn::vector<int>> && !is_noscan<std::array<gc_ptr<cell>, 2>>);
  static_assert(!is_noscan<derived_pointer> && !is_noscan<derived_raw> && !is_noscan<derived_member_pointer>);
  static_assert(!is_noscan<derived_member_raw> && !is_noscan<derived_atomic>);
  static_assert(!is_noscan<std::optional<gc_ptr<cell>>> && !is_noscan<std::variant<int, gc_ptr<cell>>>);
  static_assert(!is_noscan<std::tuple<int, gc_ptr<cell>>> && !is_noscan<std::pair<gc_ptr<cell>, int>>);
  static_assert(!is_noscan<std::tuple<int&>> && !is_noscan<std::pair<int&, int>> &&
                !is_noscan<std::atomic<cell*>>);
  static_assert(!is_noscan<std::any> && !is_noscan<std::function<void()>> && !is_noscan<std::shared_ptr<int>>);
  static_assert(!is_noscan<std::basic_string<char, std::char_traits<char>, cairn::gc_allocator<char>>>);
  static_assert(!is_noscan<std::string_view> && !is_noscan<nothing*>);
}

// ---- zero initialisation -------------------------------------------------------------------------------------------

struct plain_zeros {
  int a;
  double b = 0;
  gc_ptr<cell> p = nullptr;
  gc_slice<int> s;
  cell* raw[2];
  unsigned bit : 3;
  std::array<mixed, 2> m;
  const int k;
};
struct one {
  gc_ptr<cell> p;
  int n = 1;
};
struct one_bit {
  unsigned a : 3;
  unsigned b : 3 = 1;
};
struct minus_zero {
  double d = -0.0;
};
struct last_of_many {
  int a[100] = {};
  char s[4] = "ab";
};
struct member_pointer {
  int cell::*m;  // null is -1
};
struct points_to_itself {
  points_to_itself* self = this;
};
struct points_to_global {
  int* p = &some_global;
};
struct handle_to_global {
  gc_ptr<int> p = &some_global;
};
int counted() { return ++some_global; }
struct with_effects {
  int n = counted();
};
struct nested_one {
  int a;
  one inner[2];
};
struct volatile_member {
  volatile int v;
};
struct volatile_one {
  volatile int v = 1;
};
struct enum_with_operator {
  enum class e { zero, one } value = e::one;
  friend constexpr bool operator==(e, e) { return true; }
};
static_assert(enum_with_operator::e::zero == enum_with_operator::e::one);
struct empty_with_destructor {
  ~empty_with_destructor() { ++some_global; }
};
struct zero_base {
  int one = 1;
};
struct derived_one : zero_base {};
struct empty_base_effect {
  empty_base_effect() { ++some_global; }
};
struct derived_effect : empty_base_effect {
  int n;
};
TEST(LayoutZero, IsSaidOfWhatIsAllZeros) {
  static_assert(is_zero_initialised<int> && is_zero_initialised<gc_ptr<cell>> &&
                is_zero_initialised<gc_atomic<cell>>);
  static_assert(is_zero_initialised<gc_slice<int>> && is_zero_initialised<cell*> &&
                is_zero_initialised<colour>);
  static_assert(is_zero_initialised<cell> && is_zero_initialised<mixed>);
  static_assert(is_zero_initialised<plain_zeros> && is_zero_initialised<const plain_zeros>);
  static_assert(is_zero_initialised<std::array<gc_ptr<cell>, 3>> && is_zero_initialised<mixed[2][2]>);
  static_assert(is_zero_initialised<std::pair<int, gc_ptr<cell>>>);
}
TEST(LayoutZero, IsNotSaidOfWhatIsNot) {
  static_assert(!is_zero_initialised<one> && !is_zero_initialised<one_bit> &&
                !is_zero_initialised<minus_zero>);
  static_assert(!is_zero_initialised<last_of_many> && !is_zero_initialised<member_pointer>);
  static_assert(!is_zero_initialised<int cell::*> && !is_zero_initialised<points_to_itself>);
  static_assert(!is_zero_initialised<points_to_global> && !is_zero_initialised<handle_to_global>);
  static_assert(!is_zero_initialised<with_effects> && !is_zero_initialised<nested_one> &&
                !is_zero_initialised<one[2]>);
  static_assert(!is_zero_initialised<std::array<one, 2>> && !is_zero_initialised<std::pair<int, one>> &&
                !is_zero_initialised<volatile_one>);
  static_assert(!is_zero_initialised<enum_with_operator> && !is_zero_initialised<gc_weak<cell>>);
  static_assert(!is_zero_initialised<derived_one> && !is_zero_initialised<derived_effect>);
  static_assert(!is_zero_initialised<std::string>);
}

// ---- destructors ---------------------------------------------------------------------------------------------------

struct with_destructor {
  int n;
  ~with_destructor() { ++some_global; }
};
struct vector_and_destructor {
  cairn::vector<int> v;
  ~vector_and_destructor() { ++some_global; }
};
struct vectors {
  cairn::vector<gc_ptr<cell>> a;
  int n;
  const cairn::vector<int> b[2];
  std::array<cairn::vector<int>, 2> c;
  gc_ptr<cell> p;
};
struct vectors_only {
  cairn::vector<cell> a;
  cairn::vector<cairn::vector<cell>> b;
};
struct vector_and_string {
  cairn::vector<int> v;
  std::string s;
};
struct guard {
  ~guard() { ++some_global; }
};
struct guarded : guard {
  cairn::vector<int> v;
};
struct holds_guarded {
  cairn::vector<int> v;
  empty_with_destructor e;
};
struct assigns {
  cairn::vector<int> v;
  assigns& operator=(const assigns&) { return *this; }
  ~assigns() { ++some_global; }
};
struct moves_only {
  unique_gc<cell> u;
  cairn::vector<int> v;
};
TEST(LayoutDestructor, IsSkippedWhereItOnlyGivesMemoryBack) {
  static_assert(skip_destructor<int> && skip_destructor<cell> && skip_destructor<mixed[2]>);
  static_assert(skip_destructor<cairn::vector<int>> && skip_destructor<const cairn::vector<cell>>);
  static_assert(skip_destructor<cairn::vector<cairn::vector<int>>> && skip_destructor<mixed>);
  static_assert(skip_destructor<vectors_only> && skip_destructor<std::pair<int, cairn::vector<int>>>);
  static_assert(skip_destructor<owner> && skip_destructor<const owner> && skip_destructor<owner[3]>);
  static_assert(skip_destructor<cairn::vector<owner>> && skip_destructor<std::array<owner, 2>>);
  struct simple {
    cairn::vector<int> a;
    std::array<cairn::vector<int>, 2> b;
    owner o;
  };
  static_assert(skip_destructor<simple> && skip_destructor<simple[2]>);
}
TEST(LayoutDestructor, IsNotSkippedElsewhere) {
  static_assert(!skip_destructor<std::string> && !skip_destructor<cairn::vector<std::string>>);
  static_assert(!skip_destructor<with_destructor> && !skip_destructor<with_destructor[2]>);
  static_assert(!skip_destructor<vector_and_destructor> && !skip_destructor<empty_with_destructor>);
  static_assert(!skip_destructor<vector_and_string> && !skip_destructor<guarded> &&
                !skip_destructor<holds_guarded>);
  static_assert(!skip_destructor<assigns> && !skip_destructor<moves_only> && !skip_destructor<root<cell>>);
  static_assert(!skip_destructor<gc_weak<cell>> && !skip_destructor<unique_gc<cell>>);
  static_assert(!skip_destructor<std::pair<int, with_destructor>> && !skip_destructor<std::array<guard, 2>>);
  static_assert(!skip_destructor<std::vector<int>>);
}

// ---- what may be held ----------------------------------------------------------------------------------------------

struct holds_allowed {
  std::variant<int, std::string, root<cell>, cell*> v;
  std::optional<gc_ptr<cell>> o;
  std::any& elsewhere;
};
TEST(LayoutHoldable, WhatMayLieInAnObject) {
  cairn::detail::check_holdable<holds_allowed>();
  cairn::detail::check_holdable<mixed[2][3]>();
  cairn::detail::check_holdable<std::pair<int, std::variant<int, double>>>();
  cairn::detail::check_holdable<const std::array<mixed, 2>>();
  cairn::detail::check_holdable<owner>();
}

}  // namespace
