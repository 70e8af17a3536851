// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/stack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
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
#include "tests/heap/fake_os.h"

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

// The Ps of earlier tests in the process keep some.
std::size_t in_use() { return stacks::read_usage().in_use; }

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
  stacks::give(cache, s);
  stacks::flush(cache);
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

// With a pool that nobody has used, and nobody beside it who returns idle memory.
void expect_in_own_process(void (*body)()) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto run = [body] {
    body();
    std::fflush(stdout);
    _exit(testing::Test::HasFailure() ? 8 : 7);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(7), "");
}

// Where a write faults, a system call fails.
bool is_readable(const char* at) {
  static const int null_file = [] {
    int ends[2];
    return pipe2(ends, O_CLOEXEC) == 0 ? ends[1] : -1;
  }();
  return write(null_file, at, 1) == 1;
}

bool has_memory(const stack& s) {
  const std::size_t page = heap::the_os().physical_page_bytes();
  unsigned char resident = 0;
  EXPECT_EQ(mincore(s.high - page, page, &resident), 0);
  return (resident & 1) != 0;
}

TEST(Stack, EachOneOfABatchHasItsGuardWhenItIsTaken) {
  stack_cache cache;
  std::vector<stack> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(stacks::take(cache));
    ASSERT_TRUE(all.back());
    for (char* at : {all.back().low - 1, all.back().low - stacks::k_guard_bytes})
      ASSERT_FALSE(is_readable(at)) << i;
    ASSERT_TRUE(is_readable(all.back().low));
  }
  for (const stack& s : all) stacks::give(cache, s);
  stacks::flush(cache);
}

void take_a_burst() {
  stack_cache cache;
  std::vector<stack> all;
  for (;;) {
    all.push_back(stacks::take(cache));
    ASSERT_TRUE(all.back());
    if (cache.taken_in_row > stack_cache::k_quiet_batches) break;
    EXPECT_FALSE(has_memory(all.back())) << "a few are touched by who uses them";
    EXPECT_FALSE(cache.has_hot());
  }
  const bool is_possible = has_memory(all.back());
  for (unsigned i = cache.n; i != 0; --i) {
    EXPECT_EQ(cache.has_hot(), is_possible);
    all.push_back(stacks::take(cache));
    EXPECT_EQ(has_memory(all.back()), is_possible);
  }
  while (all.size() <= stack_cache::k_stacks) all.push_back(stacks::take(cache));
  for (const stack& s : all) stacks::give(cache, s);
  EXPECT_EQ(cache.taken_in_row, 0u) << "some went back to the pool";
  stacks::flush(cache);
}

TEST(StackDeathTest, InABurstTheNextOnesHaveTheirFirstPageAndAreHot) { expect_in_own_process(take_a_burst); }

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

TEST(Stack, OnlyWhatWasGivenBackIsHot) {
  stack_cache cache;
  EXPECT_FALSE(cache.has_hot());
  stack a = stacks::take(cache);
  EXPECT_GT(cache.n, 0u);  // more came with it
  EXPECT_FALSE(cache.has_hot());
  stack b = stacks::take(cache);
  EXPECT_FALSE(cache.has_hot());
  stacks::give(cache, a);
  EXPECT_TRUE(cache.has_hot());
  stacks::give(cache, b);
  a = stacks::take(cache);
  EXPECT_TRUE(cache.has_hot());
  b = stacks::take(cache);
  EXPECT_FALSE(cache.has_hot());
  stacks::give(cache, a);
  stacks::give(cache, b);
  stacks::flush(cache);
  EXPECT_FALSE(cache.has_hot());
}

