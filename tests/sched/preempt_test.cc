// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How many threads are frozen at once. What preemption does for programs: tests/api/preempt_test.cc,
// tests/process/freeze_test.cc.
#include "sched/preempt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"
#include "patience.h"
#include "sched/scheduler.h"

namespace cairn::sched {
namespace {

using cairn_test::patience;
using namespace std::chrono_literals;

unsigned frozen_now() {
  heap::lock_guard held(sch.lock);
  return sch.frozen;
}

// On two Ps goroutines that never call the library, each of which counts for itself.
constexpr unsigned k_ps = 2, k_cap = 8 * k_ps, k_hogs = 3 * k_cap;

class hogs {
 public:
  // The program, watched from outside until that returns.
  void run_beside(const std::function<void(hogs&)>& watch) {
    std::thread watcher([&] {
      watch(*this);
      stop_ = true;
    });
    cairn::run(
        [this] {
          sync::wait_group all;
          for (auto& n : counts_)
            all.go([this, &n] {
              do n.fetch_add(1, std::memory_order_relaxed);
              while (!stop_);
            });
          all.wait();
        },
        {.max_procs = static_cast<int>(k_ps)});
    watcher.join();
  }

  std::array<std::uint64_t, k_hogs> counts() const {
    std::array<std::uint64_t, k_hogs> now;
    std::copy(counts_.begin(), counts_.end(), now.begin());
    return now;
  }
  unsigned begun() const {
    const auto now = counts();
    return static_cast<unsigned>(now.size() - static_cast<std::size_t>(std::count(now.begin(), now.end(), 0)));
  }
  // Whether each of those that had begun goes on. Notes how many were frozen.
  bool all_get_on(unsigned& most_frozen) const {
    const auto before = counts();
    for (patience left; !left.is_over(); std::this_thread::sleep_for(1ms)) {
      most_frozen = std::max(most_frozen, frozen_now());
      const auto now = counts();
      if (std::equal(now.begin(), now.end(), before.begin(),
                     [](auto n, auto was) { return n != was || was == 0; }))
        return true;
    }
    return false;
  }

 private:
  std::array<std::atomic<std::uint64_t>, k_hogs> counts_{};
  std::atomic<bool> stop_{false};
};

class PreemptCap : public testing::Test {
 protected:
  void SetUp() override { usual_ = least_cap_of_frozen.exchange(0); }
  void TearDown() override { least_cap_of_frozen = usual_; }

 private:
  unsigned usual_ = 0;
};

TEST_F(PreemptCap, FrozenOnesTakeTurnsAlsoWhenNoMoreMayBeFrozen) {
  hogs h;
  unsigned most = 0, begun = 0;
  bool has_begun = false, get_on = true;
  h.run_beside([&](hogs&) {
    for (patience left; h.begun() <= k_cap && !left.is_over();) std::this_thread::sleep_for(1ms);
    has_begun = h.begun() > k_cap;
    for (int round = 0; round < 5 && get_on; ++round) get_on = h.all_get_on(most);
    begun = h.begun();
  });
  EXPECT_TRUE(has_begun);
  EXPECT_TRUE(get_on);
  EXPECT_GE(most, k_cap);
  EXPECT_LE(most, k_cap + k_ps);
  EXPECT_LE(begun, k_cap + 2 * k_ps);
  EXPECT_EQ(h.begun(), k_hogs);  // the others when these ended
  EXPECT_EQ(frozen_now(), 0u);
}

TEST_F(PreemptCap, BelowItAllBeginAndTakeTurns) {
  least_cap_of_frozen = k_hogs;
  hogs h;
  unsigned most = 0;
  bool get_on = false;
  h.run_beside([&](hogs&) {
    for (patience left; h.begun() != k_hogs && !left.is_over();) std::this_thread::sleep_for(1ms);
    get_on = h.all_get_on(most);
  });
  EXPECT_EQ(h.begun(), k_hogs);
  EXPECT_TRUE(get_on);
  EXPECT_LE(most, k_hogs);
}

}  // namespace
}  // namespace cairn::sched
