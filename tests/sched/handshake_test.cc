// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/handshake.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync/wait_group.h"
#include "heap/lock.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

using namespace std::chrono_literals;

// The ways in which a thread can be busy when it is asked. Each counts its steps, so that a test sees it stand still.
struct alignas(64) counter {
  std::atomic<std::uint64_t> steps{0};
};

void spin(counter& c, const std::atomic<bool>& stop) {
  self();
  while (!stop.load(std::memory_order_relaxed)) c.steps.fetch_add(1, std::memory_order_relaxed);
}
void sleep_often(counter& c, const std::atomic<bool>& stop) {
  self();
  while (!stop.load()) {
    std::this_thread::sleep_for(50us);
    c.steps.fetch_add(1, std::memory_order_relaxed);
  }
}
void park_often(counter& c, const std::atomic<bool>& stop) {
  m& me = self();
  while (!stop.load()) {
    in_safe_state(me, [] { std::this_thread::sleep_for(50us); });
    c.steps.fetch_add(1, std::memory_order_relaxed);
  }
}
void nest_sections(counter& c, const std::atomic<bool>& stop) {
  m& me = self();
  while (!stop.load()) {
    runtime_section outer(me);
    c.steps.fetch_add(1, std::memory_order_relaxed);
    for (int i = 0; i < 20; ++i) {
      runtime_section inner(me);
      asm volatile("");
    }
    c.steps.fetch_add(1, std::memory_order_relaxed);
  }
}
void attach_often(counter& c, const std::atomic<bool>& stop) {
  while (!stop.load()) {
    attach_thread here;
    c.steps.fetch_add(1, std::memory_order_relaxed);
  }
}
// Takes a lock of the runtime's kind that the stopper takes too.
heap::mutex shared_lock;
void lock_often(counter& c, const std::atomic<bool>& stop) {
  m& me = self();
  while (!stop.load()) {
    runtime_section section(me);
    heap::lock_guard held(shared_lock);
    c.steps.fetch_add(1, std::memory_order_relaxed);
  }
}

using busy = void (*)(counter&, const std::atomic<bool>&);
constexpr busy k_ways[] = {spin, sleep_often, park_often, nest_sections, attach_often, lock_often};
constexpr int k_threads_per_way = 2;

struct busy_crowd {
  busy_crowd() {
    self();
    int i = 0;
    for (busy way : k_ways) {
      for (int n = 0; n < k_threads_per_way; ++n, ++i)
        threads.add([this, way, i](const std::atomic<bool>& stop) { way(counters[i], stop); });
    }
  }
  ~busy_crowd() { threads.end(); }
  std::uint64_t sum() const {
    std::uint64_t n = 0;
    for (const counter& c : counters) n += c.steps.load(std::memory_order_relaxed);
    return n;
  }
  bool all_moved() {
    std::uint64_t before[std::size(k_ways) * k_threads_per_way];
    for (std::size_t i = 0; i < std::size(before); ++i) before[i] = counters[i].steps.load();
    return eventually([&] {
      for (std::size_t i = 0; i < std::size(before); ++i)
        if (counters[i].steps.load() == before[i]) return false;
      return true;
    });
  }
  counter counters[std::size(k_ways) * k_threads_per_way];
  crowd threads;
};

void stop_many_times(int times) {
  busy_crowd busy_threads;
  ASSERT_TRUE(busy_threads.all_moved());
  for (int i = 0; i < times; ++i) {
    world_stopped stopped = stop_the_world("test");
    {
      runtime_section section;
      heap::lock_guard held(shared_lock);  // nobody who is stopped holds it
    }
    std::uint64_t before = busy_threads.sum();
    for (int n = 0; n < 200; ++n) asm volatile("");
    if (i % 16 == 0) syscall(SYS_sched_yield);
    EXPECT_EQ(busy_threads.sum(), before);
    for_each_m(stopped, [](m& p) {
      if (&p == current()) return;
      std::uint32_t state = p.state.load();
      EXPECT_TRUE(state == k_stopped || state == k_held || state == k_held_waited) << state;
      EXPECT_EQ(p.depth.load(), state == k_stopped ? 1 : 0);  // answering is a section of its own
      EXPECT_TRUE(p.saved_sp >= p.stack_low && p.saved_sp < p.stack_high);
    });
  }
  EXPECT_TRUE(busy_threads.all_moved());
}

TEST(Handshake, StopsThreadsWhateverTheyDo) { stop_many_times(static_cast<int>(test_count(500))); }

