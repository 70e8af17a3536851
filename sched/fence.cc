// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::sched {

std::atomic<bool> has_fence_for_all{false};

bool prepare_fence() noexcept {
  const int saved_errno = errno;
  const bool is_there = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  errno = saved_errno;
  has_fence_for_all.store(is_there, std::memory_order_relaxed);
  return is_there;
}

void fence_other_threads() noexcept {
  const int saved_errno = errno;
  if (has_fence_for_all.load(std::memory_order_relaxed))
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  else std::atomic_thread_fence(std::memory_order_seq_cst);
  errno = saved_errno;
}

}  // namespace cairn::sched
