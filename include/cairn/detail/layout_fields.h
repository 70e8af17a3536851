// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The fields of an aggregate, case by case for up to 32: C++20 can neither expand a pack of `{}` nor bind a
// number of names that is not written down. Written by gen_layout_fields.py beside it: do not edit.
#pragma once

namespace cairn::detail {

inline constexpr int k_most_fields = 32;

template <class... F>
struct type_list {};

// T can be made from n `{}`.
template <class T, int n>
consteval bool made_from() {
  // clang-format off
  if constexpr (n == 0) return requires { T{}; };
  else if constexpr (n == 1) return requires { T{{}}; };
  else if constexpr (n == 2) return requires { T{{},{}}; };
  else if constexpr (n == 3) return requires { T{{},{},{}}; };
  else if constexpr (n == 4) return requires { T{{},{},{},{}}; };
  else if constexpr (n == 5) return requires { T{{},{},{},{},{}}; };
  else if constexpr (n == 6) return requires { T{{},{},{},{},{},{}}; };
  else if constexpr (n == 7) return requires { T{{},{},{},{},{},{},{}}; };
  else if constexpr (n == 8) return requires { T{{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 9) return requires { T{{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 10) return requires { T{{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 11) return requires { T{{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 12) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 13) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 14) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 15) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 16) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 17) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 18) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 19) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 20) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 21) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 22) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 23) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 24) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 25) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 26) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 27) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 28) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 29) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 30) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 31) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 32) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  else if constexpr (n == 33) return requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}}; };
  // clang-format on
}

// Brace elements of T (bases and members; an array is one): the most `{}` that T can be made from. -1: T cannot be made
// from `{}` at all. More than k_most_fields: too many. An element that `{}` does not initialise ends the count early,
// if it and those after it have initialisers of their own.
template <class T, int n = 0, bool found = false>
consteval int count_elements() {
  if constexpr (made_from<T, n>()) {
    if constexpr (n > k_most_fields) return n;
    else return count_elements<T, n + 1, true>();
  } else if constexpr (found) {
    return n - 1;
  } else if constexpr (n > k_most_fields) {
    return -1;
  } else {
    return count_elements<T, n + 1, false>();
  }
}

// Brace element i of T can be made from a Probe, those before it from `{}`.
template <class T, class Probe, int i>
consteval bool element_takes() {
  // clang-format off
  if constexpr (i == 0) return requires(Probe& p) { T{p}; };
  else if constexpr (i == 1) return requires(Probe& p) { T{{},p}; };
  else if constexpr (i == 2) return requires(Probe& p) { T{{},{},p}; };
  else if constexpr (i == 3) return requires(Probe& p) { T{{},{},{},p}; };
  else if constexpr (i == 4) return requires(Probe& p) { T{{},{},{},{},p}; };
  else if constexpr (i == 5) return requires(Probe& p) { T{{},{},{},{},{},p}; };
  else if constexpr (i == 6) return requires(Probe& p) { T{{},{},{},{},{},{},p}; };
  else if constexpr (i == 7) return requires(Probe& p) { T{{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 8) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 9) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 10) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 11) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 12) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 13) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 14) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 15) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 16) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 17) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 18) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 19) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 20) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 21) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 22) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 23) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 24) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 25) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 26) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 27) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 28) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 29) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 30) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 31) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  else if constexpr (i == 32) return requires(Probe& p) { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},p}; };
  // clang-format on
}

