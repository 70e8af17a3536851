// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::wait_group: waiting for several goroutines. See sched/wait_group.cc for how.
#pragma once
#include <atomic>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cairn/detail/library_call.h"
#include "cairn/go.h"

namespace cairn::sync {

// Waits until a counter is zero. Lives anywhere; may be destroyed as soon as wait() has returned. May be used again at
// any time: who waited for an earlier zero goes on though the counter has been raised again.
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  // Throws std::logic_error, and changes nothing, if the counter would become negative or exceed 2^31 - 1. With
  // synctest::bubble: likewise if it was raised from zero in another bubble, or inside one where this is outside; and
  // if it was raised outside and would be raised further in a bubble, which may only lower it.
  void add(std::int64_t n = 1) {
    if (!detail::has_short_way() || detail::are_bubbles_live() || !change(n)) [[unlikely]]
      add_slow(n);
  }
  // As add(-1).
  void done() {
    if (!detail::has_short_way() || detail::are_bubbles_live()) [[unlikely]] {
      add_slow(-1);
      return;
    }
    // A subtraction, and not as in change(): a look at the word just after another locked instruction was on it
    // costs as much as half of one. Orders: as there.
    const std::uint64_t before = state_.fetch_sub(2, std::memory_order_acq_rel);
    const bool others_are_left = before - 4 <= k_low_half - 4;
    if (!others_are_left && before != 2) [[unlikely]]
      done_slow(before);
  }
  void wait() {
    // Acquire: with the release in add().
    if (!detail::has_short_way() || state_.load(std::memory_order_acquire) >> 1 != 0) [[unlikely]]
      wait_slow();
  }

  // Runs f in a goroutine that the group counts: done() is called however f ends.
  template <class F>
  requires std::invocable<std::decay_t<F>>
  void go(F&& f) {
    add();
    try {
      cairn::go(
          [this](std::decay_t<F> function) {
            defer finished{[this] { done(); }};
            std::decay_t<F> call(std::move(function));  // gone before done()
            std::move(call)();
          },
          std::forward<F>(f));
    } catch (...) {
      done();
      throw;
    }
  }

 private:
  // False: it is refused, or there are some to be woken, by this one or by a done() that has come to zero.
  bool change(std::int64_t n) noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    for (;;) {
      const auto counter = static_cast<std::int64_t>(state >> 1);
      if (n < -counter || n > k_most - counter) return false;
      if ((state & k_line) != 0 && (counter == 0 || counter + n == 0)) return false;
      // Release: what was done before done() is seen by who sees zero in wait(). Acquire too: the one who brings it to
      // zero hands on what the others released.
      if (state_.compare_exchange_weak(state, static_cast<std::uint64_t>(counter + n) << 1 | (state & k_line),
                                       std::memory_order_acq_rel, std::memory_order_relaxed))
        return true;
    }
  }
  [[gnu::cold]] void add_slow(std::int64_t n);
  [[gnu::cold]] void done_slow(std::uint64_t before);
  [[gnu::cold]] void let_all_in() noexcept;
  [[gnu::cold]] void wait_slow();

  static constexpr std::int64_t k_most = INT32_MAX;
  static constexpr std::uint64_t k_line = 1;
  // The lower half: the counter times 2, plus k_line if somebody may stand in line. The upper half: k_in_bubble and the
  // id of the bubble that the group belongs to while the counter is not zero; else 0. So change() refuses those.
  static constexpr std::uint64_t k_in_bubble = std::uint64_t{1} << 63, k_low_half = UINT32_MAX;
  std::atomic<std::uint64_t> state_{0};
};
static_assert(sizeof(wait_group) == 8);

}  // namespace cairn::sync
