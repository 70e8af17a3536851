// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The slices of a worker that marks beside the program on a thread of its own: 50 us of marking, then, if the processor
// is wanted by others, a sleep as long. On an idle processor it marks on without a pause. While all processors are
// wanted this is for helpers that are in the middle of something, the rest is
// gc/share.h.
//
// It is wanted if the program has at least as many threads that run as there are processors, and the kernel has
// taken this thread's processor away. It does so rarely, every few milliseconds, and for long; so one such
// slice makes the next ones be followed by a sleep. Waking from a sleep a thread gets the processor at once:
// the program loses it for 50 us at a time and not for a scheduler's tick. (The difference of wall time and CPU
// time says less: a virtual machine loses time to others too.)
//
// Rejected: a lower priority alone. The kernel's slice is then still some milliseconds, and a worker that holds grey
// objects and gets no time holds up the end of the cycle.
#pragma once
#include <cstddef>
#include <cstdint>

#include "heap/clock.h"

namespace cairn::gc {

class marker;

class mark_slice {
 public:
  // The calling thread begins to mark with `m`.
  void begin(const marker& m) noexcept;
  // Every now and then. Publishes what was scanned since the last call, too.
  void check(const marker& m) noexcept;
  // It ends. Returns its CPU time.
  std::uint64_t end(const marker& m) noexcept;

  // What was scanned since the last time is the background's work.
  void publish(const marker& m) noexcept;

 private:
  void start_slice() noexcept;

  std::uint64_t wall_ = 0;  // where the slice began
  std::uint64_t begun_cpu_ = 0;
  std::size_t published_ = 0;  // of the marker's bytes_scanned
  long preemptions_ = 0;       // of this thread so far
  int wanted_ = 0;             // slices that will still be followed by a sleep
};

using heap::thread_cpu_ns;

}  // namespace cairn::gc
