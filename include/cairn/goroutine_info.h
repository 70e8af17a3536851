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
  // Of one that is "waiting": a goroutine_leaks() has found it.
  bool leaked = false;
  std::uint64_t creator = 0;   // the goroutine that started it; 0: a thread, a timer or run()
  void* created_at = nullptr;  // the address that the call of go() or spawn() returns to; null: as for 0
};

// All goroutines, by id. Each entry is right for one moment during the call, though not all for the same one. Stops
// nobody for longer than it takes to copy a stack; a goroutine that runs is interrupted for that, as by a collection.
// From any thread, goroutine or not; takes some microseconds a goroutine. Throws std::bad_alloc.
std::vector<goroutine_info> goroutines();

// The goroutines that are blocked for ever: what each waits for can be reached by nobody but others of the list. By
// id, each with where it was started (`creator`, `created_at`) and where it stands. A goroutine is listed if
//   - it sends to or receives from a channel, or is in a select, or waits for a mutex, rw_mutex, semaphore, cond,
//     wait_group or task; sleeps, waits for descriptors and for timers that run end by themselves;
//   - and neither a goroutine outside of the list, nor an attached thread, static or thread-local data, a root<T>, a
//     running timer, an object with a weak reference, or a finalizer, cleanup or destructor that is still to run, leads
//     to what it waits for, be it by way of collected objects or of references ([&]) to locals.
// A null channel and a select without cases are waits for ever. What a mutex or the like in static or malloc memory is
// reached by is not known: who waits for it is not listed.
//
// Nothing is changed: those that are listed go on waiting, keep what they refer to, and are listed again next time.
// Scanning is conservative: a stale word on a stack may hide a leak. None is listed by mistake, provided that the rules
// for references to collected objects are kept (gc_ptr.h). References to locals are looked for in all memory of the
// process (not under sanitizers), through /proc/self.
//
// Runs a full collection, then stops all threads while it follows every reference once more, on one thread:
// about as long as gc::verify(). From any thread, goroutine or not; calls at the same time take turns. Throws
// std::bad_alloc; std::system_error where /proc/self cannot be read; std::logic_error where the caller holds a
// gc::no_gc_scope. After Go's goroutine-leak profile, and Saioc et al., "Dynamic Partial Deadlock Detection and
// Recovery via Garbage Collection", ASPLOS 2025.
std::vector<goroutine_info> goroutine_leaks();

}  // namespace cairn
