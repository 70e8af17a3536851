// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_weak<T>: names an object without keeping it alive. It is cleared before the object's destructor, finalizer or
// cleanup runs. It may live anywhere.
//
// The pointer is kept complemented, for a search of memory that may hold addresses would else find it.
#pragma once
#include <concepts>
#include <cstdint>
#include <utility>

#include "cairn/gc_ptr.h"
#include "cairn/root.h"

namespace cairn {

// Null by default. Making one from a pointer attaches the calling thread and may throw std::bad_alloc; the rest throws
// nothing. As thread-safe as a std::weak_ptr: different ones of one object may be used by any threads, lock() of one by
// several at once.
template <class T>
class gc_weak {
 public:
  using element_type = T;

  constexpr gc_weak() noexcept = default;
  gc_weak(T* p) : record_(detail::weak_acquire(detail::plain_address(p))), hidden_(hide(p)) {}
  template <class U>
  requires std::convertible_to<U*, T*> gc_weak(const gc_ptr<U>& p) : gc_weak(static_cast<T*>(p.get())) {}
  template <class U>
  requires std::convertible_to<U*, T*> gc_weak(const root<U>& p) : gc_weak(static_cast<T*>(p.get())) {}
  gc_weak(const gc_weak& o) noexcept : record_(o.record_), hidden_(o.hidden_) {
    if (record_ != nullptr) detail::weak_retain(record_);
  }
  gc_weak(gc_weak&& o) noexcept
      : record_(std::exchange(o.record_, nullptr)), hidden_(std::exchange(o.hidden_, k_null)) {}
  gc_weak& operator=(gc_weak o) noexcept {
    std::swap(record_, o.record_);
    std::swap(hidden_, o.hidden_);
    return *this;
  }
  ~gc_weak() { reset(); }

  // The object, or null once it was found unreachable. Attaches the calling thread.
  gc_ptr<T> lock() const noexcept {
    if (record_ == nullptr) return nullptr;
    return static_cast<T*>(detail::weak_lock(record_, hidden_));
  }

  void reset() noexcept {
    if (record_ != nullptr) detail::weak_release(std::exchange(record_, nullptr));
    hidden_ = k_null;
  }

 private:
  static constexpr std::uintptr_t k_null = ~std::uintptr_t{0};
  static std::uintptr_t hide(T* p) noexcept { return ~reinterpret_cast<std::uintptr_t>(p); }

  detail::weak_record* record_ = nullptr;  // one count of it is this object's
  std::uintptr_t hidden_ = k_null;         // ~ of the pointer
};

}  // namespace cairn
