// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Roots that need no declaration: stacks at any depth, registers of every kind, static data, thread-locals of
// all attached threads.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csetjmp>
#include <thread>
#include <vector>

#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::root;

// ---- stacks -----------------------------------------------------------------------------------------------

// Each frame holds a cell; the deepest one collects.
[[gnu::noinline]] bool deep(std::uint64_t depth) {
  cell* mine = make_cell(depth);
  if (depth == 0) {
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    return mine->is(0);
  }
  const bool below = deep(depth - 1);
  return below && mine->is(depth);
}

TEST(StackRoot, EveryFrameOfADeepStackCounts) { EXPECT_TRUE(deep(5000)); }

TEST(StackRoot, EveryFrameOfADeepStackOfAThreadCounts) {
  std::thread([] {
    cairn::attach_thread attached;
    EXPECT_TRUE(deep(5000));
  }).join();
}

TEST(StackRoot, ArraysAndStructsOnTheStackCount) {
  struct local {
    int x;
    cell* raw;
    gc_ptr<cell> managed;
  };
  local locals[50];
  cell* volatile raw[50];
  [&]() __attribute__((noinline)) {
    for (std::uint64_t i = 0; i < 50; ++i) {
      locals[i].raw = make_cell(i);
      locals[i].managed = make_cell(i + 100);
      raw[i] = make_cell(i + 200);
    }
  }
  ();
  collect_and_reuse();
  for (std::uint64_t i = 0; i < 50; ++i)
    ASSERT_TRUE(locals[i].raw->is(i) && locals[i].managed->is(i + 100) && raw[i]->is(i + 200));
}

// A thread that is in a system call is not running: its stack counts all the same.
TEST(StackRoot, TheStackOfABlockedThreadCounts) {
  std::atomic<int> ready{0};
  std::atomic<bool> go_on{false};
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      cell* mine = make_list(t, 100);
      ++ready;
      block_until(go_on);
      if (is_list(mine, t, 100)) ++good;
    });
  while (ready != 4) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) collect_and_reuse();
  go_on = true;
  go_on.notify_all();
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 4);
}

TEST(StackRoot, TheStackOfABusyThreadCounts) {
  std::atomic<bool> stop{false};
  std::atomic<int> ready{0}, bad{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      cell* mine = make_list(t, 100);
      ++ready;
      while (!stop.load(std::memory_order_relaxed))  // calls nothing of the library
        if (!is_list(mine, t, 100)) ++bad;
    });
  while (ready != 4) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) collect_and_reuse();
  stop = true;
  for (auto& t : threads) t.join();
  EXPECT_EQ(bad, 0);
}

TEST(StackRoot, WhatIsOnlyInAJumpedOverFrameMayDieAndTheRestLives) {
  std::jmp_buf buffer;
  cell* volatile kept = make_cell(5);
  if (setjmp(buffer) == 0) {
    cell* inner = make_cell(6);
    cairn::keep_alive(inner);
    std::longjmp(buffer, 1);
  }
  collect_and_reuse();
  EXPECT_TRUE(kept->is(5));
}

// ---- registers --------------------------------------------------------------------------------------------

// An address in a form that the collector does not know.
struct halves {
  std::uintptr_t high, low;
};
[[gnu::noinline]] halves split(const void* p) {
  const auto a = reinterpret_cast<std::uintptr_t>(p);
  return {~(a & 0xffffffff00000000), ~(a & 0xffffffff)};
}

// Runs `hold` on a thread; it turns the hidden pointer into a real one in some register, raises `ready`, and
// waits in a loop of a few instructions for `release`. Meanwhile the root goes and others collect.
struct register_test {
  halves hidden{};
  std::uint32_t ready = 0, release = 0;
};
template <class Hold>
void expect_register_keeps(Hold hold) {
  for (int round = 0; round < 3; ++round) {
    register_test t;
    root<cell> held;
    apart([&] {
      held = make_list(1, 200);
      t.hidden = split(held.get());
    });
    bool good = false;
    std::thread holder([&] {
      cairn::attach_thread attached;
      cell* c = hold(t);
      good = is_list(c, 1, 200);
    });
    while (__atomic_load_n(&t.ready, __ATOMIC_ACQUIRE) == 0) std::this_thread::yield();
    held.reset();
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    __atomic_store_n(&t.release, 1u, __ATOMIC_RELEASE);
    holder.join();
    EXPECT_TRUE(good);
  }
}

