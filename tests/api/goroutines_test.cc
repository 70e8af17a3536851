// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// cairn::goroutines(): who is there, what each does, and its backtrace, while everything goes on.
#include <cairn/cairn.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "api/procs.h"

using namespace std::chrono_literals;

namespace {

using cairn::goroutine_info;
using cairn_test::eventually;
using cairn_test::gate;
using cairn_test::on_procs;
using infos = std::vector<goroutine_info>;

class Goroutines : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Procs, Goroutines, testing::Values(1, 2, 8));

const goroutine_info* find(const infos& all, std::uint64_t id) {
  for (const goroutine_info& g : all)
    if (g.id == id) return &g;
  return nullptr;
}

// Its entry, once it has this state (and, where one is given, this reason).
goroutine_info when(std::uint64_t id, const std::string& state, const std::string& reason = "") {
  goroutine_info last;
  const bool came = eventually([&] {
    const infos all = cairn::goroutines();
    const goroutine_info* g = find(all, id);
    if (g != nullptr) last = *g;
    return g != nullptr && g->state == state && (reason.empty() || g->wait_reason == reason);
  });
  EXPECT_TRUE(came) << "goroutine " << id << " is " << last.state << " " << last.wait_reason;
  return last;
}

// A function that can be told in a backtrace: some address of the trace lies in it.
bool is_in(const goroutine_info& g, void (*function)(), std::size_t bytes = 512) {
  const auto from = reinterpret_cast<std::uintptr_t>(function);
  for (void* frame : g.backtrace) {
    const auto at = reinterpret_cast<std::uintptr_t>(frame);
    if (at > from && at <= from + bytes) return true;
  }
  return false;
}

gate* the_gate;
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> its_id{0};

// Called through a pointer: a call of what the library says is cold the compiler would put elsewhere, away from the
// function that it belongs to.
void pass_the_gate() { the_gate->pass(); }
void (*volatile pass)() = pass_the_gate;
[[gnu::noinline]] void waits_at_the_gate() {
  pass();
  asm volatile("");
}
[[gnu::noinline]] void calls_one_that_waits() {
  waits_at_the_gate();
  asm volatile("");
}
[[gnu::noinline]] void spins() {
  while (!stop.load(std::memory_order_relaxed)) asm volatile("");
}
[[gnu::noinline]] void sleeps_in_the_kernel() {
  cairn::blocking([] {
    while (!stop.load()) std::this_thread::sleep_for(1ms);
  });
  asm volatile("");
}

template <class F>
auto with_id(F f) {
  its_id = 0;
  return cairn::spawn([f] {
    its_id = cairn::goroutine_id();
    f();
  });
}

TEST_P(Goroutines, HaveThisOneAsRunning) {
  on_procs(GetParam(), [] {
    const infos all = cairn::goroutines();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].id, cairn::goroutine_id());
    EXPECT_EQ(all[0].state, "running");
    EXPECT_EQ(all[0].wait_reason, "");
    EXPECT_EQ(all[0].waited, 0ns);
    EXPECT_GE(all[0].backtrace.size(), 3u);
  });
}

TEST_P(Goroutines, ThatWaitSayForWhatAndWhere) {
  on_procs(GetParam(), [] {
    gate g;
    the_gate = &g;
    auto task = with_id(calls_one_that_waits);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    const auto waiting = when(its_id, "waiting");
    EXPECT_EQ(waiting.wait_reason, "wait_group wait");
    EXPECT_TRUE(is_in(waiting, waits_at_the_gate));
    EXPECT_TRUE(is_in(waiting, calls_one_that_waits));
    g.open();
    task.get();
  });
}

TEST_P(Goroutines, ThatWaitSayHowLong) {
  on_procs(GetParam(), [] {
    gate g;
    the_gate = &g;
    auto task = with_id(waits_at_the_gate);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    when(its_id, "waiting");
    const auto before = std::chrono::steady_clock::now();
    cairn::sleep_for(30ms);
    const auto passed = std::chrono::steady_clock::now() - before;
    const auto later = when(its_id, "waiting");
    EXPECT_GE(later.waited, passed);
    EXPECT_LT(later.waited, passed + 60s);
    g.open();
    task.get();
  });
}

TEST_P(Goroutines, ThatSleepInTheKernelAreInASyscall) {
  on_procs(GetParam(), [] {
    stop = false;
    auto task = with_id(sleeps_in_the_kernel);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    when(its_id, "syscall");
    cairn::sleep_for(10ms);
    const auto g = when(its_id, "syscall");
    EXPECT_TRUE(is_in(g, sleeps_in_the_kernel));
    EXPECT_GE(g.waited, 9ms);
    stop = true;
    task.get();
  });
}

TEST(Goroutines, ThatHaveNotBegunAreRunnable) {
  on_procs(1, [] {
    auto task = cairn::spawn([] {});
    const infos all = cairn::goroutines();
    ASSERT_EQ(all.size(), 2u);
    const goroutine_info& other = all[all[0].id == cairn::goroutine_id() ? 1 : 0];
    EXPECT_EQ(other.state, "runnable");
    ASSERT_EQ(other.backtrace.size(), 1u);
    EXPECT_NE(other.backtrace[0], nullptr);
    task.get();
  });
}

