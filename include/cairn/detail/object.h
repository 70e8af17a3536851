// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// From a type to an object: where its memory comes from, how it is constructed, and what the collector must know of it.
// What make_gc, make_unique_gc, make_gc_array and gc_slice::append have in common.
//
// The fast path takes the next slot of the thread's open run: add, compare, return. Its one store, of the run's cursor,
// stays before everything that is written to the object, because the collector takes [cursor, end) for empty.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "cairn/detail/annotate.h"
#include "cairn/detail/barrier.h"
#include "cairn/detail/entry.h"
#include "cairn/detail/size_class.h"
#include "cairn/layout.h"

namespace cairn::detail {

inline constexpr std::size_t k_max_align = 4096;
inline constexpr std::size_t k_tiny_bytes = 16;
inline constexpr std::size_t k_mask_bytes = 512;  // what a pointer mask covers

// The collector runs ~T().
template <class T>
inline constexpr bool has_collected_destructor = !std::is_trivially_destructible_v<T> && !skip_destructor<T>;

template <class T>
constexpr void check_object_type() noexcept {
  static_assert(
      std::is_object_v<T> && !std::is_array_v<T>,
      "Cairn makes objects: for an array use make_gc_array<T>(n), for a reference make the object it names");
  static_assert(alignof(T) <= k_max_align,
                "Cairn aligns objects up to 4096 bytes: put what needs more in memory of your own");
  static_assert(std::is_destructible_v<T>,
                "Cairn runs the destructor of this type, so it must be public: make it so");
  check_holdable<T>();
}

// ---- destructors ---------------------------------------------------------------------------------------------------

template <class T>
void destroy_elements(void* first, std::size_t count) noexcept {
  std::destroy_n(static_cast<T*>(first), count);
}
template <class T>
inline constexpr type_ops k_type_ops{&destroy_elements<std::remove_cv_t<T>>, k_type_name<T>.data()};

// ---- memory of one object ------------------------------------------------------------------------------------------

// Orders what is written through the result after the store of a run's cursor.
[[gnu::always_inline]] inline void* after_store(std::uintptr_t object, std::uintptr_t& cursor) noexcept {
  asm volatile("" : "+r"(object), "+m"(cursor));
  return reinterpret_cast<void*>(object);
}

template <unsigned SpanClass>
[[gnu::always_inline]] inline void* allocate_small(std::uint64_t mask) {
#if !CAIRN_TSAN  // whose handshakes wait for the slow path
  constexpr std::size_t k_bytes = k_class_bytes[SpanClass / 2];
  alloc_run& run = this_cache()->runs[SpanClass];
  const std::uintptr_t object = run.cursor;
  if (object + k_bytes <= run.end && (~run.mask & mask) == 0) [[likely]] {
    run.cursor = object + k_bytes;
    return after_store(object, run.cursor);
  }
#endif
  return allocate_slow(SpanClass, mask);
}

template <std::size_t Bytes, std::size_t Align>
[[gnu::always_inline]] inline void* allocate_tiny() {
#if !CAIRN_TSAN
  thread_cache* const cache = this_cache();
  const std::uintptr_t object = (cache->tiny + (Align - 1)) & ~std::uintptr_t{Align - 1};
  if (object + Bytes <= cache->tiny_end) [[likely]] {
    cache->tiny = object + Bytes;
    return after_store(object, cache->tiny);
  }
#endif
  return allocate_tiny_slow(Bytes, Align);
}

// Zeroed. `Shareable`: a pointer-free object may share its slot with others.
template <class T, bool Shareable>
[[gnu::always_inline]] inline void* allocate_object() {
  constexpr std::size_t k_bytes = sizeof(T) + (has_collected_destructor<T> ? k_object_footer_bytes : 0);
  constexpr unsigned k_class = size_class_of(k_bytes, alignof(T));
  if constexpr (Shareable && is_noscan<T> && !has_collected_destructor<T> && k_bytes < k_tiny_bytes) {
    return allocate_tiny<k_bytes, alignof(T)>();
  } else if constexpr (k_class == 0) {
    return allocate_bytes(k_bytes, alignof(T), {is_noscan<T> ? 0 : pointer_mask<T>(), is_noscan<T>}, false);
  } else if constexpr (is_noscan<T>) {
    return allocate_small<span_class_of(k_class, true)>(0);
  } else {
    return allocate_small<span_class_of(k_class, false)>(pointer_mask<T>());
  }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // make_gc<node>(1) leaves the rest to be zero
template <class T, class... A>
[[gnu::always_inline]] inline T* construct_object(void* memory, A&&... args) {
  if constexpr (sizeof...(A) == 0 && is_zero_initialised<T>) {
    return static_cast<T*>(memory);
  } else if constexpr (std::is_constructible_v<T, A...>) {
    return ::new (memory) T(std::forward<A>(args)...);
  } else {
    return ::new (memory) T{std::forward<A>(args)...};
  }
}
#pragma GCC diagnostic pop

// An object whose constructor throws leaves a slot without a destructor.
template <class T, bool Shareable, class... A>
[[gnu::always_inline]] inline T* new_object(A&&... args) {
  check_object_type<T>();
  T* const object = construct_object<T>(allocate_object<T, Shareable>(), std::forward<A>(args)...);
  if constexpr (has_collected_destructor<T>) {
    arm_destructor(const_cast<std::remove_cv_t<T>*>(object), &k_type_ops<T>);
  }
  return object;
}

// ---- memory of several objects -------------------------------------------------------------------------------------

template <class T>
layout_info array_layout(std::size_t count) noexcept {
  if (is_noscan<T>) return {0, true};
  return {count * sizeof(T) <= k_mask_bytes ? repeated_mask<T>(count) : ~std::uint64_t{0}, false};
}

template <class T>
inline constexpr std::size_t k_array_footer = has_collected_destructor<T> ? k_array_footer_bytes : 0;
template <class T>
inline constexpr std::size_t k_max_count =
    (static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - k_array_footer<T> - k_page_bytes) /
    sizeof(T);

// Zeroed memory for `count` elements, without elements. Throws std::bad_alloc.
template <class T>
T* allocate_elements(std::size_t count) {
  if (count > k_max_count<T>) throw std::bad_array_new_length();
  const std::size_t bytes = count * sizeof(T) + k_array_footer<T>;
  return static_cast<T*>(allocate_bytes(bytes, alignof(T), array_layout<T>(count), true));
}

// Makes the elements from `made` on, the ones before it being there already, and arms the array. If a constructor
// throws, all elements are destroyed and the array stays without destructor.
template <class T>
void finish_array(T* first, std::size_t made, std::size_t count) {
  if constexpr (!is_zero_initialised<T>) {
    static_assert(
        std::is_default_constructible_v<T>,
        "every element up to an array's capacity is value-initialised: give the type a default constructor, "
        "or use an array of gc_ptr to it");
    try {
      std::uninitialized_value_construct_n(first + made, count - made);
    } catch (...) {
      std::destroy_n(first, made);
      throw;
    }
  }
  if constexpr (has_collected_destructor<T>) {
    if (count != 0) arm_array_destructor(const_cast<std::remove_cv_t<T>*>(first), &k_type_ops<T>, count);
  }
}

}  // namespace cairn::detail