#if defined(__x86_64__)

// The pointer is put together in %rax. `take` moves it to where it is to be, `give` back to %rax.
#define CAIRN_TEST_HOLD(take, give, ...)                                                                 \
  [](register_test & t) __attribute__((noinline)) {                                                      \
    std::uintptr_t p;                                                                                    \
    std::uintptr_t mask = 0xffffffff;                                                                    \
    asm volatile(                                                                                        \
        "movq %[high], %%rax\n\t notq %%rax\n\t movq %[low], %%rcx\n\t notq %%rcx\n\t"                   \
        "andq %[mask], %%rcx\n\t orq %%rcx, %%rax\n\t xorl %%ecx, %%ecx\n\t" take                        \
        "\n\t xorl %%eax, %%eax\n\t movl $1, %[ready]\n"                                                 \
        "1: pause\n\t cmpl $0, %[release]\n\t je 1b\n\t" give                                            \
        : "=&a"(p), [ready] "+m"(t.ready)                                                                \
        : [high] "m"(t.hidden.high), [low] "m"(t.hidden.low), [release] "m"(t.release), [mask] "r"(mask) \
        : "rcx", "memory", "cc", __VA_ARGS__);                                                           \
    return reinterpret_cast<cell*>(p);                                                                   \
  }

TEST(RegisterRoot, GeneralRegistersCount) {
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%r12", "movq %%r12, %%rax", "r12"));
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%r15", "movq %%r15, %%rax", "r15"));
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%rdi", "movq %%rdi, %%rax", "rdi"));
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%r9", "movq %%r9, %%rax", "r9"));
}

TEST(RegisterRoot, AnInteriorAddressInARegisterCounts) {
  expect_register_keeps(CAIRN_TEST_HOLD("leaq 20(%%rax), %%r13", "leaq -20(%%r13), %%rax", "r13"));
}

TEST(RegisterRoot, XmmRegistersCount) {
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%xmm0", "movq %%xmm0, %%rax", "xmm0"));
  expect_register_keeps(CAIRN_TEST_HOLD("movq %%rax, %%xmm15\n\t pslldq $8, %%xmm15",
                                        "psrldq $8, %%xmm15\n\t movq %%xmm15, %%rax", "xmm15"));
}

TEST(RegisterRoot, TheUpperHalvesOfYmmRegistersCount) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this processor has no AVX2";
  expect_register_keeps(CAIRN_TEST_HOLD(
      "vmovq %%rax, %%xmm6\n\t vperm2i128 $0x08, %%ymm6, %%ymm6, %%ymm7\n\t vpxor %%ymm6, %%ymm6, %%ymm6",
      "vextracti128 $1, %%ymm7, %%xmm7\n\t vmovq %%xmm7, %%rax\n\t vzeroupper", "xmm6", "xmm7"));
}

TEST(RegisterRoot, ZmmRegistersCount) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this processor has no AVX-512";
  // Quadword 7 of a register that only AVX-512 has.
  expect_register_keeps(
      CAIRN_TEST_HOLD("movl $0x80, %%ecx\n\t kmovw %%ecx, %%k1\n\t vpbroadcastq %%rax, "
                      "%%zmm20%{%%k1%}%{z%}\n\t xorl %%ecx, %%ecx",
                      "vextracti64x4 $1, %%zmm20, %%ymm7\n\t vextracti128 $1, %%ymm7, %%xmm7\n\t vpsrldq $8, "
                      "%%xmm7, %%xmm7\n\t"
                      "vmovq %%xmm7, %%rax\n\t vpxorq %%zmm20, %%zmm20, %%zmm20\n\t vzeroupper",
                      "xmm7"));
  // And the upper half of one that AVX2 has too.
  expect_register_keeps(
      CAIRN_TEST_HOLD("movl $0x10, %%ecx\n\t kmovw %%ecx, %%k1\n\t vpbroadcastq %%rax, "
                      "%%zmm9%{%%k1%}%{z%}\n\t xorl %%ecx, %%ecx",
                      "vextracti64x4 $1, %%zmm9, %%ymm9\n\t vmovq %%xmm9, %%rax\n\t vzeroupper", "xmm9"));
}

