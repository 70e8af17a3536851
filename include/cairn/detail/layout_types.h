// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What can be known of a type at compile time, and the rule for the rest: what is not certain is conservative. A wrong
// "noscan" or a missing bit is a lost object; a needless "look everywhere" costs a few loads.
//
// The elements of an aggregate, bases and members, are counted with `{}` (a member array counts once, unlike
// with converting probes), and its members named by structured bindings. Those do not compile where a base has
// members, where a union or struct has no name, where get<> stands for the members, or where the count is
// wrong, and nothing but a hard error would say so; so each is probed for first, with objects that convert to
// some types only and cannot be copied (which std::any would take):
//   doubt_probe   converts to bases of T, and to the type of a nameless union or struct of T
//   rest_*_probe  convert to anything: an element after those counted
//   greedy_probe  converts to nothing: a member that takes it takes anything, and the probes say nothing about it
// An element may also take a probe on behalf of its first member (brace elision); that errs on the safe side only where
// the rules below ask for it.
#pragma once
#include <complex>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>

#include "cairn/detail/barrier.h"
#include "cairn/detail/layout_fields.h"

namespace cairn::detail {

template <class T>
constexpr bool computed_noscan();
template <class T>
constexpr bool computed_skip_destructor();

// ---- names ---------------------------------------------------------------------------------------------------------

// Where the last part of a type's name begins, if it may be the type of a union or struct without a name; else npos.
// (g++ says the same of `union { ... } u;`, which has one.)
constexpr std::size_t find_nameless(std::string_view name) {
  std::size_t found = std::string_view::npos;
  for (const std::string_view keyword : {"union", "struct", "class"}) {
    for (const std::string_view mark : {"<unnamed ", "(anonymous "}) {
      const std::size_t at = name.rfind(mark);
      if (at == std::string_view::npos || !name.substr(at + mark.size()).starts_with(keyword)) continue;
      if (name.ends_with(mark[0] == '<' ? '>' : ')')) found = at;
    }
  }
  return found;
}

// U may be the type of a nameless union or struct in T itself.
template <class U, class T>
consteval bool maybe_nameless() {
  constexpr std::size_t at = find_nameless(pretty_name<U>());
  if constexpr (at == std::string_view::npos) return false;
  else if constexpr (at < 2) return true;
  else return pretty_name<U>().substr(0, at - 2) == pretty_name<T>();
}

// ---- probes --------------------------------------------------------------------------------------------------------

struct uncopied {
  uncopied() = default;
  uncopied(const uncopied&) = delete;
};

template <class U, class T>
inline constexpr bool is_base = std::is_base_of_v<U, T> && !std::is_same_v<std::remove_cv_t<U>, T>;

struct greedy_probe : uncopied {};
template <class T>
struct doubt_probe : uncopied {
  template <class U>
  requires(std::is_union_v<U> || std::is_class_v<U>) &&
      (is_base<U, T> || maybe_nameless<U, T>()) operator U() const noexcept;
};
template <class T>
struct base_probe : uncopied {
  template <class U>
  requires is_base<U, T>
  operator U() const noexcept;
};
template <class T>
struct empty_base_probe : uncopied {
  template <class U>
  requires(is_base<U, T>&& std::is_empty_v<U>) operator U() const noexcept;
};
template <class T>
struct member_probe : uncopied {
  template <class U>
  requires(!is_base<U, T> && !maybe_nameless<U, T>()) operator U() const noexcept;
};
struct rest_value_probe : uncopied {
  template <class U>
  operator U() const noexcept;
};
struct rest_reference_probe : uncopied {
  template <class U>
  operator U&() const noexcept;
};

// ---- the shape of a class ------------------------------------------------------------------------------------------

enum class shape_kind : std::uint8_t {
  opaque,    // nothing is known
  bindable,  // an aggregate whose members can be bound
  derived,   // an aggregate with bases, its elements counted
};
struct shape {
  shape_kind kind = shape_kind::opaque;
  int elements = 0;             // bases and members
  bool has_empty_base = false;  // a bindable one: its first element
};

template <class T, class Probe, int i, int n>
consteval bool any_element_takes() {
  if constexpr (i >= n) return false;
  else if constexpr (element_takes<T, Probe, i>()) return true;
  else return any_element_takes<T, Probe, i + 1, n>();
}

template <class T>
concept has_get = requires {
  std::tuple_size<T>::value;
};

// Of an aggregate in which something takes doubt_probe.
template <class T, int n>
consteval shape doubtful_shape() {
  if constexpr (any_element_takes<T, greedy_probe, 0, n>()) {
    return {};
  } else {
    // The first element is a base if anything is. A second one may be a member of a base's type.
    constexpr bool one_empty_base = element_takes<T, empty_base_probe<T>, 0>() &&
                                    !element_takes<T, member_probe<T>, 0>();
    if constexpr (one_empty_base && !any_element_takes<T, doubt_probe<T>, 1, n>())
      return {shape_kind::bindable, n, true};
    else if constexpr (any_element_takes<T, base_probe<T>, 0, n>()) return {shape_kind::derived, n, false};
    else return {};
  }
}

template <class T>
consteval shape computed_shape() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T> || has_get<T>) {
    return {};
  } else {
    constexpr int n = count_elements<T>();
    if constexpr (n < 0 || n > k_most_fields || (n == 0 && !std::is_empty_v<T>)) return {};
    else if constexpr (any_element_takes<T, rest_value_probe, n, n + 1>()) return {};
    else if constexpr (any_element_takes<T, rest_reference_probe, n, n + 1>()) return {};
    else if constexpr (any_element_takes<T, greedy_probe, n, n + 1>()) return {};
    else if constexpr (any_element_takes<T, doubt_probe<T>, 0, n>()) return doubtful_shape<T, n>();
    else return {shape_kind::bindable, n, false};
  }
}
template <class T>
inline constexpr shape shape_of = computed_shape<T>();
template <class T>
concept bindable = shape_of<T>
.kind == shape_kind::bindable;

