// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/overflow.h"

#include <signal.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <system_error>

#include "heap/metadata.h"
#include "heap/os.h"
#include "sched/goroutine.h"
#include "sched/message.h"
#include "sched/quit.h"
#include "sched/stack.h"

namespace cairn::sched {
namespace {

struct sigaction earlier;  // written once, before the first goroutine runs

std::size_t alternate_bytes() noexcept {
  constexpr std::size_t k_handler_bytes = 64 << 10, k_page = 4096;
  return (std::max<std::size_t>(getauxval(AT_MINSIGSTKSZ), 4096) + k_handler_bytes + k_page - 1) / k_page *
         k_page;
}

[[noreturn]] void report(const stack& s) noexcept {
  const m* self = current();
  const goroutine* g = self != nullptr ? self->current_goroutine.load(std::memory_order_relaxed) : nullptr;
  const std::size_t bytes = static_cast<std::size_t>(s.high - s.low) + stacks::k_guard_bytes;
  message text;
  text << "cairn: stack overflow in goroutine " << (g != nullptr ? g->id : 0) << ": its stack has "
       << bytes / 1024 << " KiB of address space, " << stacks::k_guard_bytes / 1024
       << " KiB of them its guard. CAIRNSTACK and options::stack_size make stacks larger\n";
  text.send();
  _exit(2);
}

void chain(int number, siginfo_t* info, void* context) noexcept {
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(number, info, context);
  } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(number);
  } else {
    signal(number, SIG_DFL);  // the access is made again, and now ends the program
  }
}

void handle(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  recover_from_fault();
  stack s;
  bool in_guard = false;
  // A positive code: a fault, and no signal that somebody sent.
  if (info->si_code > 0 && stacks::find(info->si_addr, s, in_guard) && in_guard) report(s);
  chain(number, info, context);
  errno = saved_errno;
}

}  // namespace

void install_overflow_handler() {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGSEGV, &action, &earlier) != 0)
    throw std::system_error(errno, std::generic_category(), "cairn: cannot install the handler of SIGSEGV");
}

alternate_stack::alternate_stack() noexcept : memory_(heap::metadata_map(alternate_bytes())) {
  if (memory_ == nullptr) return;
  stack_t ours = {};
  ours.ss_sp = memory_;
  ours.ss_size = alternate_bytes();
  sigaltstack(&ours, nullptr);
}

alternate_stack::~alternate_stack() {
  if (memory_ == nullptr) return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  heap::the_os().release(memory_, alternate_bytes());
  heap::metadata_note(-static_cast<std::ptrdiff_t>(alternate_bytes()));
}

}  // namespace cairn::sched