TEST(RegisterRoot, TheRedZoneCounts) {
  expect_register_keeps(CAIRN_TEST_HOLD("movq -64(%%rsp), %%r8\n\t movq %%rax, -64(%%rsp)",
                                        "movq -64(%%rsp), %%rax\n\t movq %%r8, -64(%%rsp)", "r8"));
}

#else

// The pointer is put together in x0. `take` moves it to where it is to be, `give` back to x0.
#define CAIRN_TEST_HOLD(take, give, ...)                                                              \
  [](register_test & t) __attribute__((noinline)) {                                                   \
    register std::uintptr_t p asm("x0");                                                              \
    asm volatile(                                                                                     \
        "ldp x0, x1, [%[hidden]]\n\t mvn x0, x0\n\t mvn x1, x1\n\t mov w1, w1\n\t orr x0, x0, x1\n\t" \
        "mov x1, #0\n\t" take                                                                         \
        "\n\t mov x0, #0\n\t mov w1, #1\n\t str w1, [%[ready]]\n"                                     \
        "1: yield\n\t ldr w1, [%[release]]\n\t cbz w1, 1b\n\t" give                                   \
        : "=&r"(p)                                                                                    \
        : [hidden] "r"(&t.hidden), [ready] "r"(&t.ready), [release] "r"(&t.release)                   \
        : "x1", "memory", "cc", __VA_ARGS__);                                                         \
    return reinterpret_cast<cell*>(p);                                                                \
  }

TEST(RegisterRoot, GeneralRegistersCount) {
  expect_register_keeps(CAIRN_TEST_HOLD("mov x20, x0", "mov x0, x20", "x20"));
  expect_register_keeps(CAIRN_TEST_HOLD("mov x28, x0", "mov x0, x28", "x28"));
  expect_register_keeps(CAIRN_TEST_HOLD("mov x9, x0", "mov x0, x9", "x9"));
  expect_register_keeps(CAIRN_TEST_HOLD("mov x17, x0", "mov x0, x17", "x17"));
  expect_register_keeps(CAIRN_TEST_HOLD("mov x30, x0", "mov x0, x30", "x30"));
}

TEST(RegisterRoot, AnInteriorAddressInARegisterCounts) {
  expect_register_keeps(CAIRN_TEST_HOLD("add x13, x0, #20", "sub x0, x13, #20", "x13"));
}

TEST(RegisterRoot, VectorRegistersCount) {
  expect_register_keeps(CAIRN_TEST_HOLD("fmov d0, x0", "fmov x0, d0", "v0"));
  expect_register_keeps(CAIRN_TEST_HOLD("fmov d8, x0", "fmov x0, d8", "v8"));
  expect_register_keeps(CAIRN_TEST_HOLD("movi v31.2d, #0\n\t mov v31.d[1], x0", "mov x0, v31.d[1]", "v31"));
}

#endif

// The same on the thread that collects: the pointer lies in a callee-saved register while collect() runs.
TEST(RegisterRoot, RegistersOfTheCollectingThreadCount) {
  cell* c = make_list(3, 50);
  asm volatile("" : "+r"(c));
  collect_and_reuse();
  asm volatile("" : "+r"(c));
  EXPECT_TRUE(is_list(c, 3, 50));
}

// ---- static data ------------------------------------------------------------------------------------------

gc_ptr<cell> in_bss;
struct initialised {
  std::uint64_t number = 0x1234;
  gc_ptr<cell> p;
  std::uint64_t after = 0x5678;
};
initialised in_data;
gc_ptr<cell> table[100];
std::array<initialised, 20> structs;
template <class T>
struct of_template {
  static inline gc_ptr<cell> p;
};
gc_ptr<cell>& function_local() {
  static gc_ptr<cell> p = make_cell(77);
  return p;
}
constinit gc_ptr<cell> constant_initialised;

