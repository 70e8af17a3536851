// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/sleep.h"

#include <atomic>
#include <cstddef>

#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/scheduler.h"
#include "sched/sleeper.h"

namespace cairn::sched {
namespace {

struct sleeper {
  goroutine* g;
  std::int64_t deadline;
  bubble* home;  // whose clock it is; null: the system's
  timer alarm{nullptr};
  bool failed = false;
};

void on_alarm(timer& t, std::int64_t) {
  ready(reinterpret_cast<sleeper*>(reinterpret_cast<char*>(&t) - offsetof(sleeper, alarm))->g);
}

void start_alarm(void* arg) noexcept {
  auto* s = static_cast<sleeper*>(arg);
  p* pp = own_p(*current());
  const bool is_in_bubble = s->home != nullptr;
  timers& at = is_in_bubble ? s->home->timing : (pp != nullptr ? *pp : *proc_at(0)).timing;
  goroutine* g = s->g;
  const std::int64_t when = s->deadline;
  if (!at.start(s->alarm, when).done) {  // no memory: it looks again
    s->failed = true;
    ready(g);
    return;
  }
  if (pp == nullptr && !is_in_bubble) rouse_sleeper();
}

bool cancel_sleep(goroutine&, void* arg) noexcept { return timers::stop(static_cast<sleeper*>(arg)->alarm); }

}  // namespace

void sleep_until_ns(std::int64_t deadline) {
  m& self = sched::self();
  check_ending();
  if (goroutine* g = parkable()) {
    bubble* b = own_bubble();
    while (time_in(b) < deadline) {
      sleeper s{g, deadline, b};
      s.alarm.call = on_alarm;
      enter_section();
      park({wait_reason::sleep, start_alarm, cancel_sleep, &s, nullptr, true});
      check_ending();
      if (s.failed) yield_now();
    }
    return;
  }
  std::atomic<std::uint32_t> never{0};
  in_safe_state(self, [&] {
    while (futex_wait(never, 0, deadline)) {
    }
  });
  check_ending();
}

}  // namespace cairn::sched
