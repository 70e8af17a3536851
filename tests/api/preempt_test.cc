// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines that never call the library, or block in the kernel without saying so, beside others on the same P.
// Nothing here is timed but for the shares of two that spin; what must not happen is that somebody waits for ever.
#include <errno.h>
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

// A loop without any call.
[[gnu::noinline]] std::uint64_t spin_until(const std::atomic<bool>& stop) {
  std::uint64_t n = 0;
  while (!stop.load(std::memory_order_relaxed)) ++n;
  return n;
}

// Spinning goroutines, which end with the scope.
class hogs {
 public:
  explicit hogs(int n) {
    for (int i = 0; i < n; ++i)
      all_.go([this] {
        ++running_;
        spin_until(stop_);
      });
  }
  ~hogs() {
    stop_ = true;
    all_.wait();
  }
  int running() const { return running_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> running_{0};
  wait_group all_;
};

TEST(Preempt, AHogLetsAnotherRunOnOneProc) {
  on_procs(1, [] {
    hogs one(1);
    std::atomic<bool> ran{false};
    cairn::go([&] { ran = true; });
    EXPECT_TRUE(eventually([&] { return ran.load(); }));
  });
}

TEST(Preempt, MoreHogsThanProcsAllRun) {
  for (int procs : {1, 2})
    on_procs(procs, [procs] {
      hogs many(3 * procs);
      EXPECT_TRUE(eventually([&] { return many.running() == 3 * procs; }));
    });
}

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// The CPU time that two which spin on one P get in 600 ms.
struct shares {
  double got[2] = {}, wall = 0;
  double sum() const { return got[0] + got[1]; }
  double difference() const { return std::abs(got[0] - got[1]) / std::max(got[0], got[1]); }
};
shares spin_together() {
  std::atomic<bool> stop{false};
  std::atomic<int> here{0};
  shares s;
  on_procs(1, [&] {
    wait_group both;
    for (double& mine : s.got)
      both.go([&] {
        ++here;
        while (here.load(std::memory_order_relaxed) < 2) {
        }
        const double start = cpu_seconds();
        spin_until(stop);
        mine = cpu_seconds() - start;
      });
    std::thread timekeeper([&] {
      while (here < 2) std::this_thread::sleep_for(1ms);
      const auto start = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(600ms);
      stop = true;
      s.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
    both.wait();
    timekeeper.join();
  });
  return s;
}

// What else the machine does may take time from one of them: then once more.
TEST(Preempt, TwoThatSpinShareAProc) {
  double best = 1;
  for (int attempt = 0; attempt < 8 && best > 0.2; ++attempt)
    best = std::min(best, spin_together().difference());
  EXPECT_LE(best, 0.2);
}

TEST(Preempt, NoMoreRunThanThereAreProcs) {
  bool one_at_a_time = false;
  for (int attempt = 0; attempt < 8 && !one_at_a_time; ++attempt) {
    const shares s = spin_together();
    one_at_a_time = s.sum() < 1.2 * s.wall;
  }
  EXPECT_TRUE(one_at_a_time);
}

TEST(Preempt, APingPongPairAndAHogShareAProc) {
  on_procs(1, [] {
    std::atomic<std::uint64_t> hog_steps{0};
    std::atomic<bool> stop{false};
    wait_group all;
    const ball_game game(all, stop);
    all.go([&] {
      while (!stop.load(std::memory_order_relaxed)) hog_steps.fetch_add(1, std::memory_order_relaxed);
    });
    // Each has to go on after the other has.
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t steps = hog_steps;
      EXPECT_TRUE(eventually([&] { return hog_steps > steps; }));
      const int before = game.rounds();
      EXPECT_TRUE(eventually([&] { return game.rounds() > before; }));
    }
    stop = true;
    all.wait();
  });
}

TEST(Preempt, SleepersWakeBesideHogs) {
  for (int procs : {1, 2})
    on_procs(procs, [procs] {
      hogs beside(procs);
      for (int i = 0; i < 5; ++i) cairn::sleep_for(2ms);
      wait_group all;
      std::atomic<int> woken{0};
      for (int i = 0; i < 20; ++i)
        all.go([&] {
          cairn::sleep_for(1ms);
          ++woken;
        });
      all.wait();
      EXPECT_EQ(woken, 20);
    });
}

TEST(Preempt, CollectionsPassHogs) {
  for (int procs : {1, 2})
    on_procs(procs, [procs] {
      hogs beside(2 * procs);
      ASSERT_TRUE(eventually([&] { return beside.running() == 2 * procs; }));
      cell* mine = make_list(1, 100);
      for (int i = 0; i < 5; ++i) collect_and_reuse();
      EXPECT_TRUE(is_list(mine, 1, 100));
      EXPECT_TRUE(cairn::gc::verify());
    });
}

TEST(Preempt, MaxProcsMayChangeBesideHogs) {
  on_procs(2, [] {
    hogs beside(4);
    for (int n : {1, 3, 1, 2}) {
      cairn::max_procs(n);
      EXPECT_EQ(cairn::max_procs(), n);
      cairn::spawn([] { cairn::yield(); }).get();
    }
  });
}

// ---- preempt_off ------------------------------------------------------------------------------------------

// Two on one P: whether the second runs while the first spins in the scope.
bool is_disturbed_in_a_scope() {
  std::atomic<bool> other_ran{false}, ran_too_early{false};
  on_procs(1, [&] {
    wait_group both;
    both.go([&] {
      {
        cairn::preempt_off outer;
        both.go([&] { other_ran = true; });
        { cairn::preempt_off inner; }
        const double start = cpu_seconds();
        while (cpu_seconds() < start + 0.1) {
        }
        ran_too_early = other_ran.load();
      }
      spin_until(other_ran);  // preempted again from here on
    });
    both.wait();
  });
  return ran_too_early;
}

// What else the machine does may keep the thread from running, which looks as if it slept in the kernel; its P is taken
// then: once more.
TEST(PreemptOff, KeepsTheThreadRunningUntilTheScopeIsOver) {
  bool undisturbed = false;
  for (int attempt = 0; attempt < 8 && !undisturbed; ++attempt) undisturbed = !is_disturbed_in_a_scope();
  EXPECT_TRUE(undisturbed);
}

TEST(PreemptOff, AGoroutineInsideMayWait) {
  on_one_and_two_procs([] {
    cairn::preempt_off here;
    cell* mine = make_list(1, 30);
    park_in_all_ways();
    collect_and_reuse();
    EXPECT_TRUE(is_list(mine, 1, 30));
  });
}

TEST(PreemptOff, DoesNothingInAThreadThatIsNoGoroutine) {
  std::thread([] { cairn::preempt_off here; }).join();
  on_procs(1, [] {
    std::atomic<bool> done{false};
    std::thread thread([&] {
      cairn::preempt_off here;
      hogs beside(2);
      done = true;
    });
    EXPECT_TRUE(eventually([&] { return done.load(); }));
    cairn::blocking([&] { thread.join(); });
  });
}

// ---- what a preempted goroutine has -----------------------------------------------------------------------

// Loops that keep their objects in registers and locals, stopped anywhere.
TEST(Preempt, ObjectsOfASpinningGoroutineAreKept) {
  on_procs(1, [] {
    collections back_to_back;
    std::atomic<bool> stop{false};
    std::atomic<int> right{0};
    wait_group all;
    for (std::uint64_t number = 0; number < 4; ++number)
      all.go([&, number] {
        cell* mine = make_list(number, 50);
        bool good = true;
        while (!stop.load(std::memory_order_relaxed)) good &= is_list(mine, number, 50);
        right += good;
      });
    EXPECT_TRUE(back_to_back.await(10));
    stop = true;
    all.wait();
    EXPECT_EQ(right, 4);
  });
}

TEST(Preempt, FloatingPointStateIsKept) {
  on_procs(1, [] {
    std::atomic<int> wrong{0};
    wait_group all;
    for (int i = 0; i < 3; ++i)
      all.go([&, i] {
        for (int round = 0; round < 3; ++round) {
          double sum = 0;  // exact: whole numbers
          for (int k = 0; k < 10'000'000; ++k) {
            sum += i;
            asm volatile("" : "+x"(sum));
          }
          if (sum != i * 1e7) ++wrong;
        }
      });
    all.wait();
    EXPECT_EQ(wrong, 0);
  });
}

TEST(Preempt, ExceptionsOfOthersDoNotMix) {
  on_procs(1, [] {
    std::atomic<int> wrong{0};
    const auto until = std::chrono::steady_clock::now() + 200ms;
    wait_group all;
    for (int i = 0; i < 4; ++i)
      all.go([&, i] {
        while (std::chrono::steady_clock::now() < until) {
          try {
            throw i;
          } catch (int caught) {
            if (caught != i || std::uncaught_exceptions() != 0) ++wrong;
          }
        }
      });
    all.wait();
    EXPECT_EQ(wrong, 0);
  });
}

// ---- locks of the program and of the C library -------------------------------------------------------------

// The one that holds the lock spins until all others have come to it; then they block the threads they run on.
TEST(Preempt, ASpinningHolderOfAMutexThatAllWant) {
  for (int procs : {1, 2})
    on_procs(procs, [] {
      constexpr int k_others = 6;
      std::mutex lock;
      std::atomic<int> coming{0};
      int entered = 0;
      wait_group all;
      std::atomic<bool> held{false};
      all.go([&] {
        std::lock_guard guard(lock);
        held = true;
        while (coming.load(std::memory_order_relaxed) < k_others) {
        }
        const double start = cpu_seconds();
        while (cpu_seconds() < start + 0.03) {
        }
        ++entered;
      });
      for (int i = 0; i < k_others; ++i)
        all.go([&] {
          while (!held.load(std::memory_order_relaxed)) {
          }
          ++coming;
          std::lock_guard guard(lock);
          ++entered;
        });
      all.wait();
      EXPECT_EQ(entered, k_others + 1);
    });
}

// Without an end to the crowd: whoever holds it may be preempted, the others block.
TEST(Preempt, AMutexContendedWithoutPause) {
  for (int procs : {1, 2})
    on_procs(procs, [] {
      std::mutex lock;
      std::uint64_t inside = 0, entered = 0;
      const auto until = std::chrono::steady_clock::now() + 200ms;
      std::atomic<std::uint64_t> counted{0};
      wait_group all;
      for (int i = 0; i < 6; ++i)
        all.go([&] {
          std::uint64_t mine = 0;
          while (std::chrono::steady_clock::now() < until) {
            std::lock_guard guard(lock);
            if (++inside != 1) ADD_FAILURE() << "two hold it";
            for (int k = 0; k < 100; ++k) asm volatile("" ::: "memory");
            ++entered;
            ++mine;
            --inside;
          }
          counted += mine;
        });
      all.wait();
      EXPECT_EQ(entered, counted);
    });
}

// Frozen where it happens to be it would mostly be in the middle. Who is frozen may get its turn only after many of the
// others': each look is at another end of its slice.
TEST(Preempt, WhoLocksAndUnlocksMakesRoomBetweenTheTwo) {
  on_procs(1, [] {
    cairn::sync::mutex m;
    std::atomic<bool> stop{false}, is_inside{false};
    std::atomic<std::uint64_t> rounds{0};
    wait_group hog;
    hog.go([&] {
      while (!stop) {
        m.lock();
        is_inside = true;
        for (int i = 0; i < 1000; ++i) asm volatile("");
        is_inside = false;
        m.unlock();
        ++rounds;
      }
    });
    const int looks = static_cast<int>(test_count(20, 10));
    int inside = 0;
    for (int i = 0; i < looks; ++i) {
      const std::uint64_t before = rounds;
      while (rounds == before) cairn::yield();
      inside += is_inside;
    }
    stop = true;
    hog.wait();
    EXPECT_LT(inside, looks / 2);
  });
}

TEST(Preempt, AConditionVariableBlocksOnlyItsGoroutine) {
  on_procs(1, [] {
    std::mutex lock;
    std::condition_variable changed;
    int turn = 0;
    wait_group both;
    for (int side : {0, 1})
      both.go([&, side] {
        for (int i = 0; i < 20; ++i) {
          std::unique_lock guard(lock);
          changed.wait(guard, [&] { return turn % 2 == side; });
          ++turn;
          changed.notify_all();
        }
      });
    both.wait();
    EXPECT_EQ(turn, 40);
  });
}

// Preempted in malloc and free, which hold locks of their own.
TEST(Preempt, InTheMiddleOfMalloc) {
  for (int procs : {1, 2})
    on_procs(procs, [] {
      const auto until = std::chrono::steady_clock::now() + 300ms;
      std::atomic<int> wrong{0};
      wait_group all;
      for (std::uint64_t number = 1; number <= 8; ++number)
        all.go([&, number] {
          std::uint64_t random = number;
          std::vector<std::unique_ptr<unsigned char[]>> held(32);
          std::vector<std::size_t> length(32);
          while (std::chrono::steady_clock::now() < until) {
            random = mix(random);
            const std::size_t at = random % 32, bytes = 1 + (random >> 8) % 20'000;
            for (std::size_t i = 0; i < length[at]; i += 500)
              if (held[at][i] != static_cast<unsigned char>(number)) ++wrong;
            held[at] = std::make_unique<unsigned char[]>(bytes);
            length[at] = bytes;
            std::memset(held[at].get(), static_cast<int>(number), bytes);
          }
        });
      collections beside;
      all.wait();
      EXPECT_EQ(wrong, 0);
    });
}

// stdio, streams and locales lock, allocate and keep state per thread.
TEST(Preempt, InTheMiddleOfTheCLibrary) {
  on_procs(1, [] {
    const auto until = std::chrono::steady_clock::now() + 200ms;
    std::unique_ptr<FILE, int (*)(FILE*)> sink(std::fopen("/dev/null", "w"), std::fclose);
    ASSERT_NE(sink, nullptr);
    std::atomic<int> wrong{0};
    wait_group all;
    for (int number = 0; number < 6; ++number)
      all.go([&, number] {
        while (std::chrono::steady_clock::now() < until) {
          std::fprintf(sink.get(), "%d %f %s\n", number, number * 0.5, "text");
          std::ostringstream text;
          text << number << ' ' << number * 0.5;
          char same[64];
          std::snprintf(same, sizeof same, "%d %g", number, number * 0.5);
          if (text.str() != same || std::strtod(same, nullptr) != number) ++wrong;
        }
      });
    all.wait();
    EXPECT_EQ(wrong, 0);
  });
}

// ---- the kernel, undeclared -------------------------------------------------------------------------------

TEST(Preempt, ASleepInTheKernelKeepsNobodyWaiting) {
  on_procs(1, [] {
    std::atomic<bool> other_ran{false};
    wait_group both;
    both.go([&] {
      while (!other_ran) std::this_thread::sleep_for(1ms);
    });
    both.go([&] { other_ran = true; });
    both.wait();
  });
}

TEST(Preempt, AnUndeclaredReadIsAnsweredByAnotherOnTheSameProc) {
  on_procs(1, [] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    wait_group both;
    std::atomic<bool> reading{false};
    both.go([&] {
      cell* mine = make_list(3, 30);
      char c = 0;
      reading = true;
      EXPECT_EQ(read(ends[0], &c, 1), 1);
      EXPECT_EQ(c, 'x');
      EXPECT_TRUE(is_list(mine, 3, 30));
    });
    both.go([&] {
      while (!reading) cairn::yield();
      for (int i = 0; i < 3; ++i) collect_and_reuse();
      EXPECT_EQ(write(ends[1], "x", 1), 1);
    });
    both.wait();
    close(ends[0]);
    close(ends[1]);
  });
}

// Preemption signals nobody who sleeps: a sleep that the kernel does not restart runs to its end.
TEST(Preempt, ASleeperIsNotInterruptedByPreemption) {
  on_procs(1, [] {
    hogs beside(2);
    cairn::gc::no_gc_scope no_handshakes;
    for (int i = 0; i < 5; ++i) {
      const timespec wanted = {0, 30'000'000};
      EXPECT_EQ(nanosleep(&wanted, nullptr), 0) << std::strerror(errno);
    }
  });
}

}  // namespace
