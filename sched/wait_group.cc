// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Whoever brings the counter to zero while somebody stands in line takes all out of it, and k_line off, with
// the same store under the lock of the hall. After that the group may be gone. Who was taken out has waited
// long enough, whatever becomes of the counter meanwhile.
#include "cairn/sync/wait_group.h"

#include <stdexcept>

#include "sched/line.h"
#include "sched/proc.h"

namespace cairn::sync {

void wait_group::add_slow(std::int64_t n) {
  sched::take_long_way();
  bool is_negative = false, is_too_much = false;
  {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    sched::chain woken;
    {
      heap::lock_guard held(h.lock);
      std::uint64_t state = state_.load(std::memory_order_relaxed), wanted = 0;
      do {
        const auto counter = static_cast<std::int64_t>(state >> 1);
        is_negative = n < -counter;
        is_too_much = n > k_most - counter;
        if (is_negative || is_too_much) break;
        wanted = counter + n == 0 ? 0 : static_cast<std::uint64_t>(counter + n) << 1 | (state & k_line);
        // Acquire and release: as in change().
      } while (
          !state_.compare_exchange_weak(state, wanted, std::memory_order_acq_rel, std::memory_order_relaxed));
      if (!is_negative && !is_too_much && wanted == 0) woken = sched::let_in(h, &state_, true);
    }
    woken.wake();
  }
  if (is_negative) throw std::logic_error("wait_group: the counter would become negative");
  if (is_too_much) throw std::logic_error("wait_group: the counter would exceed 2147483647");
}

void wait_group::wait_slow() {
  sched::take_long_way();
  sched::place w(&state_, sched::wait_reason::wait_group, nullptr);
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    std::uint64_t state = state_.load(
        std::memory_order_acquire);  // acquire, here and below: with the CAS in add()
    while (state >> 1 != 0) {
      if (!state_.compare_exchange_weak(state, state | k_line, std::memory_order_acquire,
                                        std::memory_order_acquire))
        continue;
      w.home.append(w);
      do sched::sleep_in_line(w);
      while (w.queued);
      break;
    }
  }
  sched::leave_section();
  sched::check_ending();
}

}  // namespace cairn::sync
