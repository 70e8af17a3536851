// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Runs of bits in 64-bit words and in bitmaps made of them, for the page allocator.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cairn::heap {

// The low n bits, n <= 64.
constexpr std::uint64_t ones(unsigned n) noexcept { return n == 0 ? 0 : ~std::uint64_t{0} >> (64 - n); }

// Bit i of the result: bits i .. i + n - 1 of x are all ones (those past the end are not). 0 < n <= 64.
constexpr std::uint64_t fold_ones(std::uint64_t x, unsigned n) noexcept {
  // x holds runs of `have`; every round at most doubles that.
  for (unsigned have = 1; have < n && x != 0;) {
    const unsigned step = have < n - have ? have : n - have;
    x &= x >> step;
    have += step;
  }
  return x;
}

// The lowest bit at which a run of n ones begins; 64 when there is none.
constexpr unsigned find_ones(std::uint64_t x, unsigned n) noexcept {
  return static_cast<unsigned>(std::countr_zero(fold_ones(x, n)));
}

// Groups of g bits (a power of two), g dividing 64. The lowest bit of each:
constexpr std::uint64_t group_bits(unsigned g) noexcept { return g == 64 ? 1 : ~std::uint64_t{0} / ones(g); }
// All bits of the groups that are all ones in x.
constexpr std::uint64_t full_groups(std::uint64_t x, unsigned g) noexcept {
  return (fold_ones(x, g) & group_bits(g)) * ones(g);
}
// All bits of the groups that have a one in x.
constexpr std::uint64_t touched_groups(std::uint64_t x, unsigned g) noexcept { return ~full_groups(~x, g); }

// ---- bitmaps ----

// How many bits right before bit `at` are ones, each word xor `flip`.
constexpr std::size_t run_before(const std::uint64_t* words, std::size_t at, std::uint64_t flip) noexcept {
  const std::size_t from = at;
  while (at != 0) {
    const std::size_t w = (at - 1) / 64, above = (w + 1) * 64 - at;
    const std::size_t run = static_cast<std::size_t>(std::countl_one((words[w] ^ flip) << above));
    at -= run;
    if (run == 0 || at % 64 != 0) break;
  }
  return from - at;
}
constexpr std::size_t ones_before(const std::uint64_t* words, std::size_t at) noexcept {
  return run_before(words, at, 0);
}
constexpr std::size_t zeros_before(const std::uint64_t* words, std::size_t at) noexcept {
  return run_before(words, at, ~std::uint64_t{0});
}
// How many zeros begin at bit `at` of a bitmap of `end` bits, a multiple of 64.
constexpr std::size_t zeros_from(const std::uint64_t* words, std::size_t at, std::size_t end) noexcept {
  const std::size_t from = at;
  while (at != end) {
    const std::size_t run = static_cast<std::size_t>(std::countr_one(~words[at / 64] >> (at % 64)));
    at += run;
    if (run == 0 || at % 64 != 0) break;
  }
  return at - from;
}

inline constexpr std::size_t k_no_bit = ~std::size_t{0};
// The highest bit set below `limit`.
constexpr std::size_t highest_bit(const std::uint64_t* words, std::size_t limit) noexcept {
  while (limit != 0) {
    const std::size_t w = (limit - 1) / 64;
    const std::uint64_t x = words[w] & ones(static_cast<unsigned>(limit - w * 64));
    if (x != 0) return w * 64 + 63 - static_cast<std::size_t>(std::countl_zero(x));
    limit = w * 64;
  }
  return k_no_bit;
}

}  // namespace cairn::heap
