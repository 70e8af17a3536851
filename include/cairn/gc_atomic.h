// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_atomic<T>: a gc_ptr<T> that any threads may read and write at once, as std::atomic<T*>. Lock-free. A
// pointer that is held somewhere keeps its object, so what was compared equal is the same object: no ABA, no
// hazard pointers.
//
// Every write is one atomic instruction that also fetches the value it replaces, for the barrier: a load before the
// store could miss a value that another thread wrote between them.
#pragma once
#include <atomic>
#include <cstddef>

#include "cairn/gc_ptr.h"

namespace cairn {

// Null by default. Lives where a gc_ptr may. Nothing here throws; orders are those of std::atomic, a store may be
// stronger than asked for.
template <class T>
class gc_atomic {
 public:
  using value_type = gc_ptr<T>;
  static constexpr bool is_always_lock_free = true;

  constexpr gc_atomic() noexcept = default;
  constexpr gc_atomic(T* p) noexcept : p_(p) {}
  constexpr gc_atomic(const gc_ptr<T>& p) noexcept : p_(p) {}
  constexpr gc_atomic(std::nullptr_t) noexcept : p_(nullptr) {}
  gc_atomic(const gc_atomic&) = delete;
  gc_atomic& operator=(const gc_atomic&) = delete;

  bool is_lock_free() const noexcept { return true; }

  gc_ptr<T> load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    return __atomic_load_n(&p_.p_, number(order));
  }
  void store(gc_ptr<T> desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
    detail::exchange_word(p_.p_, desired.get(), number(order));
  }
  gc_ptr<T> exchange(gc_ptr<T> desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return detail::exchange_word(p_.p_, desired.get(), number(order));
  }

  // `expected` becomes the value found where that is another one. The weak forms may fail without cause.
  bool compare_exchange_weak(T*& expected, gc_ptr<T> desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return compare(expected, desired.get(), true, success, failure);
  }
  bool compare_exchange_weak(gc_ptr<T>& expected, gc_ptr<T> desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return compare(expected, desired.get(), true, success, failure);
  }
  bool compare_exchange_weak(T*& expected, gc_ptr<T> desired,
                             std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare(expected, desired.get(), true, order, load_part(order));
  }
  bool compare_exchange_weak(gc_ptr<T>& expected, gc_ptr<T> desired,
                             std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare(expected, desired.get(), true, order, load_part(order));
  }
  bool compare_exchange_strong(T*& expected, gc_ptr<T> desired, std::memory_order success,
                               std::memory_order failure) noexcept {
    return compare(expected, desired.get(), false, success, failure);
  }
  bool compare_exchange_strong(gc_ptr<T>& expected, gc_ptr<T> desired, std::memory_order success,
                               std::memory_order failure) noexcept {
    return compare(expected, desired.get(), false, success, failure);
  }
  bool compare_exchange_strong(T*& expected, gc_ptr<T> desired,
                               std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare(expected, desired.get(), false, order, load_part(order));
  }
  bool compare_exchange_strong(gc_ptr<T>& expected, gc_ptr<T> desired,
                               std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare(expected, desired.get(), false, order, load_part(order));
  }

 private:
  // What the builtins take.
  static constexpr int number(std::memory_order order) noexcept { return static_cast<int>(order); }

  // The order of a failed compare_exchange with one order given: it only loads.
  static constexpr std::memory_order load_part(std::memory_order order) noexcept {
    if (order == std::memory_order_acq_rel) return std::memory_order_acquire;
    if (order == std::memory_order_release) return std::memory_order_relaxed;
    return order;
  }

  bool compare(T*& expected, T* desired, bool weak, std::memory_order success,
               std::memory_order failure) noexcept {
    return detail::compare_exchange_word(p_.p_, expected, desired, weak, number(success), number(failure));
  }
  // `expected` may lie in the heap, so it is written as a gc_ptr.
  bool compare(gc_ptr<T>& expected, T* desired, bool weak, std::memory_order success,
               std::memory_order failure) noexcept {
    T* found = expected.get();
    if (compare(found, desired, weak, success, failure)) return true;
    expected = found;
    return false;
  }

  gc_ptr<T> p_;
};

static_assert(sizeof(gc_atomic<int>) == 8);

}  // namespace cairn
