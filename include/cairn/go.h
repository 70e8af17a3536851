// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines: starting them, joining them, and what one can do with itself. All of it works from attached threads that
// are no goroutines too, goexit excepted.
//
// A function and its arguments lie in one closure object of collected memory, which is looked at as a stack is, and is
// kept by the goroutine's record. Of spawn, the closure holds the result as well and a task keeps it too; when both
// are done with it, whichever comes second destroys what is in it.
#pragma once
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cairn/detail/entry.h"
#include "cairn/detail/object.h"

namespace cairn {

// Thrown by task<R>::get when the goroutine ended without returning from its function.
struct goroutine_exited : std::runtime_error {
  using runtime_error::runtime_error;
};

namespace detail {

// What start_goroutine and task share of a spawned closure.
struct task_base : closure {
  static constexpr std::uintptr_t k_pending = 0, k_done = 1, k_detached = 2;
  enum class outcome : std::uint32_t { none, value, error, exited };

  // pending -> the address of who waits, by get (release; the goroutine acquires), and back if its wait is given up;
  // -> done by the goroutine, after the outcome (release; get and ~task acquire), which then wakes who waits;
  // -> detached by ~task (release; the goroutine acquires), after which the goroutine destroys the outcome.
  std::atomic<std::uintptr_t> state{k_pending};
  outcome result = outcome::none;
  std::uint32_t bubble = 0;  // id of the one that its goroutine is in; 0: none
  std::exception_ptr error;
  void (*destroy_value)(task_base*) noexcept = nullptr;
};

// Starts a goroutine that calls function->run. `task`: the same object, of spawn. Throws std::system_error or
// std::bad_alloc, after function->drop.
void start_goroutine(closure* function, task_base* task);
// Returns when the outcome is there.
void await_task(task_base& task);
// By who finds that the other side is done with the task.
void destroy_outcome(task_base& task) noexcept;
// ~task.
void detach_task(task_base& task) noexcept;
// [first, first + bytes) was filled from a stack, or will be read into one, while a cycle marks.
[[gnu::cold]] void shade_words(const void* first, std::size_t bytes) noexcept;

inline void shade_if_marking(const void* first, std::size_t bytes) noexcept {
  if (stores_are_watched()) [[unlikely]]
    shade_words(first, bytes);
}

// A function and its arguments, called once or destroyed uncalled. Afterwards the memory is zero, so that it keeps
// nothing alive.
template <class F, class... A>
class stored_call {
 public:
  template <class... X>
  explicit stored_call(X&&... x) : call_(std::forward<X>(x)...) {}
  ~stored_call() {}
  stored_call(const stored_call&) = delete;
  stored_call& operator=(const stored_call&) = delete;

  decltype(auto) operator()() {
    struct guard {
      stored_call* self;
      ~guard() { self->destroy(); }
    } at_end{this};
    return std::apply(
        [](F& f, A&... a) -> decltype(auto) { return std::invoke(std::move(f), std::move(a)...); }, call_);
  }
  void destroy() noexcept {
    std::destroy_at(std::addressof(call_));
    if (stores_are_watched()) [[unlikely]]
      bulk_barrier_slow(std::addressof(call_), sizeof call_);
    std::memset(static_cast<void*>(std::addressof(call_)), 0, sizeof call_);
  }

 private:
  union {
    std::tuple<F, A...> call_;
  };
};

// A closure of go.
template <class F, class... A>
struct go_closure : closure {
  stored_call<F, A...> call;

  template <class... X>
  explicit go_closure(X&&... x) : closure{&run_it, &drop_it}, call(std::forward<X>(x)...) {}
  static void run_it(closure* self, void*) { static_cast<go_closure*>(self)->call(); }
  static void drop_it(closure* self) noexcept { static_cast<go_closure*>(self)->call.destroy(); }
};

// Where the result of a spawned function lies until it is taken.
template <class R>
struct task_state : task_base {
  using stored = std::conditional_t<
      std::is_void_v<R>, char,
      std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*, std::remove_cv_t<R>>>;
  union {
    stored value;
  };

  task_state() {
    destroy_value = [](task_base* self) noexcept { std::destroy_at(&static_cast<task_state*>(self)->value); };
  }
  ~task_state() {}

