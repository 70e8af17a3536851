// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_ptr<T>: a pointer to a collected object, for fields, statics and whatever goroutines share. Locals are best
// plain T*, which cost nothing: stacks are searched for them.
//
// A gc_ptr may live in a collected object, on the stack of a goroutine or an attached thread, in static or
// thread-local storage. Elsewhere (in malloc'd memory, a std::vector, a std::function) it keeps nothing alive: use
// root<T> there. A gc_ptr is as thread-safe as a T*: to share one that changes use gc_atomic<T>, a lock or a channel.
//
// Who reads a local gc_ptr of another goroutine's or thread's, by reference, and uses what it has read after
// that local is gone, copies it to a gc_ptr of its own, not to a T*: the end of a local is seen by no barrier.
//
// While a cycle marks and all processors are wanted, a store may mark for some microseconds, as an allocation
// may. It is not to be left by a longjmp out of a signal handler.
#pragma once
#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <type_traits>

#include "cairn/detail/barrier.h"

namespace cairn {

template <class T>
class gc_ptr;
template <class T>
class gc_atomic;
template <class T>
class root;

namespace detail {

template <class T>
inline constexpr bool is_handle = false;
template <class T>
inline constexpr bool is_handle<gc_ptr<T>> = true;
template <class T>
inline constexpr bool is_handle<root<T>> = true;
template <class T>
inline constexpr bool is_operand = is_handle<T> || std::is_pointer_v<T> || std::is_null_pointer_v<T>;

template <class T>
constexpr T* raw(T* p) noexcept {
  return p;
}
constexpr std::nullptr_t raw(std::nullptr_t) noexcept { return nullptr; }
template <class H>
requires is_handle<H>
constexpr auto raw(const H& h) noexcept { return h.get(); }

template <class A, class B>
concept comparable = is_operand<A> && is_operand<B> &&
    (is_handle<A> || is_handle<B>)&&requires(const A& a, const B& b) {
  detail::raw(a) == detail::raw(b);
};
template <class A, class B>
concept ordered = comparable<A, B> && !std::is_null_pointer_v<A> && !std::is_null_pointer_v<B>;
template <class A, class B>
concept subtractable = ordered<A, B> && requires(const A& a, const B& b) {
  detail::raw(a) - detail::raw(b);
};

}  // namespace detail

// One template for every pair of gc_ptr, root, T* and nullptr: an exact match, so the built-in operators that the
// conversions to T* would allow never compete.
template <class A, class B>
requires detail::is_handle<A> && detail::comparable<A, B>
constexpr bool operator==(const A& a, const B& b) noexcept { return detail::raw(a) == detail::raw(b); }
template <template <class> class H, class T, class B>
requires detail::ordered<H<T>, B>
constexpr std::strong_ordering operator<=>(const H<T>& a, const B& b) noexcept {
  return std::compare_three_way{}(detail::raw(a), detail::raw(b));
}
template <class A, class B>
requires detail::subtractable<A, B>
constexpr std::ptrdiff_t operator-(const A& a, const B& b) noexcept {
  return detail::raw(a) - detail::raw(b);
}

namespace detail {

template <class T>
struct iterator_types {
  using iterator_category = std::random_access_iterator_tag;
  using value_type = std::remove_cv_t<T>;
};
template <class T>
requires std::is_void_v<T>
struct iterator_types<T> {
};

template <class T>
using void_like = std::conditional_t<std::is_const_v<T>, const void, void>;

// The interface that gc_ptr and root share; Self has get() and store(T*). `operator void*` beside `operator T*` is
// what makes `delete p` ambiguous.
template <class Self, class T>
class handle : public iterator_types<T> {
 public:
  using element_type = T;
  using pointer = Self;
  using reference = std::add_lvalue_reference_t<T>;
  using difference_type = std::ptrdiff_t;

  constexpr T* operator->() const noexcept { return self().get(); }
  template <class U = T>
  requires(!std::is_void_v<U>) constexpr U& operator*() const noexcept { return *self().get(); }
  template <class U = T>
  requires(!std::is_void_v<U>) constexpr U& operator[](std::ptrdiff_t i) const noexcept {
    return self().get()[i];
  }
  constexpr explicit operator bool() const noexcept { return self().get() != nullptr; }
  constexpr operator T*() const noexcept { return self().get(); }
  operator void_like<T>*() const noexcept requires(!std::is_void_v<T>) {
    return const_cast<void_like<T>*>(static_cast<const volatile void*>(self().get()));
  }

