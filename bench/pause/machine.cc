// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/machine.h"

#include <chrono>
#include <thread>
#include <vector>

#include <cairn/cairn.h>

#include "bench/pause/objects.h"

namespace pause_bench {
namespace {

constexpr std::size_t k_words = std::size_t{4} << 20;  // 32 MiB: beyond what caches of one processor hold
constexpr unsigned k_reads = 16;                       // between two looks at the clock

void slice(const std::vector<std::uint64_t>& memory, xorshift& random) {
  const std::uint64_t length = tick_clock::of(std::chrono::microseconds(k_slice_us));
  const std::uint64_t begin = tick_clock::now();
  std::uint64_t sum = 0;
  do {
    for (unsigned i = 0; i < k_reads; i++) sum += memory[random.next() % k_words];
  } while (tick_clock::now() - begin < length);
  volatile std::uint64_t used = sum;
  (void)used;
}

series slices_of_one(std::uint64_t seed, std::uint64_t ticks) {
  const std::vector<std::uint64_t> memory(k_words, 1);
  xorshift random{seed};
  series out;
  out.look_from_ns = k_slice_us * 1000 * 3 / 2;
  long_laps long_ones;
  stopwatch watch(long_ones);
  const std::uint64_t begin = tick_clock::now();
  watch.start();
  while (tick_clock::now() - begin < ticks) {
    slice(memory, random);
    watch.lap(lap_kind::unit, out);
  }
  return out;
}

}  // namespace

series bare_slices(unsigned threads, double seconds) {
  const std::uint64_t ticks = tick_clock::of(
      std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
  std::vector<series> each(threads);
  std::vector<std::thread> running;
  // Not attached: no handshake reaches them.
  for (unsigned i = 0; i < threads; i++)
    running.emplace_back([&one = each[i], i, ticks] { one = slices_of_one(i + 1, ticks); });
  series out;
  for (unsigned i = 0; i < threads; i++) {
    cairn::blocking([&] { running[i].join(); });
    out.merge(each[i]);
  }
  return out;
}

}  // namespace pause_bench
