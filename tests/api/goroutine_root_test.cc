// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What goroutines keep alive while collections run back to back: locals, arguments, registers and results of goroutines
// that are parked, in every way there is to park.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

TEST(GoroutineRoot, LocalsKeepTheirObjectsAcrossEveryPark) {
  on_one_and_two_procs([] {
    collections back_to_back;
    wait_group all;
    std::atomic<int> right{0};
    for (std::uint64_t number = 0; number < 10; ++number)
      all.go([&, number] {
        cell* raw = make_list(number, 50);
        cairn::gc_ptr<cell> counted = make_list(number + 1000, 50);
        for (std::size_t i = 0; i < test_count(20, 5); ++i) {
          park_in_all_ways();
          if (is_list(raw, number, 50) && is_list(counted, number + 1000, 50)) ++right;
          counted = make_list(number + 1000, 50);
        }
      });
    all.wait();
    EXPECT_EQ(right, static_cast<int>(10 * test_count(20, 5)));
  });
}

// Many that stay parked over several cycles, each kind of wait among them.
TEST(GoroutineRoot, AParkedGoroutineKeepsWhatItHolds) {
  on_one_and_two_procs([] {
    gate leave;
    std::atomic<bool> open{false};
    std::atomic<int> right{0};
    wait_group parked, all;
    constexpr std::uint64_t k_goroutines = 60;
    parked.add(k_goroutines);
    for (std::uint64_t number = 0; number < k_goroutines; ++number)
      all.go([&, number] {
        cell* mine = make_list(number, 30);
        auto task = cairn::spawn([&] { leave.pass(); });
        parked.done();
        switch (number % 4) {
          case 0:
            leave.pass();
            break;
          case 1:
            task.get();
            break;
          case 2:
            while (!open) cairn::sleep_for(2ms);
            break;
          default:
            while (!open) cairn::yield();
        }
        if (is_list(mine, number, 30)) ++right;
      });
    parked.wait();
    for (int i = 0; i < 5; ++i) collect_and_reuse();
    EXPECT_TRUE(cairn::gc::verify());
    open = true;
    leave.open();
    all.wait();
    EXPECT_EQ(right, static_cast<int>(k_goroutines));
  });
}

TEST(GoroutineRoot, ArgumentsAreKeptUntilTheyAreUsed) {
  on_one_and_two_procs([] {
    collections back_to_back;
    wait_group all;
    std::atomic<int> right{0};
    for (std::uint64_t number = 0; number < 300; ++number) {
      all.add(1);
      cairn::go(
          [&](cell* raw, cairn::gc_ptr<cell> counted, std::uint64_t n) {
            cairn::yield();
            if (is_list(raw, n, 20) && is_list(counted, n + 7, 20)) ++right;
            all.done();
          },
          make_list(number, 20), make_list(number + 7, 20), number);
      if (number % 10 == 0) cairn::yield();
    }
    all.wait();
    EXPECT_EQ(right, 300);
  });
}

TEST(GoroutineRoot, AResultIsKeptUntilItIsTaken) {
  on_one_and_two_procs([] {
    collections back_to_back;
    std::vector<cairn::task<cell*>> tasks;
    for (std::uint64_t number = 0; number < 100; ++number)
      tasks.push_back(cairn::spawn([number] { return make_list(number, 20); }));
    EXPECT_TRUE(back_to_back.await(3));
    for (std::uint64_t number = 0; number < 100; ++number)
      EXPECT_TRUE(is_list(tasks[number].get(), number, 20)) << number;
  });
}

// Taken by another goroutine that waits already: the result goes from the one's stack to the other's.
TEST(GoroutineRoot, AResultIsKeptOnItsWay) {
  on_one_and_two_procs([] {
    collections back_to_back;
    for (std::uint64_t i = 0; i < test_count(300, 50); ++i) {
      cell* got = cairn::spawn([i] {
                    cell* made = make_list(i, 20);
                    cairn::yield();
                    return made;
                  }).get();
      ASSERT_TRUE(is_list(got, i, 20)) << i;
    }
  });
}

TEST(GoroutineRoot, WhatAnEndedGoroutineHeldDies) {
  on_one_and_two_procs([] {
    std::vector<cairn::gc_weak<cell>> weak(50);
    wait_group all;
    for (std::uint64_t i = 0; i < weak.size(); ++i)
      all.go([&weak, i] {
        cell* mine = make_cell(i);
        weak[i] = mine;
        park_in_all_ways();
        EXPECT_TRUE(mine->is(i));
      });
    all.wait();
    // A stale word may keep one or two of them, not most.
    EXPECT_TRUE(collect_until([&weak] {
      std::size_t gone = 0;
      for (const auto& w : weak) gone += is_gone(w);
      return gone > weak.size() - 10;
    }));
  });
}

