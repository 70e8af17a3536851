// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A lock that is passed on in the order of asking: the registry's. A thread that stops the world in a loop would have
// an unfair one back before anybody who waits has woken. Tickets; who waits sleeps on `serving_`, and is woken by the
// one of 32 bits that its ticket has, so that passing it on wakes one thread and not all.
#pragma once
#include <atomic>
#include <climits>
#include <cstdint>

#include "sched/futex.h"

namespace cairn::sched {

class fair_lock {
 public:
  constexpr fair_lock() noexcept = default;
  fair_lock(const fair_lock&) = delete;
  fair_lock& operator=(const fair_lock&) = delete;

  // Sequentially consistent on both words, here and in unlock: it looks at serving_ after taking a ticket, unlock
  // looks at next_ after passing the lock on, so one of them sees the other and no sleeper is left alone.
  void lock() noexcept {
    std::uint32_t ticket = next_.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      std::uint32_t serving = serving_.load(std::memory_order_seq_cst);  // acquire: with unlock
      if (serving == ticket) return;
      futex_wait(serving_, serving, k_forever, bit(ticket));
    }
  }
  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t serving = serving_.load(std::memory_order_acquire);  // with unlock
    // Fails when somebody has the ticket that is served, or a later one.
    return next_.compare_exchange_strong(serving, serving + 1, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  void unlock() noexcept {
    std::uint32_t following = serving_.load(std::memory_order_relaxed) + 1;
    serving_.store(following, std::memory_order_seq_cst);  // release: with lock and try_lock
    if (next_.load(std::memory_order_seq_cst) != following) futex_wake(serving_, INT_MAX, bit(following));
  }

 private:
  static std::uint32_t bit(std::uint32_t ticket) noexcept { return std::uint32_t{1} << (ticket % 32); }

  std::atomic<std::uint32_t> next_{0};     // the next ticket to give out
  std::atomic<std::uint32_t> serving_{0};  // the ticket whose owner holds the lock
};

}  // namespace cairn::sched
