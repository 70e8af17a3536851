// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Waiting a moment, for loops that wait for another thread.
#pragma once
#include <sched.h>

namespace cairn::heap {

inline void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline void yield_cpu() noexcept { sched_yield(); }

// One round of waiting for somebody who needs little time, unless he has lost his processor. `spins`: 0 at first.
inline void relax(unsigned& spins) noexcept {
  if (++spins < 100) cpu_relax();
  else yield_cpu();
}

}  // namespace cairn::heap
