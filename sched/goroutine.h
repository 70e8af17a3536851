// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines, each on an operating system thread of its own for as long as it lives. Threads whose goroutine has ended
// wait a while for another one.
//
// A goroutine's record is in one list from start_goroutine until it is finished, or until a run that has ended gives
// it up ("orphaned": its thread goes on as an attached thread of the program's own). Whoever takes it out of the list
// counts it off, so it is counted off once.
#pragma once
#include <setjmp.h>

#include <atomic>
#include <cstdint>

#include "cairn/go.h"
#include "sched/m.h"

namespace cairn::sched {

struct goroutine {
  std::uint64_t id = 0;
  detail::closure* function = nullptr;  // kept by `root`
  detail::task_base* task = nullptr;    // the same object, of spawn
  void** root = nullptr;
  bool is_main = false;
  bool exiting = false;               // goexit was called; owner: the goroutine
  std::atomic<bool> orphaned{false};  // set under the list's lock
  goroutine* next = nullptr;          // in the list, or among free records
  goroutine** link = nullptr;         // what points here in the list
  jmp_buf end;                        // where a goroutine goes whose run has ended
};

// What goexit throws. No std::exception, so that only catch (...) meets it.
struct goexit_signal {};

// True from the return of main until the others have ended or were given up. Relaxed everywhere: it is only a
// request, repeated until it is heeded.
extern std::atomic<bool> run_ending;
void end_this_goroutine();

// Does not return if the calling goroutine's run is ending: it is left by longjmp, and no destructor of its stack
// runs. At the start of every library call that is made at depth 0, and where such a call waits.
inline void check_ending() {
  if (run_ending.load(std::memory_order_relaxed)) [[unlikely]]
    end_this_goroutine();
}

// The goroutine that the thread runs; null for other threads, and for orphans.
goroutine* own_goroutine(const m& self) noexcept;

std::size_t live_goroutines() noexcept;
// Makes the calling thread the main goroutine of a run, and ends that.
goroutine* begin_main(m& self);
void end_main(m& self, goroutine* main);
// Ends all goroutines but main; after a second, gives up those that are left and says so.
void end_others(m& self);
// Sleeps until fewer than `n` goroutines live or the deadline has passed.
void await_fewer(m& self, std::size_t n, std::int64_t deadline);

}  // namespace cairn::sched
