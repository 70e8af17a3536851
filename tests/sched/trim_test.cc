// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/trim.h"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "cairn/chan.h"
#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "sched/futex.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

constexpr std::size_t k_deep_bytes = 64 << 10;

// Writes to so much of the stack, and returns where.
[[gnu::noinline]] char* go_deep() {
  char memory[k_deep_bytes];
  std::memset(memory, 1, sizeof memory);
  char* where = memory;
  asm volatile("" : "+r"(where) : : "memory");
  return where;
}

// Pages of it that have memory.
std::size_t resident(char* deep) {
  constexpr std::uintptr_t k_page = 4096;
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(deep) + k_page) & ~(k_page - 1);
  std::vector<unsigned char> pages(k_deep_bytes / k_page - 4);  // the upper ones are in use
  if (mincore(reinterpret_cast<void*>(first), pages.size() * k_page, pages.data()) != 0) return SIZE_MAX;
  std::size_t n = 0;
  for (const unsigned char page : pages) n += page & 1;
  return n;
}

// One that goes deep, waits, goes deep again and adds up what it has kept on its stack.
struct sleeper {
  chan<void> wake = make_chan<void>();
  char* deep = nullptr;
  long sum = 0;
  sync::wait_group parked, ended;

  void start() {
    parked.add(1), ended.add(1);
    go([this] {
      long kept[100];
      for (long i = 0; i < 100; ++i) kept[i] = i;
      asm volatile("" : : "r"(kept) : "memory");
      deep = go_deep();
      parked.done();
      wake.recv();
      go_deep();
      asm volatile("" : : "r"(kept) : "memory");
      for (const long x : kept) sum += x;
      ended.done();
    });
    parked.wait();
  }
  void end() {
    wake.close();
    ended.wait();
  }
};

// As if so much time had passed.
void trim_after(std::int64_t ns) {
  static const std::atomic<std::uint32_t> never{0};
  trim::all(now_ns() + ns, never, 0);
}

// It has parked when it can be seen to wait.
bool trims(const sleeper& s, std::int64_t after) {
  for (int i = 0; i < 2000 && resident(s.deep) != 0; ++i) {
    sleep_for(std::chrono::milliseconds(1));
    trim_after(after);
  }
  return resident(s.deep) == 0;
}

TEST(Trim, GivesBackWhatLiesBelowAGoroutineThatHasWaitedForLong) {
  sleeper s;
  s.start();
  EXPECT_GT(resident(s.deep), 8u);
  EXPECT_TRUE(trims(s, 2 * trim::k_idle_ns));
  s.end();
  EXPECT_EQ(s.sum, 4950);
}

TEST(Trim, LeavesStacksThatHaveNotWaitedForLong) {
  sleeper s;
  s.start();
  trim_after(0);
  EXPECT_GT(resident(s.deep), 8u);
  s.end();
  EXPECT_EQ(s.sum, 4950);
}

TEST(Trim, KeepsWhatIsOnTheStackWhileGoroutinesAreWokenBesideIt) {
  std::atomic<bool> over{false};
  std::thread trimmer([&] {
    while (!over) trim_after(2 * trim::k_idle_ns);
  });
  for (int round = 0; round < 200; ++round) {
    sleeper all[8];
    for (sleeper& s : all) s.start();
    for (sleeper& s : all) s.end();
    for (const sleeper& s : all) ASSERT_EQ(s.sum, 4950);
  }
  over = true;
  trimmer.join();
}

}  // namespace
}  // namespace cairn::sched
