// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/runtime.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>
#include <jemalloc/jemalloc.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "api/support.h"

namespace {

using namespace cairn_test;

std::string name_of(const std::filesystem::path& task) {
  std::string name;
  std::getline(std::ifstream(task / "comm"), name);
  return name;
}

// Threads to which jemalloc has given an arena, of all of its arenas.
unsigned threads_with_arenas() {
  std::uint64_t epoch = 1;
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch), 0);
  const std::string name = "stats.arenas." + std::to_string(MALLCTL_ARENAS_ALL) + ".nthreads";
  unsigned n = 0;
  std::size_t length = sizeof n;
  EXPECT_EQ(mallctl(name.c_str(), &n, &length, nullptr, 0), 0);
  return n;
}

// Of the threads there are, less those that never call malloc.
unsigned threads_that_may_call_malloc() {
  unsigned n = 0, without = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string name = name_of(task.path());
    ++n;
    without += name == "cairn-mark";
  }
  EXPECT_TRUE(without >= 1 || cairn::max_procs() == 1) << "there are no helpers";
  return n - without;
}

// An arena takes 90 KiB, for each thread. (With a sanitizer malloc is the sanitizer's, and hardly any thread has one.)
TEST(Threads, ThoseThatDoNotCallMallocHaveNoArena) {
  cairn::root<cell> list;
  apart([&list] { list = make_list(0, 600'000); });  // so that there are helpers
  cairn::run([] {                                    // and the scheduler's threads
    for (int i = 0; i < 3; ++i) cairn::gc::collect();
    // All are there and have called malloc, if they ever do.
    cairn::sleep_for(std::chrono::milliseconds(200));
  });
  bool fits = false;
  for (int i = 0; i < 10 && !fits; ++i) {  // one may begin or end between the two looks
    const unsigned arenas = threads_with_arenas();
    fits = arenas <= threads_that_may_call_malloc();
  }
  EXPECT_TRUE(fits) << threads_with_arenas() << " threads have arenas";
}

}  // namespace
