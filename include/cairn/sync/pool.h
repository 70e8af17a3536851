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
#include "cairn/make_gc.h"

namespace cairn::sync {

// Keeps objects that nobody uses at the moment, to save making new ones. What is put in may be gone at any time: what
// was not taken for two collections is. Lives where a gc_ptr may. Every processor has a place of its own, so that
// goroutines seldom meet.
template <class T>
class pool {
 public:
  // get() of an empty one returns make_gc<T>(), or null if a T cannot be made of nothing.
  pool() : state_(detail::make_kept<state>()) {
    if constexpr (std::default_initializable<T>)
      state_->make = [](state&) -> gc_ptr<T> { return make_gc<T>(); };
  }
  // get() of an empty one returns make(), which is called by several at once.
  template <std::invocable F>
  requires std::convertible_to<std::invoke_result_t<F&>, gc_ptr<T>>
  explicit pool(F make) : state_(detail::make_kept<state_with<F>>(std::move(make))) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  // Some object that was put in, or a new one.
  gc_ptr<T> get() {
    gc_ptr<T> found = try_get();
    return found != nullptr || state_->make == nullptr ? found : state_->make(*state_);
  }
  // Some object that was put in; null: there is none.
  gc_ptr<T> try_get() {
    detail::begin_call();
    return static_cast<T*>(detail::take_from_pool(*state_));
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
