// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How long tests wait for what has to come some time. Of what passes between two looks a second counts at most: a
// process may be stopped for minutes, by a debugger or with its machine, and what it waits for was stopped with it. A
// deadline would be over when it goes on, before anybody has had the time to do anything.
#pragma once
#include <algorithm>
#include <chrono>
#include <utility>

namespace cairn_test {

// Only a failing test waits that long.
inline constexpr std::chrono::seconds k_patience(60);

template <class Clock>
class basic_patience {
 public:
  explicit basic_patience(std::chrono::nanoseconds limit = k_patience) : left_(limit) {}
  // To be asked often.
  bool is_over() {
    const auto now = Clock::now();
    left_ -= std::min<std::chrono::nanoseconds>(now - std::exchange(last_, now), k_longest_step);
    return left_ < std::chrono::nanoseconds::zero();
  }

 private:
  static constexpr std::chrono::seconds k_longest_step{1};
  std::chrono::nanoseconds left_;
  typename Clock::time_point last_ = Clock::now();
};
using patience = basic_patience<std::chrono::steady_clock>;

}  // namespace cairn_test