[[gnu::noinline]] void fill_statics(std::uint64_t n) {
  in_bss = make_list(n, 3);
  in_data.p = make_list(n + 1, 3);
  for (std::uint64_t i = 0; i < 100; ++i) table[i] = make_list(n + i, 2);
  for (std::uint64_t i = 0; i < 20; ++i) structs[i].p = make_list(n + i, 2);
  of_template<int>::p = make_cell(n);
  of_template<char>::p = make_cell(n + 1);
  constant_initialised = make_cell(n + 2);
}
[[gnu::noinline]] bool statics_are(std::uint64_t n) {
  bool good = is_list(in_bss, n, 3) && is_list(in_data.p, n + 1, 3);
  for (std::uint64_t i = 0; i < 100; ++i) good = good && is_list(table[i], n + i, 2);
  for (std::uint64_t i = 0; i < 20; ++i) good = good && is_list(structs[i].p, n + i, 2);
  return good && of_template<int>::p->is(n) && of_template<char>::p->is(n + 1) &&
         constant_initialised->is(n + 2);
}

TEST(StaticRoot, StaticDataOfEveryKindCounts) {
  for (std::uint64_t n = 0; n < 5; ++n) {
    fill_statics(1000 * n);
    for (int i = 0; i < 2; ++i) {
      collect_and_reuse();
      ASSERT_TRUE(statics_are(1000 * n));
    }
  }
}

TEST(StaticRoot, FunctionLocalStaticsCount) {
  EXPECT_TRUE(function_local()->is(77));
  collect_and_reuse();
  EXPECT_TRUE(function_local()->is(77));
}

// ---- thread-locals ----------------------------------------------------------------------------------------

thread_local gc_ptr<cell> tls;
thread_local struct {
  std::uint64_t number = 5;  // initialised thread-local data
  gc_ptr<cell> p[10];
} tls_struct;

[[gnu::noinline]] void fill_tls(std::uint64_t n) {
  tls = make_list(n, 5);
  for (std::uint64_t i = 0; i < 10; ++i) tls_struct.p[i] = make_cell(n + i);
}
[[gnu::noinline]] bool tls_is(std::uint64_t n) {
  bool good = is_list(tls, n, 5) && tls_struct.number == 5;
  // GCC 12 folds the arithmetic of is() into the variable's offset, which then overflows its relocation.
  gc_ptr<cell>* p = tls_struct.p;
  asm volatile("" : "+r"(p));
  for (std::uint64_t i = 0; i < 10; ++i) good = good && p[i]->is(n + i);
  return good;
}

TEST(ThreadLocalRoot, OfTheMainThreadCounts) {
  fill_tls(5);
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(tls_is(5));
  }
}

TEST(ThreadLocalRoot, OfOtherThreadsCounts) {
  std::atomic<int> ready{0}, good{0};
  std::atomic<bool> go_on{false};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      fill_tls(100 * t);
      clear_stack();
      ++ready;
      block_until(go_on);
      if (tls_is(100 * t)) ++good;
    });
  while (ready != 8) std::this_thread::yield();
  for (int i = 0; i < 4; ++i) collect_and_reuse();
  go_on = true;
  go_on.notify_all();
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 8);
}

TEST(ThreadLocalRoot, OfAThreadThatEndedKeepsNothing) {
  cairn::gc_weak<cell> weak;
  apart([&] {
    fill_tls(9);
    weak = tls;
  });
  EXPECT_TRUE(dies(weak));
}

TEST(ThreadLocalRoot, OfAGoroutineCountsOnItsThread) {
  auto task = cairn::spawn([] {
    fill_tls(11);
    for (int i = 0; i < 3; ++i) cairn::gc::collect();
    return tls_is(11);
  });
  EXPECT_TRUE(task.get());
}

// Threads that come, hold something and go while others collect.
TEST(StackRoot, ThreadsThatComeAndGoLoseNothing) {
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  for (std::uint64_t i = 0; i < 300; ++i) {
    root<cell> given = make_list(i, 20), result;
    std::thread worker([&result, given, i, &bad] {
      cell* local = given;
      fill_tls(i);
      if (!is_list(local, i, 20) || !tls_is(i)) ++bad;
      result = make_list(i + 1, 20);
    });
    given.reset();
    worker.join();
    if (!is_list(result, i + 1, 20)) ++bad;
  }
  stop.store(true);
  collector.join();
  EXPECT_EQ(bad, 0);
}

}  // namespace
