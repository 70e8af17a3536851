// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// For stress programs, which fail once in a thousand runs and then have to tell all they know: on a crash the signal,
// the address, the place in the code and the registers' neighbourhood of it go to standard error, then the signal takes
// its course. Offsets are for `addr2line -Cfie PROGRAM`.
#pragma once
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace cairn_test {

[[gnu::noinline]] inline void write_crash(int signal, siginfo_t* info, void* context) {
  char line[512];
  int n = std::snprintf(line, sizeof line, "\ncrash: %s, code %d, address %p, thread %d\n",
                        sigabbrev_np(signal), info->si_code, info->si_addr, static_cast<int>(gettid()));
#if defined(__x86_64__)
  const greg_t* r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  n += std::snprintf(
      line + n, sizeof line - static_cast<std::size_t>(n),
      "rip %llx rsp %llx rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx r8 %llx r12 %llx\n",
      r[REG_RIP], r[REG_RSP], r[REG_RAX], r[REG_RBX], r[REG_RCX], r[REG_RDX], r[REG_RSI], r[REG_RDI],
      r[REG_R8], r[REG_R12]);
#else
  (void)context;
#endif
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line, std::strlen(line));
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
}

// Once, at the start of main: the first call of backtrace loads a library.
inline void report_crashes() {
  void* frames[1];
  backtrace(frames, 1);
  struct sigaction action {};
  action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER;
  action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
    write_crash(signal, info, context);
    raise(signal);
  };
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigaction(signal, &action, nullptr);
}

}  // namespace cairn_test
