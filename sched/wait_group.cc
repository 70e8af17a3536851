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
  const std::uint32_t id = detail::own_bubble_id();
  const std::uint64_t own = id != 0 ? k_in_bubble | std::uint64_t{id} << 32 : 0;
  const char* wrong = nullptr;
  {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    sched::chain woken;
    {
      heap::lock_guard held(h.lock);
      std::uint64_t state = state_.load(std::memory_order_relaxed), wanted = 0;
      do {
        const auto counter = static_cast<std::int64_t>((state & k_low_half) >> 1);
        const std::uint64_t owner = counter != 0 ? state & ~k_low_half : own;
        if (n < -counter) wrong = "wait_group: the counter would become negative";
        else if (n > k_most - counter) wrong = "wait_group: the counter would exceed 2147483647";
        else if (owner != own && owner != 0 && own != 0)
          wrong = "wait_group: add() called from multiple synctest bubbles";
        else if (owner != own && (owner != 0 || n > 0))
          wrong = "wait_group: add() called from inside and outside synctest bubble";
        else wrong = nullptr;
        if (wrong != nullptr) break;
        const auto left = static_cast<std::uint64_t>(counter + n) << 1;
        wanted = left == 0 ? 0 : owner | left | (state & k_line);
        // Acquire and release: as in change().
      } while (
          !state_.compare_exchange_weak(state, wanted, std::memory_order_acq_rel, std::memory_order_relaxed));
      if (wrong == nullptr && wanted == 0) woken = sched::let_in(h, &state_, true);
    }
    woken.wake();
  }
  if (wrong != nullptr) throw std::logic_error(wrong);
}

void wait_group::wait_slow() {
  sched::take_long_way();
  sched::place w(&state_, sched::wait_reason::wait_group, nullptr);
  const std::uint64_t id = detail::own_bubble_id();
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    std::uint64_t state = state_.load(
        std::memory_order_acquire);  // acquire, here and below: with the CAS in add()
    while ((state & k_low_half) >> 1 != 0) {
      if (!state_.compare_exchange_weak(state, state | k_line, std::memory_order_acquire,
                                        std::memory_order_acquire))
        continue;
      w.is_durable = id != 0 && (state & ~k_low_half) == (k_in_bubble | id << 32);
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
