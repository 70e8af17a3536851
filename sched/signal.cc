// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's signals carry the address of a variable of this file; all others go to the handler that was
// there before. While one of ours is pending for a thread the kernel drops a second signal of the same number,
// ours or the program's; while one of the program's is, ours: so whatever comes, a thread that is asked
// answers. Rejected: tgkill, and counting what was sent. Between counting and sending an earlier signal may
// arrive, which uses up both counts.
//
// The handler runs on the stack that it interrupts (no SA_ONSTACK): its frame lies below the kernel's signal frame,
// which holds every register, and that below the red zone. On any other stack (a handler of the program's on its
// alternate stack) nothing is answered; the asker sends again.
#include "sched/signal.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <system_error>

#include "cairn/detail/annotate.h"
#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/message.h"
#include "sched/preempt.h"
#include "sched/quit.h"

namespace cairn::sched {
namespace {

int signal_number = 0;     // written once, before the first thread attaches
pid_t process = 0;         // likewise
struct sigaction earlier;  // likewise
char mark;                 // its address in a signal says that the signal is ours

bool is_ours(const siginfo_t& info) noexcept {
  return info.si_code == SI_QUEUE && info.si_pid == process && info.si_value.sival_ptr == &mark;
}

void chain(int number, siginfo_t* info, void* context) noexcept {
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(number, info, context);
  } else if (earlier.sa_handler == SIG_DFL) {
    if (number == SIGURG || number == SIGCHLD || number == SIGWINCH || number == SIGCONT) return;  // ignored
    signal(number, SIG_DFL);  // then do what the default does, when this handler returns
    raise(number);
  } else if (earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(number);
  }
}

bool on_own_stack(const m& self) noexcept {
  void* here = __builtin_frame_address(0);
  return here >= self.stack_low && here < self.stack_high;
}

// A signal that comes late, in the safe state say, finds nothing to answer, and must not so much as touch saved_sp: the
// asker of the next stop may be reading it. Only the thread itself leaves `requested`, so what is seen here stays.
bool is_asked(const m& self) noexcept {
  return self.depth.load(std::memory_order_relaxed) == 0 &&
         self.state.load(std::memory_order_relaxed) == k_requested;
}

void handle(int number, siginfo_t* info, void* context) {
  int saved_errno = errno;
  if (!is_ours(*info)) chain(number, info, context);
  m* self = current();
  if (self != nullptr && is_asked(*self) && on_own_stack(*self)) {
    self->interrupted = true;
    detail_m::answer_deferred(*self);
    self->interrupted = false;
  }
  if (self != nullptr && is_ours(*info)) copy_stack_if_asked(*self);
  if (self != nullptr && is_ours(*info) && on_own_stack(*self)) freeze_if_asked(*self);
  errno = saved_errno;
}

// In the middle of a call that is a cancellation point pthread_cancel's signal unwinds the stack at once: not
// out of our handler. It waits until that returns. (glibc's __SIGRTMIN, which sigaddset refuses; the next one,
// setuid's, every thread has to answer at any time.)
void block_cancellation(sigset_t& mask) noexcept {
  constexpr int k_signal = 32;
  std::uint64_t first;
  std::memcpy(&first, &mask, sizeof first);
  first |= std::uint64_t{1} << (k_signal - 1);
  std::memcpy(&mask, &first, sizeof first);
}

// Seccomp filters may forbid it, or the kernel lack it. (EAGAIN: too many signals are queued; the asker sends again.)
[[gnu::cold]] void say_refused(int error) noexcept {
  static std::atomic<bool> said{false};
  if (error == EAGAIN || said.exchange(true, std::memory_order_relaxed)) return;
  message text;
  text
      << "cairn: the system refuses rt_tgsigqueueinfo, by which the program's own threads are signalled "
         "(errno "
      << error
      << "): goroutines that compute are not interrupted, and a collection waits until each thread calls the "
      << "library. A seccomp filter has to allow the call.\n";
  text.send();
}

}  // namespace

void install_signal_handler(int number) {
#if CAIRN_TSAN && defined(__clang__)
  link_sanitizer_support();
#endif
  process = getpid();
  signal_number = number;
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);  // leaves out those of glibc's own
  block_cancellation(action.sa_mask);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&action.sa_mask, fault);
  if (sigaction(number, nullptr, &earlier) != 0 || sigaction(number, &action, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "cairn: cannot install the handler of its signal");
}

bool unblock_signal() noexcept {
  sigset_t one, before;
  sigemptyset(&one);
  sigaddset(&one, signal_number);
  pthread_sigmask(SIG_UNBLOCK, &one, &before);
  return sigismember(&before, signal_number) == 1;
}

void block_signal() noexcept {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal_number);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

signalled send_signal(m& to) noexcept {
  signalled result = signalled::not_needed;
  to.signals_begun.fetch_add(1, std::memory_order_seq_cst);
  const std::uint32_t state = to.state.load(std::memory_order_seq_cst);
  if (state == k_running || state == k_requested) {
    heap::maybe_delay("signal");
    const int saved_errno = errno;
    siginfo_t info = {};
    info.si_signo = signal_number;
    info.si_code = SI_QUEUE;
    info.si_pid = process;
    info.si_value.sival_ptr = &mark;
    const long r = syscall(SYS_rt_tgsigqueueinfo, process, to.tid, signal_number, &info);
    result = r == -1 && errno == ESRCH ? signalled::gone : signalled::yes;
    if (r == -1 && result != signalled::gone) [[unlikely]]
      say_refused(errno);
    errno = saved_errno;
  }
  // Release: the signal is in the kernel's hands when the thread sees this.
  to.signals_sent.fetch_add(1, std::memory_order_release);
  return result;
}

void await_signals(m& self) noexcept {
  constexpr std::int64_t k_patience_ns = 10'000'000;
  if (self.signals_begun.load(std::memory_order_seq_cst) == self.signals_seen) [[likely]]
    return;
  const std::int64_t until = now_ns() + k_patience_ns;
  std::uint32_t sent, begun;
  do {
    // In this order: what was begun when `sent` was read is no more than what is begun now. Acquire: with the release.
    sent = self.signals_sent.load(std::memory_order_acquire);
    begun = self.signals_begun.load(std::memory_order_relaxed);
    syscall(sent == begun ? SYS_getppid : SYS_sched_yield);  // neither touches errno
  } while (sent != begun && now_ns() < until);
  self.signals_seen = sent;
}

}  // namespace cairn::sched
