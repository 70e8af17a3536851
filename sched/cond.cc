// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The condition variable. Who waits is in line before it unlocks, so a notification that comes after that finds it; and
// whoever gets into the line later is behind it. The notifier takes out whom it wakes: nobody wakes without one. The
// word says whether somebody may be in line.
//
// Notifying does not end the goroutine when the run is ending: it would die with the lock that is mostly held then.
#include "cairn/sync/cond.h"

#include <stdexcept>

#include "sched/bubble.h"
#include "sched/line.h"
#include "sched/proc.h"

namespace cairn::sync {
namespace {

// The first in line, or all of them, are in no bubble or in the caller's. With the lock of the hall.
bool may_wake(const sched::place* first, bool all) noexcept {
  const sched::place* w = first;
  do {
    if (w != nullptr && !sched::may_wake(w->owner)) return false;
    if (w != nullptr) w = w->next;
  } while (all && w != first);
  return true;
}

}  // namespace

void cond::wait_unlocked(void* lock, void (*unlock)(void* lock)) {
  sched::self();
  sched::place w(&waited_for_, sched::wait_reason::cond, nullptr);
  w.is_durable = true;
  {
    sched::runtime_section section;
    heap::lock_guard held(w.home.lock);
    w.home.append(w);
    // Relaxed: who changes what is waited for with the lock sees it by that.
    waited_for_.store(true, std::memory_order_relaxed);
  }
  try {
    unlock(lock);
    sched::check_ending();
  } catch (...) {
    sched::runtime_section section;
    sched::give_up(w);
    throw;
  }
  sched::enter_section();
  w.home.lock.lock();
  if (w.queued) {
    sched::sleep_until_let_in(w);
  } else {
    w.home.lock.unlock();
    sched::leave_section();
  }
  sched::check_ending();
}

void cond::notify_some(bool all) {
  bool is_misuse = false;
  {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&waited_for_);
    sched::chain woken;
    {
      heap::lock_guard held(h.lock);
      is_misuse = detail::are_bubbles_live() && !may_wake(h.first_at(&waited_for_), all);
      if (!is_misuse) {
        woken = sched::let_in(h, &waited_for_, all);
        // From here on the object may be gone, for who is let in here cannot go on before it gets the lock or is woken.
        waited_for_.store(h.first_at(&waited_for_) != nullptr, std::memory_order_relaxed);
      }
    }
    woken.wake();
  }
  if (is_misuse) throw std::logic_error("cond: wake of a synctest goroutine from outside bubble");
}

}  // namespace cairn::sync
