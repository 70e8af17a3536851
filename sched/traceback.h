// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines on standard error, laid out as Go does, for the tools and eyes that are used to it:
//
//   goroutine 7 [mutex lock, 2 minutes, locked to thread]:
//   cairn::sync::mutex::lock()
//   	/usr/bin/server(+0x1b2c3) +0x25
//   serve(connection&)
//   	/usr/bin/server(+0x12345) +0x1f
//   created by accept_all() in goroutine 1
//   	/usr/bin/server(+0x12abc) +0x77
//
// Of each function the file, the address in it (for addr2line -e), and how far from its beginning. The library's own
// functions, but for its interface, are left out.
#pragma once
#include <cstddef>

#include "sched/inspect.h"

namespace cairn::sched::traceback {

// Pages of memory for the copy of a stack, outside malloc.
class memory {
 public:
  memory() = default;
  ~memory();
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  // False, and as before, if the system gives none.
  bool grow(std::size_t wanted) noexcept;
  stack_image image() const noexcept { return {bytes_, capacity_, 0, {}}; }

 private:
  void give_back() noexcept;

  char* bytes_ = nullptr;
  std::size_t capacity_ = 0;
};

// Before the list or the backtrace with which a program ends. False: another thread is at it already.
bool begin_last_report() noexcept;
// Where the program would end otherwise: if another thread is at it the process ends here, with status 2, when that one
// is done or ten seconds are over.
void await_last_report() noexcept;

// At depth 0, or on a thread without an m; one at a time. `now`: as now_ns().
void print(const sighting& seen, stack_image& stack, std::int64_t now) noexcept;
// Its first line only, without a colon. Async-signal-safe.
void print_heading(const sighting& seen, std::int64_t now) noexcept;

// All that do not run, at most so many. Returns how many there were more.
std::size_t print_standing(std::size_t most) noexcept;

}  // namespace cairn::sched::traceback
