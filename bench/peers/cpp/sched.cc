// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workloads G on Boost.Fiber: what peers/cairn/sched.cc does, with stacks of 16 KiB. PROCS=1: one thread, round robin;
// PROCS=2: two, with the library's work stealing.
// usage: sched micro | park N | deep N
#include <malloc.h>

#include <atomic>
#include <boost/context/fiber.hpp>
#include <boost/fiber/all.hpp>
#include <thread>

#include "../measure.h"

namespace fibers = boost::fibers;
using boost::context::fixedsize_stack;
using fibers::fiber;

static int procs = 1;
static const size_t k_stack_bytes = 16384;

static std::string name(const std::string& row) { return "sched-" + row + "-" + std::to_string(procs) + "p"; }
template <class F>
static fiber go(F f) {
  return fiber(fibers::launch::post, std::allocator_arg, fixedsize_stack(k_stack_bytes), std::move(f));
}
template <class F>
static double timed(double n, F f) {
  const int64_t t0 = now();
  f();
  return static_cast<double>(now() - t0) / n;
}

// ---- what one operation costs ----

// From one context to another and back, without a scheduler.
static double context_switch() {
  namespace context = boost::context;
  const int n = 5000000;
  long count = 0;
  context::fiber other([&](context::fiber&& caller) {
    for (;;) {
      count++;
      caller = std::move(caller).resume();
    }
    return std::move(caller);
  });
  const double ns = timed(2. * n, [&] {
    for (int i = 0; i < n; i++) other = std::move(other).resume();
  });
  if (count != n) abort();
  return ns;
}

static void one_thread_only() {
  repeat(name("spawn-join-1"), "op-pooled", "ns", [] {
    const int n = 300000;
    boost::context::pooled_fixedsize_stack stacks(k_stack_bytes);
    return timed(n, [&] {
      for (int i = 0; i < n; i++) fiber(fibers::launch::post, std::allocator_arg, stacks, [] {}).join();
    });
  });
  repeat(name("context-switch"), "switch", "ns", context_switch);
}

static void micro() {
  repeat(name("spawn-join-1"), "op", "ns", [] {
    const int n = 100000;
    return timed(n, [] {
      for (int i = 0; i < n; i++) go([] {}).join();
    });
  });
  if (procs == 1) one_thread_only();
  repeat(name("spawn-join-1000"), "op", "ns", [] {
    const int n = 100;
    std::atomic<long> sum{0};
    const double ns = timed(n * 1000, [&] {
      for (int i = 0; i < n; i++) {
        std::vector<fiber> all;
        all.reserve(1000);
        for (int k = 0; k < 1000; k++) all.push_back(go([&] { sum++; }));
        for (auto& f : all) f.join();
      }
    });
    if (sum != n * 1000) abort();
    return ns;
  });
  repeat(name("yield"), "switch", "ns", [] {
    const int n = 500000;
    auto body = [] {
      for (int i = 0; i < n; i++) boost::this_fiber::yield();
    };
    fiber a = go(body), b = go(body);
    return timed(2 * n, [&] {
      a.join();
      b.join();
    });
  });
  // 100,000 fibers sleep for 0 to 50 ms each; until all are done.
  repeat(name("sleep-100k"), "op", "ns", [] {
    const int n = 100000;
    xorshift random{99};
    std::vector<fiber> all;
    all.reserve(n);
    return timed(n, [&] {
      for (int i = 0; i < n; i++) {
        const std::chrono::nanoseconds d(random.next() % 50000000);
        all.push_back(go([d] { boost::this_fiber::sleep_for(d); }));
      }
      for (auto& f : all) f.join();
    });
  });
}

// ---- many that wait ----

struct gate {
  fibers::mutex lock;
  fibers::condition_variable opened;
  bool open = false;
  std::atomic<int> parked{0};

  void pass() {
    std::unique_lock<fibers::mutex> guard(lock);
    parked++;
    while (!open) opened.wait(guard);
  }
};
__attribute__((noinline)) static int descend(int depth, int* p, gate& g) {
  int* pad[4] = {};
  pad[depth & 3] = p;
  escape_ptr(pad);
  int below = 0;
  if (depth == 0) g.pass();
  else below = descend(depth - 1, pad[depth & 3], g);
  escape_ptr(pad);
  return below + *pad[depth & 3];
}
static double resident_bytes() { return (status_kb("VmRSS") + status_kb("VmPTE")) * 1024; }

static void park(int n, bool deep) {
  const std::string w = name((deep ? "deep-" : "park-") + std::to_string(n / 1000) + "k");
  gate g;
  std::vector<fiber> all;
  all.reserve(n);
  const double before = resident_bytes();
  const double spawn = timed(n, [&] {
    for (int i = 0; i < n; i++)
      all.push_back(go([&] {
        int one = 1;
        if (deep) escape(descend(9, &one, g));
        else g.pass();
      }));
    while (g.parked < n) boost::this_fiber::yield();
  });
  emit(w, "spawn", spawn, "ns");
  emit(w, "resident", (resident_bytes() - before) / n, "B/goroutine");
  const double end = timed(n, [&] {
    {
      std::unique_lock<fibers::mutex> guard(g.lock);
      g.open = true;
    }
    g.opened.notify_all();
    for (auto& f : all) f.join();
  });
  emit(w, "wake-and-exit", end, "ns");
}

int main(int argc, char** argv) {
  mallopt(M_TRIM_THRESHOLD, 1 << 30);  // keeps freed stacks, so that page faults are not what is measured
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  procs = getenv("PROCS") ? atoi(getenv("PROCS")) : 1;
  const std::string which = argc > 1 ? argv[1] : "micro";
  const int n = argc > 2 ? atoi(argv[2]) : 100000;
  auto body = [&] {
    if (which == "micro") micro();
    else park(n, which == "deep");
  };
  if (procs == 1) {
    body();
    return 0;
  }
  bool done = false;
  fibers::mutex lock;
  fibers::condition_variable over;
  std::thread second([&] {
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(2);
    std::unique_lock<fibers::mutex> guard(lock);
    while (!done) over.wait(guard);
  });
  fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(2);
  body();
  {
    std::unique_lock<fibers::mutex> guard(lock);
    done = true;
  }
  over.notify_all();
  second.join();
}
