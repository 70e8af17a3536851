// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the goroutines of the program are doing.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

struct goroutine_info {
  std::uint64_t id = 0;  // as goroutine_id()
  // "running"; "runnable": it could run, and waits for its turn; "waiting"; "syscall": in blocking(), or in a wait of
  // the runtime's own.
  std::string state;
  std::string wait_reason;  // what one that is "waiting" waits for, "sleep" or "mutex lock"; else empty
  // For how long it has been "waiting" or in "syscall", to about a millisecond; else 0.
  std::chrono::nanoseconds waited{0};
  // Return addresses, innermost first; for backtrace_symbols(), dladdr() or addr2line. Of one that has not begun, the
  // function that it begins with. Empty where it could not be had: one that runs may be elsewhere at every look.
  std::vector<void*> backtrace;
};

// All goroutines, by id. Each entry is right for one moment during the call, though not all for the same one. Stops
// nobody for longer than it takes to copy a stack; a goroutine that runs is interrupted for that, as by a collection.
// From any thread, goroutine or not; takes some microseconds a goroutine. Throws std::bad_alloc.
std::vector<goroutine_info> goroutines();

}  // namespace cairn