TEST(Handshake, StopsThemWithRandomDelaysInTheProtocol) {
  delays many(100);
  stop_many_times(static_cast<int>(test_count(100)));
}

void handshake_many_times(int times) {
  busy_crowd busy_threads;
  ASSERT_TRUE(busy_threads.all_moved());
  for (int i = 0; i < times; ++i) {
    std::atomic<int> calls{0};
    handshake(
        [](m& p, void* arg) {
          static_cast<std::atomic<int>*>(arg)->fetch_add(1);
          p.no_gc_scopes += 1;
          EXPECT_GT(current()->depth.load(), 0);
        },
        &calls);
    // All but those that attach and detach all the time are here for certain; idle threads of other tests may be.
    EXPECT_GE(calls.load(), 1 + static_cast<int>(std::size(k_ways) - 1) * k_threads_per_way);
  }
  EXPECT_TRUE(busy_threads.all_moved());
}

TEST(Handshake, RaggedCallsTheFunctionOnceForEveryThread) {
  handshake_many_times(static_cast<int>(test_count(500)));
}

TEST(Handshake, RaggedWithRandomDelays) {
  delays many(100);
  handshake_many_times(static_cast<int>(test_count(100)));
}

TEST(Handshake, EveryThreadRunsTheFunctionOncePerHandshake) {
  self();
  std::atomic<int> ready{0};
  crowd threads;
  for (int i = 0; i < 8; ++i) {
    threads.add([&](const std::atomic<bool>& stop) {
      self();
      ready.fetch_add(1);
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return ready.load() == 8; }));
  handshake([](m& p, void*) { p.no_gc_scopes = 0; }, nullptr);
  for (int i = 1, n = static_cast<int>(test_count(40)); i <= n; ++i) {
    handshake([](m& p, void*) { ++p.no_gc_scopes; }, nullptr);
    world_stopped stopped = stop_the_world("test");
    for_each_m(stopped, [&](m& p) { EXPECT_EQ(p.no_gc_scopes, static_cast<std::uint64_t>(i)); });
  }
}

// Where both run at the same time, which on a busy machine they do now and then.
TEST(Handshake, AThreadThatComesToASectionsEndIsSparedTheSignal) {
  self();
  std::atomic<m*> worker{nullptr};
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    m& me = self();
    worker.store(&me);
    while (!stop.load(std::memory_order_relaxed)) runtime_section section(me);
  });
  ASSERT_TRUE(eventually([&] { return worker.load() != nullptr; }));
  struct answers {
    m* worker;
    std::atomic<int> spared{0}, interrupted{0};
  } counted{worker.load()};
  int handshakes = 0;
  EXPECT_TRUE(eventually([&] {
    ++handshakes;
    handshake(
        [](m& p, void* arg) {
          auto& to = *static_cast<answers*>(arg);
          if (&p == to.worker) (p.interrupted ? to.interrupted : to.spared).fetch_add(1);
        },
        &counted);
    return counted.spared.load() > 0;
  }));
  EXPECT_EQ(counted.spared + counted.interrupted, handshakes);
}

TEST(Handshake, AThreadThatOnlySpinsIsInterrupted) {
  if (k_signals_deferred) GTEST_SKIP() << "signals are delivered as calls";
  self();
  std::atomic<m*> worker{nullptr};
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    worker.store(&self());
    while (!stop.load(std::memory_order_relaxed)) {
    }
  });
  ASSERT_TRUE(eventually([&] { return worker.load() != nullptr; }));
  struct answers {
    m* worker;
    std::atomic<int> interrupted{0};
  } counted{worker.load()};
  handshake(
      [](m& p, void* arg) {
        auto& to = *static_cast<answers*>(arg);
        if (&p == to.worker && p.interrupted) to.interrupted.fetch_add(1);
      },
      &counted);
  EXPECT_EQ(counted.interrupted.load(), 1);
  EXPECT_FALSE(worker.load()->dead);
}

TEST(Handshake, SeveralThreadsStopTheWorldAtOnce) {
  delays some(20);
  std::atomic<int> inside{0};
  std::atomic<int> stops{0};
  {
    crowd threads;
    for (int i = 0; i < 5; ++i) {
      threads.add([&, i](const std::atomic<bool>& stop) {
        if (i != 0) self();  // one of them is not attached
        while (!stop.load()) {
          if (i == 1) {
            handshake([](m&, void*) {}, nullptr);
            continue;
          }
          world_stopped stopped = stop_the_world("test");
          EXPECT_EQ(inside.fetch_add(1), 0);
          stops.fetch_add(1);
          EXPECT_EQ(inside.fetch_sub(1), 1);
        }
      });
    }
    EXPECT_TRUE(eventually([&] { return stops.load() >= static_cast<int>(test_count(500)); }));
  }
}

