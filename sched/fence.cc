// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "heap/fatal.h"
#include "heap/pause.h"

namespace cairn::sched {

std::atomic<bool> has_fence_for_all{false};

bool prepare_fence() noexcept {
  const int saved_errno = errno;
  const bool is_there = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  errno = saved_errno;
  if (is_there) has_fence_for_all.store(true, std::memory_order_relaxed);
  return is_there;
}

void fence_other_threads() noexcept {
  if (!has_fence_for_all.load(std::memory_order_relaxed)) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return;
  }
  const int saved_errno = errno;
  while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
    // No memory for the set of processors, for now. Anything else is for good: a filter of system calls (seccomp)
    // that was installed when others relied on the fence already.
    if (errno != ENOMEM)
      heap::fatal_error("membarrier() is refused, which was there when the runtime started");
    heap::yield_cpu();
  }
  errno = saved_errno;
}

}  // namespace cairn::sched
