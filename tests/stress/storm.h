// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What storms share: programs that do at random what goroutines can do, for so many seconds, and know what must come
// out. Their command line and seed, running again under the settings they want, failing in a way that can be repeated,
// and what goes on beside them: collections back to back, and somebody who looks whether anything still moves.
//
// Whoever makes a step of the storm counts it in storm.steps; who only waits for others does not.
#pragma once
#include <cairn/cairn.h>
#include <execinfo.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "api/support.h"
#include "crash_report.h"
#include "scale.h"

namespace cairn_test {

using clock_type = std::chrono::steady_clock;
using random_source = std::mt19937_64;

// The storm that this program is.
struct storm_program {
  const char* name = "";
  std::chrono::seconds time{0};
  std::uint64_t seed = 0;
  std::atomic<std::uint64_t> steps{0};
  void (*tell)(FILE* to) = nullptr;  // what else to say when it fails
};
inline storm_program storm;

inline unsigned long long as_printed(std::uint64_t n) { return n; }

[[noreturn]] inline void fail(const char* what) {
  std::fflush(stdout);  // what was printed so far belongs to the report, and abort() would lose it
  std::fprintf(stderr, "%s: %s, after %llu steps; repeat with: %s SECONDS %llu\n", storm.name, what,
               as_printed(storm.steps), storm.name, as_printed(storm.seed));
  if (storm.tell != nullptr) storm.tell(stderr);
  std::abort();
}

inline std::chrono::microseconds up_to(random_source& random, std::uint64_t microseconds) {
  return std::chrono::microseconds(random() % microseconds);
}

// ---- beginning ----------------------------------------------------------------------------------------------------

namespace detail {
// The runtime reads its settings before main.
inline void run_again_with(const char* settings, char** argv) {
  if (std::getenv("CAIRNDEBUG") != nullptr) return;
  setenv("CAIRNDEBUG", (settings + (",seed=" + std::to_string(storm.seed % 1'000'000))).c_str(), 1);
  const std::string seconds = std::to_string(storm.time.count()), seed = std::to_string(storm.seed);
  execl("/proc/self/exe", argv[0], seconds.c_str(), seed.c_str(), nullptr);
  std::fprintf(stderr, "%s: ", storm.name);
  std::perror("exec");
  std::exit(2);
}
}  // namespace detail

// First in main of `name [seconds [seed]]`. Does not return where CAIRNDEBUG is not set: the program begins again with
// `settings` in it. `seconds`: how long, scaled, where it is not said.
inline void begin_storm(int argc, char** argv, const char* name, const char* settings,
                        void (*tell)(FILE*) = nullptr, double seconds = 10) {
  report_crashes();
  storm.name = name;
  storm.tell = tell;
  storm.time = argc > 1 ? std::chrono::seconds(std::atol(argv[1])) : test_seconds(seconds);
  storm.seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device()();
  detail::run_again_with(settings, argv);
  std::printf("%s: seed %llu, CAIRNDEBUG=%s\n", name, as_printed(storm.seed), std::getenv("CAIRNDEBUG"));
  std::fflush(stdout);
}

// ---- what goes on beside it ---------------------------------------------------------------------------------------

// The library's list of them, on standard error.
inline void print_goroutines() {
  for (const cairn::goroutine_info& g : cairn::goroutines()) {
    std::fprintf(stderr, "goroutine %llu [%s%s%s, %lld ms]\n", as_printed(g.id), g.state.c_str(),
                 g.wait_reason.empty() ? "" : ", ", g.wait_reason.c_str(),
                 static_cast<long long>(g.waited / std::chrono::milliseconds(1)));
    std::fflush(stderr);
    backtrace_symbols_fd(g.backtrace.data(), static_cast<int>(g.backtrace.size()), STDERR_FILENO);
  }
}

// Two threads, as long as it lives: one collects without pause, but for up to `rest` in between, which lets the
// collections fall anywhere; the other ends the program when no step was made for half a minute.
class company {
 public:
  explicit company(std::chrono::microseconds rest)
      : collector_([this, rest] { collect(rest); }), watch_([this] { watch(); }) {}
  ~company() {
    over_ = true;
    collector_.join();
    watch_.join();
  }
  company(const company&) = delete;
  company& operator=(const company&) = delete;

  // Held by each of the collections.
  cairn::sync::mutex& collecting() { return collecting_; }

 private:
  static constexpr std::chrono::seconds k_too_long{30};
  static constexpr std::chrono::milliseconds k_between_looks{100};

  void collect(std::chrono::microseconds rest) {
    random_source random(mix(storm.seed + 1));
    while (!over_) {
      {
        std::lock_guard held(collecting_);
        if (random() % 50 == 0) cairn::gc::free_os_memory();
        else cairn::gc::collect();
      }
      std::this_thread::sleep_for(up_to(random, static_cast<std::uint64_t>(rest.count())));
    }
  }
  // Not attached, so that it is not what stands still. Its own looks are its clock: time in which the whole process was
  // stopped is not time in which nothing has moved.
  void watch() {
    constexpr int most_looks = k_too_long / k_between_looks;
    std::uint64_t last = 0;
    for (int looks = 0; !over_;) {
      std::this_thread::sleep_for(k_between_looks);
      if (const std::uint64_t now = storm.steps; now != last) {
        last = now;
        looks = 0;
      } else if (++looks > most_looks) {
        stands_still();
      }
    }
  }
  // The list may wait for what stands still too.
  [[noreturn]] static void stands_still() {
    std::fprintf(stderr, "%s: nothing has moved for %d seconds\n", storm.name,
                 static_cast<int>(k_too_long.count()));
    std::atomic<bool> printed{false};
    std::thread printer([&printed] {
      print_goroutines();
      printed = true;
    });
    for (const auto end = clock_type::now() + k_too_long; !printed && clock_type::now() < end;)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    fail("nothing has moved for half a minute");
  }

  cairn::sync::mutex collecting_;
  std::atomic<bool> over_{false};
  std::thread collector_, watch_;
};

}  // namespace cairn_test