// Suites named so need goroutines that are no threads: see procs.h.
TEST(PreemptGoroutines, ThatSpinAreInterruptedForTheirBacktrace) {
  if (CAIRN_TSAN) GTEST_SKIP() << "the sanitizer delivers no signal to a thread in a loop without calls";
  for (int n : {1, 2, 8}) {
    on_procs(n, [] {
      stop = false;
      auto task = with_id(spins);
      ASSERT_TRUE(eventually([] { return its_id != 0; }));
      bool as_running = false;
      EXPECT_TRUE(eventually([&] {
        const infos all = cairn::goroutines();
        const goroutine_info* g = find(all, its_id);
        // Between its slices its thread is frozen, which is a way of being runnable.
        if (g == nullptr || (g->state != "running" && g->state != "runnable")) return false;
        as_running |= g->state == "running";
        return is_in(*g, spins) && g->backtrace.size() < 40;
      }));
      stop = true;
      task.get();
    });
  }
}

TEST(PreemptGoroutines, AFrozenOneShowsWhereItWas) {
  if (CAIRN_TSAN) GTEST_SKIP() << "the sanitizer delivers no signal to a thread in a loop without calls";
  on_procs(1, [] {
    stop = false;
    auto task = with_id(spins);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    // With one P it does not run while this one does, or only until sysmon finds it without a P.
    EXPECT_TRUE(eventually([] {
      const infos all = cairn::goroutines();
      const goroutine_info* g = find(all, its_id);
      return g != nullptr && g->state == "runnable" && is_in(*g, spins);
    }));
    stop = true;
    task.get();
  });
}

TEST_P(Goroutines, OfManyAreAllThere) {
  on_procs(GetParam(), [] {
    const std::size_t n = cairn_test::crowd(1000);
    gate g;
    the_gate = &g;
    std::vector<cairn::task<void>> tasks;
    for (std::size_t i = 0; i < n; ++i) tasks.push_back(cairn::spawn(waits_at_the_gate));
    EXPECT_TRUE(eventually([&] {
      const infos all = cairn::goroutines();
      std::size_t waiting = 0;
      for (const goroutine_info& one : all)
        waiting += one.state == "waiting" && is_in(one, waits_at_the_gate);
      for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1].id, all[i].id);
      return all.size() == n + 1 && waiting == n;
    }));
    g.open();
    for (auto& task : tasks) task.get();
    EXPECT_EQ(cairn::goroutines().size(), 1u);
  });
}

[[gnu::noinline]] int goes_deep(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) waits_at_the_gate();
  return (depth == 0 ? 0 : goes_deep(depth - 1)) + frame[0];
}

TEST_P(Goroutines, WithDeepStacksAreCutAtTheOuterEnd) {
  on_procs(GetParam(), [] {
    gate g;
    the_gate = &g;
    auto task = with_id([] { goes_deep(200); });
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    const auto waiting = when(its_id, "waiting");
    EXPECT_TRUE(is_in(waiting, waits_at_the_gate));
    EXPECT_GE(waiting.backtrace.size(), 100u);
    EXPECT_LE(waiting.backtrace.size(), 201u);
    g.open();
    task.get();
  });
}

TEST_P(Goroutines, CanBeListedFromAThread) {
  on_procs(GetParam(), [] {
    gate g;
    the_gate = &g;
    auto task = with_id(waits_at_the_gate);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    when(its_id, "waiting");
    infos all;
    std::thread thread([&all] { all = cairn::goroutines(); });
    cairn::blocking([&] { thread.join(); });
    const goroutine_info* other = find(all, its_id);
    ASSERT_NE(other, nullptr);
    EXPECT_TRUE(is_in(*other, waits_at_the_gate));
    const goroutine_info* mine = find(all, cairn::goroutine_id());
    ASSERT_NE(mine, nullptr);
    g.open();
    task.get();
  });
}

TEST(Goroutines, BeforeAndAfterARunThereAreNone) {
  EXPECT_TRUE(cairn::goroutines().empty());
  on_procs(2, [] {});
  EXPECT_TRUE(cairn::goroutines().empty());
}

// Whoever is listed exists, and those that are known to be there all the time are listed, whatever the others do.
TEST_P(Goroutines, AreListedWhileTheyComeAndGo) {
  on_procs(GetParam(), [] {
    gate g;
    the_gate = &g;
    stop = false;
    auto fixed = with_id(calls_one_that_waits);
    ASSERT_TRUE(eventually([] { return its_id != 0; }));
    when(its_id, "waiting");
    std::vector<cairn::task<void>> churn;
    for (int i = 0; i < 4; ++i) {
      churn.push_back(cairn::spawn([i] {
        cairn::sync::mutex m;
        int turn = 0;
        while (!stop.load()) {
          auto a = cairn::spawn([&] {
            std::lock_guard held(m);
            if (++turn % 8 == 0) cairn::sleep_for(100us);
            cairn::yield();
          });
          auto b = cairn::spawn([&] {
            std::lock_guard held(m);
            cairn::yield();
            if (turn < -i) std::abort();
          });
          a.get();
          b.get();
        }
      }));
    }
    std::size_t most = 0;
    for (std::size_t round = 0; round < test_count(300, 20); ++round) {
      const infos all = cairn::goroutines();
      most = std::max(most, all.size());
      const goroutine_info* one = find(all, its_id);
      ASSERT_NE(one, nullptr);
      EXPECT_EQ(one->state, "waiting");
      EXPECT_TRUE(is_in(*one, calls_one_that_waits));
      ASSERT_LE(all.size(), 2u + 3 * 4);
      for (std::size_t i = 1; i < all.size(); ++i) ASSERT_LT(all[i - 1].id, all[i].id);
      if (round % 16 == 0) cairn::gc::collect();
    }
    EXPECT_GT(most, 4u);
    stop = true;
    for (auto& task : churn) task.get();
    g.open();
    fixed.get();
  });
}

}  // namespace
