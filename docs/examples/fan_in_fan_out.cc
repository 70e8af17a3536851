// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Fan-out and fan-in. Fan-out: several goroutines receive from one channel, whoever is free takes
// the next piece of work. Fan-in: what they find comes together in one channel, which is closed
// when the last of them is done.
//
// The task: below a million, which number takes the most Collatz steps to come down to one?
//
// Shows: several receivers of one channel, cairn::vector for handles, sync::wait_group, lifetimes
// without an owner.
#include <cairn/cairn.h>

#include <algorithm>
#include <cstdio>
#include <utility>

struct range {
  long first, last;
};
struct found {
  long number;
  int steps;
};

int collatz_steps(long n) {
  int steps = 0;
  for (; n != 1; ++steps) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
  return steps;
}

// The numbers below `end`, in pieces.
cairn::recv_chan<range> pieces(long end, long size) {
  auto out = cairn::make_chan<range>();
  cairn::go([=] {
    for (long first = 1; first < end; first += size) out.send({first, std::min(first + size, end) - 1});
    out.close();
  });
  return out;
}

// The best of each piece that this one gets hold of.
cairn::recv_chan<found> searcher(cairn::recv_chan<range> work) {
  auto out = cairn::make_chan<found>();
  cairn::go([=] {
    for (range r : work) {
      found best{0, -1};
      for (long n = r.first; n <= r.last; ++n)
        if (int steps = collatz_steps(n); steps > best.steps) best = {n, steps};
      out.send(best);
    }
    out.close();
  });
  return out;
}

// All values of all sources, in the order in which they come. The vector is a cairn::vector because
// it holds channels: the collector does not look into one with the standard allocator.
template <class T>
cairn::recv_chan<T> merge(cairn::vector<cairn::recv_chan<T>> sources) {
  auto merged = cairn::make_chan<T>();
  cairn::go([merged, sources = std::move(sources)] {
    cairn::sync::wait_group all;
    for (const auto& source : sources)
      all.go([&] {
        for (T value : source) merged.send(std::move(value));
      });
    all.wait();
    merged.close();
  });
  return merged;
}

int main() {
  return cairn::run([] {
    const auto work = pieces(1'000'000, 10'000);
    cairn::vector<cairn::recv_chan<found>> searchers;
    for (int i = 0; i < 2 * cairn::max_procs(); ++i) searchers.push_back(searcher(work));

    found best{0, -1};
    int pieces_done = 0;
    for (found f : merge(std::move(searchers))) {
      ++pieces_done;
      if (f.steps > best.steps) best = f;
    }
    std::printf("%d pieces\n%ld takes %d steps\n", pieces_done, best.number, best.steps);
  });
}