  // The value, moved out and destroyed. The outcome is a value.
  R take() {
    struct guard {
      task_state* self;
      ~guard() { destroy_outcome(*self); }
    } at_end{this};
    shade_if_marking(&value, sizeof value);
    if constexpr (std::is_reference_v<R>) {
      return static_cast<R>(*value);
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(value);
    }
  }
};

// A closure of spawn.
template <class R, class F, class... A>
struct task_closure : task_state<R> {
  stored_call<F, A...> call;

  template <class... X>
  explicit task_closure(X&&... x) : call(std::forward<X>(x)...) {
    this->run = &run_it;
    this->drop = &drop_it;
  }
  static void run_it(closure* base, void*) {
    auto* self = static_cast<task_closure*>(base);
    if constexpr (std::is_void_v<R>) {
      self->call();
      ::new (static_cast<void*>(&self->value)) char(0);
    } else if constexpr (std::is_reference_v<R>) {
      ::new (static_cast<void*>(&self->value)) auto(std::addressof(self->call()));
    } else {
      ::new (static_cast<void*>(&self->value)) typename task_state<R>::stored(self->call());
    }
    shade_if_marking(&self->value, sizeof self->value);
    self->result = task_base::outcome::value;
  }
  static void drop_it(closure* base) noexcept { static_cast<task_closure*>(base)->call.destroy(); }
};

// As allocate_closure.
template <class C>
void* allocate_go_closure() {
  constexpr unsigned k_class = size_class_of(sizeof(C), alignof(C));
  if constexpr (k_class == 0) return allocate_closure(sizeof(C), alignof(C));
  else return allocate_small<span_class_of(k_class, false)>(~std::uint64_t{0});
}

template <class C, class... X>
C* make_go_closure(X&&... x) {
  C* made = ::new (allocate_go_closure<C>()) C(std::forward<X>(x)...);
  shade_if_marking(made, sizeof(C));  // arguments came from the caller's stack
  (keep_in_place(x), ...);            // and were there until now
  return made;
}

void call_blocking(void (*fn)(void*), void* arg);

}  // namespace detail

// The result of a spawned goroutine. Dropped without get(), it lets the goroutine run on. Lives anywhere.
template <class R>
class task {
 public:
  task() noexcept = default;
  task(task&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    task gone(std::move(*this));
    slot_ = std::exchange(other.slot_, nullptr);
    return *this;
  }
  ~task() {
    if (slot_ == nullptr) return;
    detail::detach_task(*state());
    detail::root_release(slot_);
  }

  // Waits for the goroutine, then returns what its function returned or rethrows what it threw; throws
  // goroutine_exited if it ended otherwise. Once: a second call, or one on an empty task, throws std::logic_error.
  R get() {
    if (slot_ == nullptr) throw std::logic_error("task::get: there is no result to get, or no longer");
    detail::await_task(*state());
    detail::task_state<R>* taken = state();
    detail::root_release(std::exchange(slot_, nullptr));  // from here on this stack keeps it
    if (taken->result == detail::task_base::outcome::error)
      std::rethrow_exception(std::exchange(taken->error, nullptr));
    if (taken->result != detail::task_base::outcome::value)
      throw goroutine_exited("task::get: the goroutine ended without a result");
    return taken->take();
  }

 private:
  template <class F, class... A>
  requires std::invocable<std::decay_t<F>, std::decay_t<A>...>
  friend task<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>> spawn(F&& f, A&&... a);

  explicit task(detail::task_state<R>* state)
      : slot_(detail::root_acquire(static_cast<detail::task_base*>(state))) {}
  detail::task_state<R>* state() const noexcept {
    return static_cast<detail::task_state<R>*>(static_cast<detail::task_base*>(*slot_));
  }

