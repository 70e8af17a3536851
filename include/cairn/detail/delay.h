// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Random delays in the runtime's protocols (CAIRNDEBUG=delay=PERMILLE,seed=N), so that tests meet the rare
// interleavings. A delay is a yield, a spin or a sleep of at most 100 us, safe in signal handlers, errno kept.
#pragma once
#include <cstdint>

namespace cairn::detail {

// Both written before the first thread attaches, or by tests while nothing else runs.
extern unsigned delay_permille;
extern std::uint64_t delay_seed;

[[gnu::cold, gnu::noinline]] void delay_slow() noexcept;

inline void maybe_delay() noexcept {
  if (delay_permille != 0) [[unlikely]] delay_slow();
}

}  // namespace cairn::detail
