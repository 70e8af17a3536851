// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// fiber_annotation: what tools that watch a program's memory must be told of a stack that code is switched to.
// Every stack that takes part has one: each goroutine's, and each thread's own. Without such a tool it is empty, and
// so are its functions; a [[no_unique_address]] member takes no space.
//
//   AddressSanitizer   the bounds of the stack in use, else it takes goroutine stacks for the heap, and the stack's
//                      fake frames (detect_stack_use_after_return), which die with it
//   ThreadSanitizer    a "fiber" with a clock and a stack of calls of its own (clang). A switch synchronises: what one
//                      did before it happened before what the other does after it; so do hand_over() and the
//                      switch to its annotation's stack
//   Valgrind           the range, else it takes a switch for a frame of many kilobytes. If its header was there when
//                      the library was built; a few instructions per stack, none per switch
//
// Order of calls:
//
//   thread:    thread_created()                                                  thread_destroyed()
//   goroutine: created(low, high) ... switches ... before_switch(.., last=true)  destroyed(), by who runs next
//   switch:    from.before_switch(to, last); switch_context(...); from.after_switch()
//              and a new stack's entry begins with after_switch() of its own
//
// before_switch, switch_context and after_switch stand in one function: ThreadSanitizer keeps a stack of calls per
// fiber, and nothing may be called or return between its switch and ours. Hence always_inline.
//
// At most some 8000 tsan fibers may exist at a time (a limit of its runtime, threads included). A signal that
// it keeps back is delivered to the fiber that ran when it came, when that runs again: what is asked by signal
// must also be looked for at the end of a runtime section.
//
// Rejected: switches that do not synchronise (__tsan_switch_to_fiber_no_sync). They would find races between goroutines
//             that happened to run one after the other on one thread; but what belongs to the thread (its m with the
//             allocator's cache, thread-local variables) is used by all its goroutines in turn, and each such word
//             would be reported. Goroutines that run on two threads are told apart all the same.
#pragma once
#include <cstddef>

#include "cairn/detail/annotate.h"

#if CAIRN_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if CAIRN_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>) && !CAIRN_ASAN && !CAIRN_TSAN
#include <valgrind/valgrind.h>
#define CAIRN_VALGRIND 1
#else
#define CAIRN_VALGRIND 0
#endif

namespace cairn::sched {

class fiber_annotation {
 public:
  // Of a goroutine's stack, before it first runs.
  void created([[maybe_unused]] char* low, [[maybe_unused]] char* high) noexcept {
#if CAIRN_ASAN
    low_ = low;
    bytes_ = static_cast<std::size_t>(high - low);
    fake_stack_ = nullptr;
#endif
#if CAIRN_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
#if CAIRN_VALGRIND
    valgrind_ = VALGRIND_STACK_REGISTER(low, high);
#endif
  }

  // Pre: its last switch was made.
  void destroyed() noexcept {
#if CAIRN_TSAN
    __tsan_destroy_fiber(tsan_);
    tsan_ = nullptr;
#endif
#if CAIRN_VALGRIND
    VALGRIND_STACK_DEREGISTER(valgrind_);
#endif
  }

  // Of the calling thread's own stack, whose bounds AddressSanitizer knows.
  void thread_created() noexcept {
#if CAIRN_TSAN
    tsan_ = __tsan_get_current_fiber();
#endif
  }
  void thread_destroyed() noexcept {
#if CAIRN_TSAN
    tsan_ = nullptr;
#endif
  }

  // On this stack, right before the switch to `to`. `last`: nobody switches back any more.
  [[gnu::always_inline]] inline void before_switch([[maybe_unused]] fiber_annotation& to,
                                                   [[maybe_unused]] bool last) noexcept {
#if CAIRN_ASAN
    to.came_from_ = this;
    __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, to.low_, to.bytes_);
#endif
#if CAIRN_TSAN
    __tsan_switch_to_fiber(to.tsan_, 0);
#endif
  }

  // On this stack, right after a switch to it. What it was switched from still exists.
  [[gnu::always_inline]] inline void after_switch() noexcept {
#if CAIRN_ASAN
    const void* low = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &low, &bytes);
    // Of a thread's own stack this is how its bounds become known: in time, for somebody must switch away first.
    came_from_->low_ = low;
    came_from_->bytes_ = bytes;
#endif
    taken_over();
  }

  // By whoever makes the stack's user continue, before that is possible: what the caller did happened before. Locks and
  // queues in between order that anyway, but maybe by fences, which ThreadSanitizer does not know.
  void hand_over() noexcept {
#if CAIRN_TSAN
    __tsan_release(this);
#endif
  }

  // By the user of a stack that goes on as another goroutine, whose annotation this is: it takes what hand_over gave.
  [[gnu::always_inline]] inline void taken_over() noexcept {
#if CAIRN_TSAN
    __tsan_acquire(this);
#endif
  }

 private:
#if CAIRN_ASAN
  const void* low_ = nullptr;
  std::size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // its frames, while it does not run
  fiber_annotation* came_from_ = nullptr;
#endif
#if CAIRN_TSAN
  void* tsan_ = nullptr;
#endif
#if CAIRN_VALGRIND
  unsigned valgrind_ = 0;
#endif
};

}  // namespace cairn::sched
