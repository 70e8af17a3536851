// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Whether the kernel has taken a thread off its processor while something was timed.
#pragma once
#include <sys/resource.h>

#include <cstdint>

#include "heap/clock.h"

namespace cairn::sched {

// How often the kernel has given the calling thread's processor to another one against its will. Some 170 ns;
// async-signal-safe, keeps errno.
inline long preemptions() noexcept {
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  return use.ru_nivcsw;
}

// Times an interval of the calling thread.
class stopwatch {
 public:
  struct interval {
    std::uint64_t ns;
    bool switched;  // another thread ran on its processor meanwhile, against its will
  };

  // To another thread and back takes longer.
  static constexpr std::uint64_t k_least_switch_ns = 5'000;

  interval stop() const noexcept {
    const std::uint64_t ns = heap::monotonic_ns() - began_;
    return {ns, ns >= k_least_switch_ns && preemptions() != preemptions_};
  }
  std::uint64_t began() const noexcept { return began_; }

 private:
  long preemptions_ = preemptions();
  std::uint64_t began_ = heap::monotonic_ns();
};

}  // namespace cairn::sched
