// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// root<T>: a managed pointer that keeps its object alive wherever it lies itself, also in malloc'd memory.
//
// The collector scans a slot that the library lends to each root that is not null; the root keeps the pointer a second
// time, so reading it costs what reading a T* costs. A root inside a collected object keeps its object alive for as
// long as it exists, cycles through it are never collected: use a gc_ptr there.
#pragma once
#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "cairn/gc_ptr.h"

namespace cairn {

// Null by default. The same interface as gc_ptr<T>, and converts from and to it. Different roots may be made,
// copied and destroyed by any threads at any time; one root is as thread-safe as a T*. Making one that is not
// null, and assigning to a null one, attaches the calling thread and may throw std::bad_alloc, which leaves the
// root as it was.
template <class T>
class root : public detail::handle<root<T>, T> {
 public:
  template <class U>
  using rebind = root<U>;

  constexpr root() noexcept = default;
  root(T* p) : slot_(acquire(p)), p_(p) {}
  root(const root& o) : root(o.p_) {}
  root(root&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)), p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
  requires std::convertible_to<U*, T*> root(const gc_ptr<U>& o) : root(static_cast<T*>(o.get())) {}
  template <class U>
  requires(!std::same_as<U, T> && std::convertible_to<U*, T*>) root(const root<U>& o)
      : root(static_cast<T*>(o.get())) {}

  root& operator=(T* p) {
    store(p);
    return *this;
  }
  root& operator=(const root& o) {  // NOLINT(bugprone-unhandled-self-assignment): store() takes its own
    store(o.p_);
    return *this;
  }
  root& operator=(root&& o) noexcept {
    if (this != &o) {
      reset();
      slot_ = std::exchange(o.slot_, nullptr);
      p_ = std::exchange(o.p_, nullptr);
    }
    return *this;
  }
  template <class U>
  requires std::convertible_to<U*, T*> root& operator=(const gc_ptr<U>& o) {
    store(o.get());
    return *this;
  }
  template <class U>
  requires(!std::same_as<U, T> && std::convertible_to<U*, T*>) root& operator=(const root<U>& o) {
    store(o.get());
    return *this;
  }
  ~root() { reset(); }

  constexpr T* get() const noexcept { return p_; }
  void reset() noexcept {
    p_ = nullptr;
    if (slot_ != nullptr) detail::root_release(std::exchange(slot_, nullptr));
  }

 private:
  friend class detail::handle<root, T>;

  static void* word(T* p) noexcept { return const_cast<void*>(detail::plain_address(p)); }
  static void** acquire(T* p) { return p == nullptr ? nullptr : detail::root_acquire(word(p)); }

  void store(T* p) {
    if (p == nullptr) {
      reset();
      return;
    }
    if (slot_ == nullptr) {
      slot_ = acquire(p);
    } else {
      detail::store_word<void, T>(*slot_, word(p));
    }
    p_ = p;
  }

  void** slot_ = nullptr;  // Holds p_. Null exactly when p_ is.
  T* p_ = nullptr;
};

static_assert(sizeof(root<int>) == 16 && std::is_nothrow_move_constructible_v<root<int>>);

template <class T, class U>
root<T> static_pointer_cast(const root<U>& p) {
  return root<T>(static_cast<T*>(p.get()));
}
template <class T, class U>
root<T> dynamic_pointer_cast(const root<U>& p) {
  return root<T>(dynamic_cast<T*>(p.get()));
}
template <class T, class U>
root<T> const_pointer_cast(const root<U>& p) {
  return root<T>(const_cast<T*>(p.get()));
}

}  // namespace cairn

template <class T>
struct std::hash<cairn::root<T>> {
  std::size_t operator()(const cairn::root<T>& p) const noexcept { return std::hash<T*>()(p.get()); }
};
