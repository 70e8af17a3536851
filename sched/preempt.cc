// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/preempt.h"

#include <fmt/core.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "heap/delay.h"
#include "heap/file.h"
#include "sched/handshake.h"
#include "sched/idle_list.h"
#include "sched/scheduler.h"
#include "sched/signal.h"
#include "sched/worker.h"

namespace cairn::sched {
namespace {

// A worker that sleeps, to take over the P. Null: the goroutine goes on; sysmon asks again.
m* take_spare() noexcept {
  m* spare = nullptr;
  unsigned left = 0;
  {
    heap::lock_guard held(sch.lock);
    spare = idle_list::take();
    if (spare != nullptr) ++sch.frozen;
    left = sch.n_idle_m;
  }
  if (left < k_spare_workers) request_worker();
  return spare;
}

void thaw(m& self, goroutine& g) noexcept {
  if (g.thread_locks == 0) g.bound = nullptr;
  g.is_frozen = false;  // an orphan is woken without give_to_bound
  g.status.store(g_status::running, std::memory_order_relaxed);
  self.chosen = nullptr;
  heap::lock_guard held(sch.lock);
  --sch.frozen;
}

// In a section, on the goroutine's stack.
void freeze(m& self, goroutine& g, m& spare) noexcept {
  p* pp = drop_p(self);
  g.bound = &self;
  g.is_frozen = true;
  g.status.store(g_status::runnable, std::memory_order_release);  // with who lists goroutines
  heap::maybe_delay("sched.freeze");
  put_global(&g);
  hand(spare, pp);
  if (pp == nullptr) wake_one();  // it was running without one; the spare goes back to sleep
  sleep_on_note(self);
  thaw(self, g);
}

}  // namespace

std::atomic<unsigned> least_cap_of_frozen{1024};

bool is_frozen(const goroutine& g) noexcept { return g.is_frozen; }

void request_freeze(m& thread) noexcept {
  if (!sch.wants_spares.exchange(true, std::memory_order_relaxed)) request_worker();
  thread.freeze_wanted.store(true, std::memory_order_relaxed);  // the signal comes after it
  send_signal(thread);
}

void freeze_if_asked(m& self) noexcept {
  if (!self.freeze_wanted.load(std::memory_order_relaxed)) return;
  self.freeze_wanted.store(false, std::memory_order_relaxed);
  goroutine* g = self.current_goroutine.load(std::memory_order_relaxed);
  if (!self.is_worker || g == nullptr || self.freeze_off != 0 || g->preempt_off != 0) return;
  if (self.depth.load(std::memory_order_relaxed) != 0 ||
      self.state.load(std::memory_order_relaxed) != k_running)
    return;
  // Until after the section: a handshake that is answered at its end looks at the registers in the signal's frame.
  self.interrupted = true;
  enter_section();
  // An orphan that has come by a P (it was parked, or about to be thawed, when it became one) goes on without.
  if (g->is_orphan()) {
    if (p* pp = drop_p(self)) hand_off(*pp);
  } else if (m* spare = take_spare()) freeze(self, *g, *spare);
  leave_section();
  self.interrupted = false;
}

std::int64_t cpu_time_of(const m& thread) noexcept {
  constexpr clockid_t k_thread_clock = 6;  // as the kernel encodes the scheduler's clock of one thread
  const clockid_t clock = static_cast<clockid_t>(~static_cast<unsigned>(thread.tid) << 3) | k_thread_clock;
  const int saved_errno = errno;
  timespec t{};
  const int error = clock_gettime(clock, &t);
  errno = saved_errno;
  return error != 0 ? 0 : std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// /proc/self/task/TID/stat: the state is the letter after the name, which is in parentheses and may hold some.
bool is_asleep(const m& thread) noexcept {
  const int saved_errno = errno;
  char text[128];
  auto end = fmt::format_to_n(text, sizeof text - 1, "/proc/self/task/{}/stat", thread.tid).out;
  *end = '\0';
  ssize_t n = heap::file(text).read(text, sizeof text);
  errno = saved_errno;
  while (n > 0 && text[n - 1] != ')') --n;
  return n <= 0 || (text[n + 1] != 'R');
}

}  // namespace cairn::sched

namespace cairn {

// The count is the goroutine's, whichever thread it runs on; only the handler on that thread reads it.
preempt_off::preempt_off() : scopes_(nullptr) {
  sched::self();
  sched::check_ending();
  if (sched::goroutine* g = sched::parkable()) ++*(scopes_ = &g->preempt_off);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
preempt_off::~preempt_off() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (scopes_ != nullptr) --*scopes_;
}

}  // namespace cairn
