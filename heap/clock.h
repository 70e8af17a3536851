// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The clock by which the library times what it does to a thread, and what else it asks the kernel then.
#pragma once
#include <sys/resource.h>
#include <time.h>

#include <cstdint>

namespace cairn::heap {

// ns of the monotonic clock, which is std::chrono::steady_clock. Some 25 ns a call.
inline std::uint64_t monotonic_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// CPU time of the calling thread. Some 240 ns.
inline std::uint64_t thread_cpu_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// How often the kernel has given the calling thread's processor to another one against its will. Some 170 ns;
// async-signal-safe, keeps errno.
inline long preemptions() noexcept {
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  return use.ru_nivcsw;
}

// To another thread and back takes longer: below nobody needs to look for a preemption.
inline constexpr std::uint64_t k_least_switch_ns = 5'000;

// How often the calling thread was off its processor, against its will or by it, and how long it has run. Some 450 ns.
struct cpu_use {
  long involuntary = 0, voluntary = 0;
  std::uint64_t wall_ns = 0, cpu_ns = 0;

  static cpu_use now() noexcept {
    rusage use{};
    getrusage(RUSAGE_THREAD, &use);
    const std::uint64_t wall = monotonic_ns();
    return {use.ru_nivcsw, use.ru_nvcsw, wall, thread_cpu_ns()};
  }
};

// Of a thread.
struct interval {
  std::uint64_t ns = 0;
  bool switched = false;  // others had its processor meanwhile, against its will
};

}  // namespace cairn::heap
