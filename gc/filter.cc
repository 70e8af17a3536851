// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The kernels of gc/filter.h. None of them branches on a word: what lies in the heap and what does not follows no
// pattern in the arrays of real programs.
//
// Each word is read once: it may change meanwhile, and what is kept has to be what was compared. A compiler is free to
// read memory again for each use of a vector; an empty asm statement keeps the vector in its register. (Without, a
// root's slot that was freed between the two reads put the link of a free list on the marker's stack.)
#include "gc/filter.h"

#include <array>
#include <bit>

#include "gc/mark.h"
#include "heap/private.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace cairn::gc {
namespace {

constexpr std::uintptr_t k_tag_bits = 7;

CAIRN_SCANS std::size_t filter_scalar(const std::uintptr_t* from, std::size_t n, std::uintptr_t base,
                                      std::size_t limit, std::uintptr_t* out) noexcept {
  std::uintptr_t* top = out;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uintptr_t word = const_cast<const volatile std::uintptr_t*>(from)[i];
    *top = word & ~k_tag_bits;  // written always, kept if it counts
    top += word - base < limit;
  }
  return static_cast<std::size_t>(top - out);
}

#if defined(__x86_64__)

// For each set of four elements, the permutation of 32-bit halves that moves them to the front.
constexpr auto k_to_front = [] {
  std::array<std::array<std::uint32_t, 8>, 16> table{};
  for (unsigned set = 0; set < 16; ++set) {
    unsigned n = 0;
    for (unsigned i = 0; i < 4; ++i) {
      if ((set >> i & 1) == 0) continue;
      table[set][n++] = 2 * i;
      table[set][n++] = 2 * i + 1;
    }
  }
  return table;
}();

__attribute__((target("avx2,popcnt"))) CAIRN_SCANS std::size_t filter_avx2(const std::uintptr_t* from,
                                                                           std::size_t n, std::uintptr_t base,
                                                                           std::size_t limit,
                                                                           std::uintptr_t* out) noexcept {
  // AVX2 compares signed numbers only: with the top bit flipped they order as unsigned ones.
  const __m256i flip = _mm256_set1_epi64x(INT64_MIN);
  const __m256i bases = _mm256_set1_epi64x(static_cast<long long>(base));
  const __m256i limits = _mm256_xor_si256(_mm256_set1_epi64x(static_cast<long long>(limit)), flip);
  const __m256i untagged = _mm256_set1_epi64x(~static_cast<long long>(k_tag_bits));
  std::uintptr_t* top = out;
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    asm("" : "+x"(words));  // read once: see the head
    const __m256i offsets = _mm256_xor_si256(_mm256_sub_epi64(words, bases), flip);
    const __m256i in_heap = _mm256_cmpgt_epi64(limits, offsets);
    const auto set = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(in_heap)));
    const __m256i order = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(k_to_front[set].data()));
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_and_si256(words, untagged), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(top), packed);
    top += std::popcount(set);
  }
  return static_cast<std::size_t>(top - out) + filter_scalar(from + i, n - i, base, limit, top);
}

__attribute__((target("avx512f,popcnt"))) CAIRN_SCANS std::size_t filter_avx512(const std::uintptr_t* from,
                                                                                std::size_t n,
                                                                                std::uintptr_t base,
                                                                                std::size_t limit,
                                                                                std::uintptr_t* out) noexcept {
  const __m512i bases = _mm512_set1_epi64(static_cast<long long>(base));
  const __m512i limits = _mm512_set1_epi64(static_cast<long long>(limit));
  const __m512i untagged = _mm512_set1_epi64(~static_cast<long long>(k_tag_bits));
  std::uintptr_t* top = out;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m512i words = _mm512_loadu_si512(from + i);
    asm("" : "+v"(words));
    const __mmask8 set = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(words, bases), limits);
    // Packed in a register and stored whole: the instruction that packs into memory is microcoded on some processors.
    _mm512_storeu_si512(top, _mm512_maskz_compress_epi64(set, _mm512_and_si512(words, untagged)));
    top += std::popcount(static_cast<unsigned>(set));
  }
  return static_cast<std::size_t>(top - out) + filter_scalar(from + i, n - i, base, limit, top);
}

#elif defined(__aarch64__)

CAIRN_SCANS std::size_t filter_neon(const std::uintptr_t* from, std::size_t n, std::uintptr_t base,
                                    std::size_t limit, std::uintptr_t* out) noexcept {
  const uint64x2_t bases = vdupq_n_u64(base), limits = vdupq_n_u64(limit);
  const uint64x2_t untagged = vdupq_n_u64(~k_tag_bits);
  std::uintptr_t* top = out;
  std::size_t i = 0;
  for (; i + 2 <= n; i += 2) {
    uint64x2_t words = vld1q_u64(reinterpret_cast<const std::uint64_t*>(from + i));
    asm("" : "+w"(words));
    const uint64x2_t in_heap = vcltq_u64(vsubq_u64(words, bases), limits);  // all ones where true
    const uint64x2_t kept = vandq_u64(words, untagged);
    *top = vgetq_lane_u64(kept, 0);
    top -= static_cast<std::int64_t>(vgetq_lane_u64(in_heap, 0));
    *top = vgetq_lane_u64(kept, 1);
    top -= static_cast<std::int64_t>(vgetq_lane_u64(in_heap, 1));
  }
  return static_cast<std::size_t>(top - out) + filter_scalar(from + i, n - i, base, limit, top);
}

#endif

struct kernel_list {
  named_kernel at[3] = {{"scalar", filter_scalar}, {nullptr, nullptr}, {nullptr, nullptr}};
  std::size_t n = 1;
  void add(const char* name, filter_kernel k) noexcept { at[n++] = {name, k}; }
};

kernel_list find_kernels() noexcept {
  kernel_list list;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) list.add("avx2", filter_avx2);
  if (__builtin_cpu_supports("avx512f")) list.add("avx512", filter_avx512);
#elif defined(__aarch64__)
  list.add("neon", filter_neon);
#endif
  return list;
}

}  // namespace

CAIRN_PRIVATE constinit filter_kernel filter_words = filter_scalar;

std::span<const named_kernel> filter_kernels() noexcept {
  static const kernel_list list = find_kernels();
  return {list.at, list.n};
}

void choose_filter() noexcept { filter_words = filter_kernels().back().run; }

}  // namespace cairn::gc
