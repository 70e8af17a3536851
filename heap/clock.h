// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The clocks by which the library times what it does, and what else it asks the kernel then.
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

}  // namespace cairn::heap