TEST(Handshake, AThreadHeldInTheSafeStateCannotLeaveIt) {
  self();
  std::atomic<int> phase{0};
  m* parked = nullptr;
  std::thread thread([&] {
    m& me = self();
    parked = &me;
    in_safe_state(me, [&] {
      phase.store(1);
      while (phase.load() != 2) std::this_thread::sleep_for(100us);
    });
    phase.store(3);
  });
  ASSERT_TRUE(eventually([&] { return phase.load() == 1; }));
  {
    world_stopped stopped = stop_the_world("test");
    phase.store(2);
    ASSERT_TRUE(eventually([&] { return parked->state.load() == k_held_waited; }));
    EXPECT_EQ(phase.load(), 2);
  }
  thread.join();
  EXPECT_EQ(phase.load(), 3);
}

TEST(Handshake, WhoIsHeldGoesOnBeforeThoseThatRunHaveAnswered) {
  self();
  std::atomic<m*> parked{nullptr}, in_section{nullptr};
  std::atomic<bool> called{false}, over{false};
  std::atomic<bool> left_in_time{false};
  std::thread sleeper([&] {
    m& me = self();
    in_safe_state(me, [&] {
      parked.store(&me);
      while (!called.load()) std::this_thread::sleep_for(100us);
    });
    over.store(true);
  });
  std::thread worker([&] {
    m& me = self();
    runtime_section section(me);
    in_section.store(&me);
    // Asleep, but inside the section: it answers at its end.
    cairn_test::patience left;
    while (!over.load() && !left.is_over()) std::this_thread::sleep_for(200us);
    left_in_time.store(over.load());
  });
  ASSERT_TRUE(eventually([&] { return parked.load() != nullptr && in_section.load() != nullptr; }));
  struct question {
    m* parked;
    std::atomic<bool>* called;
  } asked{parked.load(), &called};
  handshake(
      [](m& p, void* arg) {
        auto& to = *static_cast<question*>(arg);
        if (&p == to.parked) to.called->store(true);
      },
      &asked);
  in_safe_state(self(), [&] {
    sleeper.join();
    worker.join();
  });
  EXPECT_TRUE(left_in_time);
}

// ---- how long it takes --------------------------------------------------------------------------------------------

// Sanitizers' code takes part in every answer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool k_is_slowed = true;
#elif defined(__has_feature)
constexpr bool k_is_slowed = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool k_is_slowed = false;
#endif

// The calling thread stays on one processor while one exists.
class on_processor {
 public:
  explicit on_processor(int cpu) {
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    sched_getaffinity(0, sizeof before_, &before_);
    sched_setaffinity(0, sizeof only, &only);
  }
  ~on_processor() { sched_setaffinity(0, sizeof before_, &before_); }
  on_processor(const on_processor&) = delete;
  on_processor& operator=(const on_processor&) = delete;

 private:
  cpu_set_t before_;
};

std::vector<int> processors() {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  sched_getaffinity(0, sizeof ours, &ours);
  std::vector<int> numbers;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &ours)) numbers.push_back(cpu);
  return numbers;
}

// Nanoseconds from the request to the last answer.
std::int64_t time_handshake() {
  std::this_thread::sleep_for(200us);  // so that the hogs are in the middle of their slices again
  const auto before = std::chrono::steady_clock::now();
  handshake([](m&, void*) {}, nullptr);
  return (std::chrono::steady_clock::now() - before) / 1ns;
}

// At least fifty, in order; more while none of them was as fast as `wanted`, until patience ends: where others have the
// processors, the kernel lets a hog's thread wait for its own as long as it likes.
std::vector<std::int64_t> time_handshakes(std::int64_t wanted) {
  self();
  std::vector<std::int64_t> took;
  cairn_test::patience left;
  std::int64_t best = wanted + 1;
  for (const std::size_t least = test_count(1000, 50);
       took.size() < least || (best > wanted && !left.is_over());) {
    took.push_back(time_handshake());
    best = std::min(best, took.back());
  }
  std::ranges::sort(took);
  return took;
}

