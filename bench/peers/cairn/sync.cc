// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workload S (synchronisation) on Cairn; peers/go/sync.go runs the same with the same parameters and line format.
// CAIRNMAXPROCS comes from the caller, as GOMAXPROCS for Go.
#include <cairn/cairn.h>

#include "../measure.h"

using cairn::sync::wait_group;

static std::string name(const std::string& row) {
  return "sync-" + row + "-" + std::to_string(cairn::max_procs()) + "p";
}

// n times f(i), by each of `goroutines`: nanoseconds for one.
template <class F>
static void row(const char* what, int goroutines, int n, F f) {
  repeat(name(what), "op", "ns", [&] {
    const int64_t t0 = now();
    if (goroutines == 1) {
      for (int i = 0; i < n; i++) f(i);
    } else {
      wait_group all;
      for (int g = 0; g < goroutines; g++)
        all.go([&] {
          for (int i = 0; i < n; i++) f(i);
        });
      all.wait();
    }
    return static_cast<double>(now() - t0) / (static_cast<double>(n) * goroutines);
  });
}

struct item {
  cairn::gc_ptr<item> next;
  long n;
};

static void locks() {
  cairn::sync::mutex m;
  cairn::sync::rw_mutex rw;
  wait_group wg;
  long counter = 0;
  auto lock = [&](int) {
    m.lock();
    counter++;
    m.unlock();
  };
  auto read = [&](int) {
    rw.lock_shared();
    escape(counter);
    rw.unlock_shared();
  };
  row("mutex", 1, 10000000, lock);
  row("mutex-8", 8, 1000000, lock);
  row("rwmutex-read", 1, 10000000, read);
  row("rwmutex-read-8", 8, 1000000, read);
  row("waitgroup", 1, 10000000, [&](int) {
    wg.add(1);
    wg.done();
    wg.wait();
  });
}

static void containers() {
  cairn::sync::pool<item> pool([] { return cairn::make_gc<item>(); });
  auto use = [&](int) { pool.put(pool.get()); };
  row("pool", 1, 10000000, use);
  row("pool-8", 8, 1000000, use);

  constexpr int k_keys = 1 << 14;
  cairn::sync::map<int, int> map;
  for (int i = 0; i < k_keys; i++) map.store(i, i);
  auto load = [&](int i) { escape(map.load(i * 7 & (k_keys - 1)).value()); };
  auto store = [&](int i) { map.store(i * 7 & (k_keys - 1), i); };
  row("map-load", 1, 5000000, load);
  row("map-load-8", 8, 500000, load);
  row("map-store", 1, 3000000, store);
  row("map-store-8", 8, 300000, store);
  row("map-insert-delete", 1, 1000000, [&](int i) {
    map.store(k_keys + i, i);
    map.erase(k_keys + i);
  });
  cairn::sync::atomic_value<long> value(1);
  row("value-load", 1, 10000000, [&](int) { escape(value.load()); });
}

// A tree of 10,000 contexts, each below the one whose number is a tenth of its own.
static void contexts() {
  constexpr int k_nodes = 10000;
  std::vector<double> make, cancel;
  for (int round = 0; round < 51; round++) {
    cairn::gc_slice<cairn::context> all = cairn::make_gc_array<cairn::context>(k_nodes);
    const int64_t t0 = now();
    auto [top, cancel_top] = cairn::with_cancel(cairn::background());
    all[0] = top;
    for (int i = 1; i < k_nodes; i++) all[i] = cairn::with_cancel(all[i / 10]).first;
    const int64_t t1 = now();
    cancel_top();
    const int64_t t2 = now();
    if (!all[k_nodes - 1].err()) abort();
    if (round == 0) continue;
    make.push_back(static_cast<double>(t1 - t0) / k_nodes);
    cancel.push_back(static_cast<double>(t2 - t1) / k_nodes);
  }
  emit(name("context"), "make", median(make), "ns");
  emit(name("context"), "cancel", median(cancel), "ns");
}

int main() {
  setenv("PEER", "cairn", 0);
  return cairn::run([] {
    locks();
    containers();
    contexts();
    return 0;
  });
}
