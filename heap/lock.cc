// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The slow paths of the runtime's mutex: spinning, then sleeping on the futex. See heap/lock.h for overview.
#include "heap/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::heap {
namespace {

// Higher: fewer sleeps when the holder runs on another processor; lower: less burnt when it was descheduled.
// Most sections under these locks are below 200 ns; this many pauses are some 2 us.
constexpr int k_spins = 64;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// errno is kept: the caller may be in a signal handler.
void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) noexcept {
  const int saved = errno;
  ::syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
  errno = saved;
}

}  // namespace

[[gnu::cold, gnu::noinline]] void mutex::lock_slow() noexcept {
  for (int i = 0; i < k_spins; ++i) {
    std::uint32_t seen = state_.load(std::memory_order_relaxed);
    // Acquire: pairs with the exchange in unlock().
    if (seen == k_free &&
        state_.compare_exchange_weak(seen, k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return;
    if (seen == k_contended) break;  // others sleep already: spinning past them gains nothing
    pause();
  }
  // Whoever gets it here says "contended", for there may be more sleepers than itself. Acquire: pairs with
  // unlock().
  while (state_.exchange(k_contended, std::memory_order_acquire) != k_free) {
    futex(state_, FUTEX_WAIT_PRIVATE, k_contended);
  }
}

[[gnu::cold, gnu::noinline]] void mutex::wake_one() noexcept { futex(state_, FUTEX_WAKE_PRIVATE, 1); }

}  // namespace cairn::heap
