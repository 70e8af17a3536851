// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's mutex: four bytes, constant-initialised, a bounded spin and then a futex. It allocates
// nothing and keeps errno, so it works where malloc must not be called. Not fair, not recursive.
//
// Rule: it is taken only inside runtime sections. A thread is then never stopped while it holds one, and
// whoever waits for it waits for running code only.
//
// State: 0 free, 1 held, 2 held and somebody may sleep (Drepper, "Futexes are tricky", mutex 2).
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/detail/annotate.h"

namespace cairn::heap {

class CAIRN_CAPABILITY("mutex") mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() noexcept CAIRN_ACQUIRE() {
    std::uint32_t expected = k_free;
    // Acquire: pairs with the exchange in unlock().
    if (!state_.compare_exchange_strong(expected, k_held, std::memory_order_acquire,
                                        std::memory_order_relaxed)) [[unlikely]]
      lock_slow();
  }
  [[nodiscard]] bool try_lock() noexcept CAIRN_TRY_ACQUIRE(true) {
    std::uint32_t expected = k_free;
    // Acquire: as in lock().
    return state_.compare_exchange_strong(expected, k_held, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  void unlock() noexcept CAIRN_RELEASE() {
    // Release: pairs with lock(), try_lock() and lock_slow().
    if (state_.exchange(k_free, std::memory_order_release) == k_contended) [[unlikely]]
      wake_one();
  }

  // Somebody holds it; for assertions.
  bool is_held() const noexcept { return state_.load(std::memory_order_relaxed) != k_free; }

 private:
  void lock_slow() noexcept;
  void wake_one() noexcept;

  static constexpr std::uint32_t k_free = 0, k_held = 1, k_contended = 2;
  std::atomic<std::uint32_t> state_{k_free};
};
static_assert(sizeof(mutex) == 4, "the futex word and nothing else");

// The name the rest of the library uses. The class cannot bear it: `lock` is also a member function.
using lock = mutex;

// As std::lock_guard, which clang's analysis does not see.
class CAIRN_SCOPED_CAPABILITY lock_guard {
 public:
  explicit lock_guard(mutex& m) noexcept CAIRN_ACQUIRE(m) : mutex_(m) { m.lock(); }
  ~lock_guard() CAIRN_RELEASE() { mutex_.unlock(); }
  lock_guard(const lock_guard&) = delete;
  lock_guard& operator=(const lock_guard&) = delete;

 private:
  mutex& mutex_;
};

}  // namespace cairn::heap