TEST(Handshake, HogsOnAllProcsDelayItByLessThanATenthOfAMillisecond) {
  const std::vector<int> cpus = processors();
  if (cpus.size() < 2) GTEST_SKIP() << "one hog waits for the processor that the other has";
  constexpr std::int64_t k_bound = 100'000;
  std::vector<std::int64_t> took;
  cairn::run(
      [&] {
        std::atomic<int> there{0};
        std::atomic<bool> stop{false};
        sync::wait_group hogs;
        for (int cpu : {cpus[0], cpus[1]})
          hogs.go([&, cpu] {
            const on_processor pinned(
                cpu);  // each has one of its own; it does not move to another thread meanwhile
            there.fetch_add(1);
            while (!stop.load(std::memory_order_relaxed)) {
            }
          });
        while (there.load() != 2) cairn::yield();
        cairn::blocking([&] {
          std::thread([&] { took = time_handshakes(k_is_slowed ? INT64_MAX - 1 : k_bound); }).join();
        });
        stop.store(true);
        hogs.wait();
      },
      {.max_procs = 2});
  const std::size_t n = took.size();
  RecordProperty("p50_ns", std::to_string(took[n / 2]));
  RecordProperty("p999_ns", std::to_string(took[n * 999 / 1000]));
  if (!k_is_slowed) {
    EXPECT_LE(took[0], k_bound);
  }
}

TEST(Handshake, AnExceptionLeavesTheSafeState) {
  m& me = self();
  EXPECT_THROW(in_safe_state(me, [] { throw std::runtime_error("out"); }), std::runtime_error);
  EXPECT_EQ(me.state.load(), k_running);
}

// ---- what the stopper sees ----------------------------------------------------------------------------------------

// A sanitizer's own header defines __has_feature for GCC too, as always false.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize_address))
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
__attribute__((no_sanitize("address")))
#endif
#if __has_feature(thread_sanitizer)
__attribute__((no_sanitize("thread")))
#endif
#endif
bool stack_shows(const m& p, std::uintptr_t wanted) {
  auto* word = reinterpret_cast<const std::uintptr_t*>(p.saved_sp);
  for (; word < p.stack_high; ++word)
    if (*word == wanted) return true;
  return false;
}

// Not the number itself anywhere but where the thread puts it.
std::uintptr_t secret(std::uintptr_t i) { return (i * 0x9e3779b97f4a7c15u) | 1; }

bool stopped_stack_shows(m* p, std::uintptr_t i) {
  bool seen = false;
  world_stopped stopped = stop_the_world("test");
  for_each_m(stopped, [&](m& q) {
    if (&q == p) seen = stack_shows(q, secret(i));
  });
  return seen;
}

template <class Hold>
void expect_visible(std::uintptr_t i, Hold hold) {
  self();
  std::atomic<m*> where{nullptr};
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    m& me = self();
    hold(me, where, stop);
  });
  ASSERT_TRUE(eventually([&] { return where.load() != nullptr; }));
  std::this_thread::sleep_for(1ms);
  for (int n = 0; n < 20; ++n) EXPECT_TRUE(stopped_stack_shows(where.load(), i));
  stop.store(true);
  thread.join();
}

#if defined(__x86_64__)
// Under ThreadSanitizer the handler runs when the thread comes into the sanitizer, which has saved what it wants to.
TEST(Handshake, AValueInAGeneralRegisterIsSeen) {
  if (k_signals_deferred) GTEST_SKIP() << "the thread is not interrupted in its loop";
  expect_visible(1, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    std::uintptr_t value = secret(1);
    where.store(&me);
    asm volatile(
        "movq %[value], %%r9\n\t"
        "xorl %k[value], %k[value]\n"
        "1:\tcmpb $0, %[stop]\n\t"
        "je 1b\n\t"
        "xorl %%r9d, %%r9d\n"
        : [value] "+r"(value)
        : [stop] "m"(stop)
        : "r9", "cc", "memory");
  });
}

TEST(Handshake, AValueInAVectorRegisterIsSeen) {
  if (k_signals_deferred) GTEST_SKIP() << "the thread is not interrupted in its loop";
  expect_visible(2, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    std::uintptr_t value = secret(2);
    where.store(&me);
    asm volatile(
        "movq %[value], %%xmm11\n\t"
        "xorl %k[value], %k[value]\n"
        "1:\tcmpb $0, %[stop]\n\t"
        "je 1b\n\t"
        "pxor %%xmm11, %%xmm11\n"
        : [value] "+r"(value)
        : [stop] "m"(stop)
        : "xmm11", "cc", "memory");
  });
}

