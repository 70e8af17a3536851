// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/unwind.h"

#include <gnu/libc-version.h>
#include <gtest/gtest.h>
#include <unwind.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "sched/symbols.h"

namespace {

using namespace cairn::sched;

struct copied {
  alignas(16) char bytes[64 << 10];
  stack_image image{bytes, sizeof bytes, 0, {}};
  void* real[64] = {};
  int n_real = 0;
};

// Not backtrace(): under the sanitizers that has a frame of theirs.
_Unwind_Reason_Code add_frame(_Unwind_Context* at, void* arg) {
  auto& to = *static_cast<copied*>(arg);
  if (to.n_real == 64) return _URC_END_OF_STACK;
  to.real[to.n_real++] = reinterpret_cast<void*>(_Unwind_GetIP(at));
  return _URC_NO_REASON;
}

// Copies the stack from here up to `high`, and takes an ordinary backtrace to compare with.
[[gnu::noinline]] void take(copied& to, const void* high) {
  position here;
  CAIRN_POSITION_HERE(here);
  copy_stack(to.image, here, here.sp, high);
  _Unwind_Backtrace(add_frame, &to);
  asm volatile("" : : : "memory");
}
int nest(int depth, copied& to, const void* high);
int (*volatile call_nest)(int, copied&,
                          const void*) = nest;  // a frame for each call, whatever the compiler sees
int nest(int depth, copied& to, const void* high) {
  if (depth == 0) take(to, high);
  const int n = depth == 0 ? 0 : call_nest(depth - 1, to, high);
  asm volatile("" : : : "memory");
  return n + 1;
}
// So much of the stack is taken that the frames of the calls below lie in it.
const void* some_way_up(const void* from) { return static_cast<const char*>(from) + 2048; }

TEST(Unwind, FollowsACopyAsTheStackItself) {
  const auto to = std::make_unique<copied>();
  alignas(16) char room[4096];
  asm volatile("" : : "r"(room) : "memory");
  call_nest(10, *to, some_way_up(__builtin_frame_address(0)));
  ASSERT_GT(to->image.size, 0u);
  ASSERT_LE(to->image.size, to->image.capacity);
  void* frames[64];
  const std::size_t n = unwind(to->image, false, frames, 64);
  // The first is the position, where the ordinary one has a call; then they are the same.
  ASSERT_GE(n, 12u);
  for (std::size_t i = 1; i < 12; ++i) EXPECT_EQ(frames[i], to->real[i]) << i;
}

TEST(Unwind, FollowsTheCopyWhenTheStackHasChanged) {
  const auto to = std::make_unique<copied>();
  call_nest(10, *to, some_way_up(__builtin_frame_address(0)));
  volatile char over[4096];
  std::memset(const_cast<char*>(over), 0x5a, sizeof over);
  void* frames[64];
  const std::size_t n = unwind(to->image, false, frames, 64);
  ASSERT_GE(n, 12u);
  for (std::size_t i = 1; i < 12; ++i) EXPECT_EQ(frames[i], to->real[i]) << i;
}

TEST(Unwind, StopsWhereTheCopyEndsOrTheFramesAreEnough) {
  const auto to = std::make_unique<copied>();
  call_nest(10, *to, some_way_up(__builtin_frame_address(0)));
  void* frames[64];
  EXPECT_EQ(unwind(to->image, false, frames, 5), 5u);
}

TEST(Unwind, ACopyThatDoesNotFitSaysHowLargeItIs) {
  alignas(16) char small[64];
  stack_image image{small, sizeof small, 0, {}};
  alignas(16) char stack[256] = {};
  EXPECT_FALSE(copy_stack(image, {nullptr, stack, nullptr}, stack, stack + sizeof stack));
  EXPECT_EQ(image.size, sizeof stack);
  EXPECT_TRUE(copy_stack(image, {nullptr, stack + 192, nullptr}, stack, stack + sizeof stack));
  EXPECT_EQ(image.size, 64u);
  // Not on this stack.
  EXPECT_FALSE(copy_stack(image, {nullptr, stack + 192, nullptr}, stack + 200, stack + sizeof stack));
  EXPECT_EQ(image.size, 0u);
  EXPECT_FALSE(copy_stack(image, {nullptr, stack + 256, nullptr}, stack, stack + sizeof stack));
  EXPECT_FALSE(copy_stack(image, {nullptr, stack + 1, nullptr}, stack, stack + sizeof stack));
}

[[gnu::noinline]] void has_a_name() { asm volatile(""); }

TEST(Symbols, NamesOfStaticFunctionsAreFound) {
  const symbol s = find_symbol(reinterpret_cast<const void*>(&has_a_name));
  EXPECT_NE(s.name.find("has_a_name"), std::string_view::npos) << s.name;
  EXPECT_EQ(s.in_function, 0u);
  ASSERT_NE(s.module, nullptr);
  EXPECT_NE(std::string_view(s.module).find("sched_tests"), std::string_view::npos) << s.module;
}

TEST(Symbols, NamesOfLibrariesAreFound) {
  const symbol s = find_symbol(reinterpret_cast<const char*>(&gnu_get_libc_version) + 1);
  ASSERT_NE(s.module, nullptr);
  EXPECT_NE(std::string_view(s.module).find("libc"), std::string_view::npos) << s.module;
  EXPECT_FALSE(s.name.empty());
}

TEST(Symbols, OfNoModuleThereAreNone) {
  int local = 0;
  const symbol s = find_symbol(&local);
  EXPECT_EQ(s.module, nullptr);
  EXPECT_TRUE(s.name.empty());
}

}  // namespace
