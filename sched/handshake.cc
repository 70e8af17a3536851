// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Asking and answering; the state word is described in handshake.h.
//
// The asker sets the request in every word first and sends signals afterwards, so that threads which come to a
// section's end by themselves are spared theirs; for a handshake, which keeps nobody waiting, it gives them some time
// for that. (A thread that allocates comes there every microsecond or two. A signal costs it 4, more in a virtual
// machine, and whoever sends it as much.) It then waits for `unanswered`, which counts the requests not yet answered
// plus one of its own, spinning at first, then asleep, and sends again every 10 ms: a signal may have come on a foreign
// stack, or been blocked for a while. Nothing of this allocates.
#include "sched/handshake.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <optional>
#include <string_view>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/file.h"
#include "sched/futex.h"
#include "sched/hooks.h"
#include "sched/message.h"
#include "sched/preempt.h"
#include "sched/registry.h"
#include "sched/signal.h"
#include "sched/unwind.h"

namespace cairn::sched {
namespace {

constexpr std::int64_t k_resend_ns = 10'000'000;
constexpr std::int64_t k_report_ns = 1'000'000'000;
constexpr std::int64_t k_spin_ns = 20'000;
constexpr std::int64_t k_patience_ns = 15'000;
// After a stop that interrupted running threads the next one waits as long as that one took, within these bounds.
// Threads that stop the world in a loop would otherwise leave the others no time at all: who is asked again before it
// has left the handler does not come to a single instruction of its own.
constexpr std::int64_t k_least_gap_ns = 100'000;
constexpr std::int64_t k_most_gap_ns = 1'000'000;

// What is asked. Written by the holder of the registry lock before it sets any word to requested (release), read by
// who answers (acquire).
struct {
  const char* reason;
  void (*fn)(m&, void*);  // null: stop
  void* arg;
} request;
// Likewise; but atomic, for a thread that wants to leave the safe state reads it too, with no order.
std::atomic<interruption> request_why{interruption::stop};

// Requests that wait for an answer, plus one while the asker still hands them out; and a bit that says that the asker
// sleeps and wants to be woken. An answer subtracts with release as the last thing it does to the asker's data; the
// asker's acquire load of zero sees all that was done before.
constexpr std::uint32_t k_asleep = std::uint32_t{1} << 31;
std::atomic<std::uint32_t> unanswered{0};

// Under the registry lock: when the stop began, if it interrupted anybody (else 0), and when the next may begin.
std::int64_t stop_began = 0;
std::int64_t next_stop_at = 0;

void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// ---- answering ----------------------------------------------------------------------------------------------------

void count_answer() noexcept {
  heap::maybe_delay("handshake");
  if (unanswered.fetch_sub(1, std::memory_order_acq_rel) == (k_asleep | 1)) futex_wake(unanswered, 1);
}

// The word is requested. Returns when it is not, having done what was asked.
void answer_once(m& self) noexcept {
  // With a look of its own: who asks has often just had the thread's processor, and a look of before would take that
  // switch for one in the answer.
  heap::stopwatch watch;
  // Before the answer: after it the request may be another one.
  const interruption why = request_why.load(std::memory_order_relaxed);
  if (request.fn != nullptr) {
    request.fn(self, request.arg);
    self.state.store(k_running, std::memory_order_release);  // with the asker's next CAS on the word
    count_answer();
  } else {
    // Release: publishes saved_sp, with the asker's acquire of `unanswered`.
    self.state.store(k_stopped, std::memory_order_release);
    count_answer();
    // Acquire: with the store of running in release_stopped.
    while (self.state.load(std::memory_order_acquire) == k_stopped) futex_wait(self.state, k_stopped);
  }
  hooks.on_pause(self, why, watch.stop());
}

// At depth 0, in the handler or not. It answers at depth 1, so that a signal that comes meanwhile (outside the
// handler it may) does nothing, and a section inside the asked function is no outermost one; then looks again, as at
// the end of any section.
void answer_all(void* p) {
  m& self = *static_cast<m*>(p);
  // Acquire: with the asker's CAS to requested.
  while (self.state.load(std::memory_order_acquire) == k_requested) {
    self.depth.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // Looked at again: between the loop's look and the store the handler may have answered.
    if (self.state.load(std::memory_order_acquire) == k_requested) answer_once(self);
    self.depth.store(0, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

// ---- asking -------------------------------------------------------------------------------------------------------

// Brings the word to requested or, for a thread in the safe state, to held; true for requested.
bool ask(m& p) noexcept {
  heap::maybe_delay("handshake");
  for (;;) {
    std::uint32_t state = p.state.load(std::memory_order_relaxed);
    if (state == k_running) {
      // Counted before it can be answered. Relaxed: the CAS releases it.
      unanswered.fetch_add(1, std::memory_order_relaxed);
      if (p.state.compare_exchange_strong(state, k_requested, std::memory_order_acq_rel,
                                          std::memory_order_relaxed))
        return true;
      unanswered.fetch_sub(1, std::memory_order_relaxed);  // the asker's own one keeps it above zero
    } else {
      CAIRN_CHECK(state == k_safe, "a thread is asked twice");
      // Acquire: with the thread's CAS to safe, which publishes saved_sp.
      if (p.state.compare_exchange_strong(state, k_held, std::memory_order_acquire, std::memory_order_relaxed))
        return false;
    }
  }
}

void release_held(m& p) noexcept {
  heap::maybe_delay("handshake");
  // Release: with the thread's CAS from safe to running.
  if (p.state.exchange(k_safe, std::memory_order_acq_rel) == k_held_waited) futex_wake(p.state, 1);
}

bool is_held(const m& p) noexcept {
  std::uint32_t state = p.state.load(std::memory_order_relaxed);
  return state == k_held || state == k_held_waited;
}

void release_stopped(m& p) noexcept {
  heap::maybe_delay("handshake");
  p.state.store(k_running, std::memory_order_release);  // with the load in answer_once
  futex_wake(p.state, 1);
}

// The thread ended without detaching: it counts as stopped, with nothing on its stack. Unless it had answered a
// handshake before it ended: then the next request finds it.
void bury(m& p) noexcept {
  std::uint32_t state = k_requested;
  if (!p.state.compare_exchange_strong(state, k_stopped, std::memory_order_acquire, std::memory_order_relaxed))
    return;
  p.dead = true;
  p.thread_pointer = nullptr;
  p.saved_sp = p.stack_low = p.stack_high = nullptr;
  unanswered.fetch_sub(1, std::memory_order_relaxed);  // only the asker waits for it
}

void signal_requested(m* self) noexcept {
  for (m* p = first_m(); p != nullptr; p = p->next) {
    if (p == self || p->state.load(std::memory_order_relaxed) != k_requested) continue;
    heap::maybe_delay("handshake");
    if (send_signal(*p) == signalled::gone) bury(*p);
  }
}

// The thread's name as the kernel knows it.
std::string_view read_comm(pid_t tid, char (&bytes)[64]) noexcept {
  char path[48] = "/proc/self/task/";
  std::size_t at = std::string_view(path).size();
  char digits[12];
  std::size_t n = 0;
  for (auto rest = static_cast<unsigned>(tid); rest != 0; rest /= 10)
    digits[n++] = static_cast<char>('0' + rest % 10);
  while (n != 0) path[at++] = digits[--n];
  for (char c : std::string_view("/comm")) path[at++] = c;
  ssize_t got = heap::file(path).read(bytes, sizeof bytes);
  while (got > 0 && bytes[got - 1] == '\n') --got;
  return got > 0 ? std::string_view(bytes, static_cast<std::size_t>(got)) : "?";
}

// Whether that it has not answered is its own doing: it runs, or sleeps through a signal. One that only waits for a
// processor, on a machine that has too few, will answer; who sleeps inside the runtime may wait for one that does.
bool is_deaf(m& p, bool for_long) noexcept {
  constexpr std::int64_t k_time_to_answer_ns = 10'000'000;
  const std::int64_t cpu = cpu_time_of(p);
  if (p.cpu_when_late < 0) p.cpu_when_late = cpu;
  if (cpu - p.cpu_when_late >= k_time_to_answer_ns) return true;
  return (for_long || p.depth.load(std::memory_order_relaxed) == 0) && is_asleep(p);
}

void report_silent(m* self, bool for_long) noexcept {
  int saved_errno = errno;
  for (m* p = first_m(); p != nullptr; p = p->next) {
    if (p == self || p->reported || p->state.load(std::memory_order_relaxed) != k_requested) continue;
    if (!is_deaf(*p, for_long)) continue;
    p->reported = true;
    char name[64];
    (message() << "cairn: thread " << p->tid << " (" << read_comm(p->tid, name)
               << ") has not answered for a second (" << request.reason << "); "
               << (p->depth.load(std::memory_order_relaxed) != 0
                       ? "it is inside the runtime\n"
                       : "does it block the runtime's signal, or run on a stack that is not its own?\n"))
        .send();
  }
  errno = saved_errno;
}

// Spins until nobody but `left` is unanswered, for so long. True if so.
bool spin_for_answers(std::uint32_t left, std::int64_t ns) noexcept {
  const std::int64_t until = now_ns() + ns;
  // Acquire: with count_answer.
  while (unanswered.load(std::memory_order_acquire) != left) {
    for (int i = 0; i < 8; ++i) pause_cpu();
    if (now_ns() >= until) return false;
  }
  return true;
}

void sleep_for_answers(m* self) noexcept {
  std::int64_t resend = now_ns() + k_resend_ns;
  const std::int64_t report = now_ns() + k_report_ns;
  // Acquire, here and below: with count_answer.
  std::uint32_t n = unanswered.fetch_or(k_asleep, std::memory_order_acquire) | k_asleep;
  for (; n != k_asleep; n = unanswered.load(std::memory_order_acquire)) {
    const std::int64_t now = now_ns();
    if (now >= resend) {
      if (now >= report) report_silent(self, now >= report + 9 * k_report_ns);
      signal_requested(self);
      resend = now + k_resend_ns;
      continue;
    }
    futex_wait(unanswered, n, resend);
  }
}

void wait_for_answers(m* self) noexcept {
  heap::maybe_delay("handshake");
  unanswered.fetch_sub(1, std::memory_order_relaxed);  // the asker's own one
  if (!spin_for_answers(0, k_spin_ns)) sleep_for_answers(self);
}

void call_here(m& p) noexcept {
  // On the caller's own m the section keeps requests of nobody: the registry is ours. It is for fn, which may take
  // runtime locks.
  runtime_section section;
  request.fn(p, request.arg);
}

// By the holder of the registry lock, who has filled in `request`. True if any thread was running. Of a handshake: who
// is held is released at once, before the running ones are waited for. It may want to go on by now.
bool ask_all(m* self, bool patient) noexcept {
  CAIRN_CHECK(self == nullptr || self->depth.load(std::memory_order_relaxed) == 0,
              "a handshake begins inside a runtime section");
  unanswered.store(1, std::memory_order_relaxed);
  bool any = false;
  for (m* p = first_m(); p != nullptr; p = p->next) {
    p->reported = false;
    p->cpu_when_late = -1;
    if (p == self) continue;
    if (ask(*p)) {
      any = true;
    } else if (request.fn != nullptr) {
      call_here(*p);
      release_held(*p);
    }
  }
  if (any && !(patient && spin_for_answers(1, k_patience_ns))) signal_requested(self);
  return any;
}

bool any_dead() noexcept {
  for (m* p = first_m(); p != nullptr; p = p->next)
    if (p->dead) return true;
  return false;
}

// The registry lock, not before next_stop_at.
void acquire_for_stop(m* self) {
  for (;;) {
    acquire_registry();
    std::int64_t until = next_stop_at;
    if (until == 0 || now_ns() >= until) return;
    release_registry();
    auto wait = [until] {
      std::atomic<std::uint32_t> never{0};
      while (futex_wait(never, 0, until)) {
      }
    };
    if (self != nullptr) {
      in_safe_state(*self, wait);
    } else {
      wait();
    }
  }
}

void note_stop_end() noexcept {
  std::int64_t now = now_ns();
  next_stop_at = stop_began == 0 ? 0 : now + std::clamp(now - stop_began, k_least_gap_ns, k_most_gap_ns);
}

// ---- the safe state -----------------------------------------------------------------------------------------------

void enter_safe(m& self) noexcept {
  for (;;) {
    heap::maybe_delay("handshake");
    std::uint32_t state = k_running;
    // Release: publishes saved_sp to the asker's CAS to held. Seq_cst: with await_signals and send_signal.
    if (self.state.compare_exchange_strong(state, k_safe, std::memory_order_seq_cst, std::memory_order_relaxed))
      return;
    CAIRN_CHECK(state == k_requested, "the library is called inside cairn::blocking");
    detail_m::answer_deferred(self);
  }
}

// The word is held: by a handshake for some microseconds, less than it takes to fall asleep and wake.
void spin_while_held(const m& self) noexcept {
  constexpr int k_spins = 100;
  for (int i = 0; i < k_spins && self.state.load(std::memory_order_relaxed) == k_held; ++i) pause_cpu();
}

void leave_safe(m& self) noexcept {
  std::optional<heap::stopwatch> watch;
  interruption why{};
  for (;;) {
    heap::maybe_delay("handshake");
    std::uint32_t state = k_safe;
    // Acquire: with the release of release_held.
    if (self.state.compare_exchange_strong(state, k_running, std::memory_order_acquire,
                                           std::memory_order_relaxed))
      break;
    if (!watch) {
      watch.emplace();
      why = request_why.load(std::memory_order_relaxed);
      spin_while_held(self);
      continue;
    }
    if (state == k_held) {
      // Relaxed: tells the asker only that a wake is wanted.
      self.state.compare_exchange_strong(state, k_held_waited, std::memory_order_relaxed,
                                         std::memory_order_relaxed);
    } else {
      futex_wait(self.state, k_held_waited);
    }
  }
  if (!watch) return;
  runtime_section section(self);
  hooks.on_pause(self, why, watch->stop());
}

}  // namespace

// ---- the interface ------------------------------------------------------------------------------------------------

void detail_m::answer_deferred(m& self) noexcept {
  int saved_errno = errno;
  spill_and_call(self, answer_all, &self);
  errno = saved_errno;
}

[[gnu::noinline]] void spill_and_call(m& self, void (*fn)(void*), void* arg) {
  struct restored {
    m& self;
    position outer;
    ~restored() { set(outer); }
    void set(const position& at) const noexcept {
      self.saved_sp = at.sp;
      self.saved_pc = at.pc;
      self.saved_fp = at.fp;
    }
  } restore{self, {self.saved_pc, self.saved_sp, self.saved_fp}};
  position here;
  CAIRN_POSITION_HERE(here);  // every callee-saved register goes into this frame
  restore.set(here);
  fn(arg);
  asm volatile("" : : : "memory");  // no tail call: the frame is needed until fn returns
}

void call_in_safe_state(m& self, void (*fn)(void*), void* arg) {
  CAIRN_CHECK(self.depth.load(std::memory_order_relaxed) == 0,
              "the safe state is entered inside a runtime section");
  struct call {
    m& self;
    void (*fn)(void*);
    void* arg;
  } c{self, fn, arg};
  spill_and_call(
      self,
      [](void* p) {
        call& inner = *static_cast<call*>(p);
        struct safe {
          m& self;
          explicit safe(m& s) noexcept : self(s) { enter_safe(s); }
          ~safe() { leave_safe(self); }
        } scope(inner.self);
        inner.fn(inner.arg);
      },
      &c);
}

m* detail_handshake::first_m() noexcept { return sched::first_m(); }
m* detail_handshake::newest_record() noexcept { return sched::newest_record.load(std::memory_order_seq_cst); }

world_stopped stop_the_world(const char* reason) {
  m* self = current();
  acquire_for_stop(self);
  request = {reason, nullptr, nullptr};
  request_why.store(interruption::stop, std::memory_order_relaxed);
  std::int64_t began = now_ns();
  stop_began = ask_all(self, false) ? began : 0;
  wait_for_answers(self);
  return {};
}

world_stopped::~world_stopped() {
  m* self = current();
  for (m* p = first_m(); p != nullptr; p = p->next) {
    if (p == self || p->dead) continue;
    if (is_held(*p)) {
      release_held(*p);
    } else {
      release_stopped(*p);
    }
  }
  if (any_dead()) reap_dead();
  note_stop_end();
  release_registry();
}

void handshake(void (*fn)(m&, void*), void* arg, interruption why) {
  acquire_registry();
  m* self = current();
  request = {"handshake", fn, arg};
  request_why.store(why, std::memory_order_relaxed);
  ask_all(self, true);
  if (self != nullptr) call_here(*self);
  wait_for_answers(self);
  if (any_dead()) reap_dead();
  release_registry();
}

registry_guard::registry_guard() { acquire_registry(); }
registry_guard::~registry_guard() { release_registry(); }

}  // namespace cairn::sched
