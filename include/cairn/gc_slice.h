// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_slice<T>: part of a collected array, as in Go: pointer, length, capacity. Slices are values; several may share one
// array, and writing an element through one is seen through the others.
//
// Invariant: [p, p + capacity) are elements, made. So append within the capacity assigns, and the destructor of
// an array, where it has one, destroys all of them. A slice lives where a gc_ptr may, and is as thread-safe as
// three words.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cairn/detail/assert.h"
#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"

namespace cairn {

template <class T>
class gc_slice;

namespace detail {

struct slice_access {
  template <class T>
  static gc_slice<T> make(T* first, std::size_t size, std::size_t capacity) noexcept {
    return gc_slice<T>(first, size, capacity);
  }
};

// Go's nextslicecap: double below 256, then by less and less down to a quarter.
constexpr std::size_t next_capacity(std::size_t wanted, std::size_t capacity) noexcept {
  constexpr std::size_t k_threshold = 256;
  if (wanted > 2 * capacity) return wanted;
  if (capacity < k_threshold) return 2 * capacity;
  std::size_t next = capacity;
  do next += (next + 3 * k_threshold) / 4;
  while (next < wanted);
  return next;
}

// The bytes of the slot in which `bytes` are allocated.
constexpr std::size_t slot_bytes(std::size_t bytes, std::size_t align) noexcept {
  const unsigned size_class = size_class_of(bytes, align);
  if (size_class != 0) return k_class_bytes[size_class];
  return (bytes + k_page_bytes - 1) / k_page_bytes * k_page_bytes;
}

// The capacity of the array that append makes for `wanted` elements in place of one of `capacity`.
template <class T>
constexpr std::size_t grown_capacity(std::size_t wanted, std::size_t capacity) {
  if (wanted > k_max_count<T>) throw std::bad_array_new_length();
  const std::size_t count = std::min(next_capacity(wanted, capacity), k_max_count<T>);
  return (slot_bytes(count * sizeof(T) + k_array_footer<T>, alignof(T)) - k_array_footer<T>) / sizeof(T);
}

template <class T>
inline constexpr bool is_copied_as_words = std::is_trivially_copyable_v<T>;
template <class T>
inline constexpr bool is_copied_as_words<gc_ptr<T>> = true;
template <class T>
inline constexpr bool is_copied_as_words<gc_slice<T>> = true;

// Copies elements to new memory, which is null there.
template <class T>
void copy_to_new(const T* from, std::size_t count, T* to) {
  if constexpr (is_copied_as_words<T>) {
    if (count == 0) return;
    std::memcpy(static_cast<void*>(to), static_cast<const void*>(from), count * sizeof(T));
    if constexpr (!is_noscan<T>) look_after_copy(to, count * sizeof(T));
  } else {
    std::uninitialized_copy_n(from, count, to);
  }
}

// A range of T's that lie in memory one after the other, so that it may be part of the slice it is appended to.
template <class R, class T>
concept adjacent = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    std::same_as<std::remove_cvref_t<std::ranges::range_reference_t<R>>, T>;

}  // namespace detail

template <class T>
class gc_slice {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using iterator = T*;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using reference = T&;

  constexpr gc_slice() noexcept = default;
  template <class U>
  requires(!std::same_as<U, T> && std::same_as<const U, T>) gc_slice(const gc_slice<U>& o)
  noexcept : p_(o.p_), n_(o.n_), cap_(o.cap_) {}

  std::size_t size() const noexcept { return n_; }
  // Elements from data() to the end of the array, or to where sub() or append() found it.
  std::size_t capacity() const noexcept { return cap_; }
  bool empty() const noexcept { return n_ == 0; }
  T* data() const noexcept { return p_.get(); }
  T* begin() const noexcept { return p_.get(); }
  T* end() const noexcept { return p_.get() + n_; }

  // Undefined for i >= size(), which aborts in debug builds and with CAIRNDEBUG=check=1.
  T& operator[](std::size_t i) const noexcept {
    if (i >= n_) [[unlikely]]
      bad_index();
    return p_.get()[i];
  }
  // Throws std::out_of_range for i >= size().
  T& at(std::size_t i) const {
    if (i >= n_) throw std::out_of_range("gc_slice::at: the index is not below size()");
    return p_.get()[i];
  }

  // The elements [from, to), up to the array's end in capacity; `to` may exceed size(). Throws std::out_of_range
  // unless from <= to <= capacity().
  gc_slice sub(std::size_t from, std::size_t to) const {
    if (from > to || to > cap_) throw std::out_of_range("gc_slice::sub: not from <= to <= capacity()");
    if (from == cap_) return {};  // an address one past the array's end would keep its neighbour
    return gc_slice(p_.get() + from, to - from, cap_ - from);
  }

