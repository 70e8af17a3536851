// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Synchronisation between goroutines. From an attached thread that is no goroutine it blocks the thread.
#pragma once
#include <atomic>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cairn/go.h"

namespace cairn::sync {

// Waits until a counter is zero. Lives anywhere; may be destroyed as soon as wait() has returned.
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  // Throws std::logic_error, and changes nothing, if the counter would become negative or exceed 2^31 - 1.
  void add(std::int64_t n = 1);
  void done() { add(-1); }
  void wait();

  // Runs f in a goroutine that the group counts: done() is called however f ends.
  template <class F>
  requires std::invocable<std::decay_t<F>>
  void go(F&& f) {
    add();
    try {
      cairn::go(
          [this](std::decay_t<F> call) {
            defer finished{[this] { done(); }};
            std::move(call)();
          },
          std::forward<F>(f));
    } catch (...) {
      done();
      throw;
    }
  }

 private:
  // High half: the counter. Low half: how often it has come to zero with somebody waiting, times 2, plus 1 while
  // somebody waits. Waiters sleep on the low half.
  std::atomic<std::uint64_t> state_{0};
};
static_assert(sizeof(wait_group) == 8);

}  // namespace cairn::sync
