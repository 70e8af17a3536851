// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/slice.h.
#include "gc/slice.h"

#include <time.h>

#include "cairn/go.h"
#include "gc/cycle_state.h"
#include "gc/mark.h"
#include "gc/marking.h"
#include "gc/runtime.h"
#include "heap/clock.h"

namespace cairn::gc {
namespace {

// Longer: the program loses the processor for longer at a time. Shorter: the two switches of 2 us each weigh more.
constexpr std::uint64_t k_slice_ns = 50'000;
// Half of one processor's time while it is wanted: with the one worker that is never idle, 25 % of two.
constexpr long k_sleep_ns = 50'000;
constexpr int k_remember = 40;  // slices; some 4 ms, about what the kernel gives a thread at a time

// The program has as many threads that run as there are processors. Else the kernel finds one for this thread.
bool all_processors_are_wanted() noexcept {
  return rt().mark.running.load(std::memory_order_relaxed) >= max_procs();
}

}  // namespace

void mark_slice::start_slice() noexcept { wall_ = now_ns(); }

void mark_slice::begin(const marker& m) noexcept {
  start_slice();
  begun_cpu_ = thread_cpu_ns();
  preemptions_ = heap::preemptions();
  published_ = m.bytes_scanned;
}

void mark_slice::publish(const marker& m) noexcept {
  const std::size_t scanned = m.bytes_scanned - published_;
  published_ = m.bytes_scanned;
  if (scanned != 0) rt().mark.add_background_work(scanned);
}

void mark_slice::check(const marker& m) noexcept {
  const std::uint64_t clock = now_ns();
  if (clock - wall_ < k_slice_ns) return;
  publish(m);
  if (&m == &the_marker()) {
    limit_cpu_of_marking(clock);
    rt().work.reserve();
  }
  const long now = heap::preemptions();
  if (now != preemptions_) wanted_ = k_remember;
  preemptions_ = now;
  if (wanted_ > 0 && all_processors_are_wanted()) {
    --wanted_;
    const timespec t{0, k_sleep_ns};
    nanosleep(&t, nullptr);
  }
  start_slice();
}

std::uint64_t mark_slice::end(const marker& m) noexcept {
  publish(m);
  return thread_cpu_ns() - begun_cpu_;
}

}  // namespace cairn::gc
