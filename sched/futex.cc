// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace cairn::sched {

bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline,
                std::uint32_t mask) noexcept {
  int saved_errno = errno;
  timespec at = {static_cast<time_t>(deadline / 1'000'000'000), static_cast<long>(deadline % 1'000'000'000)};
  // WAIT_BITSET is the wait whose timeout is absolute, so that an early wake costs no drift.
  long r = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                   deadline == k_forever ? nullptr : &at, nullptr, mask);
  bool in_time = !(r == -1 && errno == ETIMEDOUT);
  errno = saved_errno;
  return in_time;
}

void futex_wake(const std::atomic<std::uint32_t>& word, int count, std::uint32_t mask) noexcept {
  int saved_errno = errno;
  syscall(SYS_futex, &word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, mask);
  errno = saved_errno;
}

std::int64_t now_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace cairn::sched
