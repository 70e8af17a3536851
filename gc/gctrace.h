// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRNDEBUG=gctrace=1: one line a cycle on standard error, laid out exactly as Go has done since 1.19, so that
// the tools that read these lines of Go's read ours. (Those that are older, as gcvis, expect the number of Ps
// after the goal, and read neither.)
//
//   gc 7 @2.100s 3%: 0.020+1.4+0.030 ms clock, 0.20+0.40/2.7/0+0.30 ms cpu, 41->42->20 MB,
//   42 MB goal, 1 MB stacks, 0 MB globals, 8 P (forced)                                    (all on one line)
//
// Formatted into a buffer of the caller's and written with one write(2): no allocation, usable with the
// world stopped.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cairn::gc {

// Everything a line states. Times in ns, sizes in bytes.
struct cycle_record {
  std::uint64_t number = 0;
  std::uint64_t since_start = 0;  // from the runtime's start to the cycle's
  double cpu_fraction = 0;        // of all CPU time since the start, 0 to 1
  std::uint64_t sweep_clock = 0;  // wall time of the three phases: ending the sweep, barrier on;
  std::uint64_t mark_clock = 0;   //   marking;
  std::uint64_t end_clock = 0;    //   ending it, barrier off
  std::uint64_t sweep_cpu = 0;    // CPU time: of the first phase;
  std::uint64_t assist_cpu = 0;   //   assists;
  std::uint64_t worker_cpu = 0;   //   workers within their share;
  std::uint64_t idle_cpu = 0;     //   workers on otherwise idle CPUs;
  std::uint64_t end_cpu = 0;      //   of the last phase
  std::size_t heap_at_start = 0;
  std::size_t heap_at_end = 0;
  std::size_t heap_live = 0;  // marked
  std::size_t heap_goal = 0;  // that this cycle was paced for
  std::size_t stack_bytes = 0;
  std::size_t globals_bytes = 0;
  int procs = 1;
  bool forced = false;
};

inline constexpr std::size_t k_gctrace_bytes = 400;

// The line with its newline, cut at `capacity`; returns its length. Not terminated by a zero.
std::size_t format_gctrace(const cycle_record& cycle, char* out, std::size_t capacity) noexcept;
void write_gctrace(const cycle_record& cycle) noexcept;

}  // namespace cairn::gc
