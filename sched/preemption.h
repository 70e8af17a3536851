// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Whether the kernel has taken a thread off its processor while something was timed.
#pragma once
#include <cstdint>

#include "heap/clock.h"

namespace cairn::sched {

using heap::preemptions;

// Times an interval of the calling thread.
class stopwatch {
 public:
  using interval = heap::interval;

  interval stop() const noexcept {
    const std::uint64_t ns = heap::monotonic_ns() - began_;
    return {ns, ns >= heap::k_least_switch_ns && preemptions() != preemptions_};
  }
  std::uint64_t began() const noexcept { return began_; }

 private:
  long preemptions_ = preemptions();
  std::uint64_t began_ = heap::monotonic_ns();
};

}  // namespace cairn::sched
