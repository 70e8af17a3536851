// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Objects of the library's that hold values of the program's: collected, looked at as a stack is, so that raw
// pointers in the values count too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "cairn/detail/barrier.h"
#include "cairn/detail/entry.h"
#include "cairn/detail/object.h"
#include "cairn/go.h"

namespace cairn::detail {

// A T is pointer-free if all of Values are, and needs its destructor run if one of them does. Specialised by types that
// are made of more than values.
template <class T, class... Values>
[[gnu::always_inline]] inline void* allocate_kept() {
  static_assert(alignof(T) <= k_max_align, "Cairn aligns objects up to 4096 bytes");
  constexpr bool noscan = sizeof...(Values) != 0 && (... && is_noscan<Values>);
  constexpr std::size_t bytes = sizeof(T) +
                                ((... || has_collected_destructor<Values>) ? k_object_footer_bytes : 0);
  constexpr unsigned size_class = size_class_of(bytes, alignof(T));
  constexpr std::uint64_t mask = noscan ? 0 : ~std::uint64_t{0};
  if constexpr (size_class == 0) return allocate_bytes(bytes, alignof(T), {mask, noscan}, false);
  else return allocate_small<span_class_of(size_class, noscan)>(mask);
}

// A new T(args...), whose destructor is run if one of Values has one that is to be run. What T holds besides
// Values must be pointers that it writes by the barrier, and Values must name something that is not noscan then
// (void* will do).
template <class T, class... Values, class... A>
T* make_kept_of(A&&... args) {
  T* const made = ::new (allocate_kept<T, Values...>()) T(std::forward<A>(args)...);
  if constexpr (!(... && is_noscan<Values>)) {
    shade_if_marking(made, sizeof(T));  // raw pointers came from the caller's stack
    (keep_in_place(args), ...);         // and were there until now
  }
  if constexpr ((... || has_collected_destructor<Values>)) arm_destructor(made, &k_type_ops<T>);
  return made;
}
// T is the value itself, or a class with such.
template <class T, class... A>
T* make_kept(A&&... args) {
  return make_kept_of<T, T>(std::forward<A>(args)...);
}

// A value in such an object that is given up before the object is: then its memory is zero, and keeps nothing alive.
template <class T>
class erasable {
 public:
  template <class X>
  explicit erasable(X&& x) : value_(std::forward<X>(x)) {}
  ~erasable() {
    if (is_there_) std::destroy_at(std::addressof(value_));
  }
  erasable(const erasable&) = delete;
  erasable& operator=(const erasable&) = delete;

  T& operator*() noexcept { return value_; }
  void erase() noexcept {
    is_there_ = false;
    std::destroy_at(std::addressof(value_));
    if (stores_are_watched()) [[unlikely]]
      bulk_barrier_slow(std::addressof(value_), sizeof value_);
    std::memset(static_cast<void*>(std::addressof(value_)), 0, sizeof value_);
  }

 private:
  bool is_there_ = true;
  union {
    T value_;
  };
};

// The exception that is being handled, for others to be thrown too: of goexit it is a goroutine_exited.
[[nodiscard]] std::exception_ptr exception_to_keep() noexcept;

// The calling goroutine is ending by goexit.
[[nodiscard]] bool is_exiting() noexcept;

}  // namespace cairn::detail