TEST(Handshake, AValueInTheRedZoneIsSeen) {
  if (k_signals_deferred) GTEST_SKIP() << "the thread is not interrupted in its loop";
  expect_visible(3, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    std::uintptr_t value = secret(3);
    where.store(&me);
    asm volatile(
        "subq $128, %%rsp\n\t"
        "movq %[value], -128(%%rsp)\n\t"
        "xorl %k[value], %k[value]\n"
        "1:\tcmpb $0, (%[stop])\n\t"
        "je 1b\n\t"
        "movq $0, -128(%%rsp)\n\t"
        "addq $128, %%rsp\n"
        : [value] "+r"(value)
        : [stop] "r"(&stop)
        : "cc", "memory");
  });
}

#elif defined(__aarch64__)
TEST(Handshake, AValueInAGeneralRegisterIsSeen) {
  if (k_signals_deferred) GTEST_SKIP() << "the thread is not interrupted in its loop";
  expect_visible(1, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    std::uintptr_t value = secret(1);
    where.store(&me);
    asm volatile(
        "mov x9, %[value]\n\t"
        "mov %[value], #0\n"
        "1:\tldrb w10, %[stop]\n\t"
        "cbz w10, 1b\n\t"
        "mov x9, #0\n"
        : [value] "+&r"(value)
        : [stop] "Q"(stop)
        : "x9", "x10", "memory");
  });
}

// In the half that calls do not preserve.
TEST(Handshake, AValueInAVectorRegisterIsSeen) {
  if (k_signals_deferred) GTEST_SKIP() << "the thread is not interrupted in its loop";
  expect_visible(2, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    std::uintptr_t value = secret(2);
    where.store(&me);
    asm volatile(
        "movi v11.2d, #0\n\t"
        "mov v11.d[1], %[value]\n\t"
        "mov %[value], #0\n"
        "1:\tldrb w10, %[stop]\n\t"
        "cbz w10, 1b\n\t"
        "movi v11.2d, #0\n"
        : [value] "+&r"(value)
        : [stop] "Q"(stop)
        : "x10", "v11", "memory");
  });
}
#endif

#if defined(__x86_64__)
#define CAIRN_TEST_PRESERVED "r14"
#elif defined(__aarch64__)
#define CAIRN_TEST_PRESERVED "x21"
#endif

// Callee-saved registers at a parking call, and at a section's end.
TEST(Handshake, ACalleeSavedRegisterIsSeenInTheSafeState) {
  expect_visible(4, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    register std::uintptr_t value asm(CAIRN_TEST_PRESERVED) = secret(4);
    asm volatile("" : "+r"(value));
    in_safe_state(me, [&] {
      where.store(&me);
      while (!stop.load()) std::this_thread::sleep_for(100us);
    });
    asm volatile("" : "+r"(value));
  });
}

TEST(Handshake, AValueOnTheStackIsSeenAtASectionsEnd) {
  expect_visible(5, [](m& me, std::atomic<m*>& where, std::atomic<bool>& stop) {
    volatile std::uintptr_t value = secret(5);
    EXPECT_EQ(value, secret(5));
    while (!stop.load()) {
      runtime_section section(me);
      where.store(&me);
      for (int i = 0; i < 100; ++i) asm volatile("");
    }
    value = 0;
  });
}

TEST(Handshake, TheStoppersOwnRegistersAreSeenWithWithWorldStopped) {
  self();
  volatile std::uintptr_t value = secret(6);
  EXPECT_EQ(value, secret(6));
  bool seen = false;
  with_world_stopped("test", [&](const world_stopped& stopped) {
    for_each_m(stopped, [&](m& p) {
      if (&p == current()) seen = stack_shows(p, secret(6));
    });
  });
  EXPECT_TRUE(seen);
  value = 0;
}

// ---- signals ------------------------------------------------------------------------------------------------------

