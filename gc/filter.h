// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Which of many words point into the heap: the inner loop over arrays of pointers, static data and thread-local blocks.
//
// Every kernel gives the scalar one's result (tests/gc/filter_test.cc); the widest one that the processor has is chosen
// when the runtime starts. A word may be written while it is read: of aligned vectors x86-64 and AArch64 read each
// aligned 64-bit element whole.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn::gc {

// Of the n words at `from` those w with w - base < limit, their low three bits cleared, in order, to `out`, which has
// room for n + k_filter_slack words. Returns how many there are. limit < 2^63.
using filter_kernel = std::size_t (*)(const std::uintptr_t* from, std::size_t n, std::uintptr_t base,
                                      std::size_t limit, std::uintptr_t* out) noexcept;

inline constexpr std::size_t k_filter_slack = 8;  // a kernel may write a whole vector at the end

struct named_kernel {
  const char* name;
  filter_kernel run;
};

// Those that this processor can run, the scalar one first, the fastest last.
std::span<const named_kernel> filter_kernels() noexcept;

// The fastest one. Immutable after choose_filter, which runs when the runtime starts.
extern filter_kernel filter_words;
void choose_filter() noexcept;

}  // namespace cairn::gc
