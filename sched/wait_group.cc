// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A waiter sets the low bit and sleeps on the low half. Whoever brings the counter to zero advances the round and
// clears the bit in the same CAS, after which the group may be gone: the wake takes its address only. A waiter whose
// round is over returns even if the counter has been raised again meanwhile.
#include <climits>
#include <stdexcept>

#include "cairn/detail/park.h"
#include "cairn/sync.h"
#include "sched/goroutine.h"
#include "sched/lot.h"

namespace cairn::sync {
namespace {

constexpr std::uint64_t k_waiting = 1;
constexpr std::uint64_t k_round = 2;

std::int64_t counter_of(std::uint64_t state) noexcept { return static_cast<std::int32_t>(state >> 32); }
std::uint32_t low_half(std::uint64_t state) noexcept { return static_cast<std::uint32_t>(state); }
std::uint64_t combine(std::int64_t counter, std::uint32_t low) noexcept {
  return static_cast<std::uint64_t>(counter) << 32 | low;
}

// The low half of the word, to sleep on. Only the kernel reads it by this address.
std::atomic<std::uint32_t>& sleep_word(std::atomic<std::uint64_t>& state) noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  return reinterpret_cast<std::atomic<std::uint32_t>&>(state);
}

}  // namespace

void wait_group::add(std::int64_t n) {
  sched::check_ending();
  std::atomic<std::uint32_t>& word = sleep_word(state_);
  std::uint64_t state = state_.load(std::memory_order_relaxed);
  for (;;) {
    std::int64_t counter = counter_of(state);
    if (n < -counter) throw std::logic_error("wait_group: the counter would become negative");
    if (n > INT_MAX - counter) throw std::logic_error("wait_group: the counter would exceed 2147483647");
    counter += n;
    bool wakes = counter == 0 && (state & k_waiting) != 0;
    std::uint32_t low = low_half(state);
    if (wakes) low = static_cast<std::uint32_t>((low & ~k_waiting) + k_round);
    // Release: what was done before done() is seen by who sees zero in wait(). Acquire too: the one who brings it to
    // zero hands on what the others released.
    if (!state_.compare_exchange_weak(state, combine(counter, low), std::memory_order_acq_rel,
                                      std::memory_order_relaxed))
      continue;
    if (wakes) sched::unpark(word, INT_MAX);
    return;
  }
}

void wait_group::wait() {
  sched::check_ending();
  // Acquire, here and below: with the CAS in add().
  std::uint64_t state = state_.load(std::memory_order_acquire);
  while (counter_of(state) != 0 && (state & k_waiting) == 0) {
    if (state_.compare_exchange_weak(state, state | k_waiting, std::memory_order_acquire,
                                     std::memory_order_acquire))
      state |= k_waiting;
  }
  if (counter_of(state) == 0) return;
  std::uint32_t round = low_half(state);
  do sched::park_on(sleep_word(state_), round, sched::wait_reason::wait_group);
  while (low_half(state_.load(std::memory_order_acquire)) == round);
}

}  // namespace cairn::sync
