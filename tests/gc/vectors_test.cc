// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/vectors.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace cairn::gc {
namespace {

#if defined(__x86_64__)

struct seen {
  std::uint64_t first = 1, last = 1, upper_half = 0;
};

// What xmm0 and xmm15 hold after a call, filled before it.
seen registers_after(void (*f)() noexcept) {
  seen now;
  const std::uint64_t address = 0x1d00'8400'0010;
  asm volatile("movq %0, %%xmm0\n movq %0, %%xmm15" : : "r"(address));
  f();
  asm volatile("movq %%xmm0, %0\n movq %%xmm15, %1" : "=r"(now.first), "=r"(now.last));
  return now;
}

__attribute__((target("avx512f"))) std::uint64_t last_wide_register_after(void (*f)() noexcept) {
  std::uint64_t words[8] = {};
  const std::uint64_t address = 0x1d00'8400'0010;
  asm volatile("vpbroadcastq %0, %%zmm31" : : "r"(address));
  f();
  asm volatile("vmovdqu64 %%zmm31, %0" : "=m"(words));
  std::uint64_t any = 0;
  for (const std::uint64_t word : words) any |= word;
  return any;
}

void do_nothing() noexcept {}

TEST(Vectors, HoldNothingAfterwards) {
  choose_forget_vectors();
  void (*volatile nothing)() noexcept = do_nothing;
  EXPECT_NE(registers_after(nothing).first, 0u);
  const seen now = registers_after(forget_vectors);
  EXPECT_EQ(now.first, 0u);
  EXPECT_EQ(now.last, 0u);
}

TEST(Vectors, HoldNothingAfterwardsInTheWideOnesEither) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this processor has none";
  choose_forget_vectors();
  void (*volatile nothing)() noexcept = do_nothing;
  EXPECT_NE(last_wide_register_after(nothing), 0u);
  EXPECT_EQ(last_wide_register_after(forget_vectors), 0u);
}

#endif

}  // namespace
}  // namespace cairn::gc
