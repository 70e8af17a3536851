// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The value of an entry of sync::map, read by anybody while a writer, who has the lock, replaces it: an atomic
// word where the value is one, else a pointer to a collected object that does not change. `held` is what the
// cell holds.
#pragma once
#include <atomic>
#include <concepts>
#include <type_traits>
#include <utility>

#include "cairn/detail/kept.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_ptr.h"

namespace cairn::detail {

template <class V>
inline constexpr bool is_plain_word = std::is_trivially_copyable_v<V>&& is_noscan<V> &&
                                      (sizeof(V) == 1 || sizeof(V) == 2 || sizeof(V) == 4 || sizeof(V) == 8) &&
                                      alignof(V) <= sizeof(V);

template <class V>
inline constexpr bool is_object_pointer = false;
template <class T>
inline constexpr bool is_object_pointer<T*> = std::is_object_v<T>;
template <class T>
inline constexpr bool is_object_pointer<gc_ptr<T>> = std::is_object_v<T>;

// In a box.
template <class V>
class map_cell {
  struct box {
    explicit box(V&& v) : value(std::move(v)) {}
    const V value;
  };

 public:
  using held = box*;

  static held prepare(V&& value) { return make_kept_of<box, V>(std::move(value)); }
  // f(const V&).
  template <class F>
  static decltype(auto) look(held box, F&& f) {
    struct guard {
      const void* kept;
      ~guard() { keep_alive(kept); }
    } while_looking{box};
    return std::forward<F>(f)(box->value);
  }

  explicit map_cell(held first) : box_(first) {}
  held get() const noexcept { return box_.load(std::memory_order_acquire).get(); }
  void set(held next) noexcept { box_.store(next, std::memory_order_release); }

 private:
  gc_atomic<box> box_;
};

template <class V>
requires is_plain_word<V>
class map_cell<V> {
 public:
  using held = V;

  static held prepare(V&& value) noexcept { return value; }
  template <class F>
  static decltype(auto) look(held value, F&& f) {
    return std::forward<F>(f)(const_cast<const V&>(value));
  }

  explicit map_cell(held first) noexcept : value_(first) {}
  held get() const noexcept { return value_.load(std::memory_order_acquire); }
  void set(held next) noexcept { value_.store(next, std::memory_order_release); }

 private:
  std::atomic<V> value_;
};

template <class V>
requires is_object_pointer<V>
class map_cell<V> {
  using object = std::remove_pointer_t<decltype(std::to_address(std::declval<const V&>()))>;

 public:
  using held = object*;

  static held prepare(V&& value) noexcept { return std::to_address(value); }
  template <class F>
  static decltype(auto) look(held pointer, F&& f) {
    const V value(pointer);
    return std::forward<F>(f)(value);
  }

  explicit map_cell(held first) noexcept : pointer_(first) {}
  held get() const noexcept { return pointer_.load(std::memory_order_acquire).get(); }
  void set(held next) noexcept { pointer_.store(next, std::memory_order_release); }

 private:
  gc_atomic<object> pointer_;
};

}  // namespace cairn::detail
