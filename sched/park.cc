// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/park.h"

#include "cairn/detail/park.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"

namespace cairn {
namespace sched {

bool park(m& self, std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) {
  check_ending();
  // Read by wake_parked, to find the word to wake. That may come between the look above and the sleep; it is repeated
  // until the goroutine is gone, so nothing is lost. Release: the word was made before.
  self.parked_on.store(&word, std::memory_order_release);
  bool in_time = true;
  in_safe_state(self, [&] { in_time = futex_wait(word, expected, deadline); });
  self.parked_on.store(nullptr, std::memory_order_relaxed);
  check_ending();
  return in_time;
}

}  // namespace sched

namespace detail {

void park_on(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  sched::park(sched::self(), word, expected);
}

void unpark(std::atomic<std::uint32_t>& word, int count) noexcept { sched::futex_wake(word, count); }

}  // namespace detail
}  // namespace cairn
