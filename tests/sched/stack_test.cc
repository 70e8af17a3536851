// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/stack.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/detail/annotate.h"
#include "heap/os.h"
#include "scale.h"

namespace cairn::sched {
namespace {

std::size_t usable(const stack& s) { return static_cast<std::size_t>(s.high - s.low); }

void touch_top(const stack& s) { *reinterpret_cast<volatile char*>(s.high - 64) = 1; }

// A line of /proc/self/status, in bytes.
std::size_t status_bytes(const std::string& name) {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  char line[256];
  unsigned long kib = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, name.c_str(), name.size()) == 0) std::sscanf(line + name.size(), ": %lu", &kib);
  }
  std::fclose(file);
  return kib * 1024;
}

std::size_t memory_and_tables() { return status_bytes("VmRSS") + status_bytes("VmPTE"); }

struct size_setting {
  explicit size_setting(std::size_t bytes) { stacks::set_size(bytes); }
  ~size_setting() { stacks::set_size(stacks::k_default_bytes); }
};

TEST(Stack, IsUsableFromEndToEndAndBelowItLiesTheGuard) {
  stack_cache cache;
  stack s = stacks::take(cache);
  ASSERT_TRUE(s);
  EXPECT_EQ(usable(s), stacks::size() - stacks::k_guard_bytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(s.high) % stacks::size(), 0u);
  std::memset(s.low, 1, usable(s));

  stack found;
  bool in_guard = true;
  for (char* inside : {s.low, s.low + 12345, s.high - 1}) {
    ASSERT_TRUE(stacks::find(inside, found, in_guard));
    EXPECT_EQ(found.low, s.low);
    EXPECT_EQ(found.high, s.high);
    EXPECT_FALSE(in_guard);
  }
  for (char* below : {s.low - 1, s.low - stacks::k_guard_bytes}) {
    ASSERT_TRUE(stacks::find(below, found, in_guard));
    EXPECT_EQ(found.low, s.low);
    EXPECT_TRUE(in_guard);
  }
  int local = 0;
  EXPECT_FALSE(stacks::find(&local, found, in_guard));
  EXPECT_FALSE(stacks::find(nullptr, found, in_guard));
  stacks::give(cache, s);
  stacks::flush(cache);
}

// Its handler finds out whose guard it was, as the runtime's does.
void expect_fault_in_guard_of(const stack& wanted, char* at) {
  static stack s;
  static char* address;
  s = wanted;
  address = at;
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    stack found;
    bool in_guard = false;
    const bool known = stacks::find(info->si_addr, found, in_guard);
    _exit(known && in_guard && found.low == s.low && info->si_addr == address ? 7 : 8);
  };
  sigaction(SIGSEGV, &action, nullptr);
  *static_cast<volatile char*>(address) = 1;
  _exit(9);
}

TEST(StackDeathTest, AWriteToTheGuardFaultsThere) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  stack_cache cache;
  stack s = stacks::take(cache);
  EXPECT_EXIT(expect_fault_in_guard_of(s, s.low - 1), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(expect_fault_in_guard_of(s, s.low - stacks::k_guard_bytes), testing::ExitedWithCode(7), "");
}

void release_and_hit_guard() {
  stack_cache cache;
  stack s = stacks::take(cache);
  std::memset(s.low, 1, usable(s));
  stacks::give(cache, s);
  stacks::flush(cache);
  stacks::release_idle();
  if (stacks::release_idle() == 0) _exit(10);
  stack again = stacks::take(cache);
  if (again.low != s.low || *again.low != 0) _exit(11);
  expect_fault_in_guard_of(again, again.low - 1);
}

TEST(StackDeathTest, TheGuardOutlivesTheMemory) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(release_and_hit_guard(), testing::ExitedWithCode(7), "");
}

TEST(Stack, TheLastOneGivenIsTheNextOneTaken) {
  stack_cache cache;
  stack a = stacks::take(cache), b = stacks::take(cache);
  stacks::give(cache, a);
  stacks::give(cache, b);
  EXPECT_EQ(stacks::take(cache).low, b.low);
  EXPECT_EQ(stacks::take(cache).low, a.low);
  stacks::give(cache, a);
  stacks::give(cache, b);
  stacks::flush(cache);
  EXPECT_EQ(cache.n, 0u);
}

TEST(Stack, AFullCacheKeepsTheNewerHalf) {
  stack_cache taking, giving;
  std::vector<stack> all;
  for (unsigned i = 0; i <= stack_cache::k_stacks; ++i) all.push_back(stacks::take(taking));
  for (const stack& s : all) stacks::give(giving, s);
  EXPECT_EQ(giving.n, stack_cache::k_stacks / 2 + 1);
  for (unsigned i = 0; i <= stack_cache::k_stacks / 2; ++i) {
    EXPECT_EQ(stacks::take(giving).low, all[all.size() - 1 - i].low);
  }
  for (unsigned i = 0; i <= stack_cache::k_stacks / 2; ++i) stacks::give(giving, all[all.size() - 1 - i]);
  stacks::flush(giving);
  stacks::flush(taking);
  EXPECT_EQ(stacks::read_usage().in_use, 0u);
}

TEST(Stack, ManyAreDisjointAndTheLowestIsUsedAgainFirst) {
  constexpr std::size_t k_many = 3000;  // several regions
  stack_cache cache;
  std::vector<stack> all;
  std::set<char*> lows;
  for (std::size_t i = 0; i < k_many; ++i) {
    all.push_back(stacks::take(cache));
    ASSERT_TRUE(all.back());
    touch_top(all.back());
    lows.insert(all.back().low);
  }
  EXPECT_EQ(lows.size(), k_many);
  const stacks::usage peak = stacks::read_usage();
  EXPECT_EQ(peak.in_use, (k_many + cache.n) * stacks::size());
  EXPECT_GE(peak.mapped, peak.in_use);

  std::shuffle(all.begin(), all.end(), std::mt19937(1));
  for (const stack& s : all) stacks::give(cache, s);
  stacks::flush(cache);
  const stacks::usage empty = stacks::read_usage();
  EXPECT_EQ(empty.in_use, 0u);
  EXPECT_EQ(empty.mapped, peak.mapped);
  EXPECT_EQ(empty.cached_free + empty.released, peak.in_use);

  char* before = nullptr;
  for (std::size_t i = 0; i < 64; ++i) {
    all[i] = stacks::take(cache);
    EXPECT_LT(before, all[i].low);
    before = all[i].low;
    EXPECT_EQ(lows.count(all[i].low), 1u);
  }
  for (std::size_t i = 0; i < 64; ++i) stacks::give(cache, all[i]);
  stacks::flush(cache);
}

}  // namespace
}  // namespace cairn::sched
