// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Who stands in line stands there under the lock of the hall; k_line says so, and is set under that lock while the
// counter is not zero. add() changes the word by a CAS. done() subtracts and looks afterwards; so the word may come to
// zero with k_line: it is pending then.
//
//   counter n, line or none -> n - 1           by done()
//   1, line                 -> 0, line         by done(), the one that has reached zero: pending
//   0, line                 -> 0               under the lock, by any of: the done() that has reached zero; an add()
//                                              that finds it so, which must not raise it before; the one that takes
//                                              back what it has subtracted from zero
//   1, line                 -> 0               under the lock, by add(-n)
//
// With the store that takes k_line off all are taken out of the line. While it is pending nobody gets in line, for the
// counter is zero; so those that are in line are those who have waited for this zero, and whoever was taken out
// has waited long enough, whatever becomes of the counter meanwhile.
//
// A done() that has reached zero has only the address from there on, until it finds somebody in line at it: who stands
// there has not returned from wait(), so the word is there. It may be another group's by then, or be raised again:
// then it is not pending, or for another one, who finds nobody.
//
// A done() too many lowers the word below zero for a moment, in which an add() elsewhere may be refused.
#include "cairn/sync/wait_group.h"

#include <stdexcept>

#include "heap/delay.h"
#include "sched/line.h"
#include "sched/proc.h"

namespace cairn::sync {

void wait_group::add_slow(std::int64_t n) {
  sched::take_long_way();
  const std::uint32_t id = detail::own_bubble_id();
  const std::uint64_t own = id != 0 ? k_in_bubble | std::uint64_t{id} << 32 : 0;
  const char* wrong = nullptr;
  bool is_pending = false;
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
        is_pending = counter == 0 && (state & k_line) != 0;
        wanted = left == 0 ? 0 : owner | left | (is_pending ? 0 : state & k_line);
        // Acquire and release: as in change().
      } while (
          !state_.compare_exchange_weak(state, wanted, std::memory_order_acq_rel, std::memory_order_relaxed));
      if (wrong == nullptr && (wanted == 0 || is_pending)) woken = sched::let_in(h, &state_, true);
    }
    woken.wake();
  }
  if (wrong != nullptr) throw std::logic_error(wrong);
}

void wait_group::let_all_in() noexcept {
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  sched::chain woken;
  {
    heap::lock_guard held(h.lock);
    if (h.first_at(&state_) == nullptr) return;
    // Acquire: with the done()s of those that are woken now.
    if ((state_.load(std::memory_order_acquire) & k_low_half) != k_line) return;
    state_.fetch_and(~k_line, std::memory_order_release);
    woken = sched::let_in(h, &state_, true);
  }
  woken.wake();
}

// After the subtraction. `before`: what it found.
void wait_group::done_slow(std::uint64_t before) {
  heap::maybe_delay("wait_group.zero");
  if (before == (2 | k_line)) return let_all_in();
  // Nothing was to be done, or it is a bubble's, of which not everybody may lower it: as if it had not been.
  heap::maybe_delay("wait_group.below_zero");
  if (((state_.fetch_add(2, std::memory_order_acq_rel) + 2) & k_low_half) == k_line) let_all_in();
  add_slow(-1);
}

void wait_group::wait_slow() {
  sched::take_long_way();
  sched::place w(&state_, sched::wait_reason::wait_group, nullptr);
  const std::uint64_t id = detail::own_bubble_id();
  sched::enter_section();
  w.home.lock.lock();
  // Acquire, here and below: with the CAS in add().
  std::uint64_t state = state_.load(std::memory_order_acquire);
  while ((state & k_low_half) >> 1 != 0 &&
         !state_.compare_exchange_weak(state, state | k_line, std::memory_order_acquire,
                                       std::memory_order_acquire)) {
  }
  if ((state & k_low_half) >> 1 != 0) {
    w.is_durable = id != 0 && (state & ~k_low_half) == (k_in_bubble | id << 32);
    w.home.append(w);
    sched::sleep_until_let_in(w);
  } else {
    w.home.lock.unlock();
    sched::leave_section();
  }
  sched::check_ending();
}

}  // namespace cairn::sync
