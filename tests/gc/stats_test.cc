// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Each kind of interruption is provoked and found in its own histogram. What has to come in the middle of a cycle is
// tried again until it does.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "api/support.h"
#include "gc/runtime.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::root;
using cairn::gc::pause_kind;

// Runs `provoke` until an interruption of this kind has come in addition.
template <class F>
::testing::AssertionResult provokes(pause_kind kind, F&& provoke) {
  const cairn::gc::histogram before = cairn::gc::read_stats().of(kind);
  cairn_test::patience left;
  do {
    provoke();
    const cairn::gc::histogram since = cairn::gc::read_stats().of(kind) - before;
    if (since.count() == 0) continue;
    if (since.total().count() <= 0) return ::testing::AssertionFailure() << "they took no time";
    return ::testing::AssertionSuccess();
  } while (!left.is_over());
  return ::testing::AssertionFailure() << "none was recorded";
}

// A thread of the program that does nothing but run.
class runner {
 public:
  runner()
      : thread_([this] {
          (void)make_cell(1);  // attaches it
          is_attached_.store(true);
          while (!stop_.load(std::memory_order_relaxed)) {
          }
        }) {
    while (!is_attached_.load()) std::this_thread::yield();
  }
  ~runner() {
    stop_.store(true);
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false}, is_attached_{false};
  std::thread thread_;
};

// `f` in the middle of marking, if that is still going on when `f` begins.
template <class F>
void beside_marking(F&& f) {
  std::atomic<bool> is_over{false};
  std::thread collector([&] {
    cairn::gc::collect();
    is_over.store(true);
  });
  while (!is_over.load() && cairn::gc::current_phase() != cairn::gc::phase::mark) {
  }
  f();
  collector.join();
}

TEST(Interruptions, AStopIsRecorded) {
  runner other;
  EXPECT_TRUE(provokes(pause_kind::stop, [] { EXPECT_TRUE(cairn::gc::verify()); }));
}

TEST(Interruptions, HandshakesAndOneScanOfEachStackAreRecorded) {
  runner other;
  const cairn::gc::stats before = cairn::gc::read_stats();
  constexpr unsigned k_cycles = 3;
  for (unsigned i = 0; i < k_cycles; ++i) cairn::gc::collect();
  const cairn::gc::stats after = cairn::gc::read_stats();
  auto since = [&](pause_kind kind) { return after.of(kind).count() - before.of(kind).count(); };
  const std::uint64_t switched = after.switched.count() - before.switched.count();  // on a busy machine
  EXPECT_GE(since(pause_kind::stack_scan) + switched, k_cycles);
  // The barrier goes on, a round, the barrier goes off.
  EXPECT_GE(since(pause_kind::handshake) + switched, 3 * k_cycles);
  EXPECT_GE(after.pauses.count() - before.pauses.count(), 4 * k_cycles);
  // There is no moment at which all stand still, but where a check asks for it.
  const cairn::gc::debug_options& debug = cairn::gc::rt().options.debug;
  if (debug.check < 3 && debug.gccheckmark == 0 && debug.gcstoptheworld == 0) {
    EXPECT_EQ(since(pause_kind::stop), 0u);
  }
}

TEST(Interruptions, PausesAreStopsHandshakesAndScans) {
  runner other;
  cairn::gc::collect();
  EXPECT_TRUE(cairn::gc::verify());
  const cairn::gc::stats s = cairn::gc::read_stats();
  const auto &stops = s.of(pause_kind::stop), &handshakes = s.of(pause_kind::handshake),
             &scans = s.of(pause_kind::stack_scan);
  const std::uint64_t alone = stops.count() + handshakes.count() + scans.count();
  EXPECT_GE(s.pauses.count(), alone);
  EXPECT_GE(s.pauses.total(), stops.total() + handshakes.total() + scans.total());
  EXPECT_GE(s.pauses.max(), std::max({stops.max(), handshakes.max(), scans.max()}));
  // The rest was switched, as some of the other kinds may have been.
  EXPECT_LE(s.pauses.count() - alone, s.switched.count());
  EXPECT_GE(s.assists.count(), s.of(pause_kind::assist).count());
  EXPECT_EQ(s.assist_time, s.assists.total());
}

// As many threads as there are processors, twice: while one has the world stopped the kernel gives its processor away.
TEST(Interruptions, ThoseThatTheKernelStretchesAreApart) {
  std::vector<std::unique_ptr<runner>> runners;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i)
    runners.push_back(std::make_unique<runner>());
  cairn_test::patience left;
  const std::uint64_t before = cairn::gc::read_stats().switched.count();
  while (cairn::gc::read_stats().switched.count() == before && !left.is_over()) cairn::gc::collect();
  EXPECT_GT(cairn::gc::read_stats().switched.count(), before);
}

// Cuts the paths to more objects than a buffer holds words, before the marker has got to them.
TEST(Interruptions, AFullBarrierBufferIsRecorded) {
  constexpr std::size_t k_objects = 200'000;
  root<gc_slice<gc_ptr<cell>>> objects = cairn::make_gc<gc_slice<gc_ptr<cell>>>();
  EXPECT_TRUE(provokes(pause_kind::barrier_buffer, [&] {
    apart([&] {
      *objects = cairn::make_gc_array<gc_ptr<cell>>(k_objects);
      for (auto& p : *objects) p = make_cell(1);
    });
    beside_marking([&] {
      for (auto& p : *objects) p = nullptr;
    });
  }));
}

TEST(Interruptions, AnAssistIsRecorded) {
  root<cell> live;
  apart([&] { live = make_list(0, 400'000); });
  EXPECT_TRUE(provokes(pause_kind::assist, [] {
    for (int i = 0; i < 100'000; ++i) make_cell(1);
  }));
}

TEST(Interruptions, SweepingBeforeAnAllocationIsRecorded) {
  root<cell> live;
  apart([&] { live = make_list(0, 100'000); });
  EXPECT_TRUE(provokes(pause_kind::sweep, [] {
    for (int i = 0; i < 100'000; ++i) make_cell(1);
  }));
}

TEST(Interruptions, ZeroingALargeObjectIsRecorded) {
  EXPECT_TRUE(provokes(pause_kind::zeroing, [] {
    for (int i = 0; i < 100; ++i) {
      std::byte* bytes = cairn::make_gc_bytes(100'000).data();
      EXPECT_EQ(bytes[99'999], std::byte{0});
      bytes[99'999] = std::byte{1};
    }
  }));
}

}  // namespace
