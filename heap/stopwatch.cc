// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/stopwatch.h"

#include <sys/resource.h>

namespace cairn::heap {

cpu_use cpu_use::now() noexcept {
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  const std::uint64_t wall = monotonic_ns();
  return {use.ru_nivcsw, use.ru_nvcsw, wall, thread_cpu_ns()};
}

[[gnu::cold]] bool stopwatch::look(std::uint64_t ns) noexcept {
  const cpu_use now = cpu_use::now();
  if (used_ != nullptr) *used_ = now;
  return was_switched(before_, now, began_, ns);
}

}  // namespace cairn::heap
