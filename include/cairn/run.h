// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Starting and ending: run(), its options, and attaching a thread by hand.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace cairn {

// For options::gc_percent and gc::set_percent: the heap's size starts no collection.
inline constexpr int gc_off = -1;
// For options::memory_limit and gc::set_memory_limit.
inline constexpr std::size_t no_limit = SIZE_MAX;

// A field left empty is taken from the environment, else from its default.
struct options {
  std::optional<int> gc_percent = {};            // CAIRNGC: 100; gc_off
  std::optional<std::size_t> memory_limit = {};  // CAIRNMEMLIMIT: soft limit in bytes on all that the runtime maps
  std::optional<int> max_procs = {};             // CAIRNMAXPROCS: the CPUs this process may use
  std::optional<std::size_t> stack_size = {};  // CAIRNSTACK: address space of a goroutine's stack, bytes
};

namespace detail {
// Runs fn(arg) as the main goroutine and ends the others after it. Rethrows what fn throws.
void run_main(void (*fn)(void*), void* arg, const options& chosen);
}  // namespace detail

// Starts the runtime, runs `main` as the main goroutine and returns its int, or 0. When it returns the other
// goroutines end: those that wait, or have not begun, are dropped without running destructors; running ones end at
// their next call into the library. run waits for them for a second at most, then leaves their threads running as
// attached ones and says so on standard error. May be called again; nested it throws std::logic_error.
template <class F>
requires std::invocable<F&> &&
    (std::same_as<std::invoke_result_t<F&>, void> ||
     std::convertible_to<std::invoke_result_t<F&>, int>)int run(F&& main, options chosen = {}) {
  struct call {
    std::remove_reference_t<F>* function;
    int status;
  } arg{std::addressof(main), 0};
  detail::run_main(
      [](void* p) {
        call* self = static_cast<call*>(p);
        if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
          (*self->function)();
        } else {
          self->status = (*self->function)();
        }
      },
      &arg, chosen);
  return arg.status;
}

// Attaches the calling thread for a scope. Needed only before a thread reads or assigns a gc_ptr without having
// called the library; a thread that was attached before stays so afterwards.
struct attach_thread {
  attach_thread();
  ~attach_thread();
  attach_thread(const attach_thread&) = delete;
  attach_thread& operator=(const attach_thread&) = delete;

 private:
  bool attached_here_;
};

}  // namespace cairn
