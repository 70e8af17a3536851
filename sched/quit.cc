// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/quit.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "heap/metadata.h"
#include "sched/futex.h"
#include "sched/inspect.h"
#include "sched/message.h"
#include "sched/records.h"
#include "sched/signal.h"
#include "sched/traceback.h"

namespace cairn::sched {
namespace {

constexpr long k_patience_seconds = 10;
constexpr std::int64_t k_answer_ns = 100'000'000;         // for one thread
constexpr std::int64_t k_all_answers_ns = 1'000'000'000;  // for all of those that do not answer

std::atomic<std::uint32_t> asked{0};  // release by the handler, acquire by the thread, which sleeps on it
std::atomic<pid_t> lister{0};         // the thread, once it is at work. Relaxed: compared by itself

pid_t thread_id() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

// ---- copies from threads that run ----------------------------------------------------------------------------------

// idle -> wanted by the lister, after `image` (release); -> taken by the thread (acquire); -> idle by the
// thread (release; the lister acquires), or by the lister when it has waited long enough and it is not taken.
enum : std::uint32_t { k_idle, k_wanted, k_taken };
struct {
  std::atomic<std::uint32_t> state{k_idle};
  std::atomic<m*> of{nullptr};  // relaxed: only that thread finds itself in it
  stack_image image;
} copy;

// True if the thread has copied its stack.
bool ask_for_copy(m& thread, stack_image& stack, std::int64_t& budget) noexcept {
  copy.image = stack;
  copy.of.store(&thread, std::memory_order_relaxed);
  copy.state.store(k_wanted, std::memory_order_release);
  const std::int64_t began = now_ns();
  const std::int64_t until = began + (budget > 0 ? k_answer_ns : 1'000'000);
  if (send_signal(thread) == signalled::yes) {
    std::uint32_t now = k_wanted;
    while ((now = copy.state.load(std::memory_order_acquire)) != k_idle && now_ns() < until)
      futex_wait(copy.state, now, until);
  }
  std::uint32_t still = k_wanted;
  const bool in_vain = copy.state.compare_exchange_strong(still, k_idle, std::memory_order_acquire);
  if (in_vain) {
    budget -= now_ns() - began;
    return false;
  }
  while ((still = copy.state.load(std::memory_order_acquire)) != k_idle) futex_wait(copy.state, still);
  stack = copy.image;
  return stack.size != 0;
}

// Of a thread that stands in the runtime and stays there for now.
CAIRN_LOOKS bool copy_from_afar(const m& thread, const goroutine& g, sighting& seen,
                                stack_image& stack) noexcept {
  const std::uint32_t state = thread.state.load(std::memory_order_acquire);
  if (state == k_running || state == k_requested) return false;
  const position at{thread.saved_pc, thread.saved_sp, thread.saved_fp};
  seen.is_interrupted = thread.interrupted;
  copy_stack(stack, at, g.self.low, g.self.high);
  std::atomic_thread_fence(std::memory_order_acquire);
  return thread.state.load(std::memory_order_relaxed) == state && thread.saved_sp == at.sp;
}

bool copy_running(goroutine& g, sighting& seen, stack_image& stack) noexcept {
  static std::int64_t budget = k_all_answers_ns;
  m* thread = g.running_on.load(std::memory_order_acquire);
  if (thread == nullptr) return false;
  if (copy_from_afar(*thread, g, seen, stack)) return true;
  seen.is_interrupted = true;
  if (ask_for_copy(*thread, stack, budget)) return true;
  return copy_from_afar(*thread, g, seen, stack);  // it may have come to stand there meanwhile
}

// ---- the list ------------------------------------------------------------------------------------------------------

// What too_slow needs to go on where the lister was. Relaxed: it runs on the same thread.
std::atomic<std::size_t> at_segment{0}, at_record{0};
timer_t watchdog;
bool has_watchdog = false;
sigjmp_buf after_fault;
std::atomic<bool> may_fault{false};  // relaxed: the same thread's handler reads it

void restart_watchdog() noexcept {
  if (!has_watchdog) return;
  const itimerspec when{{k_patience_seconds, 0}, {k_patience_seconds, 0}};
  syscall(SYS_timer_settime, watchdog, 0, &when, nullptr);
}

// Not timer_create: it may start a thread.
void start_watchdog() noexcept {
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGQUIT;
  event._sigev_un._tid = thread_id();
  int id = 0;
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) != 0) return;
  watchdog = reinterpret_cast<timer_t>(static_cast<std::intptr_t>(id));
  has_watchdog = true;
  restart_watchdog();
}

look look_with(goroutine& g, sighting& seen, stack_image& stack, traceback::memory& copies) noexcept {
  stack = copies.image();
  look result = look_at(g, seen, stack, false);
  if (result == look::runs) {
    const bool copied = copy_running(g, seen, stack);
    sighting now;
    if (!copied) {  // it may have parked by now
      result = look_at(g, seen, stack, false);
    } else if (look_from_afar(g, now)) {
      seen.doing = now.doing == activity::waiting ? activity::running : now.doing;
    }
  }
  const bool fits = stack.size <= stack.capacity;
  return fits || copies.grow(stack.size) ? (fits ? result : look::too_big) : result;
}

