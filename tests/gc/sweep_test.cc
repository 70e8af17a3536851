// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the thread that sweeps asks before it starts a periodic cycle: whether anything was allocated since the last
// one. An idle process that says so after each would collect every two minutes for ever.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "api/support.h"
#include "gc/cycle.h"
#include "gc/runtime.h"

namespace {

using namespace cairn_test;
using cairn::root;
using cairn::gc::rt;

constexpr std::ptrdiff_t k_external_bytes = 1 << 20;

bool was_added_to() { return rt().pace.was_added_to(); }

// Of some 100 KB: a thread tells of what it takes in pieces of 32 KiB. If they are enough for a cycle, of as many more.
bool tells_of_allocations() {
  patience left;
  for (;;) {
    const std::size_t cycles = cairn::gc::read_stats().gc_cycles;
    churn(2000);
    if (cairn::gc::read_stats().gc_cycles == cycles || left.is_over()) return was_added_to();
  }
}

// Bytes that the program has told of, until the end of the scope.
class external_bytes {
 public:
  external_bytes() { cairn::gc::adjust_external_bytes(k_external_bytes); }
  ~external_bytes() { cairn::gc::adjust_external_bytes(-k_external_bytes); }
};

// gcstoptheworld=1 until the end of the scope.
class stopped_cycles {
 public:
  stopped_cycles() { set(1); }
  ~stopped_cycles() { set(before_); }

 private:
  static void set(std::int64_t value) {
    const cairn::gc::cycle_guard no_cycle;
    rt().options.debug.gcstoptheworld = value;
  }
  const std::int64_t before_ = rt().options.debug.gcstoptheworld;
};

TEST(PeriodicCycle, IsNotDueAgainWhenNothingWasAllocated) {
  EXPECT_TRUE(tells_of_allocations());
  cairn::gc::collect();
  EXPECT_FALSE(was_added_to());
}

TEST(PeriodicCycle, TakesBytesOutsideOfTheHeapForNewOnlyOnce) {
  cairn::gc::collect();
  const external_bytes told;
  EXPECT_TRUE(was_added_to());
  cairn::gc::collect();
  EXPECT_FALSE(was_added_to());
  cairn::gc::collect();
  EXPECT_FALSE(was_added_to());
}

TEST(PeriodicCycle, SeesWhatIsAllocatedAfterMoreWasGivenUp) {
  {
    const external_bytes told;
    cairn::gc::collect();
  }
  EXPECT_FALSE(was_added_to());
  EXPECT_TRUE(tells_of_allocations());
}

TEST(PeriodicCycle, TakesOpenRunsOfAStoppedCycleForOld) {
  const stopped_cycles stopped;
  const external_bytes told;
  root<cell> live = make_cell(1);  // its run is open
  EXPECT_TRUE(tells_of_allocations());
  cairn::gc::collect();
  EXPECT_FALSE(was_added_to());
  EXPECT_TRUE(tells_of_allocations());
}

}  // namespace
