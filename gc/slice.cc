// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/slice.h.
#include "gc/slice.h"

#include <time.h>

#include "gc/mark.h"
#include "gc/marking.h"
#include "gc/runtime.h"

namespace cairn::gc {
namespace {

// Longer: the program loses the processor for longer at a time. Shorter: the two switches of 2 us each weigh more.
constexpr std::uint64_t k_slice_ns = 50'000;
// Half of one processor's time while it is wanted: with the one worker that is never idle, 25 % of two.
constexpr long k_sleep_ns = 50'000;
constexpr std::uint64_t k_stolen_ns = 20'000;  // more than an interrupt takes
constexpr int k_remember = 40;  // slices; some 4 ms, about what the kernel gives a thread at a time

}  // namespace

std::uint64_t thread_cpu_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

void mark_slice::start_slice() noexcept {
  wall_ = now_ns();
  cpu_ = thread_cpu_ns();
}

void mark_slice::begin(const marker& m) noexcept {
  start_slice();
  begun_cpu_ = cpu_;
  published_ = m.bytes_scanned;
}

void mark_slice::publish(const marker& m) noexcept {
  const std::size_t scanned = m.bytes_scanned - published_;
  published_ = m.bytes_scanned;
  if (scanned != 0) rt().mark.add_background_work(scanned);
}

void mark_slice::check(const marker& m) noexcept {
  const std::uint64_t wall = now_ns() - wall_;
  if (wall < k_slice_ns) return;
  publish(m);
  const std::uint64_t cpu = thread_cpu_ns() - cpu_;
  if (wall > cpu + k_stolen_ns) wanted_ = k_remember;
  if (wanted_ > 0) {
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