void list_one(goroutine& g, traceback::memory& copies) noexcept {
  sighting seen;
  stack_image stack;
  if (sigsetjmp(after_fault, 0) != 0) {
    may_fault.store(false, std::memory_order_relaxed);
    (message() << "\tthe stack cannot be read\n\n").send();
    return;
  }
  may_fault.store(true, std::memory_order_relaxed);
  look result = look_with(g, seen, stack, copies);
  if (result == look::too_big) result = look_with(g, seen, stack, copies);
  if (result != look::gone) traceback::print(seen, stack, now_ns());
  may_fault.store(false, std::memory_order_relaxed);
}

// In the handler of the watchdog. Whatever the lister was in the middle of, it does not go on.
[[noreturn]] void too_slow() noexcept {
  static std::atomic<bool> again{false};
  if (again.exchange(true, std::memory_order_relaxed)) _exit(2);  // nor does this come to an end
  (message() << "\ncairn: nothing came out for " << k_patience_seconds
             << " seconds; the rest without backtraces:\n")
      .send();
  const std::size_t segments = records::segment_count.load(std::memory_order_acquire);
  std::size_t first = at_record.load(std::memory_order_relaxed);
  for (std::size_t s = at_segment.load(std::memory_order_relaxed); s < segments; ++s) {
    goroutine* all = records::segments[s].load(std::memory_order_acquire);
    for (std::size_t i = first; i < records::k_segment_records; ++i) {
      sighting seen;
      if (look_from_afar(all[i], seen)) traceback::print_heading(seen, now_ns());
    }
    first = 0;
  }
  _exit(2);
}

void list_all() noexcept {
  traceback::memory copies;
  copies.grow(1);
  const std::size_t segments = records::segment_count.load(std::memory_order_acquire);
  for (std::size_t s = 0; s < segments; ++s) {
    goroutine* all = records::segments[s].load(std::memory_order_acquire);
    for (std::size_t i = 0; i < records::k_segment_records; ++i) {
      at_segment.store(s, std::memory_order_relaxed);
      at_record.store(i, std::memory_order_relaxed);
      if (all[i].status.load(std::memory_order_acquire) == g_status::free) continue;
      restart_watchdog();
      list_one(all[i], copies);
    }
  }
}

void handle(int number, siginfo_t* info, void*) {
  const int saved_errno = errno;
  if (info->si_code == SI_TIMER && lister.load(std::memory_order_relaxed) == thread_id()) too_slow();
  if (in_forked_child()) {  // which has no such thread
    signal(number, SIG_DFL);
    raise(number);
  } else {
    asked.store(1, std::memory_order_release);
    futex_wake(asked, 1);
  }
  errno = saved_errno;
}

}  // namespace

bool is_quit_at_default() noexcept {
  struct sigaction now;
  return sigaction(SIGQUIT, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
         now.sa_handler == SIG_DFL;
}

void install_quit_handler() noexcept {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGQUIT, &action, nullptr);
}

void* quit_main(void*) {
  pthread_setname_np(pthread_self(), "cairn-quit");
  heap::prepare_malloc();
  while (asked.load(std::memory_order_acquire) == 0) futex_wait(asked, 0);
  lister.store(thread_id(), std::memory_order_relaxed);
  sigset_t open;
  sigemptyset(&open);
  sigaddset(&open, SIGSEGV);
  sigaddset(&open, SIGQUIT);
  pthread_sigmask(SIG_UNBLOCK, &open, nullptr);
  // The program is ending, with a backtrace; unless that does not come to its end.
  if (!traceback::begin_last_report()) sleep(k_patience_seconds);
  start_watchdog();
  (message() << "SIGQUIT: quit\n\n").send();
  list_all();
  _exit(2);
}

[[gnu::noinline]] void copy_stack_if_asked(m& self) noexcept {
  if (copy.of.load(std::memory_order_relaxed) != &self) return;
  std::uint32_t wanted = k_wanted;
  if (!copy.state.compare_exchange_strong(wanted, k_taken, std::memory_order_acquire,
                                          std::memory_order_relaxed))
    return;
  position here;
  CAIRN_POSITION_HERE(here);
  copy_stack(copy.image, here, self.stack_low, self.stack_high);
  copy.of.store(nullptr, std::memory_order_relaxed);
  copy.state.store(k_idle, std::memory_order_release);
  futex_wake(copy.state, 1);
  asm volatile("" : : : "memory");  // no tail call
}

void recover_from_fault() noexcept {
  if (may_fault.load(std::memory_order_relaxed) && lister.load(std::memory_order_relaxed) == thread_id())
    siglongjmp(after_fault, 1);
}

}  // namespace cairn::sched
