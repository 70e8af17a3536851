// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The kernels of gc/batch.h.
#include "gc/batch.h"

#include <array>

#include "heap/private.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC 12 takes the results of its own intrinsics, which begin as what a register happens to hold, for uninitialised.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#endif

namespace cairn::gc {
namespace {

using heap::g_space;

unsigned find_scalar(const std::uintptr_t* from, const std::uintptr_t*& to, found_batch& out,
                     unsigned n) noexcept {
  while (n < k_batch && to > from && (to[-1] & k_entry_tags) == 0) n += find_one(*--to, out, n) ? 1 : 0;
  return n;
}

unsigned unmarked_scalar(found_batch&, unsigned n) noexcept { return n; }

CAIRN_SCANS std::uintptr_t* scan_scalar(const grey* from, unsigned n, std::uintptr_t* top) noexcept {
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  for (const grey* g = from; g < from + n; ++g) top = push_masked(top, g->address, g->mask, base, limit);
  return top;
}

#if defined(__x86_64__)

#define CAIRN_AVX512 __attribute__((target("avx512f,popcnt")))

// A size class's reciprocal, and above it the bytes of its objects.
constexpr auto k_classes = [] {
  std::array<std::uint64_t, detail::k_size_class_count> table{};
  for (std::size_t c = 0; c < table.size(); ++c)
    table[c] = detail::k_class_reciprocal[c] | std::uint64_t{detail::k_class_bytes[c]} << 32;
  return table;
}();

CAIRN_AVX512 inline __m512i all(std::uint64_t word) noexcept {
  return _mm512_set1_epi64(static_cast<long long>(word));
}
CAIRN_AVX512 inline __mmask8 lowest(std::size_t n) noexcept {
  return static_cast<__mmask8>(n >= k_lanes ? 0xff : (1u << n) - 1);
}
CAIRN_AVX512 inline void pack(void* to, __mmask8 which, __m512i words) noexcept {
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi64(which, words));
}

// The n words below `top`, 0 < n <= 8, the lowest of them repeated if there are fewer. Each by a load of its
// own: what was pushed last is still on its way to the cache, in several stores, and a load of all would have
// to wait for these.
CAIRN_AVX512 inline __m512i load_apart(const std::uintptr_t* top, std::size_t n) noexcept {
  if (n == k_lanes) [[likely]] {
    // Volatile, or the compiler makes one load of them.
    auto at = [p = const_cast<const volatile std::uintptr_t*>(top)](int i) {
      return static_cast<long long>(p[-i]);
    };
    return _mm512_setr_epi64(at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8));
  }
  auto word = [top, n](std::size_t i) {
    return static_cast<long long>(top[-static_cast<std::ptrdiff_t>(i < n ? i + 1 : n)]);
  };
  return _mm512_setr_epi64(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
}

// As find_one, eight at a time.
CAIRN_AVX512 CAIRN_SCANS unsigned find_avx512(const std::uintptr_t* from, const std::uintptr_t*& to,
                                              found_batch& out, unsigned n) noexcept {
  const __m512i base = all(g_space.base), zero = _mm512_setzero_si512();
  while (n < k_batch && to > from) {
    const auto left = static_cast<std::size_t>(to - from);
    std::size_t take = left < k_lanes ? left : k_lanes;
    if (take > k_batch - n) take = k_batch - n;
    const __mmask8 taken = lowest(take);
    const __m512i entry = load_apart(to, take);
    if (_mm512_test_epi64_mask(entry, all(k_entry_tags)) != 0) [[unlikely]]
      break;
    const __m512i page = _mm512_srli_epi64(_mm512_sub_epi64(entry, base), detail::k_page_shift);
    const __m512i info = _mm512_cvtepu32_epi64(
        _mm512_mask_i64gather_epi32(_mm256_setzero_si256(), taken, page, g_space.info, 4));
    const __mmask8 in_use = _mm512_test_epi64_mask(info, info);
    const __m512i distance = _mm512_srli_epi64(info, 8);
    if (_mm512_cmpeq_epi64_mask(distance, all(heap::page_info::k_far)) != 0) [[unlikely]]
      break;
    const __m512i span_class = _mm512_sub_epi64(_mm512_and_si512(info, all(0xff)), all(1));
    const __m512i size = _mm512_mask_i64gather_epi64(zero, in_use, _mm512_srli_epi64(span_class, 1),
                                                     k_classes.data(), 8);
    const __m512i first = _mm512_sub_epi64(page, distance);
    const __m512i start = _mm512_add_epi64(base, _mm512_slli_epi64(first, detail::k_page_shift));
    // Multiplied are the low halves: of offsets that do not fit into them the reciprocal is 0.
    const __m512i index = _mm512_srli_epi64(_mm512_mul_epu32(_mm512_sub_epi64(entry, start), size), 32);
    const __m512i address = _mm512_add_epi64(start, _mm512_mul_epu32(index, _mm512_srli_epi64(size, 32)));
    // As space::group_of.
    constexpr unsigned k_arena_shift = std::countr_zero(heap::k_arena_pages);
    constexpr unsigned k_groups_shift = std::countr_zero(heap::k_page_groups);
    const __m512i arena = _mm512_srli_epi64(first, k_arena_shift);
    const __m512i skipped = _mm512_sub_epi64(_mm512_slli_epi64(arena, k_groups_shift), arena);
    const __m512i group = _mm512_slli_epi64(_mm512_add_epi64(skipped, _mm512_srli_epi64(index, 6)),
                                            k_arena_shift);
    const __m512i bits = _mm512_add_epi64(
        all(reinterpret_cast<std::uintptr_t>(g_space.bits)),
        _mm512_slli_epi64(_mm512_add_epi64(first, group), std::countr_zero(sizeof(heap::bit_group))));
    const __m512i where = _mm512_or_si512(
        first, _mm512_or_si512(_mm512_slli_epi64(index, 32), _mm512_slli_epi64(span_class, 48)));
    pack(out.address + n, in_use, address);
    pack(out.bits + n, in_use, bits);
    pack(out.where + n, in_use, where);
    for (const unsigned end = n + static_cast<unsigned>(std::popcount(unsigned{in_use})); n < end; ++n)
      __builtin_prefetch(out.bits[n]);
    to -= take;
  }
  return n;
}

CAIRN_AVX512 CAIRN_SCANS unsigned unmarked_avx512(found_batch& batch, unsigned n) noexcept {
  constexpr int k_shared = offsetof(heap::bit_group, mark_shared);
  constexpr int k_alloc = offsetof(heap::bit_group, alloc);
  const __m512i zero = _mm512_setzero_si512();
  unsigned kept = 0;
  for (unsigned i = 0; i < n; i += k_lanes) {
    const __mmask8 lanes = lowest(n - i);
    const __m512i bits = _mm512_loadu_si512(batch.bits + i), where = _mm512_loadu_si512(batch.where + i);
    const __m512i own = _mm512_mask_i64gather_epi64(zero, lanes, bits, nullptr, 1);
    const __m512i shared = _mm512_mask_i64gather_epi64(zero, lanes, _mm512_add_epi64(bits, all(k_shared)),
                                                       nullptr, 1);
    const __m512i alloc = _mm512_mask_i64gather_epi64(zero, lanes, _mm512_add_epi64(bits, all(k_alloc)),
                                                      nullptr, 1);
    const __m512i index = _mm512_and_si512(_mm512_srli_epi64(where, 32), all(63));
    const __m512i news = _mm512_srlv_epi64(_mm512_andnot_si512(_mm512_or_si512(own, shared), alloc), index);
    const __mmask8 keep = _mm512_mask_test_epi64_mask(lanes, news, all(1));
    // Written is nothing beyond what has been read: kept <= i.
    pack(batch.address + kept, keep, _mm512_loadu_si512(batch.address + i));
    pack(batch.bits + kept, keep, bits);
    pack(batch.where + kept, keep, where);
    kept += static_cast<unsigned>(std::popcount(unsigned{keep}));
  }
  return kept;
}

CAIRN_AVX512 CAIRN_SCANS std::uintptr_t* scan_avx512(const grey* from, unsigned n,
                                                     std::uintptr_t* top) noexcept {
  const __m512i base = all(g_space.base), untagged = all(~std::uint64_t{7});
  const __m512i limit = all(g_space.committed.load(std::memory_order_relaxed));
  for (const grey* g = from; g < from + n; ++g) {
    // Whole lines of the cache, of which the object may begin in the middle: never a line that it does not lie in.
    constexpr std::uintptr_t k_line = k_lanes * sizeof(std::uintptr_t);
    std::uintptr_t line = g->address & ~(k_line - 1);
    const unsigned before = static_cast<unsigned>(g->address % k_line / sizeof(std::uintptr_t));
    std::uint64_t mask = g->mask;
    auto named = static_cast<__mmask8>(mask << before);
    mask >>= k_lanes - before;
    for (;;) {
      __m512i words = _mm512_maskz_load_epi64(named, reinterpret_cast<const void*>(line));
      asm("" : "+v"(words));  // read once: see gc/filter.cc
      const __mmask8 in_heap = _mm512_mask_cmplt_epu64_mask(named, _mm512_sub_epi64(words, base), limit);
      pack(top, in_heap, _mm512_and_si512(words, untagged));
      top += std::popcount(unsigned{in_heap});
      if (mask == 0) break;
      line += k_line;
      named = static_cast<__mmask8>(mask);
      mask >>= k_lanes;
    }
  }
  return top;
}

#endif

struct kernel_list {
  batch_kernels at[2] = {{"scalar", find_scalar, unmarked_scalar, scan_scalar}, {}};
  std::size_t n = 1;
};

kernel_list find_kernels() noexcept {
  kernel_list list;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    list.at[list.n++] = {"avx512", find_avx512, unmarked_avx512, scan_avx512};
#endif
  return list;
}

}  // namespace

CAIRN_PRIVATE constinit batch_kernels batching = {"scalar", find_scalar, unmarked_scalar, scan_scalar};

std::span<const batch_kernels> all_batch_kernels() noexcept {
  static const kernel_list list = find_kernels();
  return {list.at, list.n};
}

void choose_batch_kernels() noexcept { batching = all_batch_kernels().back(); }

}  // namespace cairn::gc
