// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What can be known of a type at compile time, and the rule for the rest: what is not certain is conservative. A wrong
// "noscan" or a missing bit is a lost object; a needless "look everywhere" costs a few loads.
//
// The members of an aggregate are counted with `{}` (a member array counts once, unlike with converting probes, and a
// member that `{}` does not initialise, a reference for one, ends the attempt) and bound by structured bindings, which need
// that T has no bases and no member union without a name; both are probed for first, as either would not compile:
//   base_probe    converts to bases of T only
//   union_probe   converts to unions only
//   greedy_probe  converts to nothing: a member that takes it takes anything, and the probes say nothing about it
// An aggregate with bases cannot be bound; it is noscan if each element takes noscan_probe, and else conservative.
#pragma once
#include "cairn/detail/layout_fields.h"

namespace cairn::detail {

template <class T>
constexpr bool computed_noscan();
template <class T>
constexpr bool computed_skip_destructor();

struct greedy_probe {};
template <class T>
struct base_probe {
  template <class U>
    requires(std::is_base_of_v<U, T> && !std::is_same_v<std::remove_cv_t<U>, std::remove_cv_t<T>>)
  operator U() const noexcept;
};
struct union_probe {
  template <class U>
    requires std::is_union_v<U>
  operator U() const noexcept;
};

template <class T, class Probe, int n, int i = 0>
consteval bool any_element_takes() {
  if constexpr (i >= n) return false;
  else if constexpr (element_takes<T, Probe, i>()) return true;
  else return any_element_takes<T, Probe, n, i + 1>();
}

enum class shape : std::uint8_t {
  opaque,    // nothing is known
  bindable,  // an aggregate whose members can be bound
  derived,   // an aggregate with bases, elements counted
};

template <class T>
consteval shape shape_of() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>) {
    return shape::opaque;
  } else {
    constexpr int n = count_fields<T>();
    if constexpr (n < 0 || n > k_most_fields) return shape::opaque;
    else if constexpr (any_element_takes<T, greedy_probe, n>()) return shape::opaque;
    else if constexpr (any_element_takes<T, union_probe, n>()) return shape::opaque;
    else if constexpr (any_element_takes<T, base_probe<T>, n>()) return shape::derived;
    else return shape::bindable;
  }
}

template <class T>
struct is_std_array : std::false_type {};
template <class T, std::size_t n>
struct is_std_array<std::array<T, n>> : std::true_type {
  using element = T;
  static constexpr std::size_t size = n;
};
template <class T>
struct is_pair : std::false_type {};
template <class A, class B>
struct is_pair<std::pair<A, B>> : std::true_type {};
template <class T>
struct is_std_atomic : std::false_type {};
template <class T>
struct is_std_atomic<std::atomic<T>> : std::true_type {
  using value = T;
};
template <class T>
struct is_time : std::false_type {};
template <class R, class P>
struct is_time<std::chrono::duration<R, P>> : std::bool_constant<std::is_arithmetic_v<R>> {};
template <class C, class D>
struct is_time<std::chrono::time_point<C, D>> : is_time<D> {};
template <class T>
struct is_collected_vector : std::false_type {};
template <class T>
struct is_collected_vector<std::vector<T, gc_allocator<T>>> : std::bool_constant<!std::is_same_v<T, bool>> {
  using element = T;
};

template <class T>
inline constexpr bool is_one_pointer = std::is_pointer_v<T>;
template <class T>
inline constexpr bool is_one_pointer<gc_ptr<T>> = true;
template <class T>
inline constexpr bool is_one_pointer<gc_atomic<T>> = true;
template <class T>
inline constexpr bool is_one_pointer<unique_gc<T>> = true;
// A pointer, a length and a capacity.
template <class T>
inline constexpr bool is_slice = false;
template <class T>
inline constexpr bool is_slice<gc_slice<T>> = true;
// Keeps its object by other means, or not at all.
template <class T>
inline constexpr bool is_own_root = false;
template <class T>
inline constexpr bool is_own_root<root<T>> = true;
template <class T>
inline constexpr bool is_own_root<gc_weak<T>> = true;

struct layout_access {
  template <class T>
  static constexpr bool has_fields = requires { requires std::is_same_v<typename T::cairn_gc_class, T>; };
  template <class T, class V>
  static void fields(T& object, V&& visitor) {
    object.cairn_gc_fields(visitor);
  }
  template <class T, class V>
  static void bases(V&& visitor) {
    if constexpr (requires { T::cairn_gc_bases(visitor); }) T::cairn_gc_bases(visitor);
  }
};

// The member types of a bindable aggregate.
template <class T>
using fields_of = decltype(field_types<count_fields<T>()>(std::declval<T&>()));

struct noscan_probe {
  template <class U>
    requires(computed_noscan<U>())
  operator U() const noexcept;
};

}  // namespace cairn::detail
