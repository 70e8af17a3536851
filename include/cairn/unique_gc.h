// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// unique_gc<T>: owns a collected object, as std::unique_ptr does. Its end destroys the object and frees the memory at
// once, which spares the collector the work; share() leaves the object to the collector instead.
#pragma once
#include <type_traits>
#include <utility>

#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"
#include "cairn/make_gc.h"
#include "cairn/root.h"

namespace cairn {

// Null by default, movable. May live anywhere. Other pointers to the object must not be used once the owner has ended,
// like those to an object that was deleted. As thread-safe as a std::unique_ptr.
template <class T>
class unique_gc {
 public:
  using element_type = T;

  constexpr unique_gc() noexcept = default;
  unique_gc(unique_gc&&) noexcept = default;
  unique_gc& operator=(unique_gc&& o) noexcept {
    if (this != &o) {
      reset();
      p_ = std::move(o.p_);
    }
    return *this;
  }
  ~unique_gc() { reset(); }

  T* get() const noexcept { return p_.get(); }
  T& operator*() const noexcept { return *p_.get(); }
  T* operator->() const noexcept { return p_.get(); }
  explicit operator bool() const noexcept { return p_.get() != nullptr; }

  // Gives the object to the collector, which destroys it when nothing refers to it any more. This becomes null.
  gc_ptr<T> share() noexcept {
    T* const object = p_.get();
    p_.reset();
    return object;
  }

  // Destroys the object and frees its memory.
  void reset() noexcept {
    if (T* const object = p_.get(); object != nullptr) {
      p_.reset();  // before the slot is free, for the collector follows roots
      detail::free_object(const_cast<std::remove_cv_t<T>*>(object));
    }
  }

 private:
  template <class U, class... A>
  requires detail::makeable<U, A...>
  friend unique_gc<U> make_unique_gc(A&&... args);

  explicit unique_gc(T* object) : p_(object) {}

  root<T> p_;
};

// As make_gc, but owned. Throws std::bad_alloc and what the constructor throws.
template <class T, class... A>
requires detail::makeable<T, A...> unique_gc<T> make_unique_gc(A&&... args) {
  return unique_gc<T>(detail::new_object<T, false>(std::forward<A>(args)...));
}

}  // namespace cairn
