// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/deadlock.h"

#include <unistd.h>

#include <cstddef>

#include "sched/hooks.h"
#include "sched/io.h"
#include "sched/message.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/run_state.h"
#include "sched/scheduler.h"
#include "sched/sysmon.h"
#include "sched/traceback.h"

namespace cairn::sched {
namespace {

bool any_timer() noexcept {
  const int n = sch.made.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i)
    if (sch.all[i]->timing.active() != 0) return true;
  return false;
}

// Cheap looks first: a server that is idle for a moment has descriptors or timers. Those before what they make
// runnable: a waiter for I/O is counted until it is in a queue.
bool something_can_act() noexcept {
  return !run_is_waiting() || io_poller.waiters() != 0 || any_timer() || foreign_threads() != 0 ||
         hooks.may_wake() || !all_idle();
}

struct census {
  std::size_t waiting = 0, others = 0;
};

census count() noexcept {
  census c;
  records::for_each([&c](goroutine& g) {
    const bool waits = g.status.load(std::memory_order_acquire) == g_status::waiting &&
                       g.running_on.load(std::memory_order_acquire) == nullptr;
    ++(waits ? c.waiting : c.others);
  });
  return c;
}

[[noreturn]] void report(const census& c) noexcept {
  if (c.waiting == 0) {
    (message() << "cairn: no goroutines are left (main called cairn::goexit) - deadlock!\n").send();
    _exit(2);
  }
  (message() << "cairn: all goroutines are asleep - deadlock!\n\n").send();
  constexpr std::size_t k_most = 1000;
  if (const std::size_t more = traceback::print_standing(k_most); more != 0)
    (message() << "and " << more << " more\n").send();
  _exit(2);
}

}  // namespace

void check_deadlock() noexcept {
  const std::uint32_t wakes = wake_count();
  if (something_can_act()) return;
  const counts before = count_goroutines();
  const census first = count();
  if (first.others != 0) return;
  // What is looked at one after the other may have changed meanwhile: once more.
  if (something_can_act()) return;
  const census second = count();
  const counts after = count_goroutines();
  if (second.others != 0 || second.waiting != first.waiting || before.started != after.started ||
      before.ended != after.ended)
    return;
  // And no P was in use since the first look: a goroutine that sleeps for microseconds again and again may have
  // no timer at each of these looks.
  if (wake_count() != wakes) return;
  report(second);
}

}  // namespace cairn::sched
