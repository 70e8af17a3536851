// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The clock by which the library times what it does to a thread.
#pragma once
#include <time.h>

#include <cstdint>

namespace cairn::heap {

// ns of the monotonic clock, which is std::chrono::steady_clock. Some 25 ns a call.
inline std::uint64_t monotonic_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace cairn::heap
