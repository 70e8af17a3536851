// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Times what the library does to a thread, and tells whether others had the thread's processor meanwhile: threads that
// the kernel switched to, or, of a virtual machine, whatever its host ran.
//
// The rule, for all kinds of interruption. The kernel counts how often it has switched the thread off its
// processor against its will, and how often because it slept, and it clocks the thread's CPU time, in which
// neither the time of other threads is nor what the host tells it has stolen. (Of some gaps in bare loops,
// without any switch, CPU time left out nearly all, 4.238 of 4.263 ms; of others nothing, though both
// processors had missed ticks of the kernel's clock meanwhile. What the host does not tell counts against the
// library.) An interval is `switched` if
//   no switch was counted, and the thread did not run for half of it or more: then the host had the processor; or
//   an involuntary switch was counted, and the thread did not run for half of it or more, or ran for 25 us at most: an
//   interrupt and the switches of the kernel's are CPU time of the thread, and take nearly as long.
// So what a thread waited for in its sleep is not taken for anybody else's doing if nothing else was counted,
// nor what a tick of the clock or another interrupt took, nor a long interval for one that a short switch was
// in.
//
// The counts are of some moment before the interval began. A theft is told only if the thread has not run for half
// as long as the interval since then, in it or before it; so this is a proof, whenever that moment was. (What
// is stolen between the interval's end and the look after it is in neither sum.) An involuntary switch may have
// been before the interval: where the counts are cached one in a hundred of those that the clock's ticks stretch. Where
// both a sleep and an involuntary switch were counted, which of the two kept the thread off cannot be told.
//
// A look costs some 450 ns. So who times intervals of microseconds, one after the other, keeps the look of
// before (mcache::used) and begins with one at the clock only, of 25 ns, unless that is older than 100 us. Intervals
// below 5 us end with one at the clock, too: a switch to another thread and back takes longer.
//
// Rejected: the count of involuntary switches without the CPU time. An interval of a millisecond counted as switched
// for one of 5 us. And a look at the CPU time, 240 ns, before each interval, which would prove short thefts, too: a
// tenth of most assists.
#pragma once
#include <cstdint>

#include "heap/clock.h"

namespace cairn::heap {

// How often the calling thread was off its processor, against its will or by it, and how long it has run. Some 450 ns;
// async-signal-safe, keeps errno.
struct cpu_use {
  long involuntary = 0, voluntary = 0;
  std::uint64_t wall_ns = 0, cpu_ns = 0;

  static cpu_use now() noexcept;
};

// Of a thread.
struct interval {
  std::uint64_t ns = 0;
  bool switched = false;  // others had its processor meanwhile; see above
};

// Of `ns` from `began` on, with looks before and after.
inline bool was_switched(const cpu_use& before, const cpu_use& after, std::uint64_t began,
                         std::uint64_t ns) noexcept {
  constexpr std::uint64_t k_work_of_switches_ns = 25'000;
  const std::uint64_t ran = after.cpu_ns - before.cpu_ns;
  if (after.involuntary == before.involuntary) return after.voluntary == before.voluntary && ran <= ns / 2;
  return ran <= began - before.wall_ns + (ns / 2 > k_work_of_switches_ns ? ns / 2 : k_work_of_switches_ns);
}

// Times an interval of the calling thread.
class stopwatch {
 public:
  // Anywhere, in a signal handler too.
  stopwatch() noexcept : before_(cpu_use::now()), began_(monotonic_ns()) {}
  // `used` is the calling thread's. Not in a signal handler, which may have interrupted who writes there.
  explicit stopwatch(cpu_use& used) noexcept : stopwatch(used, monotonic_ns()) {}
  // That begins at `now`, just read.
  stopwatch(cpu_use& used, std::uint64_t now) noexcept : used_(&used), began_(now) {
    if (began_ - used.wall_ns >= k_stale_ns) {
      used = cpu_use::now();
      began_ = monotonic_ns();
    }
    before_ = used;
  }
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;

  std::uint64_t began() const noexcept { return began_; }
  interval stop() noexcept {
    const std::uint64_t ns = monotonic_ns() - began_;
    return {ns, ns >= k_least_switch_ns && look(ns)};
  }

 private:
  static constexpr std::uint64_t k_stale_ns = 100'000;
  static constexpr std::uint64_t k_least_switch_ns = 5'000;

  bool look(std::uint64_t ns) noexcept;

  // A copy: what is timed may time something itself, a handshake that it answers, and look.
  cpu_use before_;
  cpu_use* used_ = nullptr;
  std::uint64_t began_;
};

}  // namespace cairn::heap