TEST(Stack, AFullCacheKeepsTheNewerHalf) {
  const std::size_t kept = in_use();
  stack_cache taking, giving;
  std::vector<stack> all;
  for (unsigned i = 0; i <= stack_cache::k_stacks; ++i) all.push_back(stacks::take(taking));
  for (const stack& s : all) stacks::give(giving, s);
  EXPECT_EQ(giving.n, stack_cache::k_stacks / 2 + 1);
  for (unsigned i = 0; i <= stack_cache::k_stacks / 2; ++i) {
    EXPECT_EQ(stacks::take(giving).low, all[all.size() - 1 - i].low);
  }
  for (unsigned i = 0; i <= stack_cache::k_stacks / 2; ++i) stacks::give(giving, all[all.size() - 1 - i]);
  stacks::flush(taking);
  stacks::flush(giving);
  stacks::flush(taking);
  EXPECT_EQ(in_use(), kept);
}

TEST(Stack, ManyAreDisjointAndTheLowestIsUsedAgainFirst) {
  const std::size_t kept = in_use();
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
  EXPECT_EQ(peak.in_use, kept + (k_many + cache.n) * stacks::size());
  EXPECT_GE(peak.mapped, peak.in_use);

  std::shuffle(all.begin(), all.end(), std::mt19937(1));
  for (const stack& s : all) stacks::give(cache, s);
  stacks::flush(cache);
  const stacks::usage empty = stacks::read_usage();
  EXPECT_EQ(empty.in_use, kept);
  EXPECT_EQ(empty.mapped, peak.mapped);
  EXPECT_EQ(empty.cached_free + empty.released, peak.in_use - kept + peak.cached_free + peak.released);

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

TEST(Stack, TheSizeIsRoundedAndBounded) {
  size_setting restore(stacks::k_default_bytes);
  const struct {
    std::size_t asked, expected;
  } cases[] = {{0, stacks::k_smallest_bytes},
               {1, stacks::k_smallest_bytes},
               {std::size_t{128} << 10, std::size_t{128} << 10},
               {(std::size_t{128} << 10) + 1, std::size_t{256} << 10},
               {std::size_t{3} << 20, std::size_t{4} << 20},
               {SIZE_MAX, stacks::k_largest_bytes}};
  for (const auto& c : cases) {
    stacks::set_size(c.asked);
    EXPECT_EQ(stacks::size(), c.expected) << c.asked;
    stack_cache cache;
    stack s = stacks::take(cache);
    ASSERT_TRUE(s);
    EXPECT_EQ(usable(s), c.expected - stacks::k_guard_bytes);
    touch_top(s);
    *reinterpret_cast<volatile char*>(s.low) = 1;
    stacks::give(cache, s);
    stacks::flush(cache);
  }
}

TEST(Stack, ASizeMayChangeWhileStacksAreOut) {
  const std::size_t kept = in_use();
  size_setting restore(stacks::k_default_bytes);
  stack_cache cache;
  stack before = stacks::take(cache);
  ASSERT_GT(cache.n, 0u);
  stacks::set_size(2 * stacks::k_default_bytes);
  stack after = stacks::take(cache);  // not one that lay in the cache
  EXPECT_EQ(usable(after), 2 * stacks::k_default_bytes - stacks::k_guard_bytes);
  stacks::give(cache, before);
  stacks::give(cache, after);
  EXPECT_EQ(stacks::take(cache).low, after.low);
  stacks::set_size(stacks::k_default_bytes);
  EXPECT_EQ(stacks::take(cache).low, before.low);  // the lowest of its pool
  stacks::give(cache, after);
  stacks::give(cache, before);
  stacks::flush(cache);
  EXPECT_EQ(in_use(), kept);
}

TEST(Stack, OneOfItsOwnSize) {
  for (std::size_t bytes :
       {std::size_t{1}, std::size_t{1} << 20, std::size_t{100} << 20, stacks::k_largest_bytes / 2}) {
    const stacks::usage before = stacks::read_usage();
    stack s = stacks::take_own(bytes);
    ASSERT_TRUE(s);
    EXPECT_GE(usable(s), bytes);
    EXPECT_EQ(stacks::read_usage().in_use - before.in_use, usable(s) + stacks::k_guard_bytes);
    *reinterpret_cast<volatile char*>(s.low) = 1;
    touch_top(s);
    stack found;
    bool in_guard = false;
    ASSERT_TRUE(stacks::find(s.low - 1, found, in_guard));
    EXPECT_TRUE(in_guard);
    EXPECT_EQ(found.high, s.high);
    stacks::give_own(s);
    EXPECT_EQ(*reinterpret_cast<volatile char*>(s.low), 0) << "its memory was returned";
    EXPECT_EQ(stacks::read_usage().in_use, before.in_use);
  }
  EXPECT_FALSE(stacks::take_own(stacks::k_largest_bytes));
  EXPECT_FALSE(stacks::take_own(SIZE_MAX));
}

TEST(Stack, TrimReturnsWhatLiesBelowTheRedZone) {
  stack_cache cache;
  stack s = stacks::take(cache);
  std::memset(s.low, 1, usable(s));
  const std::size_t page = heap::the_os().physical_page_bytes();
  char* sp = s.high - 2 * page + 100;  // the red zone lies in the page below
  stacks::trim(s, sp);
  EXPECT_EQ(std::count(s.low, s.high - 3 * page, 0), static_cast<long>(usable(s) - 3 * page));
  EXPECT_EQ(std::count(s.high - 3 * page, s.high, 1), static_cast<long>(3 * page));
  std::memset(s.low, 2, usable(s));
  stacks::trim(s, s.low);
  stacks::trim(s, s.low + 128);
  EXPECT_EQ(std::count(s.low, s.high, 2), static_cast<long>(usable(s)));
  stacks::give(cache, s);
  stacks::flush(cache);
}

void many_cost_a_page_each() {
  const std::size_t many = test_count(100'000);
  stack_cache cache;
  std::vector<stack> all(many);
  const std::size_t before = memory_and_tables();
  for (stack& s : all) {
    s = stacks::take(cache);
    ASSERT_TRUE(s);
    touch_top(s);
  }
  const std::size_t peak = memory_and_tables();
  const std::size_t page = heap::the_os().physical_page_bytes();
  if (!CAIRN_ASAN && !CAIRN_TSAN && page == 4096) {
    EXPECT_LE((peak - before) / many, std::size_t{4813}) << "4.7 KiB";
  }

  for (const stack& s : all) stacks::give(cache, s);
  stacks::flush(cache);
  EXPECT_EQ(stacks::release_idle(), 0u) << "they have not lain for long";
  EXPECT_GE(status_bytes("VmRSS"), many * page);
  EXPECT_GE(stacks::release_idle(), many * stacks::size());
  EXPECT_EQ(stacks::read_usage().cached_free, 0u);
  EXPECT_EQ(stacks::release_idle(), 0u);
  if (!CAIRN_ASAN && !CAIRN_TSAN) {
    EXPECT_LE(status_bytes("VmRSS"), before + many * page / 10);
  }
}

TEST(StackDeathTest, ManyCostATouchedPageEachAndItComesBack) { expect_in_own_process(many_cost_a_page_each); }

// Whether the system returns page tables of which all is returned: Linux 6.14 may.
bool returns_tables() {
  constexpr std::size_t k_bytes = std::size_t{64} << 20;
  heap::os& system = heap::the_os();
  char* const base = static_cast<char*>(system.reserve(k_bytes, heap::k_huge_page_bytes, nullptr));
  if (base == nullptr || !system.commit(base, k_bytes)) return false;
  system.advise(base, k_bytes, heap::huge_pages::no);
  for (std::size_t at = 0; at < k_bytes; at += heap::k_huge_page_bytes) base[at] = 1;
  const std::size_t before = status_bytes("VmPTE");
  system.give_back(base, k_bytes);
  const std::size_t after = status_bytes("VmPTE");
  system.release(base, k_bytes);
  return after < before;
}

void return_the_page_tables() {
  const std::size_t many = test_count(20'000);
  stack_cache cache;
  std::vector<stack> all(many);
  const std::size_t before = status_bytes("VmPTE");
  for (stack& s : all) {
    s = stacks::take(cache);
    ASSERT_TRUE(s);
    touch_top(s);
  }
  const std::size_t peak = status_bytes("VmPTE");
  // One that stays keeps the table of its neighbours, and nobody else's.
  const stack stays = all[many / 2];
  for (const stack& s : all)
    if (s.low != stays.low) stacks::give(cache, s);
  stacks::flush(cache);
  stacks::release_idle();
  EXPECT_GT(stacks::release_idle(), 0u);
  EXPECT_LT(status_bytes("VmPTE"), before + (peak - before) / 10);
  EXPECT_EQ(*reinterpret_cast<volatile char*>(stays.high - 64), 1);
  EXPECT_EQ(stacks::release_idle(), 0u) << "all of them are bare by now";

  stacks::give(cache, stays);
  stacks::flush(cache);
  stacks::release_idle();
  EXPECT_GT(stacks::release_idle(), 0u);
}

TEST(StackDeathTest, PageTablesOfIdleStacksComeBack) {
  if (CAIRN_ASAN || CAIRN_TSAN || !returns_tables()) GTEST_SKIP() << "the system keeps them";
  expect_in_own_process(return_the_page_tables);
}

// Some had their guards taken with the page tables, some have kept them, some are new.
void all_have_guards_again() {
  stack_cache cache;
  std::vector<stack> all(200);
  for (stack& s : all) s = stacks::take(cache);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (i % 50 != 0) stacks::give(cache, all[i]);
  stacks::flush(cache);
  stacks::release_idle();
  stacks::release_idle();
  for (int i = 0; i < 400; ++i) all.push_back(stacks::take(cache));
  for (const stack& s : all) {
    for (char* at : {s.low - stacks::k_guard_bytes, s.low - 1}) EXPECT_FALSE(is_readable(at));
    EXPECT_TRUE(is_readable(s.low));
    EXPECT_TRUE(is_readable(s.high - 1));
  }
}

TEST(StackDeathTest, WhoeverGetsOneAfterItWasIdleHasAGuard) { expect_in_own_process(all_have_guards_again); }

void return_what_lay_between_two_calls() {
  stack_cache cache;
  std::vector<stack> all(64);
  for (stack& s : all) {
    s = stacks::take(cache);
    touch_top(s);
  }
  for (const stack& s : all) stacks::give(cache, s);
  stacks::flush(cache);
  stacks::release_idle();
  stack used = stacks::take(cache);  // and a batch of neighbours with it
  EXPECT_EQ(*reinterpret_cast<volatile char*>(used.high - 64), 1);
  stacks::release_idle();
  EXPECT_EQ(*reinterpret_cast<volatile char*>(used.high - 64), 1);
  stacks::give(cache, used);
  stacks::flush(cache);
  EXPECT_EQ(stacks::release_idle(), 0u) << "free for less than one call";
  EXPECT_GT(stacks::release_idle(), 0u);
}

TEST(StackDeathTest, WhatIsInUseBetweenTwoCallsStaysAndWhatIsTakenIsNotReturned) {
  expect_in_own_process(return_what_lay_between_two_calls);
}

void take_until_refused() {
  const rlimit limit{status_bytes("VmSize") + (std::size_t{200} << 20), RLIM_INFINITY};
  if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(10);
  static stack_cache cache;
  static stack all[100'000];
  std::size_t n = 0;
  while (n < 100'000 && (all[n] = stacks::take(cache))) touch_top(all[n++]);
  if (n == 100'000 || n < 100) _exit(11);
  if (stacks::take(cache)) _exit(12);
  for (std::size_t i = 0; i < n; ++i) stacks::give(cache, all[i]);
  std::size_t again = 0;
  while ((all[again] = stacks::take(cache))) ++again;
  _exit(again == n ? 7 : 13);
}

TEST(StackDeathTest, AnExhaustedAddressSpaceGivesAnEmptyStack) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(take_until_refused(), testing::ExitedWithCode(7), "");
}

void run_without_guards() {
  heap::fake_os os;
  os.fail_kind(heap::fake_os::k_guard);
  stack_cache cache;
  for (int i = 0; i < 100; ++i) {
    stack s = stacks::take(cache);
    if (!s) _exit(10);
    std::memset(s.low, 1, usable(s));
  }
  _exit(stacks::read_usage().unguarded >= 100 && os.violations().empty() ? 7 : 11);
}

TEST(StackDeathTest, WithoutGuardsItGoesOnAndSaysSoOnce) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(run_without_guards(), testing::ExitedWithCode(7), "^cairn: goroutine stacks [^\n]*\n$");
}

void run_a_burst_without_populate() {
  heap::fake_os os;
  os.fail_kind(heap::fake_os::k_populate);
  stack_cache cache;
  for (int i = 0; i < 300; ++i) {
    stack s = stacks::take(cache);
    if (!s) _exit(10);
    if (cache.has_hot()) _exit(11);
    touch_top(s);
  }
  if (os.calls(heap::fake_os::k_populate) == 0) _exit(12);
  _exit(stacks::read_usage().unguarded == 0 && os.violations().empty() ? 7 : 13);
}

TEST(StackDeathTest, WhereNothingCanBePopulatedABurstGoesOn) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(run_a_burst_without_populate(), testing::ExitedWithCode(7), "");
}

void run_out_of_memory_for_tables() {
  heap::fake_os os;
  stack_cache cache;
  for (auto kind : {heap::fake_os::k_reserve, heap::fake_os::k_map, heap::fake_os::k_commit}) {
    os.fail_kind(kind);
    if (stacks::take(cache) || stacks::take_own(1)) _exit(10);
    os.fail_kind(kind, false);
  }
  const std::size_t reserved = os.reserved_bytes();
  os.fail_kind(heap::fake_os::k_commit);
  for (int i = 0; i < 1000; ++i)
    if (stacks::take(cache)) _exit(11);
  if (os.reserved_bytes() != reserved) _exit(12);
  os.fail_kind(heap::fake_os::k_commit, false);
  stack s = stacks::take(cache);
  if (!s) _exit(13);
  std::memset(s.low, 1, usable(s));
  _exit(os.violations().empty() ? 7 : 14);
}

TEST(StackDeathTest, EachRefusalGivesAnEmptyStackAndTheNextCallTriesAgain) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(run_out_of_memory_for_tables(), testing::ExitedWithCode(7), "");
}

// Threads with caches of their own give what others took, while one returns idle memory.
TEST(Stack, ManyThreadsShareThePools) {
  const std::size_t kept = in_use();
  constexpr unsigned k_threads = 4;
  const std::size_t rounds = test_count(20'000);
  struct item {
    stack held;
    std::uint64_t mark;
    std::uint64_t& place() const { return *(reinterpret_cast<std::uint64_t*>(held.high) - 1); }
  };
  std::atomic<item*> exchange[64] = {};
  std::atomic<bool> stop{false};
  std::atomic<int> corrupted{0};
  auto end = [&](stack_cache& cache, item* it) {
    if (it == nullptr) return;
    if (it->place() != it->mark) ++corrupted;
    stacks::give(cache, it->held);
    delete it;
  };
  auto work = [&](unsigned seed) {
    std::mt19937_64 random(seed);
    stack_cache cache;
    for (std::size_t i = 0; i < rounds; ++i) {
      auto* mine = new item{stacks::take(cache), random()};
      mine->place() = mine->mark;
      end(cache, exchange[random() % 64].exchange(mine));
    }
    stacks::flush(cache);
  };
  std::thread idle([&] {
    while (!stop.load()) stacks::release_idle();
  });
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < k_threads; ++t) threads.emplace_back(work, t + 1);
  for (std::thread& t : threads) t.join();
  stop.store(true);
  idle.join();
  stack_cache cache;
  for (auto& slot : exchange) end(cache, slot.load());
  stacks::flush(cache);
  EXPECT_EQ(corrupted.load(), 0);
  EXPECT_EQ(in_use(), kept);
}

}  // namespace
}  // namespace cairn::sched
