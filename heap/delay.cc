// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See heap/delay.h.
#include "heap/delay.h"

#include <cerrno>
#include <ctime>

#include <sched.h>

namespace cairn::heap {

constinit delay_settings delays;

namespace {

constexpr std::uint64_t k_longest_spin_ns = 50'000;
constexpr long k_sleep_ns = 1'000'000;

// Plain data, so that a handler that interrupts delay_slow at worst repeats a number.
struct thread_state {
  std::uint64_t random = 0;  // 0: not seeded
  const char* last_point = nullptr;
};
// Owner: the thread. Initial-exec: the first use may be in a signal handler, where no block may be allocated.
thread_local constinit thread_state state [[gnu::tls_model("initial-exec")]];
std::atomic<std::uint64_t> threads_seeded{0};  // relaxed: only distinct values matter

// splitmix64: neighbouring seeds give unrelated generators. Never 0, which xorshift could not leave.
std::uint64_t scatter(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return x == 0 ? 1 : x;
}

std::uint64_t next_random() {
  std::uint64_t x = state.random;
  if (x == 0) {
    std::uint64_t order = threads_seeded.fetch_add(1, std::memory_order_relaxed);
    x = scatter(scatter(delays.seed.load(std::memory_order_relaxed)) + order);
  }
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  state.random = x;
  return x;
}

std::uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

void spin(std::uint64_t ns) {
  std::uint64_t end = now_ns() + ns;
  while (now_ns() < end) {
  }
}

}  // namespace

void set_delays(unsigned permille, std::uint64_t seed) noexcept {
  delays.seed.store(seed, std::memory_order_relaxed);
  delays.permille.store(permille, std::memory_order_relaxed);
}

const char* last_delay_point() noexcept { return state.last_point; }

void delay_slow(const char* point) noexcept {
  std::uint64_t r = next_random();
  if (r % 1000 >= delays.permille.load(std::memory_order_relaxed)) return;
  state.last_point = point;
  int saved = errno;
  std::uint64_t kind = (r >> 32) % 64;
  if (kind == 0) {
    timespec pause{0, k_sleep_ns};
    nanosleep(&pause, nullptr);
  } else if (kind < 16) {
    sched_yield();
  } else {
    spin((r >> 40) % k_longest_spin_ns);
  }
  errno = saved;
}

}  // namespace cairn::heap