TEST(Handshake, KeepsErrno) {
  self();
  std::atomic<std::uint64_t> rounds{0};
  crowd threads;
  for (int i = 0; i < 3; ++i) {
    threads.add([&](const std::atomic<bool>& stop) {
      m& me = self();
      while (!stop.load(std::memory_order_relaxed)) {
        errno = 4711;
        for (int n = 0; n < 1000; ++n) {
          runtime_section section(me);
          asm volatile("");
        }
        ASSERT_EQ(errno, 4711);
        rounds.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (int i = 0, n = static_cast<int>(test_count(200)); i < n; ++i) {
    errno = 1234;
    { world_stopped stopped = stop_the_world("test"); }
    handshake([](m&, void*) { errno = 99; }, nullptr);
    errno = 0;
  }
  EXPECT_TRUE(eventually([&] { return rounds.load() > 10; }));
}

TEST(Handshake, ASleepingThreadIsStoppedInItsSystemCall) {
  if (k_signals_deferred) GTEST_SKIP() << "the sanitizer delivers no signal during read";
  self();
  std::atomic<bool> ready{false};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::thread thread([&] {
    self();
    ready.store(true);
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);  // restarted by the kernel, not by us
  });
  ASSERT_TRUE(eventually([&] { return ready.load(); }));
  std::this_thread::sleep_for(5ms);
  for (int i = 0; i < 100; ++i) {
    world_stopped stopped = stop_the_world("test");
  }
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  thread.join();
  close(ends[0]);
  close(ends[1]);
}

std::chrono::nanoseconds processor_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

TEST(Handshake, ABlockedSignalIsNamedAndWaitedFor) {
  self();
  std::atomic<int> phase{0};
  pid_t tid = 0;
  std::thread thread([&] {
    self();
    pthread_setname_np(pthread_self(), "deaf-one");
    tid = gettid();
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
    phase.store(1);
    // Of its own time: that passes only while the one who waits could look at his clock too.
    const auto until = processor_time() + 2500ms;
    while (processor_time() < until) {
    }
    phase.store(2);
    pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
    while (phase.load() != 3) {
    }
  });
  ASSERT_TRUE(eventually([&] { return phase.load() == 1; }));
  testing::internal::CaptureStderr();
  {
    world_stopped stopped = stop_the_world("a test of patience");
    EXPECT_EQ(phase.load(), 2);
  }
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("thread " + std::to_string(tid) + " (deaf-one) has not answered"), std::string::npos)
      << text;
  EXPECT_NE(text.find("a test of patience"), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << "named once: " << text;
  phase.store(3);
  thread.join();
}

TEST(Handshake, AThreadOnAnAlternateStackAnswersAfterIt) {
  self();
  static std::atomic<int> phase;
  phase = 0;
  std::thread thread([] {
    self();
    static char stack[64 * 1024];
    stack_t alternate = {};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
    struct sigaction action = {};
    action.sa_handler = [](int) {
      phase.store(1);
      auto until = std::chrono::steady_clock::now() + 50ms;
      while (std::chrono::steady_clock::now() < until) {
      }
      phase.store(2);
    };
    action.sa_flags = SA_ONSTACK;
    struct sigaction before;
    ASSERT_EQ(sigaction(SIGUSR2, &action, &before), 0);
    raise(SIGUSR2);
    while (phase.load() != 3) {
    }
    sigaction(SIGUSR2, &before, nullptr);
    alternate.ss_flags = SS_DISABLE;
    sigaltstack(&alternate, nullptr);
  });
  ASSERT_TRUE(eventually([&] { return phase.load() != 0; }));
  {
    world_stopped stopped = stop_the_world("test");
    EXPECT_EQ(phase.load(), 2);
  }
  phase.store(3);
  thread.join();
}

// The holder of the mutex is stopped; who waits for it must be, too.
TEST(Handshake, AThreadThatWaitsForAMutexIsStopped) {
  self();
  std::mutex mutex;
  std::atomic<std::uint64_t> rounds{0};
  crowd threads;
  for (int i = 0; i < 4; ++i) {
    threads.add([&](const std::atomic<bool>& stop) {
      self();
      while (!stop.load(std::memory_order_relaxed)) {
        std::lock_guard held(mutex);
        rounds.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::size_t i = 0; i < test_count(200); ++i) {
    world_stopped stopped = stop_the_world("test");
  }
  EXPECT_TRUE(eventually([&] { return rounds.load() > 100; }));
}

TEST(Handshake, SafeLockWaitsInTheSafeState) {
  self();
  std::mutex mutex;
  std::atomic<m*> waiter{nullptr};
  std::unique_lock held(mutex);
  std::thread thread([&] {
    waiter.store(&self());
    safe_lock wait(mutex);
  });
  ASSERT_TRUE(eventually([&] { return waiter.load() != nullptr && waiter.load()->state.load() == k_safe; }));
  { world_stopped stopped = stop_the_world("test"); }
  held.unlock();
  thread.join();
}

}  // namespace
}  // namespace cairn::sched
