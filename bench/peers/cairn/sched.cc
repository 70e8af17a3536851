// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workloads G (goroutines) on Cairn; peers/go/sched.go and peers/cpp/sched.cc (Boost.Fiber) run the same with the same
// parameters and line format.
// usage: sched micro | park N | deep N. CAIRNMAXPROCS comes from the caller, as GOMAXPROCS for Go.
#include <cairn/cairn.h>

#include <atomic>

#include "../measure.h"

namespace gc = cairn::gc;
using cairn::sync::wait_group;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

static std::string name(const std::string& row) {
  return "sched-" + row + "-" + std::to_string(cairn::max_procs()) + "p";
}
// Nanoseconds for one of n.
template <class F>
static double timed(double n, F f) {
  const int64_t t0 = now();
  f();
  return static_cast<double>(now() - t0) / n;
}

// ---- what one operation costs ----

static void micro() {
  repeat(name("spawn-join-1"), "op", "ns", [] {
    const int n = 300000;
    return timed(n, [] {
      for (int i = 0; i < n; i++) cairn::spawn([] {}).get();
    });
  });
  repeat(name("spawn-join-1000"), "op", "ns", [] {
    const int n = 500;
    std::atomic<long> sum{0};
    const double ns = timed(n * 1000, [&] {
      for (int i = 0; i < n; i++) {
        wait_group wg;
        for (int k = 0; k < 1000; k++) {
          wg.add(1);
          cairn::go([&] {
            sum++;
            wg.done();
          });
        }
        wg.wait();
      }
    });
    if (sum != n * 1000) abort();
    return ns;
  });
  repeat(name("yield"), "switch", "ns", [] {
    const int n = 1000000;
    wait_group wg;
    return timed(2 * n, [&] {
      for (int g = 0; g < 2; g++)
        wg.go([] {
          for (int i = 0; i < n; i++) cairn::yield();
        });
      wg.wait();
    });
  });
  repeat(name("waitgroup"), "add-done-wait", "ns", [] {
    const int n = 20000000;
    wait_group wg;
    return timed(n, [&] {
      for (int i = 0; i < n; i++) {
        wg.add(1);
        wg.done();
        wg.wait();
      }
    });
  });
  // 100,000 goroutines sleep for 0 to 50 ms each; until all are done.
  repeat(name("sleep-100k"), "op", "ns", [] {
    const int n = 100000;
    wait_group wg;
    xorshift random{99};
    return timed(n, [&] {
      for (int i = 0; i < n; i++) {
        const nanoseconds d(random.next() % 50000000);
        wg.go([d] { cairn::sleep_for(d); });
      }
      wg.wait();
    });
  });
  repeat(name("timer-create-stop"), "op", "ns", [] {
    const int n = 2000000;
    return timed(n, [] {
      for (int i = 0; i < n; i++) {
        const cairn::timer t(1h);
        t.stop();
      }
    });
  });
  // 500,000 functions are called after 0 to 50 ms each; until the last one was.
  repeat(name("timer-fire"), "op", "ns", [] {
    const int n = 500000;
    wait_group wg;
    wg.add(n);
    xorshift random{99};
    return timed(n, [&] {
      for (int i = 0; i < n; i++)
        cairn::after_func(nanoseconds(random.next() % 50000000), [&] { wg.done(); });
      wg.wait();
    });
  });
}

// ---- many that wait ----

// Nine calls further down, each frame with a pointer.
__attribute__((noinline)) static int descend(int depth, int* p, wait_group& parked, wait_group& leave) {
  int* pad[4] = {};
  pad[depth & 3] = p;
  escape_ptr(pad);
  int below = 0;
  if (depth == 0) {
    parked.done();
    leave.wait();
  } else {
    below = descend(depth - 1, pad[depth & 3], parked, leave);
  }
  escape_ptr(pad);
  return below + *pad[depth & 3];
}
// Resident memory, the page tables included: of a million stacks they are a part.
static double resident_bytes() { return (status_kb("VmRSS") + status_kb("VmPTE")) * 1024; }

// n goroutines wait at once, ten frames deep or in the function that they were started with.
static void park(int n, bool deep) {
  const std::string w = name((deep ? "deep-" : "park-") + std::to_string(n / 1000) + "k");
  gc::collect();
  const double before = resident_bytes();
  wait_group parked, leave;
  parked.add(n);
  leave.add(1);
  const double spawn = timed(n, [&] {
    for (int i = 0; i < n; i++)
      if (deep) {
        cairn::go([&] { escape(descend(9, cairn::make_gc<int>(1), parked, leave)); });
      } else {
        cairn::go([&] {
          parked.done();
          leave.wait();
        });
      }
    parked.wait();
  });
  emit(w, "spawn", spawn, "ns");
  emit(w, "resident", (resident_bytes() - before) / n, "B/goroutine");
  const gc::stats s0 = gc::read_stats();
  emit(w, "first-full-gc", timed(1e6, [] { gc::collect(); }), "ms");
  const int64_t cpu = cpu_ns();
  std::vector<double> full;  // none of them has run since the last
  for (int i = 0; i < 5; i++) full.push_back(timed(1e6, [] { gc::collect(); }));
  emit(w, "full-gc", median(full), "ms");
  emit(w, "mark-cpu", static_cast<double>(cpu_ns() - cpu) / 5e6, "ms");
  emit(w, "stw-max", static_cast<double>((gc::read_stats().pauses - s0.pauses).max().count()) / 1e3, "us");
  const double end = timed(n, [&] {
    leave.done();
    while (cairn::num_goroutines() > 1) cairn::sleep_for(100us);
  });
  emit(w, "wake-and-exit", end, "ns");
  cairn::sleep_for(10s);
  emit(w, "left-after-10s", (resident_bytes() - before) / n, "B/goroutine");
}

int main(int argc, char** argv) {
  setenv("PEER", "cairn", 0);
  const std::string which = argc > 1 ? argv[1] : "micro";
  const int n = argc > 2 ? atoi(argv[2]) : 100000;
  return cairn::run([&] {
    if (which == "micro") micro();
    else if (which == "park" || which == "deep") park(n, which == "deep");
    else return fprintf(stderr, "no such workload\n"), 2;
    return 0;
  });
}
