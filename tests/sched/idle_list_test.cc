// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/idle_list.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

constexpr int k_burst = 40;

// Workers rest so briefly, for a scope.
class short_rest {
 public:
  explicit short_rest(std::chrono::nanoseconds time) { idle_list::rest_ns = time.count(); }
  ~short_rest() { idle_list::rest_ns = idle_list::k_rest_ns; }
  short_rest(const short_rest&) = delete;
  short_rest& operator=(const short_rest&) = delete;
};

// Threads that run goroutines, as the kernel has them.
int count_workers() {
  int n = 0;
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);  // nothing of one that has just ended
    n += name == "cairn-m";
  }
  return n;
}

// Beside those in the list: the one that main runs on, and the sleeper.
int most_left(int procs) { return procs + static_cast<int>(k_spare_workers) + 2; }

// Goroutines wait so, and leave their Ps to others.
template <class Condition>
bool comes(Condition condition) {
  cairn_test::patience left;
  while (!condition()) {
    if (left.is_over()) return condition();
    sleep_for(2ms);
  }
  return true;
}
bool comes_down_to(int workers) {
  return comes([workers] { return count_workers() <= workers; });
}

// All are in the kernel at once, each with a thread of its own. Returns how many workers there were.
template <class F>
int burst_of(int n, F inside_each) {
  sync::wait_group all;
  std::atomic<int> inside{0}, seen{0};
  for (int i = 0; i < n; ++i)
    all.go([&, n] {
      blocking([&, n] {
        inside_each();
        if (++inside == n) seen = count_workers();
        while (seen == 0) std::this_thread::sleep_for(1ms);
      });
    });
  all.wait();
  return seen;
}
int burst_of(int n) {
  return burst_of(n, [] {});
}

long sum_by_goroutines() {
  std::atomic<long> sum{0};
  sync::wait_group all;
  for (long i = 0; i < 200; ++i)
    all.go([&sum, i] {
      yield();
      sum += i;
    });
  all.wait();
  return sum;
}

TEST(IdleList, AfterABurstTheWorkersThatNobodyNeedsEnd) {
  const short_rest brief(20ms);
  for (int procs : {1, 2, 8}) {
    const auto main = [procs] {
      for (int round = 0; round < 3; ++round) {
        EXPECT_GE(burst_of(k_burst), k_burst);
        EXPECT_TRUE(comes_down_to(most_left(procs))) << count_workers();
        EXPECT_EQ(sum_by_goroutines(), 199 * 100);
      }
    };
    run(main, {.max_procs = procs});
  }
}

TEST(IdleList, ThoseThatAreUsedStay) {
  const short_rest brief(50ms);
  const auto main = [] {
    burst_of(k_burst);
    ASSERT_TRUE(comes_down_to(most_left(4)));
    // In use or not, neither the Ps nor the spares are without a worker.
    std::this_thread::sleep_for(200ms);
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(sum_by_goroutines(), 199 * 100);
      EXPECT_GE(count_workers(), 4 + static_cast<int>(k_spare_workers));
      sleep_for(5ms);
    }
  };
  run(main, {.max_procs = 4});
}

TEST(IdleList, AfterBurstsOfPreemptedGoroutinesToo) {
  const short_rest brief(20ms);
  const auto main = [] {
    for (int round = 0; round < 3; ++round) {
      sync::wait_group all;
      const auto until = std::chrono::steady_clock::now() + 300ms;
      for (int i = 0; i < 20; ++i)
        all.go([until] {
          while (std::chrono::steady_clock::now() < until) {
          }
        });
      all.wait();
      EXPECT_TRUE(comes_down_to(most_left(2))) << count_workers();
    }
  };
  run(main, {.max_procs = 2});
}

