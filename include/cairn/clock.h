// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The clock by which sleep_for, timers and contexts go.
#pragma once
#include <chrono>

#include "cairn/detail/library_call.h"

namespace cairn {

namespace detail {
[[nodiscard]] std::chrono::steady_clock::time_point bubble_now() noexcept;
}

// std::chrono::steady_clock, but in a synctest::bubble that one's clock (see cairn/synctest.h): so code that asks this
// clock for the time can be tested in one. Its times are steady_clock's. Any thread.
struct monotonic_clock {
  using time_point = std::chrono::steady_clock::time_point;
  using duration = time_point::duration;
  using rep = duration::rep;
  using period = duration::period;
  static constexpr bool is_steady = true;

  static time_point now() noexcept {
    return detail::are_bubbles_live() ? detail::bubble_now() : std::chrono::steady_clock::now();
  }
};

}  // namespace cairn
