// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/os.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "cairn/detail/annotate.h"
#include "tests/heap/fake_os.h"

namespace cairn::heap {
namespace {

constexpr std::size_t k_mib = std::size_t{1} << 20;

bool is_zero(const char* p, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    if (p[i] != 0) return false;
  }
  return true;
}

// Pages of the range that have memory behind them.
std::size_t resident_kib() {
  std::FILE* f = std::fopen("/proc/self/statm", "r");
  long size = 0, resident = 0;
  EXPECT_EQ(std::fscanf(f, "%ld %ld", &size, &resident), 2);
  std::fclose(f);
  return static_cast<std::size_t>(resident) * the_os().physical_page_bytes() / 1024;
}

TEST(Os, PhysicalPageIsAPowerOfTwo) {
  const std::size_t page = the_os().physical_page_bytes();
  EXPECT_GE(page, 4096u);
  EXPECT_EQ(page & (page - 1), 0u);
}

TEST(Os, ReservationsAreAligned) {
  for (std::size_t align = the_os().physical_page_bytes(); align <= 256 * k_mib; align *= 4) {
    void* p = the_os().reserve(3 * k_mib, align, nullptr);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % align, 0u);
    the_os().release(p, 3 * k_mib);
  }
}

// In a forked child, which a fault ends.
bool faults(char* at) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    *static_cast<volatile char*>(at) = 1;
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

TEST(Os, AGuardFaultsAndOutlivesAReturnOfWhatIsAroundIt) {
  const std::size_t page = the_os().physical_page_bytes();
  auto* p = static_cast<char*>(the_os().reserve(16 * page, page, nullptr));
  ASSERT_NE(p, nullptr);
  ASSERT_TRUE(the_os().commit(p, 16 * page));
  std::memset(p, 1, 16 * page);
  ASSERT_NE(the_os().guard(p + 4 * page, 4 * page, true), guard_kind::none);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(faults(p + 4 * page));
    EXPECT_TRUE(faults(p + 8 * page - 1));
    EXPECT_FALSE(faults(p + 4 * page - 1));
    EXPECT_FALSE(faults(p + 8 * page));
    EXPECT_TRUE(the_os().give_back(p, 16 * page));
  }
  EXPECT_TRUE(is_zero(p, 4 * page));
  EXPECT_TRUE(is_zero(p + 8 * page, 8 * page));
  the_os().release(p, 16 * page);
}

// Locked pages cannot be marked; nor can any before Linux 6.13.
TEST(Os, AGuardSplitsTheMappingOnlyWhenItMay) {
  const std::size_t page = the_os().physical_page_bytes();
  auto* p = static_cast<char*>(the_os().map(4 * page));
  ASSERT_NE(p, nullptr);
  // The call itself: under the sanitizers mlock does nothing.
  if (syscall(SYS_mlock, p, 4 * page) != 0) GTEST_SKIP() << "no memory may be locked here";
  EXPECT_EQ(the_os().guard(p + page, page, false), guard_kind::none);
  EXPECT_FALSE(faults(p + page));
  EXPECT_EQ(the_os().guard(p + page, page, true), guard_kind::split);
  EXPECT_TRUE(faults(p + page));
  EXPECT_FALSE(faults(p));
  the_os().release(p, 4 * page);
}

struct three_ranges {
  const std::size_t page = the_os().physical_page_bytes();
  char* const base = static_cast<char*>(the_os().map(16 * page));
  const range at[3] = {{base + page, page}, {base + 4 * page, 2 * page}, {base + 15 * page, page}};
  ~three_ranges() { the_os().release(base, 16 * page); }
  bool in_a_range(char* p) const {
    for (const range& r : at)
      if (p >= r.address && p < static_cast<char*>(r.address) + r.bytes) return true;
    return false;
  }
};

TEST(Os, OneCallGuardsSeveralRangesAndNothingElse) {
  const three_ranges three;
  ASSERT_NE(three.base, nullptr);
  const std::size_t made = the_os().guard_marks(three.at, 3);
  if (made == 0) GTEST_SKIP() << "the system has no such call";
  EXPECT_EQ(made, 3u);
  for (char* p = three.base; p != three.base + 16 * three.page; p += three.page)
    EXPECT_EQ(faults(p), three.in_a_range(p)) << p - three.base;
}

TEST(Os, WhichOfSeveralRangesGotNoGuardIsTold) {
  const three_ranges three;
  ASSERT_NE(three.base, nullptr);
  if (syscall(SYS_mlock, three.at[1].address, three.at[1].bytes) != 0)
    GTEST_SKIP() << "no memory may be locked here";
  const std::size_t made = the_os().guard_marks(three.at, 3);
  if (made == 0) GTEST_SKIP() << "the system has no such call";
  EXPECT_EQ(made, 1u);
  EXPECT_TRUE(faults(static_cast<char*>(three.at[0].address)));
  EXPECT_FALSE(faults(static_cast<char*>(three.at[1].address)));
  EXPECT_FALSE(faults(static_cast<char*>(three.at[2].address)));
}