  // This slice and `value` behind it. Within the capacity the element there is assigned to, and the result
  // shares the array; beyond it the result is in a new array. Throws what copying a T throws, std::bad_alloc,
  // and std::bad_array_new_length if the size overflows; then no element of this slice has changed. (U is never
  // deduced: a template only because clang 14 asks the constraint of a T that is not complete yet otherwise.)
  template <class U = T>
  requires(!std::is_const_v<U> && std::copyable<std::remove_cv_t<U>>) [[nodiscard]] gc_slice
      append(const std::type_identity_t<std::remove_cv_t<U>>& value) const {
    if (n_ < cap_) {
      p_.get()[n_] = value;
      return gc_slice(p_.get(), n_ + 1, cap_);
    }
    return in_new_array(1, [&](T* to) { std::construct_at(to, value); });
  }

  // The same with the elements of a range, which may be part of this slice's array: they are copied as they are before
  // the call. A range that knows its length only at its end is appended element by element.
  template <std::ranges::input_range R>
  requires(!std::is_const_v<T> && !std::convertible_to<R&&, std::remove_cv_t<T>> &&
           std::convertible_to<std::ranges::range_reference_t<R>, std::remove_cv_t<T>>) [[nodiscard]] gc_slice
      append(R&& range) const {
    if constexpr (std::ranges::forward_range<R> || std::ranges::sized_range<R>) {
      return append_counted(range, static_cast<std::size_t>(std::ranges::distance(range)));
    } else {
      gc_slice s = *this;
      for (auto&& value : range) s = s.append(static_cast<value_type>(std::forward<decltype(value)>(value)));
      return s;
    }
  }

 private:
  template <class U>
  friend class gc_slice;
  friend struct detail::slice_access;

  gc_slice(T* p, std::size_t n, std::size_t cap) noexcept : p_(p), n_(n), cap_(cap) {}

  [[gnu::cold, gnu::noinline]] static void bad_index() noexcept {
#ifdef NDEBUG
    CAIRN_ASSERT(false, "the index of a gc_slice is not below its size()");
#else
    CAIRN_CHECK(false, "the index of a gc_slice is not below its size()");
#endif
  }

  template <class R>
  gc_slice append_counted(R& range, std::size_t count) const {
    if (count == 0) return *this;
    if (count <= cap_ - n_) {
      T* const to = p_.get() + n_;
      if constexpr (detail::adjacent<R, T>) {
        assign(std::to_address(std::ranges::begin(range)), count, to);
      } else {
        T* at = to;
        for (auto&& value : range) *at++ = static_cast<value_type>(std::forward<decltype(value)>(value));
      }
      return gc_slice(p_.get(), n_ + count, cap_);
    }
    return in_new_array(count, [&](T* to) {
      if constexpr (detail::adjacent<R, T>) {
        detail::copy_to_new<T>(std::to_address(std::ranges::begin(range)), count, to);
      } else {
        construct(range, to);
      }
    });
  }

  // As memmove: the two may overlap.
  static void assign(const T* from, std::size_t count, T* to) {
    if (std::less<>()(from, to)) {
      std::copy_backward(from, from + count, to + count);
    } else {
      std::copy(from, from + count, to);
    }
  }

  template <class R>
  static void construct(R& range, T* const first) {
    T* to = first;
    try {
      for (auto&& value : range) {
        ::new (static_cast<void*>(to)) T(static_cast<value_type>(std::forward<decltype(value)>(value)));
        ++to;
      }
    } catch (...) {
      std::destroy(first, to);
      throw;
    }
  }

  // A copy in a larger array; `construct_rest` makes the `more` elements behind the copied ones.
  template <class F>
  gc_slice in_new_array(std::size_t more, F construct_rest) const {
    if (more > detail::k_max_count<T> - n_) throw std::bad_array_new_length();
    const std::size_t size = n_ + more;
    const std::size_t capacity = detail::grown_capacity<T>(size, cap_);
    T* const first = detail::allocate_elements<T>(capacity);
    detail::copy_to_new<T>(p_.get(), n_, first);
    try {
      construct_rest(first + n_);
    } catch (...) {
      std::destroy_n(first, n_);
      throw;
    }
    detail::finish_array(first, size, capacity);
    return gc_slice(first, size, capacity);
  }

  gc_ptr<T> p_;
  std::size_t n_ = 0, cap_ = 0;
};

}  // namespace cairn

// Its iterators are addresses of elements, which outlive the slice.
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<cairn::gc_slice<T>> = true;
