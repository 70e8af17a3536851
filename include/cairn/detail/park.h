// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The primitive under sync and task: a goroutine sleeps on a word. Internal.
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::detail {

// Sleeps while `word` is `expected`; may return early, so callers look again. Attaches the calling thread.
void park_on(std::atomic<std::uint32_t>& word, std::uint32_t expected);
// Wakes up to `count` who sleep on it. Takes the address only: the word may be gone.
void unpark(std::atomic<std::uint32_t>& word, int count) noexcept;

}  // namespace cairn::detail
