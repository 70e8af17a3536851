// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Many threads allocate objects of all sizes, hold a random part of them with their contents known, and run
// into a limited address space again and again: allocation then throws bad_alloc, the thread drops half of
// what it holds and goes on. At the end the heap must be empty.
//
//   alloc_storm [seconds [seed]]
#include <cairn/cairn.h>
#include <cairn/detail/annotate.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "api/support.h"
#include "crash_report.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using clock_type = std::chrono::steady_clock;

std::uint64_t seed;
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> made{0}, refused{0};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "alloc_storm: %s; seed %llu\n", what, static_cast<unsigned long long>(seed));
  std::abort();
}

// One allocation of `bytes` with known contents: `pointers` words at its start lead to a cell each.
struct piece {
  cairn::root<std::uint64_t> numbers;
  cairn::root<cairn::gc_ptr<cell>> pointers;
  std::size_t length = 0;
  std::uint64_t key = 0;
};

// Sizes of all magnitudes alike: 8 B to 4 MiB, seldom 64 MiB.
std::size_t random_words(std::mt19937_64& random) {
  if (random() % 5000 == 0) return std::size_t{8} << 20;
  return 1 + random() % (std::size_t{1} << random() % (random() % 50 == 0 ? 20 : 13));
}

piece make_piece(std::mt19937_64& random) {
  piece p;
  p.length = random_words(random);
  p.key = random();
  if (random() % 4 == 0) {
    p.length = p.length % 1000 + 1;
    cairn::gc_slice<cairn::gc_ptr<cell>> s = cairn::make_gc_array<cairn::gc_ptr<cell>>(p.length);
    for (std::size_t i = 0; i < p.length; ++i) {
      if (s[i]) fail("an array of pointers was not zeroed");
      s[i] = make_cell(p.key + i);
    }
    p.pointers = s.data();
  } else {
    cairn::gc_slice<std::uint64_t> s = cairn::make_gc_array<std::uint64_t>(p.length);
    for (std::size_t i = 0; i < p.length; ++i) {
      if (s[i] != 0) fail("an array was not zeroed");
      s[i] = mix(p.key + i);
    }
    p.numbers = s.data();
  }
  made.fetch_add(1, std::memory_order_relaxed);
  return p;
}

void check(const piece& p) {
  for (std::size_t i = 0; i < p.length; ++i) {
    if (p.pointers ? !p.pointers[static_cast<std::ptrdiff_t>(i)]->is(p.key + i)
                   : p.numbers[static_cast<std::ptrdiff_t>(i)] != mix(p.key + i))
      fail("an object changed");
  }
}

void work(std::uint64_t number) {
  std::mt19937_64 random(mix(seed + number));
  std::vector<piece> held;
  while (!stop.load(std::memory_order_relaxed)) {
    try {
      piece p = make_piece(random);
      if (random() % 3 != 0) held.push_back(std::move(p));
    } catch (const std::bad_alloc&) {
      refused.fetch_add(1, std::memory_order_relaxed);
      held.resize(held.size() / 2);
    }
    if (!held.empty() && random() % 4 == 0) {
      std::swap(held[random() % held.size()], held.back());
      check(held.back());
      if (random() % 2 == 0) held.pop_back();
    }
    if (random() % 3000 == 0) cairn::gc::free_os_memory();
  }
  for (const piece& p : held) check(p);
}

// Of the whole process, malloc and stacks included. Not under a sanitizer, whose shadow takes more than that: there
// nothing is refused.
void limit_address_space(std::size_t bytes) {
  if (CAIRN_ASAN || CAIRN_TSAN) return;
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) fail("setrlimit failed");
}

}  // namespace

int main(int argc, char** argv) {
  cairn_test::report_crashes();
  const auto seconds = argc > 1 ? std::chrono::seconds(std::atol(argv[1])) : test_seconds(12);
  seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device()();
  std::printf("alloc_storm: seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  limit_address_space(std::size_t{1536} << 20);
  cairn::gc::collect();
  const std::size_t start = cairn::gc::read_stats().heap_objects;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2 * std::max(2u, std::thread::hardware_concurrency()); ++t)
    threads.emplace_back(work, t);
  const auto end = clock_type::now() + seconds;
  while (clock_type::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop.store(true);
  for (auto& t : threads) t.join();
  if (!cairn::gc::verify()) fail("verify() found a disagreement");
  if (!collect_until([start] { return cairn::gc::read_stats().heap_objects <= start; }))
    fail("not everything died");
  std::printf("alloc_storm: all well: %llu arrays, %llu refused, %zu cycles\n",
              static_cast<unsigned long long>(made.load()), static_cast<unsigned long long>(refused.load()),
              cairn::gc::read_stats().gc_cycles);
  return 0;
}