  Self& operator++() requires(!std::is_void_v<T>) { return *this += 1; }
  Self& operator--() requires(!std::is_void_v<T>) { return *this -= 1; }
  Self operator++(int) requires(!std::is_void_v<T>) {
    Self before(self());
    *this += 1;
    return before;
  }
  Self operator--(int) requires(!std::is_void_v<T>) {
    Self before(self());
    *this -= 1;
    return before;
  }
  Self& operator+=(std::ptrdiff_t n) requires(!std::is_void_v<T>) {
    self().store(self().get() + n);
    return self();
  }
  Self& operator-=(std::ptrdiff_t n) requires(!std::is_void_v<T>) {
    self().store(self().get() - n);
    return self();
  }
  friend Self operator+(const Self& a, std::ptrdiff_t n) requires(!std::is_void_v<T>) {
    return Self(a.get() + n);
  }
  friend Self operator+(std::ptrdiff_t n, const Self& a) requires(!std::is_void_v<T>) {
    return Self(a.get() + n);
  }
  friend Self operator-(const Self& a, std::ptrdiff_t n) requires(!std::is_void_v<T>) {
    return Self(a.get() - n);
  }

  template <class U = T>
  requires(!std::is_void_v<U>) static Self pointer_to(U& r) { return Self(std::addressof(r)); }

 private:
  constexpr Self& self() noexcept { return static_cast<Self&>(*this); }
  constexpr const Self& self() const noexcept { return static_cast<const Self&>(*this); }
};

}  // namespace detail

// Null by default. It may point into the middle of an object (a base, a member, an element) and keeps the whole object
// alive; null and addresses outside the heap are left alone by the collector. Converts implicitly from and to T*, to
// bases and to gc_ptr<const T>. `delete p` and `c ? p : n` (with a T* n) are ambiguous on purpose. Nothing here throws.
template <class T>
class gc_ptr : public detail::handle<gc_ptr<T>, T> {
 public:
  template <class U>
  using rebind = gc_ptr<U>;

  // The one constructor without barrier: with it GCC 12 would not initialise statics at compile time, and reset what
  // other files' initialisers stored in them. Where a word may still hold an old pointer, construct from nullptr.
  constexpr gc_ptr() noexcept : p_(nullptr) {}
  constexpr gc_ptr(T* p) noexcept {
    if (std::is_constant_evaluated()) {
      p_ = p;
    } else {
      detail::construct_word(p_, p);
    }
  }
  constexpr gc_ptr(const gc_ptr& o) noexcept : gc_ptr(o.p_) {}
  template <class U>
  requires(!std::same_as<U, T> && std::convertible_to<U*, T*>) constexpr gc_ptr(const gc_ptr<U>& o) noexcept
      : gc_ptr(static_cast<T*>(o.get())) {}
  template <class U>
  requires std::convertible_to<U*, T*> gc_ptr(const root<U>& o)
  noexcept : gc_ptr(static_cast<T*>(o.get())) {}

  gc_ptr& operator=(T* p) noexcept {
    store(p);
    return *this;
  }
  gc_ptr& operator=(const gc_ptr& o) noexcept {  // NOLINT(bugprone-unhandled-self-assignment): owns nothing
    store(o.p_);
    return *this;
  }
  template <class U>
  requires(!std::same_as<U, T> && std::convertible_to<U*, T*>) gc_ptr& operator=(const gc_ptr<U>& o) noexcept {
    store(o.get());
    return *this;
  }
  template <class U>
  requires std::convertible_to<U*, T*> gc_ptr& operator=(const root<U>& o) noexcept {
    store(o.get());
    return *this;
  }

  constexpr T* get() const noexcept { return p_; }
  void reset() noexcept { store(nullptr); }

 private:
  friend class detail::handle<gc_ptr, T>;
  friend class gc_atomic<T>;

  void store(T* p) noexcept { detail::store_word(p_, p); }

  T* p_;
};

static_assert(sizeof(gc_ptr<int>) == 8 && std::is_trivially_destructible_v<gc_ptr<int>> &&
              !std::is_trivially_copyable_v<gc_ptr<int>>);

template <class T, class U>
gc_ptr<T> static_pointer_cast(const gc_ptr<U>& p) noexcept {
  return gc_ptr<T>(static_cast<T*>(p.get()));
}
// Null if *p is no T.
template <class T, class U>
gc_ptr<T> dynamic_pointer_cast(const gc_ptr<U>& p) noexcept {
  return gc_ptr<T>(dynamic_cast<T*>(p.get()));
}
template <class T, class U>
gc_ptr<T> const_pointer_cast(const gc_ptr<U>& p) noexcept {
  return gc_ptr<T>(const_cast<T*>(p.get()));
}

}  // namespace cairn

template <class T>
struct std::hash<cairn::gc_ptr<T>> {
  std::size_t operator()(const cairn::gc_ptr<T>& p) const noexcept { return std::hash<T*>()(p.get()); }
};