TEST(Os, MarksAreTakenOffAgainAndWhatHadNoneStays) {
  const three_ranges three;
  ASSERT_NE(three.base, nullptr);
  std::memset(three.base, 7, 16 * three.page);
  if (the_os().guard_marks(three.at, 2) == 0) GTEST_SKIP() << "the system has no such call";
  the_os().unmark(three.at, 3);
  EXPECT_TRUE(is_zero(static_cast<char*>(three.at[0].address), three.at[0].bytes));
  EXPECT_TRUE(is_zero(static_cast<char*>(three.at[1].address), three.at[1].bytes));
  EXPECT_EQ(*static_cast<char*>(three.at[2].address), 7);
  for (char* p = three.base; p != three.base + 16 * three.page; p += three.page) EXPECT_FALSE(faults(p));
}

TEST(Os, OneCallGivesSeveralRangesMemoryAndKeepsWhatIsThere) {
  const three_ranges three;
  ASSERT_NE(three.base, nullptr);
  *static_cast<char*>(three.at[0].address) = 7;
  if (!the_os().populate(three.at, 3)) GTEST_SKIP() << "the system has no such call";
  unsigned char resident[16];
  ASSERT_EQ(mincore(three.base, 16 * three.page, resident), 0);
  for (std::size_t i = 0; i < 16; ++i)
    EXPECT_EQ((resident[i] & 1) != 0, three.in_a_range(three.base + i * three.page)) << i;
  EXPECT_EQ(*static_cast<char*>(three.at[0].address), 7);
  EXPECT_TRUE(is_zero(static_cast<char*>(three.at[1].address), three.at[1].bytes));
}

TEST(Os, HintIsTakenWhenFreeAndElsewhereWhenNot) {
  void* first = the_os().reserve(4 * k_mib, k_mib, nullptr);
  ASSERT_NE(first, nullptr);
  void* second = the_os().reserve(4 * k_mib, k_mib, first);
  ASSERT_NE(second, nullptr);
  EXPECT_NE(second, first);
  the_os().release(second, 4 * k_mib);
  the_os().release(first, 4 * k_mib);
#if !CAIRN_ASAN
  void* again = the_os().reserve(4 * k_mib, k_mib, first);
  EXPECT_EQ(again, first);
  the_os().release(again, 4 * k_mib);
#endif
}

TEST(Os, ImpossibleReservationIsRefused) {
  EXPECT_EQ(the_os().reserve(std::size_t{1} << 62, k_arena_bytes, nullptr), nullptr);
  EXPECT_EQ(the_os().reserve(SIZE_MAX - 4095, k_arena_bytes, nullptr), nullptr);
}

TEST(Os, CommittedMemoryIsZeroAndKeepsItsContents) {
  char* p = static_cast<char*>(the_os().reserve(4 * k_mib, k_mib, nullptr));
  ASSERT_NE(p, nullptr);
  ASSERT_TRUE(the_os().commit(p, k_mib));
  EXPECT_TRUE(is_zero(p, k_mib));
  std::memset(p, 7, k_mib);
  ASSERT_TRUE(the_os().commit(p, 2 * k_mib));
  EXPECT_EQ(p[0], 7);
  EXPECT_EQ(p[k_mib - 1], 7);
  EXPECT_TRUE(is_zero(p + k_mib, k_mib));
  the_os().release(p, 4 * k_mib);
}

TEST(Os, MemoryGivenBackReadsAsZeroAndCanBeWritten) {
  char* p = static_cast<char*>(the_os().reserve(32 * k_mib, k_huge_page_bytes, nullptr));
  ASSERT_NE(p, nullptr);
  ASSERT_TRUE(the_os().commit(p, 32 * k_mib));
  the_os().advise(p, 32 * k_mib, huge_pages::no);
  std::memset(p, 1, 32 * k_mib);
  const std::size_t before = resident_kib();
  ASSERT_TRUE(the_os().give_back(p, 31 * k_mib));
  if (!CAIRN_TSAN && !CAIRN_ASAN) {
    EXPECT_LE(resident_kib() + 25 * 1024, before);
  }
  EXPECT_TRUE(is_zero(p, 31 * k_mib));
  EXPECT_EQ(p[31 * k_mib], 1);
  p[0] = 2;
  EXPECT_EQ(p[0], 2);
  the_os().advise(p, 32 * k_mib, huge_pages::yes);
  EXPECT_EQ(p[0], 2);
  the_os().release(p, 32 * k_mib);
}

