// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Looking at goroutines while they live: for goroutines(), the list of a deadlock, and SIGQUIT.
//
// A goroutine that waits is held (sched/proc.h) while its stack is copied. One that is runnable may be on its way to a
// thread already, past the place where hold() would stop it: its stack is read as it is, and the copy thrown away if
// goroutine::runs tells that it was switched to meanwhile. One that runs copies its own stack, in a handshake, or,
// for SIGQUIT, in the handler of a signal that asks for nothing else (sched/quit.h). A frozen one runs, here: its
// thread does.
//
// Records are never unmapped, and are used again. An id never is, so whoever finds the same id before and after
// has looked at one goroutine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cairn/goroutine_info.h"
#include "sched/goroutine.h"
#include "sched/unwind.h"

// Plain fields of goroutines are read while their owners may write them; what comes out counts only if the goroutine
// turns out to have been the same, and standing still, all the while.
#if defined(__clang__)
#define CAIRN_LOOKS __attribute__((no_sanitize("thread", "address")))
#else
#define CAIRN_LOOKS __attribute__((no_sanitize_thread, no_sanitize_address))
#endif

namespace cairn::sched {

// "mutex lock", "sleep": as in Go's messages where Go has the same.
constexpr const char* text_of(wait_reason why) noexcept {
  switch (why) {
    case wait_reason::none:
      return "waiting";
    case wait_reason::sleep:
      return "sleep";
    case wait_reason::wait_group:
      return "wait_group wait";
    case wait_reason::task:
      return "task get";
    case wait_reason::mutex:
      return "mutex lock";
    case wait_reason::semaphore:
      return "semaphore acquire";
    case wait_reason::cond:
      return "cond wait";
    case wait_reason::io:
      return "IO wait";
    case wait_reason::collection:
      return "garbage collection";
    case wait_reason::chan_receive:
      return "chan receive";
    case wait_reason::chan_send:
      return "chan send";
    case wait_reason::chan_receive_nil:
      return "chan receive (nil chan)";
    case wait_reason::chan_send_nil:
      return "chan send (nil chan)";
    case wait_reason::select:
      return "select";
    case wait_reason::select_no_cases:
      return "select (no cases)";
    case wait_reason::rw_mutex_read:
      return "rw_mutex lock_shared";
    case wait_reason::rw_mutex_write:
      return "rw_mutex lock";
    case wait_reason::bubble:
      return "synctest bubble";
    case wait_reason::bubble_wait:
      return "synctest wait";
  }
  return "waiting";
}
constexpr std::string_view name_of(wait_reason why) noexcept { return text_of(why); }

enum class activity : std::uint8_t { runnable, running, waiting, syscall };
std::string_view name_of(activity doing) noexcept;

// What a goroutine was doing at one moment.
struct sighting {
  std::uint64_t id = 0;
  activity doing = activity::runnable;
  wait_reason why = wait_reason::none;
  std::int64_t since = 0;       // of waiting and syscall; as now_ns()
  bool is_locked = false;       // to its thread
  bool is_leaked = false;       // it waits, and a report of leaks has found that it will for ever
  bool is_interrupted = false;  // the copy begins in a signal handler
  std::uint64_t creator = 0;
  const void* created_at = nullptr;
  const void* begins_with = nullptr;  // of one that has not begun: its function
};

enum class look : std::uint8_t {
  done,     // `stack` has its stack, or nothing if there is none to be had
  runs,     // on a thread; `seen` is filled
  gone,     // it has ended, or is about to
  too_big,  // `stack.size` bytes are needed
};

// A goroutine that does not run. Depth 0, or a thread without an m. `patient`: waits for those who hold it too.
look look_at(goroutine& g, sighting& seen, stack_image& stack, bool patient = true) noexcept;
// One that runs on `self`, by that thread, or by who holds it: at a position that [saved_sp, ...) publishes.
look look_at_running(const m& self, sighting& seen, stack_image& stack) noexcept;
// Without its stack, by anybody, at any depth; it may be something else by then. False if it has ended.
bool look_from_afar(const goroutine& g, sighting& seen) noexcept;

// A goroutine as it was at some earlier time: it may have ended since.
struct goroutine_name {
  goroutine* g;
  std::uint64_t id;
};
// What goroutines() says of these. At depth 0; throws std::bad_alloc.
std::vector<goroutine_info> look_at_each(std::span<const goroutine_name> names);

}  // namespace cairn::sched
