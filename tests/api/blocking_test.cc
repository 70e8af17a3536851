// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// blocking(f): the P goes to others while f is in the kernel, and what the goroutine is and holds stays.
#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

// Inside blocking, where the library may not be called.
void nap() { std::this_thread::sleep_for(1ms); }

TEST(Blocking, HandsTheOnlyProcToAnother) {
  on_procs(1, [] {
    std::atomic<bool> entered{false}, other_ran{false};
    cairn::go([&] {
      while (!entered) cairn::yield();
      other_ran = true;
    });
    EXPECT_TRUE(cairn::blocking([&] {
      entered = true;
      patience left;
      while (!other_ran && !left.is_over()) nap();
      return other_ran.load();
    }));
  });
}

TEST(Blocking, OthersGoOnDuringASleepInTheKernel) {
  on_procs(1, [] {
    std::atomic<bool> over{false};
    std::atomic<int> turns_of_other{0};
    wait_group all;
    all.go([&] {
      cairn::blocking([&] { EXPECT_TRUE(wait_until([&] { return turns_of_other > 10; })); });
      over = true;
    });
    all.go([&] {
      while (!over) {
        cairn::yield();
        ++turns_of_other;
      }
    });
    all.wait();
  });
}

TEST(Blocking, ManyAreInsideAtOnceOnOneProc) {
  on_procs(1, [] {
    constexpr int k_goroutines = 30;
    std::atomic<int> inside{0}, right{0};
    wait_group all;
    for (int i = 0; i < k_goroutines; ++i)
      all.go([&, i] {
        cell* mine = make_list(static_cast<std::uint64_t>(i), 20);
        cairn::blocking([&] {
          ++inside;
          while (inside < k_goroutines) nap();
        });
        right += is_list(mine, static_cast<std::uint64_t>(i), 20);
      });
    all.wait();
    EXPECT_EQ(right, k_goroutines);
  });
}

std::size_t count_threads() {
  std::error_code failed;
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/task", failed), {}));
}

TEST(Blocking, TheThreadsOfABurstEndWhenNobodyNeedsThem) {
  on_procs(2, [] {
    constexpr int k_goroutines = 40, k_needed = 10;
    collections back_to_back;
    std::atomic<int> inside{0}, right{0};
    std::atomic<std::size_t> threads{0};
    wait_group all;
    for (int i = 0; i < k_goroutines; ++i)
      all.go([&, i] {
        cell* mine = make_list(static_cast<std::uint64_t>(i), 20);
        cairn::blocking([&] {
          if (++inside == k_goroutines) threads = count_threads();
          while (threads == 0) nap();
        });
        right += is_list(mine, static_cast<std::uint64_t>(i), 20);
      });
    all.wait();
    EXPECT_EQ(right, k_goroutines);
    EXPECT_TRUE(eventually([&] { return count_threads() <= threads - k_goroutines + k_needed; }))
        << count_threads() << " of " << threads;
  });
}

TEST(Blocking, ACollectionDoesNotWaitForIt) {
  on_one_and_two_procs([] {
    std::atomic<bool> inside{false}, collected{false};
    auto t = cairn::spawn([&] {
      cell* mine = make_list(1, 100);
      cairn::blocking([&] {
        inside = true;
        while (!collected) nap();
      });
      return is_list(mine, 1, 100);
    });
    EXPECT_TRUE(eventually([&] { return inside.load(); }));
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    collected = true;
    EXPECT_TRUE(t.get());
  });
}

TEST(Blocking, ComesBackAgainAndAgainBesideCollections) {
  on_one_and_two_procs([] {
    collections back_to_back;
    wait_group all;
    std::atomic<std::size_t> right{0};
    const std::size_t rounds = test_count(200, 20);
    for (std::uint64_t number = 0; number < 4; ++number)
      all.go([&, number] {
        cell* mine = make_list(number, 20);
        for (std::size_t i = 0; i < rounds; ++i) {
          const pid_t got = cairn::blocking([] { return getppid(); });
          right += got == getppid() && is_list(mine, number, 20);
          if (i % 8 == 0) mine = make_list(number, 20);
        }
      });
    all.wait();
    EXPECT_EQ(right, 4 * rounds);
  });
}

TEST(Blocking, SleepersAndYieldersRunMeanwhile) {
  on_procs(1, [] {
    std::atomic<int> awake{0};
    wait_group all;
    for (int i = 0; i < 5; ++i)
      all.go([&] {
        cairn::sleep_for(1ms);
        ++awake;
      });
    cairn::blocking([&] {
      while (awake < 5) nap();
    });
    all.wait();
    EXPECT_EQ(awake, 5);
  });
}

TEST(Blocking, LeavesErrnoAsTheFunctionDid) {
  on_one_and_two_procs([] {
    wait_group all;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 8; ++i)
      all.go([&] {
        for (int k = 0; k < 50; ++k) {
          const ssize_t n = cairn::blocking([] { return read(-1, nullptr, 0); });
          const int error = get_errno();
          if (n != -1 || error != EBADF) ++wrong;
        }
      });
    all.wait();
    EXPECT_EQ(wrong, 0);
  });
}

TEST(Blocking, ExceptionsComeOutOfIt) {
  on_one_and_two_procs([] {
    for (int i = 0; i < 50; ++i) {
      try {
        cairn::blocking([i] {
          if (i % 2 == 0) nap();
          throw std::runtime_error(std::to_string(i));
        });
        FAIL();
      } catch (const std::runtime_error& e) {
        cairn::yield();
        EXPECT_EQ(e.what(), std::to_string(i));
      }
    }
  });
}

TEST(Blocking, GivesWhatTheFunctionReturns) {
  on_one_and_two_procs([] {
    EXPECT_EQ(cairn::blocking([] { return 5; }), 5);
    EXPECT_EQ(*cairn::blocking([] { return std::make_unique<std::string>("moved"); }), "moved");
    int there = 0;
    EXPECT_EQ(&cairn::blocking([&]() -> int& { return there; }), &there);
  });
}

TEST(Blocking, ALockedGoroutineStaysOnItsThread) {
  on_one_and_two_procs([] {
    cairn::spawn([] {
      cairn::lock_os_thread here;
      const pid_t mine = gettid();
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(cairn::blocking([] {
                    nap();
                    return gettid();
                  }),
                  mine);
        EXPECT_EQ(gettid(), mine);
      }
    }).get();
  });
}

// The wait for a byte hands the P to the goroutine that writes it.
TEST(Blocking, APipeBetweenTwoGoroutinesOnOneProc) {
  on_procs(1, [] {
    int to[2], fro[2];
    ASSERT_EQ(pipe(to), 0);
    ASSERT_EQ(pipe(fro), 0);
    auto echo = cairn::spawn([&] {
      char c = 0;
      while (cairn::blocking([&] { return read(to[0], &c, 1); }) == 1)
        if (write(fro[1], &c, 1) != 1) break;
    });
    for (int i = 0; i < 100; ++i) {
      const char sent = static_cast<char>(i);
      char got = -1;
      ASSERT_EQ(write(to[1], &sent, 1), 1);
      ASSERT_EQ(cairn::blocking([&] { return read(fro[0], &got, 1); }), 1);
      ASSERT_EQ(got, sent);
    }
    close(to[1]);
    echo.get();
    for (int fd : {to[0], fro[0], fro[1]}) close(fd);
  });
}

}  // namespace
