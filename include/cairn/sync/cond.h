// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::cond: the condition variable. See sched/cond.cc for how.
#pragma once
#include <atomic>
#include <concepts>
#include <memory>

namespace cairn::sync {

// Waiting until another says that something has changed. Lives anywhere; may be destroyed as soon as all who waited
// have been notified. A notification wakes only who waited before it, the first in line first, and nobody wakes without
// one.
class cond {
 public:
  constexpr cond() noexcept = default;
  cond(const cond&) = delete;
  cond& operator=(const cond&) = delete;

  // Unlocks `lock`, which has unlock() and lock(), waits, and locks it again.
  template <class Lock>
  void wait(Lock& lock) {
    wait_unlocked(std::addressof(lock), [](void* held) { static_cast<Lock*>(held)->unlock(); });
    lock.lock();
  }
  template <class Lock, std::predicate P>
  void wait(Lock& lock, P is_over) {
    while (!is_over()) wait(lock);
  }
  // Throw std::logic_error if that would wake somebody in a synctest::bubble from outside of it.
  // Relaxed, both: who changes what is waited for with the lock sees by that who waits.
  void notify_one() {
    if (waited_for_.load(std::memory_order_relaxed)) notify_some(false);
  }
  void notify_all() {
    if (waited_for_.load(std::memory_order_relaxed)) notify_some(true);
  }

 private:
  void wait_unlocked(void* lock, void (*unlock)(void* lock));
  void notify_some(bool all);

  std::atomic<bool> waited_for_{false};
};

}  // namespace cairn::sync