// ---- registers --------------------------------------------------------------------------------------------

// std::uintptr_t cairn_test_hold_in_R(hidden, park, arg): calls park(arg) with ~hidden in the callee-saved register R
// and nowhere else; returns what R holds then, hidden again.
// clang-format off
#if defined(__x86_64__)
#define CAIRN_TEST_HOLD_IN(reg)                                             \
  asm(".pushsection .text\n.globl cairn_test_hold_in_" #reg "\n"            \
      ".hidden cairn_test_hold_in_" #reg "\n"                              \
      ".type cairn_test_hold_in_" #reg ", @function\n"                     \
      "cairn_test_hold_in_" #reg ":\n\t.cfi_startproc\n\t"                  \
      "pushq %" #reg "\n\t.cfi_adjust_cfa_offset 8\n\t"                     \
      ".cfi_rel_offset %" #reg ", 0\n\t"                                    \
      "movq %rdi, %" #reg "\n\tnotq %" #reg "\n\t"                          \
      "movq %rdx, %rdi\n\tcall *%rsi\n\t"                                   \
      "movq %" #reg ", %rax\n\tnotq %rax\n\t"                               \
      "popq %" #reg "\n\t.cfi_adjust_cfa_offset -8\n\t"                     \
      ".cfi_restore %" #reg "\n\tret\n\t.cfi_endproc\n"                     \
      ".size cairn_test_hold_in_" #reg ", .-cairn_test_hold_in_" #reg "\n"   \
      ".popsection\n");                                                    \
  extern "C" std::uintptr_t cairn_test_hold_in_##reg(std::uintptr_t, void (*)(void*), void*);
#else
// `reg` is saved as it is, `move` names it as an operand of fmov or mov.
#define CAIRN_TEST_HOLD_IN_BY(reg, move)                                    \
  asm(".pushsection .text\n.globl cairn_test_hold_in_" #reg "\n"            \
      ".hidden cairn_test_hold_in_" #reg "\n"                              \
      ".type cairn_test_hold_in_" #reg ", %function\n"                     \
      "cairn_test_hold_in_" #reg ":\n\t.cfi_startproc\n\t"                  \
      "stp x29, x30, [sp, #-32]!\n\t.cfi_def_cfa_offset 32\n\t"            \
      ".cfi_offset x29, -32\n\t.cfi_offset x30, -24\n\t"                   \
      "mov x29, sp\n\t"                                                    \
      "str " #reg ", [sp, #16]\n\t.cfi_offset " #reg ", -16\n\t"           \
      "mvn x0, x0\n\t" #move " " #reg ", x0\n\t"                          \
      "mov x0, x2\n\tblr x1\n\t"                                          \
      #move " x0, " #reg "\n\tmvn x0, x0\n\t"                             \
      "ldr " #reg ", [sp, #16]\n\t.cfi_restore " #reg "\n\t"               \
      "ldp x29, x30, [sp], #32\n\t.cfi_def_cfa_offset 0\n\t"               \
      "ret\n\t.cfi_endproc\n"                                             \
      ".size cairn_test_hold_in_" #reg ", .-cairn_test_hold_in_" #reg "\n"   \
      ".popsection\n");                                                    \
  extern "C" std::uintptr_t cairn_test_hold_in_##reg(std::uintptr_t, void (*)(void*), void*);
