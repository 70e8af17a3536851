// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A signal is the runtime's if this process sent it with tgkill and we have sent one that has not arrived yet; all
// others go to the handler that was there before. A program that sends itself the same signal with tgkill at such a
// moment may lose it, as signals merge in the kernel anyhow.
//
// The handler runs on the stack that it interrupts (no SA_ONSTACK): its frame lies below the kernel's signal frame,
// which holds every register, and that below the red zone. On any other stack (a handler of the program's on its
// alternate stack) nothing is answered; the asker sends again.
#include "sched/signal.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <system_error>

#include "cairn/detail/annotate.h"
#include "sched/handshake.h"

namespace cairn::sched {
namespace {

int signal_number = 0;                                  // written once, before the first thread attaches
pid_t process = 0;                                      // likewise
struct sigaction earlier;                               // likewise
constinit thread_local std::uint32_t late_signals = 0;  // of the thread's detached ms; touched by it and its handler

// One arrival uses up all signals sent so far: standard signals merge. Real-time ones queue.
bool use_up(std::atomic<std::uint32_t>& sent) noexcept {
  std::uint32_t n = sent.load(std::memory_order_relaxed);
  // Relaxed: a counter. The state word carries the order.
  while (n != 0 &&
         !sent.compare_exchange_weak(n, signal_number >= SIGRTMIN ? n - 1 : 0, std::memory_order_relaxed)) {
  }
  return n != 0;
}

bool is_ours(m* self) noexcept {
  if (self != nullptr &&
      (use_up(self->signals_sent) || self->state.load(std::memory_order_relaxed) == k_requested))
    return true;
  if (late_signals == 0) return false;
  --late_signals;
  return true;
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
  m* self = current();
  if (info->si_code == SI_TKILL && info->si_pid == process && is_ours(self)) {
    if (self != nullptr && is_asked(*self) && on_own_stack(*self)) {
      self->interrupted = true;
      detail_m::answer_deferred(*self);
      self->interrupted = false;
    }
  } else {
    chain(number, info, context);
  }
  errno = saved_errno;
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

bool send_signal(m& to) noexcept {
  int saved_errno = errno;
  to.signals_sent.fetch_add(1, std::memory_order_relaxed);
  long r = syscall(SYS_tgkill, process, to.tid, signal_number);
  bool exists = !(r == -1 && errno == ESRCH);
  errno = saved_errno;
  return exists;
}

void expect_late_signals(const m& self) noexcept {
  late_signals += self.signals_sent.load(std::memory_order_relaxed);
}

}  // namespace cairn::sched
