// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/lock.h"

#include <gtest/gtest.h>
#include <time.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/scale.h"

namespace cairn::heap {
namespace {

constinit lock g_lock;  // constant initialisation is part of the contract

TEST(Lock, ExcludesOthersUntilUnlocked) {
  const bool first = g_lock.try_lock();
  EXPECT_TRUE(first);
  if (!first) return;
  EXPECT_TRUE(g_lock.is_held());
  bool taken = true;
  std::thread([&] {
    if (!g_lock.try_lock()) {
      taken = false;
    } else {
      g_lock.unlock();
    }
  }).join();
  EXPECT_FALSE(taken);
  g_lock.unlock();
  EXPECT_FALSE(g_lock.is_held());
}

TEST(Lock, IsLockable) {
  std::unique_lock guard(g_lock);
  EXPECT_TRUE(g_lock.is_held());
  guard.unlock();
  EXPECT_FALSE(g_lock.is_held());
}

TEST(Lock, CountsRightUnderContention) {
  constexpr int k_threads = 8;
  const std::size_t rounds = test_count(20000, 1000);
  lock l;
  long count = 0;  // plain: the lock orders it
  std::vector<std::thread> threads;
  for (int t = 0; t < k_threads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < rounds; ++i) {
        if (i % 16 == 0) {
          while (!l.try_lock()) std::this_thread::yield();
          ++count;
          l.unlock();
        } else {
          lock_guard guard(l);
          ++count;
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(count, static_cast<long>(k_threads * rounds));
  EXPECT_FALSE(l.is_held());
}

TEST(Lock, SleepersAreWokenOneAfterTheOther) {
  lock l;
  std::atomic<int> through{0};
  l.lock();
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      errno = 4711;
      lock_guard guard(l);
      EXPECT_EQ(errno, 4711);
      through.fetch_add(1);
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(through.load(), 0);
  l.unlock();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(through.load(), 6);
}

TEST(Lock, WaitingCostsNoProcessorTime) {
  lock l;
  l.lock();
  long used_us = -1;
  std::thread waiter([&] {
    lock_guard guard(l);
    timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    used_us = cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  l.unlock();
  waiter.join();
  EXPECT_GE(used_us, 0);
  EXPECT_LT(used_us, 100000);
}

}  // namespace
}  // namespace cairn::heap
