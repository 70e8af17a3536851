// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A clock that costs a few nanoseconds: the processor's time stamp counter, measured against steady_clock; where
// there is none that runs evenly, steady_clock itself.
#pragma once
#include <chrono>
#include <cstdint>

namespace pause_bench {

class tick_clock {
 public:
  // Before any other use, and before threads start. Takes a few hundredths of a second.
  static void calibrate();

  static std::uint64_t now() {
#if defined(__x86_64__)
    if (uses_counter_) [[likely]]
      return __builtin_ia32_rdtsc();
#endif
    return steady_ns();
  }
  static std::uint64_t to_ns(std::uint64_t ticks) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(ticks) * scale_) >> k_shift);
  }
  // The ticks of a duration; none if it is negative.
  static std::uint64_t of(std::chrono::nanoseconds duration) {
    if (duration.count() <= 0) return 0;
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(duration.count()) << k_shift) / scale_);
  }
  // In one line, for reports.
  static const char* name();

 private:
  static constexpr int k_shift = 32;

  static std::uint64_t steady_ns() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }

  // Written by calibrate only.
  static inline bool uses_counter_ = false;
  static inline std::uint64_t scale_ = std::uint64_t{1} << k_shift;  // ns a tick, times 2^k_shift
};

}  // namespace pause_bench
