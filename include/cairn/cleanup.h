// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The end of objects: running a destructor now, functions that run after an object is gone or before it would go.
//
// Of one object: weak references are cleared, the finalizer runs, then (if it did not bring the object back, in a later
// cycle) the destructor, then the cleanups. All run on one thread of the runtime; an exception that leaves one ends the
// program with status 2. Everything here may be called from any thread and attaches it.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "cairn/detail/entry.h"
#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"
#include "cairn/root.h"

namespace cairn {

namespace detail {

// A T*, or something that keeps one: gc_ptr<T>, root<T>.
template <class P>
concept object_pointer = std::is_pointer_v<P> || is_handle<P>;

// A program's function in an object of the library's. The argument is what run was given, as an A*; void: none.
template <class F, class A>
struct function_closure : closure {
  explicit function_closure(F&& f) : closure{&run_it, &drop_it}, function(std::move(f)) {}
  explicit function_closure(const F& f) : closure{&run_it, &drop_it}, function(f) {}

  static void run_it(closure* self, void* argument) {
    auto* const me = static_cast<function_closure*>(self);
    if constexpr (std::is_void_v<A>) {
      static_cast<void>(argument);
      me->function();
    } else {
      me->function(static_cast<A*>(argument));
    }
    std::destroy_at(me);
  }
  static void drop_it(closure* self) noexcept { std::destroy_at(static_cast<function_closure*>(self)); }

  F function;
};

template <class A, class F>
closure* make_closure(F&& f) {
  using made = function_closure<std::decay_t<F>, A>;
  closure* const c = ::new (allocate_closure(sizeof(made), alignof(made))) made(std::forward<F>(f));
  // It may hold raw pointers from the caller's stack, which is perhaps not scanned yet, while what it makes is marked.
  look_after_copy(c, sizeof(made));
  keep_in_place(f);  // until now they were there too
  return c;
}

// Hands `function` to the library by `give`. Where that throws, the function is still ours.
template <class Give>
auto give_closure(closure* function, Give give) {
  try {
    return give(function);
  } catch (...) {
    function->drop(function);
    throw;
  }
}

}  // namespace detail

namespace detail {
// A collected object with something that can be stopped.
struct stoppable {
  bool (*stop)(stoppable& self) noexcept = nullptr;
};
}  // namespace detail

// Stops a function that was registered to run later. Copyable; thread-safe.
class stop_handle {
 public:
  constexpr stop_handle() noexcept = default;
  explicit constexpr stop_handle(std::uint64_t id) noexcept : id_(id) {}  // the library's
  explicit stop_handle(detail::stoppable* target) : target_(target) {}    // likewise

  // True if the function will not run because of this call; false if it ran, runs, or was stopped before.
  bool stop() const noexcept {
    if (detail::stoppable* target = target_.get()) return target->stop(*target);
    return id_ != 0 && detail::stop_cleanup(id_);
  }

 private:
  std::uint64_t id_ = 0;
  root<detail::stoppable> target_;  // of a context's function
};

// Runs the destructor of *p now, unless it ran already; the collector will not run it again. The memory stays until
// nothing refers to it. Nothing happens for null and for an object without a collected destructor.
template <class P>
requires detail::object_pointer<P>
void destroy(const P& p) {
  if (const void* object = detail::plain_address(detail::raw(p)); object != nullptr) {
    detail::destroy_object(const_cast<void*>(object));
  }
}

// f() runs once, some time after *p is gone; not at exit. f must not keep *p alive. An object may have several. Throws
// std::invalid_argument if p points to no collected object, std::bad_alloc, and what copying f throws.
template <class P, class F>
requires detail::object_pointer<P> && std::invocable < std::decay_t<F>
& > stop_handle add_cleanup(const P& p, F&& f) {
  const void* const object = detail::plain_address(detail::raw(p));
  return detail::give_closure(detail::make_closure<void>(std::forward<F>(f)), [object](detail::closure* c) {
    return stop_handle(detail::add_cleanup(object, c));
  });
}

// f(p) runs once after *p became unreachable, and before the finalizers of what *p refers to. It may bring *p back by
// storing p somewhere. Replaces an earlier finalizer. Objects in a cycle of references that have finalizers are not
// finalized. Throws as add_cleanup.
template <class P, class F>
requires detail::object_pointer<P> && std::invocable < std::decay_t<F>
&, decltype(detail::raw(std::declval<const P&>())) > void set_finalizer(const P& p, F&& f) {
  using element = std::remove_pointer_t<decltype(detail::raw(p))>;
  const void* const object = detail::plain_address(detail::raw(p));
  detail::give_closure(detail::make_closure<element>(std::forward<F>(f)),
                       [object](detail::closure* c) { detail::set_finalizer(object, c); });
}
template <class P>
requires detail::object_pointer<P>
void set_finalizer(const P& p, std::nullptr_t) noexcept {
  detail::clear_finalizer(detail::plain_address(detail::raw(p)));
}

// *p is reachable at least up to here, though the compiler may have no more use for p.
template <class P>
requires detail::object_pointer<P>
void keep_alive(const P& p) noexcept { detail::keep_alive(detail::plain_address(detail::raw(p))); }

}  // namespace cairn
