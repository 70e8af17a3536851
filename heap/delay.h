// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Random delays at the steps of the runtime's protocols, to make rare interleavings common:
// CAIRNDEBUG=delay=PERMILLE.
//
// maybe_delay("cycle.barrier_on") stands between any two steps whose order matters to somebody else. Off,
// it is one relaxed load. On, PERMILLE of 1000 calls wait: mostly a spin of up to 50 us, sometimes a yield,
// rarely a sleep of 1 ms. Each thread has a generator of its own, seeded from seed=N and the order in which
// threads first came here; fatal errors print the seed. Async-signal-safe; keeps errno.
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::heap {

struct delay_settings {
  std::atomic<unsigned> permille{0};
  std::atomic<std::uint64_t> seed{0};
};
// Written by set_delays; read by every thread, relaxed: nothing is published through them.
extern delay_settings delays;

void set_delays(unsigned permille, std::uint64_t seed) noexcept;
[[gnu::cold, gnu::noinline]] void delay_slow(const char* point) noexcept;

// `point` is a string literal; a fatal error names the calling thread's last one.
inline void maybe_delay(const char* point) noexcept {
  if (delays.permille.load(std::memory_order_relaxed) != 0) [[unlikely]]
    delay_slow(point);
}

// Where this thread was last delayed, null if it never was.
const char* last_delay_point() noexcept;

}  // namespace cairn::heap
