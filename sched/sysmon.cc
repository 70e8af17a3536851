// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/sysmon.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>

#include "heap/metadata.h"
#include "sched/deadlock.h"
#include "sched/futex.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace cairn::sched {
namespace {

constexpr long k_least_sleep_ns = 20'000;
constexpr long k_most_sleep_ns = 1'000'000;  // what waits in `next` while its P computes waits for this at most
constexpr int k_eager_rounds = 50;
constexpr std::int64_t k_slice_ns = 10'000'000;
constexpr std::int64_t k_blocked_ns = 10'000'000;
constexpr std::int64_t k_release_ns = 2'000'000'000;

// Raised by who wakes sysmon, which sleeps on it. The waker raises it and then looks whether sysmon is asleep; that says
// so and then looks at the word: all sequentially consistent.
std::atomic<std::uint32_t> wakes{0};
std::atomic<bool> asleep{false};

// What sysmon saw of a P when it looked last.
struct sight {
  std::uint32_t tick = 0;
  std::int64_t since = 0;
  bool blocked = false;
  std::int64_t blocked_since = 0;
};
sight sights[k_most_procs];  // sysmon's own

bool others_wait(const p& pp) noexcept {
  return pp.queue.size() != 0 || pp.queue.peek_next() != nullptr ||
         sch.queued.load(std::memory_order_relaxed) != 0;
}

// True if something was done.
bool look_after(p& pp, sight& seen, std::int64_t now) noexcept {
  m* owner = pp.owner.load(std::memory_order_acquire);  // with adopt_p
  if (owner == nullptr) return seen = {}, false;
  const std::uint32_t tick = pp.tick.load(std::memory_order_relaxed);
  const bool blocked = owner->state.load(std::memory_order_relaxed) == k_safe;
  if (tick != seen.tick || blocked != seen.blocked) {
    seen = {tick, now, blocked, now};
    return false;
  }
  if (blocked) {
    // With nothing to do and a P to spare there is no hurry.
    const bool wanted = others_wait(pp) || (sch.idle_ps.load(std::memory_order_relaxed) == 0 &&
                                            sch.spinning.load(std::memory_order_relaxed) == 0);
    if (!wanted && now - seen.blocked_since < k_blocked_ns) return false;
    if (!take_p_away(*owner, pp)) return false;
    seen = {};
    hand_off(pp);
    return true;
  }
  if (now - seen.since >= k_slice_ns && !pp.preempt.load(std::memory_order_relaxed)) {
    pp.preempt.store(true, std::memory_order_relaxed);
    seen.since = now;
    return true;
  }
  return false;
}

bool look_after_all() noexcept {
  const std::int64_t now = now_ns();
  const int n = sch.made.load(std::memory_order_acquire);
  bool did = false, waiting = false;
  for (int i = 0; i < n; ++i) {
    did |= look_after(*sch.all[i], sights[i], now);
    waiting |= others_wait(*sch.all[i]);
  }
  if (waiting && sch.idle_ps.load(std::memory_order_relaxed) != 0) wake_one();
  return did;
}

void release_memory(std::int64_t& next) noexcept {
  const std::int64_t now = now_ns();
  if (now < next) return;
  next = now + k_release_ns;
  stacks::release_idle();
  records::release_idle();
}

// Until a P comes into use. What is free by now goes back to the system first.
void sleep_while_idle(std::uint32_t seen) noexcept {
  asleep.store(true, std::memory_order_seq_cst);
  for (int round = 0; round < 3; ++round) {
    if (round != 0) {
      stacks::release_idle();
      records::release_idle();
    }
    if (wakes.load(std::memory_order_seq_cst) != seen) break;
    futex_wait(wakes, seen, round == 2 ? k_forever : now_ns() + k_release_ns);
  }
  asleep.store(false, std::memory_order_relaxed);
}

bool has_membarrier = false;  // written before the first P is used

}  // namespace

void* sysmon_main(void*) {
  pthread_setname_np(pthread_self(), "cairn-sysmon");
  heap::prepare_malloc();
  long sleep = k_least_sleep_ns;
  int quiet = 0;
  std::int64_t next_release = 0;
  for (;;) {
    const std::uint32_t seen = wakes.load(std::memory_order_acquire);
    if (all_idle()) {
      check_deadlock();
      sleep_while_idle(seen);
      sleep = k_least_sleep_ns;
      quiet = 0;
      continue;
    }
    const timespec t{0, sleep};
    nanosleep(&t, nullptr);
    quiet = look_after_all() ? 0 : quiet + 1;
    if (quiet == 0) sleep = k_least_sleep_ns;
    else if (quiet > k_eager_rounds) sleep = std::min(2 * sleep, k_most_sleep_ns);
    release_memory(next_release);
  }
}

void wake_sysmon() noexcept {
  wakes.fetch_add(1, std::memory_order_seq_cst);
  if (asleep.load(std::memory_order_seq_cst)) futex_wake(wakes, 1);
}

bool prepare_fence() noexcept {
  const int saved_errno = errno;
  has_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  errno = saved_errno;
  return has_membarrier;
}

void fence_other_threads() noexcept {
  const int saved_errno = errno;
  if (has_membarrier) syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  else std::atomic_thread_fence(std::memory_order_seq_cst);
  errno = saved_errno;
}

}  // namespace cairn::sched
