// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::pool: objects that are used again. See gc/pool.cc for how.
#pragma once
#include <concepts>
#include <type_traits>
#include <utility>

#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"
#include "cairn/detail/pool.h"
#include "cairn/gc_ptr.h"

namespace cairn::sync {

// Keeps objects that nobody uses at the moment, to save making new ones. What is put in may be gone at any time: what
// was not taken for two collections is. Lives where a gc_ptr may. Every processor has a place of its own, so that
// goroutines seldom meet.
template <class T>
class pool {
 public:
  // get() of an empty one returns null.
  pool() : state_(detail::make_kept<state>()) {}
  // get() of an empty one returns make(), which is called by several at once.
  template <std::invocable F>
  requires std::convertible_to<std::invoke_result_t<F&>, gc_ptr<T>>
  explicit pool(F make) : state_(detail::make_kept<state_with<F>>(std::move(make))) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  // Some object that was put in, or a new one.
  gc_ptr<T> get() {
    detail::begin_call();
    state& s = *state_;
    if (void* found = detail::take_from_pool(s)) return static_cast<T*>(found);
    return s.make != nullptr ? s.make(s) : gc_ptr<T>(nullptr);
  }
  // The caller uses the object no more. Null is left alone.
  void put(gc_ptr<T> p) {
    detail::begin_call();
    if (p != nullptr) detail::put_into_pool(*state_, const_cast<std::remove_cv_t<T>*>(p.get()));
  }

 private:
  struct state : detail::pool_core {
    gc_ptr<T> (*make)(state&) = nullptr;
  };
  template <class F>
  struct state_with : state {
    explicit state_with(F&& f) : function(std::move(f)) {
      this->make = [](state& self) -> gc_ptr<T> { return static_cast<state_with&>(self).function(); };
    }
    F function;
  };

  gc_ptr<state> state_;
};

}  // namespace cairn::sync
