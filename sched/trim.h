// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Trimming: what a goroutine's stack once needed below the place where it has been parked for some seconds goes back to
// the system. It reads as zero when it is needed again.
//
// Nobody knows how deep a stack was. So each is tried once after it was parked for long: asking the system to take
// memory that it does not have costs some 0.4 us, less than finding out. A goroutine that runs counts its runs
// (goroutine::count_run), by which one that has been tried is known. While it is tried it is held, as while it is
// scanned: who wakes it waits before it runs it.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::sched::trim {

// Since a goroutine has parked.
inline constexpr std::int64_t k_idle_ns = 5'000'000'000;

// The next stacks, round and round, for as long as `budget_ns`. Sysmon.
void some(std::int64_t now, std::int64_t budget_ns) noexcept;
// All, unless `*stop` changes from `seen`.
void all(std::int64_t now, const std::atomic<std::uint32_t>& stop, std::uint32_t seen) noexcept;

}  // namespace cairn::sched::trim
