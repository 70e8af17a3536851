// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "cairn/detail/delay.h"

#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace cairn::detail {

unsigned delay_permille = 0;
std::uint64_t delay_seed = 1;

namespace {

std::uint64_t scramble(std::uint64_t x) noexcept {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

// One counter for all threads: which delay a thread gets then depends on the interleaving too, but a seed still
// selects another set of runs. Relaxed: it orders nothing.
void delay_slow() noexcept {
  static std::atomic<std::uint64_t> draws{0};
  std::uint64_t draw = draws.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t random = scramble(delay_seed * 0x9e3779b97f4a7c15 + draw);
  if (random % 1000 >= delay_permille) return;
  random = scramble(random);
  int saved_errno = errno;
  switch (random & 3) {
    case 0:
      sched_yield();
      break;
    case 1:
      for (std::uint64_t i = 0; i < (random >> 8) % 2000; ++i) asm volatile("");
      break;
    default: {
      timespec t = {0, static_cast<long>((random >> 8) % 100'000)};
      syscall(SYS_nanosleep, &t, nullptr);  // the libc function is a cancellation point
    }
  }
  errno = saved_errno;
}

}  // namespace cairn::detail
