// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Making collected objects and arrays. See detail/object.h for how.
//
// Every function here may be called from any thread, attaches it, and throws std::bad_alloc when the system or
// an address space limit gives no more memory.
#pragma once
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"
#include "cairn/gc_slice.h"

namespace cairn {

namespace detail {
template <class T, class... A>
concept makeable = std::is_constructible_v<T, A...> || requires(A&&... a) {
  T{std::forward<A>(a)...};
};
}  // namespace detail

// A new T, from parenthesised arguments or, for an aggregate, braced ones; its memory is zeroed before. Its
// destructor, if it has one that does something, runs once, some time after the object became unreachable, on a
// thread of the runtime; not at exit, and not where skip_destructor<T>. What a constructor throws is passed on;
// the destructor does not run then.
template <class T, class... A>
requires detail::makeable<T, A...>
[[gnu::always_inline]] inline gc_ptr<T> make_gc(A&&... args) {
  return gc_ptr<T>(detail::new_object<T, true>(std::forward<A>(args)...));
}

// A new array of n value-initialised elements, as a slice of that length and capacity; the empty slice if n is 0.
// Throws std::bad_array_new_length if its size overflows. If an element's constructor throws, those made are destroyed.
template <class T>
gc_slice<T> make_gc_array(std::size_t n) {
  detail::check_object_type<T>();
  if (n == 0) return {};
  T* const first = detail::allocate_elements<T>(n);
  detail::finish_array(first, 0, n);
  return detail::slice_access::make(first, n, n);
}

// n zero bytes that the collector does not look into.
inline gc_slice<std::byte> make_gc_bytes(std::size_t n) { return make_gc_array<std::byte>(n); }

}  // namespace cairn
