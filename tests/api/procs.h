// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the tests of goroutines share: a program on a given number of Ps, gates at which goroutines park, and waiting
// without keeping a P. Suites whose names begin with Fibers or Preempt need goroutines that are no threads: so many of
// them, or so few Ps, that threads cannot stand in.
#pragma once
#include <cairn/cairn.h>
#include <cairn/detail/annotate.h>
#include <errno.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace cairn_test {

// A program with n Ps whose main is f.
template <class F>
int on_procs(int n, F&& f) {
  return cairn::run(std::forward<F>(f), {.max_procs = n});
}

// On one P, where goroutines take turns on a thread, and on two, where they migrate.
template <class F>
void on_one_and_two_procs(F f) {
  for (int n : {1, 2}) on_procs(n, f);
}

// As wait_until, but a goroutine that waits so leaves its P to others.
template <class P>
bool eventually(P done) {
  patience left;
  while (!done()) {
    if (left.is_over()) return done();
    cairn::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// errno, as functions see it that are called after a park.
[[gnu::noinline]] inline void set_errno(int value) {
  errno = value;
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] inline int get_errno() {
  asm volatile("" ::: "memory");
  return errno;
}

// How many goroutines where many are asked for. ThreadSanitizer counts fibers as threads, of which it allows 8128.
inline std::size_t crowd(std::size_t n) {
  n = test_count(n, 100);
  return CAIRN_TSAN ? std::min<std::size_t>(n, 4000) : n;
}

// Goroutines that come to it park until it is opened, once and for all.
class gate {
 public:
  gate() { closed_.add(1); }
  void pass() { closed_.wait(); }
  void open() { closed_.done(); }

 private:
  cairn::sync::wait_group closed_;
};

// Two goroutines take turns: each parks until the other has handed over.
class turns {
 public:
  turns() {
    turn_[0].add(1);
    turn_[1].add(1);
  }
  // By one goroutine per side. The turn is closed again before the other side can open it once more.
  void await(int side) {
    turn_[side].wait();
    turn_[side].add(1);
  }
  void hand_over_to(int side) { turn_[side].done(); }

 private:
  cairn::sync::wait_group turn_[2];
};

// Two goroutines of `all` that take turns until a while after `stop`.
class ball_game {
 public:
  ball_game(cairn::sync::wait_group& all, const std::atomic<bool>& stop) : stop_(stop) {
    all.go([this] {
      while (!over_) {
        ball_.await(0);
        ++rounds_;
        over_ = stop_;
        ball_.hand_over_to(1);
      }
    });
    all.go([this] {
      while (true) {
        ball_.hand_over_to(0);
        ball_.await(1);
        if (over_) break;
      }
    });
  }
  int rounds() const { return rounds_; }

 private:
  const std::atomic<bool>& stop_;
  turns ball_;
  std::atomic<int> rounds_{0};
  bool over_ = false;  // belongs to whose turn it is
};

// f(seed) by three threads that are attached and twenty goroutines at once. Of a goroutine.
template <class F>
void by_threads_and_goroutines(F f) {
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) threads.emplace_back([&f, i] { f(i); });
  cairn::sync::wait_group all;
  for (std::uint64_t i = 0; i < 20; ++i) all.go([&f, i] { f(10 + i); });
  all.wait();
  cairn::blocking([&threads] {
    for (std::thread& thread : threads) thread.join();
  });
}

// Puts this goroutine's stack, and what it keeps alive, through every way of being off a P.
inline void park_in_all_ways() {
  cairn::yield();
  cairn::sleep_for(std::chrono::microseconds(200));
  cairn::spawn([] { cairn::yield(); }).get();
  cairn::sync::wait_group once;
  once.go([] { cairn::yield(); });
  once.wait();
  cairn::blocking([] { std::this_thread::yield(); });
}

// Collections without pause, on a thread that is no goroutine, as long as it lives.
class collections {
 public:
  collections()
      : thread_([this] {
          while (!stop_) {
            cairn::gc::collect();
            churn(200);
            ++done_;
          }
        }) {}
  ~collections() {
    stop_ = true;
    thread_.join();
  }
  // Of the calling goroutine: until n more have begun and ended.
  bool await(std::size_t n) {
    const std::size_t enough = done_ + n + 1;
    return eventually([&] { return done_ >= enough; });
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> done_{0};
  std::thread thread_;
};

}  // namespace cairn_test