TEST(Os, FailedCallsKeepErrno) {
  errno = 4711;
  EXPECT_EQ(the_os().reserve(std::size_t{1} << 62, k_arena_bytes, nullptr), nullptr);
  EXPECT_EQ(the_os().map(std::size_t{1} << 62), nullptr);
  EXPECT_FALSE(the_os().commit(reinterpret_cast<void*>(1), 4096));
  EXPECT_FALSE(the_os().give_back(reinterpret_cast<void*>(1), 4096));
  the_os().advise(reinterpret_cast<void*>(1), 4096, huge_pages::yes);
  the_os().release(reinterpret_cast<void*>(1), 4096);
  (void)the_os().address_space_left();
  EXPECT_EQ(errno, 4711);
}

TEST(Os, MapIsZero) {
  char* p = static_cast<char*>(the_os().map(k_mib));
  ASSERT_NE(p, nullptr);
  EXPECT_TRUE(is_zero(p, k_mib));
  the_os().release(p, k_mib);
}

TEST(ReserveHeap, TakesWhatIsWantedAlignedToAnArena) {
  const reservation r = reserve_heap();
  ASSERT_NE(r.base, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(r.base) % k_arena_bytes, 0u);
  if (CAIRN_TSAN) {
    EXPECT_LE(r.bytes, std::size_t{64} << 30);
  } else if (CAIRN_ASAN) {
    EXPECT_LE(r.bytes, std::size_t{256} << 30);
  } else if (the_os().address_space_left() == SIZE_MAX) {
    EXPECT_EQ(r.bytes, k_largest_heap_bytes);
  }
  // Both ends are ours.
  char* base = static_cast<char*>(r.base);
  EXPECT_TRUE(the_os().commit(base, k_mib));
  EXPECT_TRUE(the_os().commit(base + r.bytes - k_mib, k_mib));
  base[0] = base[r.bytes - 1] = 1;
  the_os().release(r.base, r.bytes);
}

// Where the system lets the heap lie where it would.
TEST(ReserveHeap, HalfOfAnAddressAndASmallNumberLieOutside) {
  if (CAIRN_TSAN || CAIRN_ASAN) GTEST_SKIP() << "the kernel chooses";
  constexpr std::size_t k_two_gib = std::size_t{2} << 30;
  const reservation r = reserve_heap(k_two_gib);
  ASSERT_NE(r.base, nullptr);
  const auto base = reinterpret_cast<std::uintptr_t>(r.base);
  const std::uintptr_t upper = base >> 32 << 32;
  for (const std::uint32_t number :
       {0u, 1u, 4u, 1000u, 1'000'000u, 0x3f80'0000u, 1'800'000'000u, 0x8000'0000u})
    EXPECT_GE((upper | number) - base, k_two_gib) << number;
  for (const std::uint32_t below_zero : {1u, 4u, 1000u, 1'000'000u})
    EXPECT_GE((upper | (0u - below_zero)) - base, (k_two_gib - (std::size_t{256} << 20))) << below_zero;
  the_os().release(r.base, r.bytes);
}

TEST(ReserveHeap, TwoHeapsDoNotMeet) {
  const reservation a = reserve_heap(k_arena_bytes), b = reserve_heap(k_arena_bytes),
                    c = reserve_heap(k_arena_bytes), d = reserve_heap(k_arena_bytes);
  for (const reservation& r : {a, b, c, d}) ASSERT_NE(r.base, nullptr);
  EXPECT_NE(a.base, b.base);
  for (const reservation& r : {a, b, c, d}) the_os().release(r.base, r.bytes);
}

TEST(ReserveHeap, HalvesUntilGranted) {
  for (std::size_t limit = k_arena_bytes; limit <= (std::size_t{8} << 30); limit *= 2) {
    fake_os fake;
    fake.limit_reservation(limit + limit / 2);
    const reservation r = reserve_heap();
    ASSERT_NE(r.base, nullptr);
    EXPECT_EQ(r.bytes, limit);
    EXPECT_EQ(fake.reserved_bytes(), limit);
    the_os().release(r.base, r.bytes);
  }
}

TEST(ReserveHeap, GivesUpBelowOneArena) {
  fake_os fake;
  fake.limit_reservation(k_arena_bytes - 1);
  EXPECT_EQ(reserve_heap().base, nullptr);
  EXPECT_EQ(fake.reserved_bytes(), 0u);
}

TEST(ReserveHeap, LeavesHalfOfTheAddressSpace) {
  fake_os fake;
  fake.set_address_space_left(std::size_t{3} << 30);
  const reservation r = reserve_heap();
  EXPECT_EQ(r.bytes, std::size_t{1} << 30);
  the_os().release(r.base, r.bytes);
  // Too little for a fair share: one arena all the same.
  fake.set_address_space_left(100 * k_mib);
  const reservation least = reserve_heap();
  EXPECT_EQ(least.bytes, k_arena_bytes);
  the_os().release(least.base, least.bytes);
}

TEST(ReserveHeap, EveryFailingCallLeavesNothingBehind) {
  for (std::size_t n = 0;; ++n) {
    fake_os fake;
    fake.fail_call(n);
    const reservation r = reserve_heap(4 * k_arena_bytes);
    ASSERT_NE(r.base, nullptr);
    EXPECT_EQ(fake.reserved_bytes(), r.bytes);
    the_os().release(r.base, r.bytes);
    if (fake.failures() == 0) break;
  }
}

#if !CAIRN_TSAN && !CAIRN_ASAN
// Sanitizers map more than any limit that would tell something.
std::size_t address_space_in_use() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  std::size_t pages = 0;
  if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
  std::fclose(file);
  return pages * the_os().physical_page_bytes();
}

// Beyond what the process has by now, for tests before this one may have reserved much.
int heap_under_limit(std::size_t limit_bytes) {
  const std::size_t all = address_space_in_use() + limit_bytes;
  const rlimit limit{all, all};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) return 1;
  const std::size_t left = the_os().address_space_left();
  if (left == SIZE_MAX || left > limit_bytes) return 2;
  const reservation r = reserve_heap();
  if (r.base == nullptr || r.bytes < k_arena_bytes) return 3;
  if (r.bytes > left / 2 || r.bytes * 4 <= left) return 4;
  if (!the_os().commit(r.base, k_mib)) return 5;
  static_cast<char*>(r.base)[5] = 1;
  if (the_os().address_space_left() + r.bytes > left) return 6;
  return 0;
}