  void** slot_ = nullptr;  // from root_acquire: the closure
};

// Starts a goroutine that calls f(a...), copied as by std::thread. An exception that leaves it ends the program with
// a message and status 2. Throws std::bad_alloc or std::system_error when it cannot be started.
template <class F, class... A>
requires std::invocable<std::decay_t<F>, std::decay_t<A>...>
void go(F&& f, A&&... a) {
  using made = detail::go_closure<std::decay_t<F>, std::decay_t<A>...>;
  detail::start_goroutine(detail::make_go_closure<made>(std::forward<F>(f), std::forward<A>(a)...), nullptr);
}

// The same, with a task by which the result, or the exception, can be had.
template <class F, class... A>
requires std::invocable<std::decay_t<F>, std::decay_t<A>...>
    task<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>> spawn(F&& f, A&&... a) {
  using result = std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>;
  using made = detail::task_closure<result, std::decay_t<F>, std::decay_t<A>...>;
  made* function = detail::make_go_closure<made>(std::forward<F>(f), std::forward<A>(a)...);
  std::optional<task<result>> handle;
  try {
    handle.emplace(task<result>(function));
  } catch (...) {
    function->drop(function);
    throw;
  }
  detail::start_goroutine(function, function);
  return std::move(*handle);
}

// Lets others run.
void yield();
// Ends this goroutine, running the destructors on its stack: an exception that no std::exception is passes through,
// and a catch (...) must rethrow it. Throws std::logic_error in a thread that is no goroutine.
[[noreturn]] void goexit();
void sleep_for(std::chrono::nanoseconds duration);
void sleep_until(std::chrono::steady_clock::time_point when);

// Runs f, which may block in the kernel, and must neither call the library nor touch a gc_ptr nor hold the only
// reference to an object. No collection waits for it meanwhile.
template <std::invocable F>
auto blocking(F&& f) -> std::invoke_result_t<F> {
  using result = std::invoke_result_t<F>;
  using kept = std::conditional_t<
      std::is_void_v<result>, char,
      std::conditional_t<std::is_reference_v<result>, std::remove_reference_t<result>*, std::remove_cv_t<result>>>;
  struct call {
    F&& f;
    std::optional<kept> value;
  } c{std::forward<F>(f), std::nullopt};
  detail::call_blocking(
      [](void* p) {
        call& self = *static_cast<call*>(p);
        if constexpr (std::is_void_v<result>) {
          std::forward<F>(self.f)();
        } else if constexpr (std::is_reference_v<result>) {
          auto&& r = std::forward<F>(self.f)();
          self.value.emplace(std::addressof(r));
        } else {
          self.value.emplace(std::forward<F>(self.f)());
        }
      },
      &c);
  if constexpr (std::is_reference_v<result>) {
    return static_cast<result>(**c.value);
  } else if constexpr (!std::is_void_v<result>) {
    return std::move(*c.value);
  }
}

// While one exists, the goroutine stays on its operating system thread, which ends with a goroutine that still has one.
class lock_os_thread {
 public:
  lock_os_thread();
  ~lock_os_thread();
  lock_os_thread(const lock_os_thread&) = delete;
  lock_os_thread& operator=(const lock_os_thread&) = delete;
};

// While one exists, the goroutine is not preempted: it keeps its thread and runs on after its slice, until it waits or
// yields by itself. For code that must not be held up between two steps, such as one that keeps others spinning; others
// that are ready wait for it, so it should take microseconds. Nests. In a thread that is no goroutine it does nothing.
class preempt_off {
 public:
  preempt_off();
  ~preempt_off();
  preempt_off(const preempt_off&) = delete;
  preempt_off& operator=(const preempt_off&) = delete;

 private:
  unsigned* scopes_;  // of the goroutine; null: a thread
};

// How many goroutines may run at once. With an argument: sets it and returns what it was; below 1 it throws
// std::invalid_argument. Above 4096 likewise.
// Those that run on a processor too many leave it as soon as they come into the scheduler, after 10 ms at the latest.
int max_procs();
int max_procs(int n);
// Those of the program, main included while run() is active.
std::size_t num_goroutines();
// 1 and up, never used twice; 0 in a thread that is no goroutine.
std::uint64_t goroutine_id();

// Calls f when the scope ends, the last one first: `defer d{[&] { ... }};`.
template <std::invocable F>
class [[nodiscard]] defer {
 public:
  defer(F f) : f_(std::move(f)) {}
  ~defer() { f_(); }
  defer(const defer&) = delete;
  defer& operator=(const defer&) = delete;

 private:
  F f_;
};

}  // namespace cairn