template <class T>
inline constexpr int field_count = shape_of<T>.elements - shape_of<T>.has_empty_base;
// The member types of a bindable aggregate.
template <class T>
using fields_of = decltype(field_types<field_count<T>>(std::declval<T&>()));

// ---- types with a name ---------------------------------------------------------------------------------------------

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
// Holds values of the types in `parts`, and nothing else that matters to the collector.
template <class T>
struct is_composed : std::false_type {};
template <class... A>
struct composed_of : std::true_type {
  using parts = type_list<A...>;
};
template <class A, class B>
struct is_composed<std::pair<A, B>> : composed_of<A, B> {};
template <class... A>
struct is_composed<std::tuple<A...>> : composed_of<A...> {};
template <class... A>
struct is_composed<std::variant<A...>> : composed_of<A...> {};
template <class A>
struct is_composed<std::optional<A>> : composed_of<A> {};
template <class A>
struct is_composed<std::atomic<A>> : composed_of<A> {};
template <class A>
struct is_composed<std::complex<A>> : composed_of<A> {};
// Points only to malloc'd memory, or into itself.
template <class T>
inline constexpr bool is_malloced = false;
template <class C, class Traits>
inline constexpr bool is_malloced<std::basic_string<C, Traits, std::allocator<C>>> = true;
template <class T>
inline constexpr bool is_malloced<std::vector<T, std::allocator<T>>> = true;

template <class T>
inline constexpr bool is_one_pointer = std::is_pointer_v<T>;
template <class T>
inline constexpr bool is_one_pointer<gc_ptr<T>> = true;
template <class T>
inline constexpr bool is_one_pointer<gc_atomic<T>> = true;
template <class T>
inline constexpr bool is_atomic_handle = false;
template <class T>
inline constexpr bool is_atomic_handle<gc_atomic<T>> = true;
// A pointer, a length and a capacity.
template <class T>
inline constexpr bool is_slice = false;
template <class T>
inline constexpr bool is_slice<gc_slice<T>> = true;
// One pointer, to what only the library looks at.
template <class T>
inline constexpr bool is_channel = false;
template <class T>
inline constexpr bool is_channel<chan<T>> = true;
template <class T>
inline constexpr bool is_channel<send_chan<T>> = true;
template <class T>
inline constexpr bool is_channel<recv_chan<T>> = true;
// Keeps its object by other means, or not at all.
template <class T>
inline constexpr bool is_own_root = false;
template <class T>
inline constexpr bool is_own_root<root<T>> = true;
template <class T>
inline constexpr bool is_own_root<unique_gc<T>> = true;
template <class T>
inline constexpr bool is_own_root<gc_weak<T>> = true;

#if defined(__clang__)
#define CAIRN_ADDRESSES_ONLY_ __attribute__((always_inline))
#else
#define CAIRN_ADDRESSES_ONLY_ __attribute__((always_inline, no_sanitize("undefined")))
#endif

// What CAIRN_GC_FIELDS lets in. Objects here need not exist: their members are asked for addresses only, which
// -fsanitize=vptr would not understand.
struct layout_access {
  template <class T>
  static constexpr bool has_fields = requires {
    requires std::is_same_v<typename T::cairn_gc_class, T>;
  };
  template <class T, class V>
  CAIRN_ADDRESSES_ONLY_ static void fields(T& object, V&& visitor) {
    object.cairn_gc_fields(visitor);
  }
  template <class T, class V>
  [[gnu::always_inline]] static void bases(V&& visitor) {
    if constexpr (requires { T::cairn_gc_bases(visitor); }) T::cairn_gc_bases(visitor);
  }
  template <class Base, class T>
  CAIRN_ADDRESSES_ONLY_ static Base& base(T& object) {
    static_assert(
        requires(Base & b) { static_cast<T&>(b); },
        "CAIRN_GC_BASES is for bases that are not virtual: leave CAIRN_GC_FIELDS out of this class, and the "
        "collector looks at all of it");
    return static_cast<Base&>(object);
  }
};

#undef CAIRN_ADDRESSES_ONLY_

}  // namespace cairn::detail