TEST(ReserveHeap, FitsUnderALimitOfTheProcess) {
  for (const std::size_t limit : {std::size_t{512} << 20, std::size_t{4} << 30, std::size_t{100} << 30}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(heap_under_limit(limit));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << limit;
  }
}
#endif

TEST(FakeOs, SeesBrokenContracts) {
  fake_os fake;
  char* p = static_cast<char*>(the_os().reserve(k_mib, 65536, nullptr));
  ASSERT_NE(p, nullptr);
  EXPECT_FALSE(the_os().give_back(p + 1, 4096));
  EXPECT_EQ(fake.violations().size(), 2u);  // unaligned and not committed
  fake.forget_violations();
  fake.fail_kind(fake_os::k_commit);
  EXPECT_FALSE(the_os().commit(p + k_mib - 4096, 8192));
  EXPECT_EQ(fake.violations().size(), 1u);
  fake.forget_violations();
  the_os().release(p, k_mib);
  EXPECT_TRUE(fake.violations().empty());
  EXPECT_EQ(fake.reserved_bytes(), 0u);
}

// As one of the runtime's that an earlier test has started, and that gives back memory of then.
TEST(FakeOs, IsNoneOfTheBusinessOfAThreadThatHasNotMadeIt) {
  const std::size_t page = the_os().physical_page_bytes();
  void* const old = the_os().map(2 * page);
  ASSERT_NE(old, nullptr);
  fake_os fake;
  fake.fail_kind(fake_os::k_map);
  fake.fail_kind(fake_os::k_give_back);
  fake.set_physical_page(16 * page);
  std::thread([&] {
    EXPECT_TRUE(the_os().give_back(old, page));
    EXPECT_EQ(the_os().physical_page_bytes(), page);
    void* const p = the_os().map(page);
    EXPECT_NE(p, nullptr);
    the_os().release(p, page);
    the_os().release(old, 2 * page);
  }).join();
  EXPECT_TRUE(fake.violations().empty());
  EXPECT_EQ(fake.calls(fake_os::k_map) + fake.calls(fake_os::k_give_back) + fake.calls(fake_os::k_release),
            0u);
}

TEST(FakeOs, IsAlsoForAThreadThatSaysSo) {
  fake_os fake;
  fake.fail_kind(fake_os::k_map);
  std::thread([&] {
    const std::size_t page = the_os().physical_page_bytes();
    {
      const fake_os::use its_os(fake);
      EXPECT_EQ(the_os().map(page), nullptr);
    }
    void* const p = the_os().map(page);
    EXPECT_NE(p, nullptr);
    the_os().release(p, page);
  }).join();
  EXPECT_EQ(fake.calls(fake_os::k_map), 1u);
}

}  // namespace
}  // namespace cairn::heap
