// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The LRU workload for the C++ peers; peers/go/lru.go does the same operations in the same order.
//
// A cache of a million entries is filled, then 5 million operations follow, four gets to one put. Keys are products
// of three uniform numbers out of 4 Mi: the most popular quarter gets five sixths of the operations. A put gives its
// key a new value of 64 to 256 bytes, moves it to the front and, if the key was not there, drops the oldest entry. A
// get that hits moves its entry to the front and reads the value; one that misses does nothing.
//
// A cache has capacity, get(key) -> value with data() and size() (0: not there) and put(key, size) -> the new value's
// bytes, which the caller fills. Its table has k_lru_buckets chains, the chain of a key is lru_bucket(key).
#pragma once
#include "measure.h"

inline constexpr int64_t k_lru_entries = 1'000'000;
inline constexpr int64_t k_lru_operations = 5'000'000;
inline constexpr int k_lru_bucket_bits = 20;
inline constexpr size_t k_lru_buckets = size_t{1} << k_lru_bucket_bits;

inline uint64_t lru_key(uint64_t rank) { return rank * 0x9e3779b97f4a7c15ull; }
inline size_t lru_bucket(uint64_t key) { return key * 0xff51afd7ed558ccdull >> (64 - k_lru_bucket_bits); }
inline uint64_t lru_rank(uint64_t random) {
  const uint64_t mask = (1 << 21) - 1;
  uint64_t a = random & mask, b = random >> 21 & mask, c = random >> 42 & mask;
  return (a * b >> 21) * c >> 20;
}
inline size_t lru_value_size(uint64_t random) { return 64 + random % 193; }

template <class Cache>
void lru_put(Cache& cache, uint64_t key, size_t size) {
  std::byte* bytes = cache.put(key, size);
  memset(bytes, static_cast<int>(key & 0xff), size);
  escape_ptr(bytes);
}

struct lru_sums {
  int64_t gets = 0, hits = 0;
  uint64_t bytes = 0;  // of the values that were read: their sizes, their first and their last byte
};

// n operations, each timed from the end of the one before.
template <class Cache>
lru_sums lru_operations(Cache& cache, xorshift& random, int64_t n, latencies& times) {
  lru_sums sums;
  int64_t last = now();
  for (int64_t i = 0; i < n; i++) {
    uint64_t key = lru_key(lru_rank(random.next())), choice = random.next();
    if (choice % 5 == 0) {
      lru_put(cache, key, lru_value_size(choice >> 8));
    } else {
      sums.gets++;
      auto value = cache.get(key);
      if (value.size() != 0) {
        sums.hits++;
        sums.bytes += value.size() + static_cast<unsigned char>(value.data()[0]) +
                      static_cast<unsigned char>(value.data()[value.size() - 1]);
      }
    }
    int64_t t = now();
    times.add(t - last);
    last = t;
  }
  return sums;
}

// Fills and runs a cache; print_collector(workload) prints what the collector did, if there is one.
template <class Cache, class F>
void lru_run(Cache& cache, int64_t n, F print_collector) {
  const std::string w = "lru";
  xorshift random{k_seed};
  latencies times;
  int64_t cpu = cpu_ns(), start = now();
  for (int64_t i = k_lru_entries; i-- > 0;) lru_put(cache, lru_key(i), lru_value_size(random.next() >> 8));
  int64_t filled = now();
  lru_sums sums = lru_operations(cache, random, n, times);
  int64_t end = now();
  emit(w, "rate", n * 1e3 / (end - filled), "Mop/s");
  times.print(w, "op-");
  emit(w, "wall", (end - start) / 1e6, "ms");
  emit(w, "cpu", (cpu_ns() - cpu) / 1e6, "ms");
  emit(w, "peak-rss", peak_rss_mb(), "MB");
  emit(w, "hits", 100. * sums.hits / sums.gets, "%");
  emit(w, "checksum", (sums.bytes + sums.hits) % 9973, "n");
  print_collector(w);
}
