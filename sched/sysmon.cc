// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/sysmon.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>

#include "heap/delay.h"
#include "heap/lock.h"
#include "heap/metadata.h"
#include "heap/private.h"
#include "sched/deadlock.h"
#include "sched/fence.h"
#include "sched/futex.h"
#include "sched/io.h"
#include "sched/message.h"
#include "sched/preempt.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/schedtrace.h"
#include "sched/scheduler.h"
#include "sched/stealing.h"
#include "sched/trim.h"
#include "sched/worker.h"

namespace cairn::sched {
namespace {

constexpr long k_least_sleep_ns = 20'000;
constexpr long k_most_sleep_ns = 1'000'000;  // what waits in `next` while its P computes waits for this at most
constexpr int k_eager_rounds = 50;
constexpr std::int64_t k_slice_ns = 10'000'000;
constexpr std::int64_t k_blocked_ns = 10'000'000;
constexpr std::int64_t k_late_ns = 50'000;
constexpr std::int64_t k_insist_ns = 1'000'000;  // after it was asked
constexpr std::int64_t k_heed_ns = 500'000;  // of processor time, in which who calls the library has done so
constexpr std::int64_t k_release_ns = 2'000'000'000;
constexpr std::int64_t k_unpolled_ns = 10'000'000;
constexpr std::int64_t k_trim_gap_ns = 10'000'000, k_trim_ns = 100'000;
constexpr std::int64_t k_check_closed_ns = 100'000'000, k_check_closed_idle_ns = 1'000'000'000;

// Raised by who wakes sysmon, which sleeps on it. The waker raises it and then looks whether sysmon is asleep;
// that says so and then looks at the word: all sequentially consistent.
std::atomic<std::uint32_t> wakes{0};
std::atomic<bool> asleep{false};

// What sysmon saw of a P when it looked last.
struct sight {
  std::uint32_t tick = 0;
  std::int64_t since = 0;     // of this tick and this state
  bool blocked = false;       // in the safe state
  std::int64_t asked = 0;     // when the goroutine was asked to make room, or its thread was signalled
  std::int64_t cpu_then = 0;  // processor time of its thread at that time
  const goroutine* running = nullptr;
  std::uint32_t runs = 0;  // how often that one had been switched to
};
sight sights[k_most_procs];  // sysmon's own
const heap::private_table sights_are_private(sights);

bool others_wait(const p& pp, std::int64_t now) noexcept {
  return pp.queue.size() != 0 || pp.queue.peek_next() != nullptr ||
         sch.queued.load(std::memory_order_relaxed) != 0 || pp.timing.earliest() <= now;
}

bool take_from(m& owner, p& pp, sight& seen) noexcept {
  if (!take_p_away(owner, pp)) return false;
  seen = {};
  hand_off(pp);
  return true;
}

// In blocking(), or waiting for something of the runtime's.
bool look_after_blocked(m& owner, p& pp, sight& seen, std::int64_t now) noexcept {
  // With nothing to do and a P to spare there is no hurry.
  const bool wanted = others_wait(pp, now) || (sch.idle_ps.load(std::memory_order_relaxed) == 0 &&
                                               sch.spinning.load(std::memory_order_relaxed) == 0);
  if (!wanted && now - seen.since < k_blocked_ns) return false;
  return take_from(owner, pp, seen);
}

// ---- those that run without a P ------------------------------------------------------------------------------------

// Threads whose P was taken while they slept in the kernel. More than fit go unwatched until they call the scheduler.
struct stray {
  m* thread = nullptr;
  goroutine* g = nullptr;
  std::int64_t cpu_then = 0;
};
constexpr int k_strays = 256;
stray strays[k_strays];  // sysmon's own
const heap::private_table strays_are_private(strays);

void watch(m& thread) noexcept {
  for (stray& s : strays) {
    if (s.thread != nullptr) continue;
    s = {&thread, thread.current_goroutine.load(std::memory_order_relaxed), cpu_time_of(thread)};
    return;
  }
}

void look_after_strays() noexcept {
  for (stray& s : strays) {
    if (s.thread == nullptr) continue;
    if (s.thread->proc.load(std::memory_order_relaxed) != 0 ||
        s.thread->current_goroutine.load(std::memory_order_relaxed) != s.g) {
      s = {};
      continue;
    }
    const std::int64_t cpu = cpu_time_of(*s.thread);
    if (cpu - s.cpu_then < k_slice_ns) continue;
    s.cpu_then = cpu;
    request_freeze(*s.thread);
  }
}

// ---- slices --------------------------------------------------------------------------------------------------------

// The goroutine was asked and runs on, or sleeps in the kernel without having said so.
bool insist(m& owner, p& pp, sight& seen, std::int64_t now) noexcept {
  if (now - seen.asked < k_insist_ns) return false;
  const std::int64_t cpu = cpu_time_of(owner), used = cpu - seen.cpu_then;
  const bool sleeps = used < k_heed_ns && is_asleep(owner);
  seen.asked = now;
  // Who waits for a processor has not had the time to heed it. Frozen as soon as it has one, it would be where it
  // happens to be, with a lock in its hands perhaps.
  if (used < k_heed_ns && !sleeps) return false;
  seen.cpu_then = cpu;
  if (used != 0 || !sleeps) {
    request_freeze(owner);
    return true;
  }
  if (!take_from(owner, pp, seen)) return false;
  watch(owner);
  return true;
}

// True if something was done.
bool look_after(p& pp, sight& seen, std::int64_t now) noexcept {
  m* owner = pp.owner.load(std::memory_order_acquire);  // with adopt_p
  if (owner == nullptr) return seen = {}, false;
  const std::uint32_t tick = pp.tick.load(std::memory_order_relaxed);
  const bool blocked = owner->state.load(std::memory_order_relaxed) == k_safe;
  if (tick != seen.tick || blocked != seen.blocked) {
    seen = {tick, now, blocked, 0, 0, nullptr, 0};
    return false;
  }
  if (blocked) return look_after_blocked(*owner, pp, seen, now);
  // A timer is due: whoever allocates or parks is quick to see to it.
  if (pp.timing.earliest() <= now - k_late_ns) pp.preempt.store(true, std::memory_order_relaxed);
  if (now - seen.since < k_slice_ns || !others_wait(pp, now)) return false;
  if (seen.asked != 0) return insist(*owner, pp, seen, now);
  pp.preempt.store(true, std::memory_order_relaxed);
  long_ways.fetch_or(k_room_is_wanted, std::memory_order_relaxed);
  seen.asked = now;
  seen.cpu_then = cpu_time_of(*owner);
  return true;
}

// The owner was with one goroutine all the time since the last look. The record may be another one's by now: the number
// grows for these too.
bool has_computed(const p& pp, sight& seen) noexcept {
  const m* owner = pp.owner.load(std::memory_order_acquire);  // with adopt_p
  const goroutine* g = owner != nullptr ? owner->current_goroutine.load(std::memory_order_relaxed) : nullptr;
  const std::uint32_t runs = g != nullptr ? g->runs.load(std::memory_order_relaxed) : 0;
  const bool same = g != nullptr && g == seen.running && runs == seen.runs;
  seen.running = g;
  seen.runs = runs;
  return same;
}

// Calls go the short way again when nobody is asked any more.
void shorten_ways() noexcept {
  if ((long_ways.load(std::memory_order_relaxed) & k_room_is_wanted) == 0) return;
  for (int i = 0, n = sch.made.load(std::memory_order_acquire); i < n; ++i) {
    const p& pp = *sch.all[i];
    if (pp.preempt.load(std::memory_order_relaxed) && pp.owner.load(std::memory_order_relaxed) != nullptr)
      return;
  }
  long_ways.fetch_and(static_cast<std::uint8_t>(~k_room_is_wanted), std::memory_order_relaxed);
}

bool look_after_all() noexcept {
  const std::int64_t now = now_ns();
  the_coarse_clock.now.store(now, std::memory_order_relaxed);
  const int n = sch.made.load(std::memory_order_acquire);
  bool did = false, waiting = false;
  shorten_ways();
  for (int i = 0; i < n; ++i) {
    p& pp = *sch.all[i];
    did |= look_after(pp, sights[i], now);
    end_if_over(pp);
    if (has_computed(pp, sights[i])) end_beside_computing(pp);
    waiting |= others_wait(pp, now) && !is_left_alone(pp);
  }
  look_after_strays();
  try_for_stack();  // one that came to wait just after the last stack was given back
  if (waiting && sch.idle_ps.load(std::memory_order_relaxed) != 0) wake_one();
  return did;
}

// ---- descriptors ---------------------------------------------------------------------------------------------------

// While Ps are in use.
void look_after_io(std::int64_t& next_check) noexcept {
  if (io_poller.waiters() == 0) return;
  const std::int64_t now = now_ns();
  if (now - last_io_poll() >= k_unpolled_ns) poll_io();
  if (now < next_check) return;
  next_check = now + k_check_closed_ns;
  check_closed_io();
}

// ---- when nothing happens ------------------------------------------------------------------------------------------

void release_memory(std::int64_t& next) noexcept {
  const std::int64_t now = now_ns();
  if (now < next) return;
  next = now + k_release_ns;
  stacks::release_idle();
  records::release_idle();
}

void trim_stacks(std::int64_t& next) noexcept {
  const std::int64_t now = now_ns();
  if (now < next) return;
  next = now + k_trim_gap_ns;
  trim::some(now, k_trim_ns);
}

// Until a P comes into use. What is free by now goes back to the system first, then what is idle. Descriptors
// that somebody waits for may yet be closed, by a thread: they are looked at more and more seldom.
void sleep_while_idle(std::uint32_t seen) noexcept {
  asleep.store(true, std::memory_order_seq_cst);
  std::int64_t now = now_ns(), release_at = now + k_release_ns;
  std::int64_t gap = k_check_closed_ns, check_at = now + gap;
  constexpr int k_releases = 4;  // the last one when all stacks are old enough to be trimmed
  static_assert(k_releases * k_release_ns > trim::k_idle_ns + k_release_ns / 2);
  for (int releases = 0; wakes.load(std::memory_order_seq_cst) == seen;) {
    const bool checks = io_poller.waiters() != 0;
    std::int64_t until = std::min(releases < k_releases ? release_at : INT64_MAX,
                                  checks ? check_at : INT64_MAX);
    if (const std::int64_t line = trace_schedule(now); line != k_forever) until = std::min(until, line);
    futex_wait(wakes, seen, until == INT64_MAX ? k_forever : until);
    now = now_ns();
    if (checks && now >= check_at) {
      check_closed_io();
      gap = std::min(2 * gap, k_check_closed_idle_ns);
      check_at = now + gap;
    }
    if (releases < k_releases && now >= release_at) {
      stacks::release_idle();
      records::release_idle();
      if (++releases == k_releases) trim::all(now, wakes, seen);
      release_at = now + k_release_ns;
    }
  }
  asleep.store(false, std::memory_order_relaxed);
}

// Nobody runs, and somebody waits for a stack, which the system may have by now.
bool retry_stacks() noexcept {
  static int in_vain = 0;
  constexpr int k_most = 5'000;  // some seconds
  if (sch.n_without_stack.load(std::memory_order_relaxed) == 0) return in_vain = 0, false;
  if (++in_vain > k_most) {
    (message() << "cairn: no memory for the stacks of " << sch.n_without_stack.load(std::memory_order_relaxed)
               << " goroutines (" << stacks::size()
               << " bytes of address space each, see CAIRNSTACK), and no other goroutine can go on\n")
        .send();
    _exit(2);
  }
  try_for_stack();
  return true;
}

}  // namespace

void* sysmon_main(void*) {
  pthread_setname_np(pthread_self(), "cairn-sysmon");
  heap::prepare_malloc();
  long sleep = k_least_sleep_ns;
  int quiet = 0;
  std::int64_t next_release = 0, next_check = 0, next_trim = 0;
  for (;;) {
    const std::uint32_t seen = wakes.load(std::memory_order_acquire);
    if (all_idle() && !retry_stacks()) {
      shorten_ways();
      check_deadlock();
      sleep_while_idle(seen);
      sleep = k_least_sleep_ns;
      quiet = 0;
      continue;
    }
    const timespec t{0, sleep};
    nanosleep(&t, nullptr);
    trace_schedule(now_ns());
    quiet = look_after_all() ? 0 : quiet + 1;
    if (quiet == 0) sleep = k_least_sleep_ns;
    else if (quiet > k_eager_rounds) sleep = std::min(2 * sleep, k_most_sleep_ns);
    look_after_io(next_check);
    release_memory(next_release);
    trim_stacks(next_trim);
  }
}

void wake_sysmon() noexcept {
  the_coarse_clock.now.store(now_ns(), std::memory_order_relaxed);
  wakes.fetch_add(1, std::memory_order_seq_cst);
  if (asleep.load(std::memory_order_seq_cst)) futex_wake(wakes, 1);
}

std::uint32_t wake_count() noexcept { return wakes.load(std::memory_order_seq_cst); }

bool take_p_away(m& victim, p& pp) noexcept {
  // sysmon, and the end of a run. A second one could set the bit again after the thread has claimed its P back, and the
  // first, whose look at the depth is old, would then succeed.
  static heap::lock takers;
  heap::lock_guard held(takers);
  std::uintptr_t word = reinterpret_cast<std::uintptr_t>(&pp);
  const std::uintptr_t marked = word | 1;
  if (!victim.proc.compare_exchange_strong(word, marked, std::memory_order_seq_cst, std::memory_order_relaxed))
    return false;
  heap::maybe_delay("sched.take");
  fence_other_threads();
  // Acquire: with the store at a section's end, after which the P is no longer written.
  const bool in_section = victim.depth.load(std::memory_order_acquire) != 0;
  word = marked;
  const std::uintptr_t next = in_section ? marked & ~std::uintptr_t{1} : 0;
  if (!victim.proc.compare_exchange_strong(word, next, std::memory_order_acquire, std::memory_order_relaxed))
    return false;
  if (in_section) return false;
  pp.owner.store(nullptr, std::memory_order_relaxed);
  return true;
}

}  // namespace cairn::sched
