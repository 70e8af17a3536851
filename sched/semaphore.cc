// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The weighted semaphore, strictly first in, first out. The word is the number of units that are free, times 2, plus
// k_line if somebody may stand in line; then nobody takes units but the first. A release calls the first in line if
// its units are there; the called one takes them, and calls the next one if what is left is enough for that. Without
// k_line units come and go by CAS; with it under the lock of the hall. So the first in line sleeps only as long as it
// cannot have what it wants, or has been called.
#include <stdexcept>

#include "cairn/sync/semaphore.h"
#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/line.h"
#include "sched/proc.h"

namespace cairn::sync {
namespace {

constexpr std::uint64_t k_line = 1;

constexpr std::uint64_t units_of(std::uint64_t state) noexcept { return state >> 1; }

// Takes what `w` wants: which need not be in line. Else sees to it that a release looks.
bool take(std::atomic<std::uint64_t>& word, sched::place& w) noexcept CAIRN_REQUIRES(w.home.lock) {
  sched::place* first = w.home.first_at(&word);
  const bool comes_first = first == nullptr || first == &w;
  const std::uint64_t line = first != nullptr && (first != &w || first->next != first) ? k_line : 0;
  std::uint64_t state = word.load(std::memory_order_relaxed);
  for (;;) {
    const bool fits = comes_first && units_of(state) >= w.amount;
    const std::uint64_t wanted = fits ? (units_of(state) - w.amount) << 1 | line : state | k_line;
    // Acquire: with the release of the units.
    if (word.compare_exchange_weak(state, wanted, std::memory_order_acquire, std::memory_order_relaxed))
      return fits;
  }
}

// Calls the first in line, if it can have what it wants of `state`.
sched::wake_up call_first(sched::place* first, std::uint64_t state) noexcept {
  return first != nullptr && first->amount <= units_of(state) ? sched::call(*first) : sched::wake_up{};
}

}  // namespace

void semaphore::acquire_slow(std::int64_t n) {
  if (n < 0) throw std::invalid_argument("semaphore::acquire: the number is negative");
  sched::take_long_way();
  if (n == 0) return;
  sched::place w(&state_, sched::wait_reason::semaphore, sched::first_of_line);
  w.amount = static_cast<std::uint64_t>(n);
  w.is_durable = bubble_ != 0 && bubble_ == detail::own_bubble_id();
  sched::wake_up heir;
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    if (!take(state_, w)) {
      w.home.append(w);
      do sched::sleep_in_line(w);
      while (!take(state_, w));
      w.home.remove(w);
      heir = call_first(w.home.first_at(&state_), state_.load(std::memory_order_relaxed));
    }
  }
  heir.deliver();
  sched::leave_section();
}

bool semaphore::try_acquire_slow(std::int64_t n) {
  if (n < 0) throw std::invalid_argument("semaphore::try_acquire: the number is negative");
  sched::self();
  sched::check_ending();
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  {
    heap::lock_guard held(h.lock);
    if (h.first_at(&state_) != nullptr) return n == 0;
    // Nobody stands in line, or no longer. Relaxed: the word says nothing else by it.
    state_.fetch_and(~k_line, std::memory_order_relaxed);
  }
  return take_units(n);
}

void semaphore::release_slow(std::int64_t n) {
  if (n < 0) throw std::invalid_argument("semaphore::release: the number is negative");
  bool too_many = false, is_misuse = false;
  {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    sched::wake_up heir;
    {
      heap::lock_guard held(h.lock);
      sched::place* first = h.first_at(&state_);
      std::uint64_t state = state_.load(std::memory_order_relaxed), wanted = 0;
      do {
        too_many = static_cast<std::uint64_t>(n) > k_most - units_of(state);
        is_misuse = bubble_ != 0 && first != nullptr && !sched::may_wake(first->owner);
        if (too_many || is_misuse) break;
        wanted = (units_of(state) + static_cast<std::uint64_t>(n)) << 1 | (first != nullptr ? k_line : 0);
        // Release: with take(). From here on the semaphore may be gone.
      } while (
          !state_.compare_exchange_weak(state, wanted, std::memory_order_release, std::memory_order_relaxed));
      if (!too_many && !is_misuse) heir = call_first(first, wanted);
    }
    heir.deliver();
  }
  if (is_misuse) throw std::logic_error("semaphore: wake of a synctest goroutine from outside bubble");
  if (too_many) throw std::logic_error("semaphore::release: there would be more than 2^62 - 1 units");
  sched::check_ending();
}

}  // namespace cairn::sync