// The members of an aggregate that has n of them, of bases that have none; no nameless union.
// clang-format off
template <int n, class T>
constexpr auto field_types(T& object) {
  if constexpr (n == 0) {
    return type_list<>{};
  } else if constexpr (n == 1) {
    auto& [f1] = object;
    return type_list<decltype(f1)>{};
  } else if constexpr (n == 2) {
    auto& [f1,f2] = object;
    return type_list<decltype(f1), decltype(f2)>{};
  } else if constexpr (n == 3) {
    auto& [f1,f2,f3] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3)>{};
  } else if constexpr (n == 4) {
    auto& [f1,f2,f3,f4] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4)>{};
  } else if constexpr (n == 5) {
    auto& [f1,f2,f3,f4,f5] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5)>{};
  } else if constexpr (n == 6) {
    auto& [f1,f2,f3,f4,f5,f6] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6)>{};
  } else if constexpr (n == 7) {
    auto& [f1,f2,f3,f4,f5,f6,f7] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7)>{};
  } else if constexpr (n == 8) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8)>{};
  } else if constexpr (n == 9) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9)>{};
  } else if constexpr (n == 10) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10)>{};
  } else if constexpr (n == 11) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11)>{};
  } else if constexpr (n == 12) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12)>{};
  } else if constexpr (n == 13) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13)>{};
  } else if constexpr (n == 14) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14)>{};
  } else if constexpr (n == 15) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15)>{};
  } else if constexpr (n == 16) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16)>{};
  } else if constexpr (n == 17) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17)>{};
  } else if constexpr (n == 18) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18)>{};
  } else if constexpr (n == 19) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19)>{};
  } else if constexpr (n == 20) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19),
    decltype(f20)>{};
  } else if constexpr (n == 21) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21)>{};
  } else if constexpr (n == 22) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22)>{};
  } else if constexpr (n == 23) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23)>{};
  } else if constexpr (n == 24) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24] = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24)>{};
  } else if constexpr (n == 25) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25] =
    object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25)>{};
  } else if constexpr (n == 26) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26] =
    object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26)>{};
  } else if constexpr (n == 27) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27] =
    object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26),
    decltype(f27)>{};
  } else if constexpr (n == 28) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28]
    = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26), decltype(f27),
    decltype(f28)>{};
  } else if constexpr (n == 29) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29]
    = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26), decltype(f27),
    decltype(f28), decltype(f29)>{};
  } else if constexpr (n == 30) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30]
    = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26), decltype(f27),
    decltype(f28), decltype(f29), decltype(f30)>{};
  } else if constexpr (n == 31) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31]
    = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26), decltype(f27),
    decltype(f28), decltype(f29), decltype(f30), decltype(f31)>{};
  } else if constexpr (n == 32) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31,f32]
    = object;
    return type_list<decltype(f1), decltype(f2), decltype(f3), decltype(f4), decltype(f5), decltype(f6),
    decltype(f7), decltype(f8), decltype(f9), decltype(f10), decltype(f11), decltype(f12), decltype(f13),
    decltype(f14), decltype(f15), decltype(f16), decltype(f17), decltype(f18), decltype(f19), decltype(f20),
    decltype(f21), decltype(f22), decltype(f23), decltype(f24), decltype(f25), decltype(f26), decltype(f27),
    decltype(f28), decltype(f29), decltype(f30), decltype(f31), decltype(f32)>{};
  }
}

// visitor(member) for those members whose type Wanted picks.
#define CAIRN_VISIT_(f) if constexpr (Wanted<decltype(f)>::value) visitor(f);
template <int n, template <class> class Wanted, class T, class Visitor>
constexpr void visit_fields(T& object, Visitor&& visitor) {
  if constexpr (n == 0) {
  } else if constexpr (n == 1) {
    auto& [f1] = object;
    CAIRN_VISIT_(f1)
  } else if constexpr (n == 2) {
    auto& [f1,f2] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2)
  } else if constexpr (n == 3) {
    auto& [f1,f2,f3] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3)
  } else if constexpr (n == 4) {
    auto& [f1,f2,f3,f4] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4)
  } else if constexpr (n == 5) {
    auto& [f1,f2,f3,f4,f5] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5)
  } else if constexpr (n == 6) {
    auto& [f1,f2,f3,f4,f5,f6] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
  } else if constexpr (n == 7) {
    auto& [f1,f2,f3,f4,f5,f6,f7] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7)
  } else if constexpr (n == 8) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8)
  } else if constexpr (n == 9) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9)
  } else if constexpr (n == 10) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10)
  } else if constexpr (n == 11) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11)
  } else if constexpr (n == 12) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
  } else if constexpr (n == 13) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13)
  } else if constexpr (n == 14) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14)
  } else if constexpr (n == 15) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15)
  } else if constexpr (n == 16) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16)
  } else if constexpr (n == 17) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
  } else if constexpr (n == 18) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18)
  } else if constexpr (n == 19) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19)
  } else if constexpr (n == 20) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20)
  } else if constexpr (n == 21) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21)
  } else if constexpr (n == 22) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
  } else if constexpr (n == 23) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23)
  } else if constexpr (n == 24) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24)
  } else if constexpr (n == 25) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25)
  } else if constexpr (n == 26) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26)
  } else if constexpr (n == 27) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
  } else if constexpr (n == 28) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28)
  } else if constexpr (n == 29) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29)
  } else if constexpr (n == 30) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30)
  } else if constexpr (n == 31) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30) CAIRN_VISIT_(f31)
  } else if constexpr (n == 32) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31,f32]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30) CAIRN_VISIT_(f31) CAIRN_VISIT_(f32)
  }
}
#undef CAIRN_VISIT_

