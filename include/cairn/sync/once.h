// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::once and sync::once_value: what is done at the first call only.
#pragma once
#include <atomic>
#include <concepts>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"
#include "cairn/root.h"
#include "cairn/sync/mutex.h"

namespace cairn::sync {

// Calls a function once. Lives anywhere.
class once {
 public:
  constexpr once() noexcept = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  // The first call calls f; the others wait for its end. However f ends, it counts as done: what it throws is thrown to
  // that one caller. A call from within f waits for itself: a deadlock.
  template <std::invocable F>
  void call(F&& f) {
    // Acquire: with the release below.
    if (!detail::has_short_way() || !done_.load(std::memory_order_acquire)) [[unlikely]]
      call_slow(std::forward<F>(f));
  }

 private:
  template <class F>
  [[gnu::cold]] void call_slow(F&& f) {
    std::lock_guard held(lock_);
    if (done_.load(std::memory_order_relaxed)) return;  // the lock orders it
    struct guard {
      std::atomic<bool>& done;
      ~guard() { done.store(true, std::memory_order_release); }  // however f ends
    } at_end{done_};
    std::forward<F>(f)();
  }

  std::atomic<bool> done_{false};
  mutex lock_;
};

// What once_value returns: a function of no argument. Lives anywhere; its copies share the one call.
template <class F>
class once_fn {
  using result = std::invoke_result_t<F&>;
  static constexpr bool has_value = !std::is_void_v<result>;

 public:
  explicit once_fn(F f) : state_(detail::make_kept<state>(std::move(f))) {}

  // The first call calls the function; the others wait for that. All get the same value, or the same exception: also
  // of a first call that was ended by goexit, which is a goroutine_exited to the others.
  auto operator()() const
      -> std::conditional_t<has_value, std::add_lvalue_reference_t<std::add_const_t<result>>, void> {
    state& s = *state_;
    s.first.call([&s] { s.run(); });
    if (s.error) std::rethrow_exception(s.error);
    if constexpr (std::is_reference_v<result>) return **s.value;
    else if constexpr (has_value) return *s.value;
  }

 private:
  struct state {
    using kept = std::conditional_t<
        has_value,
        std::conditional_t<std::is_reference_v<result>, std::remove_reference_t<result>*, std::remove_cv_t<result>>,
        char>;

    explicit state(F&& f) : function(std::move(f)) {}
    void run() {
      struct guard {
        detail::erasable<F>& function;
        ~guard() { function.erase(); }  // what it holds is not needed any more
      } at_end{function};
      try {
        if constexpr (std::is_reference_v<result>) value.emplace(std::addressof((*function)()));
        else if constexpr (has_value) value.emplace((*function)());
        else (*function)();
      } catch (...) {
        error = detail::exception_to_keep();
        throw;
      }
      detail::shade_if_marking(std::addressof(value), sizeof value);
    }

    once first;
    detail::erasable<F> function;
    std::optional<kept> value;
    std::exception_ptr error;
  };

  root<state> state_;
};

// A function that calls f when it is called first, and then always gives what that gave: a reference to its result, or
// the exception that it threw.
template <std::invocable F>
once_fn<std::decay_t<F>> once_value(F&& f) {
  return once_fn<std::decay_t<F>>(std::forward<F>(f));
}

}  // namespace cairn::sync
