// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Sleeping on a word, and waking who sleeps. Async-signal-safe, errno kept. A wake takes an address only and never
// looks at it, so the word may be gone by then: at worst somebody else wakes without a reason.
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::sched {

inline constexpr std::int64_t k_forever = -1;

// Sleeps while the word is `expected`; may return early. With a deadline (nanoseconds of CLOCK_MONOTONIC), false once
// it has passed. A wake reaches who sleeps with a bit of the same mask.
bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::int64_t deadline = k_forever, std::uint32_t mask = UINT32_MAX) noexcept;
void futex_wake(const std::atomic<std::uint32_t>& word, int count, std::uint32_t mask = UINT32_MAX) noexcept;

// Nanoseconds of CLOCK_MONOTONIC, which is std::chrono::steady_clock.
std::int64_t now_ns() noexcept;

}  // namespace cairn::sched
