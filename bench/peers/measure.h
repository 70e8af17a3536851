// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the C++ peers share: output lines, clocks, a histogram, random numbers. peers/go/measure.go is the same in Go.
// A line is `workload peer figure value unit`; the peer's name comes from $PEER.
#pragma once
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

inline const char* peer() {
  static const char* name = getenv("PEER") ? getenv("PEER") : "cpp";
  return name;
}
inline void emit(const std::string& workload, const std::string& figure, double value, const char* unit) {
  printf("%s %s %s %.4g %s\n", workload.c_str(), peer(), figure.c_str(), value, unit);
  fflush(stdout);
}
inline int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}
// User and system time of the whole process.
inline int64_t cpu_ns() {
  rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1'000'000'000ll +
         (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000ll;
}
// A figure of /proc/self/status in kB, such as VmRSS.
inline double status_kb(const char* key) {
  FILE* f = fopen("/proc/self/status", "r");
  char line[256];
  double kb = NAN;
  while (f && fgets(line, sizeof line, f)) {
    if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':') kb = atof(line + strlen(key) + 1);
  }
  if (f) fclose(f);
  return kb;
}
inline double peak_rss_mb() { return status_kb("VmHWM") / 1024; }
inline double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct xorshift {
  uint64_t x;
  uint64_t next() {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
  }
};
inline constexpr uint64_t k_seed = 88172645463325252ull;

// Log-linear, 64 buckets to each power of two.
struct latencies {
  std::vector<int64_t> buckets = std::vector<int64_t>(64 * 60);
  int64_t count = 0, max = 0;

  void add(int64_t ns) {
    if (ns < 0) ns = 0;
    int64_t i = ns;
    if (ns >= 64) {
      int e = std::bit_width(static_cast<uint64_t>(ns)) - 7;
      i = (e + 1) * 64 + (ns >> e) - 64;
    }
    buckets[i]++;
    count++;
    max = std::max(max, ns);
  }
  double quantile(double p) const {
    int64_t want = std::ceil(p * count), seen = 0;
    for (int i = 0; i < static_cast<int>(buckets.size()); i++) {
      seen += buckets[i];
      if (seen >= want && seen > 0) {
        return i < 64 ? i : static_cast<double>((int64_t{i % 64} + 64) << (i / 64 - 1));
      }
    }
    return max;
  }
  void print(const std::string& workload, const std::string& prefix) const {
    emit(workload, prefix + "p50", quantile(.5) / 1e3, "us");
    emit(workload, prefix + "p99", quantile(.99) / 1e3, "us");
    emit(workload, prefix + "p99.9", quantile(.999) / 1e3, "us");
    emit(workload, prefix + "p99.99", quantile(.9999) / 1e3, "us");
    emit(workload, prefix + "max", max / 1e3, "us");
  }
};

// Runs f once to warm up, then five times; the median.
template <class F>
void repeat(const std::string& workload, const char* figure, const char* unit, F f) {
  f();
  std::vector<double> v;
  for (int i = 0; i < 5; i++) v.push_back(f());
  emit(workload, figure, median(v), unit);
}
template <class T>
inline void escape(T const& v) {
  asm volatile("" : : "g"(v) : "memory");
}
template <class T>
inline void escape_ptr(T* p) {
  asm volatile("" : : "r"(p) : "memory");
}
