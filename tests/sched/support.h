// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the tests of sched share: threads that are joined at the scope's end, and waiting for a condition with a limit.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "heap/delay.h"
#include "patience.h"
#include "sched/handshake.h"

namespace cairn::sched {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool k_signals_deferred = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool k_signals_deferred = true;
#else
inline constexpr bool k_signals_deferred = false;
#endif
#else
inline constexpr bool k_signals_deferred = false;
#endif

// Asks all to stop, and joins them.
class crowd {
 public:
  ~crowd() { end(); }
  void add(std::function<void(const std::atomic<bool>& stop)> body) {
    threads_.emplace_back([this, body] { body(stop_); });
  }
  void end() {
    stop_.store(true);
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

// In the safe state where there is one: the kernel's nanosleep does not get on when it is interrupted more often than
// every 50 us, as a test may do that makes handshakes without pause.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds limit = cairn_test::k_patience) {
  cairn_test::patience left(limit);
  while (!condition()) {
    if (left.is_over()) return false;
    auto nap = [] { std::this_thread::sleep_for(std::chrono::microseconds(200)); };
    if (m* self = current()) {
      in_safe_state(*self, nap);
    } else {
      nap();
    }
  }
  return true;
}

// Random delays in the protocols for a scope. Made and destroyed while no other attached thread runs.
struct delays {
  explicit delays(unsigned permille) { heap::set_delays(permille, 1); }
  ~delays() { heap::set_delays(0, 1); }
};

// How many records the thread of that number has in the registry. (To count all is no use beside workers, which come
// and go when they like.)
inline std::size_t records_of(pid_t tid) {
  std::size_t n = 0;
  registry_guard held;
  for_each_m(held, [&](m& p) { n += p.tid == tid; });
  return n;
}

// True while the thread shares the registry, by its m.
inline bool is_attached(const m* wanted) {
  bool found = false;
  registry_guard held;
  for_each_m(held, [&](m& p) { found = found || &p == wanted; });
  return found;
}

}  // namespace cairn::sched
