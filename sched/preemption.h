// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Whether a thread was taken off its processor while something was timed: by the kernel, or, of a virtual
// machine, by its host.
#pragma once
#include <cstdint>

#include "heap/clock.h"
#include "sched/m.h"

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

// Others had the processor for most of an interval that began `before` was read, or later, and has just ended,
// although the kernel has switched to nobody: also if all of the time from `before` to its begin was stolen.
inline bool was_stolen(const heap::cpu_use& before, const heap::cpu_use& now, std::uint64_t began,
                       std::uint64_t ns) noexcept {
  constexpr std::uint64_t k_least_ns = 1'000'000;
  if (ns < k_least_ns || now.voluntary != before.voluntary || now.involuntary != before.involuntary)
    return false;
  const std::uint64_t elapsed = now.wall_ns - before.wall_ns, ran = now.cpu_ns - before.cpu_ns;
  return elapsed >= ran + (began - before.wall_ns) + ns / 2;
}

// Times slices of a few microseconds, one after the other, to which 170 ns each would be much. What the kernel has
// counted is asked for every 100 us, and after an interval that was longer than a switch. So one that follows a switch
// within 100 us may be taken for the one that had it: a hundredth of those during which the clock ticked.
//
// That the host of a virtual machine has given the processor to others shows in the CPU time only, which counts none of
// it, while the kernel counts no switch. It does so for a millisecond and more, and rarely.
//
// By the thread itself, at depth 0, and not in a signal handler.
class slice_stopwatch {
 public:
  using interval = heap::interval;

  explicit slice_stopwatch(m& self) noexcept : slice_stopwatch(self, heap::monotonic_ns()) {}
  // That began at `now`, just read.
  slice_stopwatch(m& self, std::uint64_t now) noexcept : self_(self), began_(now) {
    if (began_ - self.used.wall_ns < k_stale_ns) return;
    self.used = heap::cpu_use::now();
    began_ = self.used.wall_ns;
  }
  interval stop() noexcept {
    const std::uint64_t ns = heap::monotonic_ns() - began_;
    if (ns < heap::k_least_switch_ns) return {ns, false};
    const heap::cpu_use before = self_.used, now = heap::cpu_use::now();
    self_.used = now;
    return {ns, now.involuntary != before.involuntary || was_stolen(before, now, began_, ns)};
  }
  std::uint64_t began() const noexcept { return began_; }

 private:
  static constexpr std::uint64_t k_stale_ns = 100'000;

  m& self_;
  std::uint64_t began_;
};

}  // namespace cairn::sched
