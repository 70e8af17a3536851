// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::atomic_value: a value of any type that is read and replaced as a whole.
//
// The value lies in a collected object that never changes; a store makes another one. So a reader copies at its
// leisure, locks nothing, and keeps nobody from anything.
#pragma once
#include <atomic>
#include <concepts>
#include <utility>

#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"
#include "cairn/gc_atomic.h"

namespace cairn::sync {

// T() by default. T is copyable. Lives where a gc_ptr may. What a store wrote before is seen by who loads its
// value. What T's functions throw is passed on, and changes nothing.
template <std::copy_constructible T>
class atomic_value {
 public:
  constexpr atomic_value() noexcept requires std::default_initializable<T> {}
  atomic_value(T value) : current_(make(std::move(value))) {}
  atomic_value(const atomic_value&) = delete;
  atomic_value& operator=(const atomic_value&) = delete;

  T load() const {
    detail::begin_call();
    return copy(current_.load(std::memory_order_acquire));
  }
  void store(T value) { current_.store(make(std::move(value)), std::memory_order_release); }
  T swap(T value) { return copy(current_.exchange(make(std::move(value)), std::memory_order_acq_rel)); }
  // Replaces the value if it equals `old`. False if it does not.
  bool compare_and_swap(const T& old, T desired) requires std::equality_comparable<T> {
    detail::begin_call();
    box* fresh = nullptr;
    for (gc_ptr<box> now = current_.load(std::memory_order_acquire);;) {
      if (!equals(now.get(), old)) return false;
      if (fresh == nullptr) fresh = make(std::move(desired));
      // Whoever is equal but another one may be replaced too; so it is looked at anew.
      if (current_.compare_exchange_strong(now, fresh, std::memory_order_acq_rel, std::memory_order_acquire))
        return true;
    }
  }

 private:
  struct box {
    explicit box(T&& v) : value(std::move(v)) {}
    const T value;
  };

  static box* make(T&& value) { return detail::make_kept_of<box, T>(std::move(value)); }
  static T copy(const gc_ptr<box>& from) {
    if constexpr (std::default_initializable<T>)
      if (from == nullptr) return T();
    struct guard {
      const box* kept;
      ~guard() { detail::keep_alive(kept); }
    } while_copied{from.get()};
    return while_copied.kept->value;
  }
  static bool equals(const box* held, const T& other) {
    if constexpr (std::default_initializable<T>)
      if (held == nullptr) return T() == other;
    const bool same = held->value == other;
    detail::keep_alive(held);
    return same;
  }

  gc_atomic<box> current_;
};

}  // namespace cairn::sync