#define CAIRN_TEST_HOLD_IN(reg) CAIRN_TEST_HOLD_IN_BY(reg, mov)
#endif
// clang-format on

}  // namespace
#if defined(__x86_64__)
CAIRN_TEST_HOLD_IN(rbx)
CAIRN_TEST_HOLD_IN(rbp)
CAIRN_TEST_HOLD_IN(r12)
CAIRN_TEST_HOLD_IN(r13)
CAIRN_TEST_HOLD_IN(r14)
CAIRN_TEST_HOLD_IN(r15)
#else
CAIRN_TEST_HOLD_IN(x19)
CAIRN_TEST_HOLD_IN(x21)
CAIRN_TEST_HOLD_IN(x24)
CAIRN_TEST_HOLD_IN(x28)
CAIRN_TEST_HOLD_IN_BY(d8, fmov)
CAIRN_TEST_HOLD_IN_BY(d15, fmov)
#endif
namespace {

using hold_in_register = std::uintptr_t (*)(std::uintptr_t, void (*)(void*), void*);

// Gives the complement of the address, which no collection knows, of a list made on a thread of its own.
std::uintptr_t hidden_list(std::uint64_t number) {
  std::uintptr_t hidden = 0;
  apart([&] { hidden = ~reinterpret_cast<std::uintptr_t>(make_list(number, 30)); });
  return hidden;
}

void expect_kept(hold_in_register hold) {
  constexpr std::uint64_t k_goroutines = 20;
  gate leave;
  wait_group holding, all;
  std::atomic<int> right{0};
  holding.add(k_goroutines);
  struct meeting {
    gate* leave;
    wait_group* holding;
  } here{&leave, &holding};
  {
    cairn::gc::no_gc_scope until_all_hold_theirs;
    for (std::uint64_t number = 0; number < k_goroutines; ++number)
      all.go([&, number, hidden = hidden_list(number)] {
        const std::uintptr_t after = hold(
            hidden,
            [](void* p) {
              static_cast<meeting*>(p)->holding->done();
              static_cast<meeting*>(p)->leave->pass();
            },
            &here);
        if (after == hidden && is_list(reinterpret_cast<cell*>(~after), number, 30)) ++right;
      });
    holding.wait();
  }
  for (int i = 0; i < 4; ++i) collect_and_reuse();
  leave.open();
  all.wait();
  EXPECT_EQ(right, static_cast<int>(k_goroutines));
}

TEST(GoroutineRoot, CalleeSavedRegistersOfAParkedOneCount) {
  on_one_and_two_procs([] {
#if defined(__x86_64__)
    for (hold_in_register hold : {cairn_test_hold_in_rbx, cairn_test_hold_in_rbp, cairn_test_hold_in_r12,
                                  cairn_test_hold_in_r13, cairn_test_hold_in_r14, cairn_test_hold_in_r15})
#else
    for (hold_in_register hold : {cairn_test_hold_in_x19, cairn_test_hold_in_x21, cairn_test_hold_in_x24,
                                  cairn_test_hold_in_x28, cairn_test_hold_in_d8, cairn_test_hold_in_d15})
#endif
      expect_kept(hold);
  });
}

// ---- deep stacks ------------------------------------------------------------------------------------------

// Ten frames, each with an object that only it knows.
[[gnu::noinline]] bool deep(int depth, std::uint64_t number, wait_group& parked, gate& leave) {
  cell* mine = make_cell(number + static_cast<std::uint64_t>(depth));
  bool right = true;
  if (depth == 0) {
    parked.done();
    leave.pass();
  } else {
    right = deep(depth - 1, number, parked, leave);
  }
  return right && mine->is(number + static_cast<std::uint64_t>(depth));
}

void expect_deep_stacks_kept(std::size_t goroutines) {
  gate leave;
  wait_group parked, all;
  std::atomic<std::size_t> right{0};
  parked.add(static_cast<std::int64_t>(goroutines));
  for (std::uint64_t i = 0; i < goroutines; ++i)
    all.go([&, i] {
      if (deep(9, 100 * i, parked, leave)) right.fetch_add(1, std::memory_order_relaxed);
    });
  parked.wait();
  for (int i = 0; i < 2; ++i) collect_and_reuse();
  leave.open();
  all.wait();
  EXPECT_EQ(right, goroutines);
}

TEST(GoroutineRoot, EveryFrameOfADeepStackCounts) {
  on_one_and_two_procs([] { expect_deep_stacks_kept(100); });
}
TEST(FibersRoot, EveryFrameOfAHundredThousandStacksCounts) {
  on_procs(2, [] { expect_deep_stacks_kept(CAIRN_ASAN ? 5000 : crowd(100'000)); });
}

// Cycles begin and end while thousands are started, parked and resumed.
TEST(FibersRoot, ThousandsKeepTheirObjectsBesideCollections) {
  on_procs(2, [] {
    collections back_to_back;
    const std::size_t n = crowd(5000);
    std::atomic<std::size_t> right{0};
    wait_group all;
    for (std::uint64_t i = 0; i < n; ++i)
      all.go([&, i] {
        cell* mine = make_list(i, 5);
        for (int k = 0; k < 3; ++k) {
          cairn::sleep_for(std::chrono::microseconds(mix(i + static_cast<std::uint64_t>(k)) % 5000));
          cell* next = make_list(i, 5);
          if (!is_list(mine, i, 5)) return;
          mine = next;
        }
        right.fetch_add(is_list(mine, i, 5), std::memory_order_relaxed);
      });
    all.wait();
    EXPECT_EQ(right, n);
  });
}

}  // namespace
