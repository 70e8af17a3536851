// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workload K (channels) on Cairn; peers/go/chan.go runs the same with the same parameters and line format.
// CAIRNMAXPROCS comes from the caller, as GOMAXPROCS for Go.
#include <cairn/cairn.h>

#include <atomic>

#include "../measure.h"

using cairn::chan;
using cairn::make_chan;
using cairn::on_default;
using cairn::on_recv;
using cairn::sync::wait_group;

static std::string name(const std::string& row) {
  return "chan-" + row + "-" + std::to_string(cairn::max_procs()) + "p";
}
// Nanoseconds for one of n.
template <class F>
static double timed(double n, F f) {
  const int64_t t0 = now();
  f();
  return static_cast<double>(now() - t0) / n;
}

static double exchange(int producers, int consumers, size_t capacity, int n) {
  auto c = make_chan<int>(capacity);
  wait_group sending, receiving;
  std::atomic<long> received{0};
  const double ns = timed(n, [&] {
    for (int p = 0; p < producers; p++)
      sending.go([=] {
        for (int i = 0; i < n / producers; i++) c.send(i);
      });
    for (int k = 0; k < consumers; k++)
      receiving.go([&received, c] {
        long count = 0;
        while (c.recv()) count++;
        received += count;
      });
    sending.wait();
    c.close();
    receiving.wait();
  });
  if (received != n / producers * producers) abort();
  return ns;
}

// One receiver over four channels with a sender each.
static double select_over_four(size_t capacity) {
  const int n = 1000000;
  chan<int> c[4];
  for (auto& x : c) {
    x = make_chan<int>(capacity);
    cairn::go([x] {
      for (int k = 0; k < n / 4; k++) x.send(k);
    });
  }
  long sum = 0;
  auto add = [&](std::optional<int> v) { sum += *v; };
  const double ns = timed(n, [&] {
    for (int i = 0; i < n; i++)
      cairn::select(on_recv(c[0], add), on_recv(c[1], add), on_recv(c[2], add), on_recv(c[3], add));
  });
  escape(sum);
  return ns;
}

int main() {
  setenv("PEER", "cairn", 0);
  return cairn::run([] {
    repeat(name("uncontended"), "op", "ns", [] {
      const int n = 5000000;
      auto c = make_chan<int>(128);
      return timed(n, [&] {
        for (int i = 0; i < n; i++) {
          c.send(i);
          if (c.recv() != i) abort();
        }
      });
    });
    repeat(name("pingpong"), "roundtrip", "ns", [] {
      const int n = 500000;
      auto a = make_chan<int>(), b = make_chan<int>();
      cairn::go([=] {
        for (int v : a) b.send(v + 1);
        b.close();
      });
      const double ns = timed(n, [&] {
        for (int i = 0; i < n; i++) {
          a.send(i);
          if (b.recv() != i + 1) abort();
        }
      });
      a.close();
      b.recv();
      return ns;
    });
    repeat(name("128-1x1"), "op", "ns", [] { return exchange(1, 1, 128, 4000000); });
    repeat(name("128-4x4"), "op", "ns", [] { return exchange(4, 4, 128, 4000000); });
    repeat(name("0-4x4"), "op", "ns", [] { return exchange(4, 4, 0, 1000000); });
    repeat(name("select4"), "op", "ns", [] { return select_over_four(0); });
    repeat(name("select4-128"), "op", "ns", [] { return select_over_four(128); });
    repeat(name("select4-default"), "op", "ns", [] {
      const int n = 5000000;
      chan<int> c[4];
      for (auto& x : c) x = make_chan<int>();
      long defaults = 0;
      const double ns = timed(n, [&] {
        for (int i = 0; i < n; i++)
          cairn::select(on_recv(c[0]), on_recv(c[1]), on_recv(c[2]), on_recv(c[3]),
                        on_default([&] { defaults++; }));
      });
      if (defaults != n) abort();
      return ns;
    });
    repeat(name("make"), "op", "ns", [] {
      const int n = 2000000;
      return timed(n, [&] {
        for (int i = 0; i < n; i++) escape(make_chan<int>());
      });
    });
  });
}
