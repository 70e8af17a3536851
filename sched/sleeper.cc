// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/sleeper.h"

#include <algorithm>

#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/io.h"

namespace cairn::sched {
namespace {

// Until when the sleeper sleeps: 0 when there is none. Sequentially consistent, with who looks at it after its timer
// was put in.
std::atomic<std::int64_t> sleeper_until{0};
std::atomic<std::uint32_t> sleeper_word{0};  // raised to interrupt it

std::int64_t earliest_timer() noexcept {
  std::int64_t earliest = INT64_MAX;
  const int n = sch.made.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i) earliest = std::min(earliest, sch.all[i]->timing.earliest());
  return std::max<std::int64_t>(earliest, 1);
}

}  // namespace

bool sleep_for_all(m& self, poll_events& fetched) noexcept {
  fetched.count = 0;
  // After the worker has stopped counting as spinning: with rouse_poller.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::int64_t when = earliest_timer();
  const bool has_waiters = io_poller.waiters() != 0;
  if (when == INT64_MAX && !has_waiters) return false;
  const std::uint32_t word = sleeper_word.load(std::memory_order_acquire);
  std::int64_t until = 0;
  if (!sleeper_until.compare_exchange_strong(until, when, std::memory_order_seq_cst)) {
    if (when < until || (has_waiters && !io_poller.is_claimed())) interrupt_sleeper();
    return false;
  }
  heap::maybe_delay("sched.sleeper");
  const bool polls = has_waiters && io_poller.try_claim();
  heap::maybe_delay("sched.sleeper");
  // Between the look and the claims an earlier timer, or an interrupt, may have come.
  if (earliest_timer() >= when && sleeper_word.load(std::memory_order_seq_cst) == word) {
    leave_section();
    in_safe_state(self, [&fetched, polls, word, when] {
      if (polls) io_poller.wait(fetched, when == INT64_MAX ? k_forever : when);
      else futex_wait(sleeper_word, word, when);
    });
    enter_section();
  }
  if (polls) {
    io_poller.release();
    note_io_poll();
  }
  sleeper_until.store(0, std::memory_order_seq_cst);
  return true;
}

bool has_sleeper() noexcept { return sleeper_until.load(std::memory_order_seq_cst) != 0; }

void interrupt_sleeper() noexcept {
  sleeper_word.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(sleeper_word, 1);
  if (io_poller.is_claimed()) io_poller.interrupt();
}

bool needs_poller() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // after the waiter was added; with sleep_for_all
  return io_poller.waiters() != 0 && !io_poller.is_claimed();
}

void rouse_sleeper() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // after the timer was put in; with sleep_for_all
  if (has_sleeper()) interrupt_sleeper();
  else wake_one();
}

void rouse_poller() noexcept {
  if (needs_poller()) rouse_sleeper();
}

}  // namespace cairn::sched
