// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Which words of an object may be pointers, for objects of up to 512 bytes: their span has a mask of them.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/size_class.h"
#include "heap/space.h"

namespace cairn::gc {

inline constexpr std::size_t k_masked_bytes = 512;  // objects up to this have pointer masks

// What reads the program's memory is not instrumented: a stack has the sanitizers' red zones in it, and what is read
// may be written meanwhile.
#if defined(__clang__)
#define CAIRN_SCANS __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define CAIRN_SCANS __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

inline bool is_masked(unsigned span_class) noexcept {
  const std::size_t bytes = detail::k_class_bytes[span_class / 2];
  return bytes - 1 < k_masked_bytes;  // large objects' is 0
}

// For each size class that has masks, one bit for each word of its objects.
inline constexpr auto k_words_of = [] {
  std::array<std::uint64_t, detail::k_size_class_count> words{};
  for (std::size_t c = 1; c < words.size(); ++c) {
    const std::size_t n = detail::k_class_bytes[c] / 8;
    words[c] = n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
  }
  return words;
}();

// Which words of the objects of the span that begins at page `first` may be pointers, and exist.
inline std::uint64_t mask_of(std::size_t first, unsigned span_class) noexcept {
  return heap::g_space.masks[first].load(std::memory_order_relaxed) & k_words_of[span_class / 2];
}

// Pushes what the words at `at` that the mask names point to. Returns the new top.
[[gnu::always_inline]] CAIRN_SCANS inline std::uintptr_t* push_masked(std::uintptr_t* top, std::uintptr_t at,
                                                                      std::uint64_t mask, std::uintptr_t base,
                                                                      std::size_t limit) noexcept {
  for (; mask != 0; mask &= mask - 1) {
    const std::uintptr_t word = reinterpret_cast<const volatile std::uintptr_t*>(at)[std::countr_zero(mask)];
    *top = word & ~std::uintptr_t{7};  // stored always, kept if it counts: no branch to mispredict
    top += word - base < limit;
  }
  return top;
}

}  // namespace cairn::gc