// visitor.operator()<its type>(its address) for those members. A bit-field, which has none, must not be
// wanted. A packed member has one, but no reference to its type would bind to it.
#define CAIRN_VISIT_(f) if constexpr (Wanted<decltype(f)>::value) \
  visitor.template operator()<decltype(f)>(&reinterpret_cast<const volatile char&>(f));
template <int n, template <class> class Wanted, class T, class Visitor>
constexpr void visit_places(T& object, Visitor&& visitor) {
  if constexpr (n == 0) {
  } else if constexpr (n == 1) {
    auto& [f1] = object;
    CAIRN_VISIT_(f1)
  } else if constexpr (n == 2) {
    auto& [f1,f2] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2)
  } else if constexpr (n == 3) {
    auto& [f1,f2,f3] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3)
  } else if constexpr (n == 4) {
    auto& [f1,f2,f3,f4] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4)
  } else if constexpr (n == 5) {
    auto& [f1,f2,f3,f4,f5] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5)
  } else if constexpr (n == 6) {
    auto& [f1,f2,f3,f4,f5,f6] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
  } else if constexpr (n == 7) {
    auto& [f1,f2,f3,f4,f5,f6,f7] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7)
  } else if constexpr (n == 8) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8)
  } else if constexpr (n == 9) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9)
  } else if constexpr (n == 10) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10)
  } else if constexpr (n == 11) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11)
  } else if constexpr (n == 12) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
  } else if constexpr (n == 13) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13)
  } else if constexpr (n == 14) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14)
  } else if constexpr (n == 15) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15)
  } else if constexpr (n == 16) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16)
  } else if constexpr (n == 17) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
  } else if constexpr (n == 18) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18)
  } else if constexpr (n == 19) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19)
  } else if constexpr (n == 20) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20)
  } else if constexpr (n == 21) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21)
  } else if constexpr (n == 22) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
  } else if constexpr (n == 23) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23)
  } else if constexpr (n == 24) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24] = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24)
  } else if constexpr (n == 25) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25)
  } else if constexpr (n == 26) {
    auto& [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26)
  } else if constexpr (n == 27) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27] =
    object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
  } else if constexpr (n == 28) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28)
  } else if constexpr (n == 29) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29)
  } else if constexpr (n == 30) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30)
  } else if constexpr (n == 31) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30) CAIRN_VISIT_(f31)
  } else if constexpr (n == 32) {
    auto&
    [f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f19,f20,f21,f22,f23,f24,f25,f26,f27,f28,f29,f30,f31,f32]
    = object;
    CAIRN_VISIT_(f1) CAIRN_VISIT_(f2) CAIRN_VISIT_(f3) CAIRN_VISIT_(f4) CAIRN_VISIT_(f5) CAIRN_VISIT_(f6)
    CAIRN_VISIT_(f7) CAIRN_VISIT_(f8) CAIRN_VISIT_(f9) CAIRN_VISIT_(f10) CAIRN_VISIT_(f11) CAIRN_VISIT_(f12)
    CAIRN_VISIT_(f13) CAIRN_VISIT_(f14) CAIRN_VISIT_(f15) CAIRN_VISIT_(f16) CAIRN_VISIT_(f17)
    CAIRN_VISIT_(f18) CAIRN_VISIT_(f19) CAIRN_VISIT_(f20) CAIRN_VISIT_(f21) CAIRN_VISIT_(f22)
    CAIRN_VISIT_(f23) CAIRN_VISIT_(f24) CAIRN_VISIT_(f25) CAIRN_VISIT_(f26) CAIRN_VISIT_(f27)
    CAIRN_VISIT_(f28) CAIRN_VISIT_(f29) CAIRN_VISIT_(f30) CAIRN_VISIT_(f31) CAIRN_VISIT_(f32)
  }
}
#undef CAIRN_VISIT_
// clang-format on

}  // namespace cairn::detail