TEST(IdleList, FewerAreNeededOnFewerProcs) {
  const short_rest brief(20ms);
  const auto main = [] {
    for (int round = 0; round < 3; ++round) {
      max_procs(24);
      burst_of(k_burst);
      EXPECT_TRUE(comes_down_to(most_left(24))) << count_workers();
      sleep_for(50ms);
      EXPECT_GE(count_workers(), 24);  // these sleep for good, until
      max_procs(1);
      EXPECT_TRUE(comes_down_to(most_left(1))) << count_workers();
      EXPECT_EQ(sum_by_goroutines(), 199 * 100);
    }
  };
  run(main, {.max_procs = 8});
}

TEST(IdleList, WhileTheSystemRefusesThreadsNoneEnd) {
  const auto main = [] {
    {
      const short_rest endless(1h);
      burst_of(k_burst);
    }
    const short_rest brief(1ms);
    idle_list::note_refusal(true);
    burst_of(k_burst / 2);  // on those that there are
    sleep_for(50ms);
    EXPECT_GE(count_workers(), k_burst);
    idle_list::note_refusal(false);
    EXPECT_TRUE(comes_down_to(most_left(2))) << count_workers();
  };
  run(main, {.max_procs = 2});
}

// Ends come at any moment of the wakes: workers rest for less time than it takes to wake one.
TEST(IdleList, NoWakeIsLostBetweenEnds) {
  const short_rest none(0ns);
  const delays sometimes(20);
  crowd others;
  others.add([](const std::atomic<bool>& stop) {
    self();
    while (!stop) {
      handshake([](m&, void*) {}, nullptr);
      with_world_stopped("a test", [](const world_stopped&) {});
      in_safe_state(self(), [] { std::this_thread::sleep_for(200us); });
    }
  });
  const auto main = [] {
    const auto end = std::chrono::steady_clock::now() + test_seconds(2);
    for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
      max_procs(1 + i % 8);
      burst_of(1 + i % 20);
      EXPECT_EQ(sum_by_goroutines(), 199 * 100);
      if (i % 4 == 0) sleep_for(1ms);
    }
    max_procs(2);
    EXPECT_TRUE(comes_down_to(most_left(2))) << count_workers();
  };
  run(main, {.max_procs = 8});
}

// ---- thread-local objects -------------------------------------------------------------------------------------------

// The thread has one from now on.
template <class T>
void have_local() {
  thread_local T local;
  asm volatile("" : : "r"(&local) : "memory");
}

std::atomic<int> g_made{0}, g_over{0}, g_started{0};

// Its destructor uses the library, as that of a program may.
struct local_of_worker {
  local_of_worker() { ++g_made; }
  ~local_of_worker() {
    go([] { ++g_started; });
    ++g_over;
  }
};

TEST(IdleList, ThreadLocalObjectsAreDestroyedWithTheirWorkers) {
  const short_rest brief(20ms);
  const auto main = [] {
    const int over_before = g_over, made_before = g_made, started_before = g_started;
    burst_of(k_burst, have_local<local_of_worker>);
    ASSERT_TRUE(comes_down_to(most_left(2))) << count_workers();
    const int made = g_made - made_before;
    EXPECT_GE(made, k_burst - most_left(2));  // but on those that were there before
    EXPECT_TRUE(comes([&] { return g_over - over_before >= made - most_left(2); })) << g_over;
    EXPECT_TRUE(comes([&] { return g_started - started_before >= g_over - over_before; })) << g_started;
  };
  run(main, {.max_procs = 2});
}

sync::wait_group* g_awaited = nullptr;
std::atomic<int> g_destructors{0};

// All goroutines wait for it.
struct awaited_local {
  ~awaited_local() {
    if (++g_destructors != 1) return;
    std::this_thread::sleep_for(100ms);
    g_awaited->done();
  }
};

TEST(IdleList, WaitingForADestructorOfAThreadLocalIsNoDeadlock) {
  const short_rest brief(20ms);
  const auto main = [] {
    sync::wait_group awaited;
    awaited.add(1);
    g_awaited = &awaited;
    g_destructors = 0;
    burst_of(k_burst, have_local<awaited_local>);
    ASSERT_TRUE(comes([] { return g_destructors != 0; }));
    awaited.wait();
  };
  run(main, {.max_procs = 2});
}

}  // namespace
}  // namespace cairn::sched
