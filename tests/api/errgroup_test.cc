// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Groups of goroutines of which the first to fail stops the others.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::context_errc;
using cairn::sync::errgroup;
using cairn::sync::wait_group;

class Errgroup : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void program(F f) const {
    on_procs(GetParam(), f);
  }
};
INSTANTIATE_TEST_SUITE_P(Procs, Errgroup, testing::Values(1, 2, 8));

TEST_P(Errgroup, WaitsForAll) {
  program([] {
    errgroup g;
    std::atomic<int> ended{0};
    for (int i = 0; i < 20; ++i)
      g.go([&, owned = std::make_unique<int>(i)] {
        cairn::yield();
        ended += *owned;
      });
    EXPECT_FALSE(g.ctx().err());
    g.wait();
    EXPECT_EQ(ended, 190);
    EXPECT_EQ(g.ctx().err(), context_errc::canceled);
    EXPECT_NO_THROW(g.wait());
  });
}

TEST_P(Errgroup, TheFirstFailureStopsTheOthersAndIsRethrown) {
  program([] {
    auto [parent, cancel] = cairn::with_cancel(cairn::background());
    errgroup g(parent);
    const cairn::context ctx = g.ctx();
    std::atomic<int> stopped{0};
    for (int i = 0; i < 10; ++i)
      g.go([&, ctx] {
        ctx.done().recv();
        ++stopped;
        throw std::runtime_error("because of another");
      });
    g.go([] { throw std::out_of_range("the first"); });
    try {
      g.wait();
      ADD_FAILURE() << "no failure";
    } catch (const std::out_of_range& e) {
      EXPECT_STREQ(e.what(), "the first");
    }
    EXPECT_EQ(stopped, 10);
    EXPECT_FALSE(parent.err());
    EXPECT_THROW(std::rethrow_exception(ctx.cause()), std::out_of_range);
    EXPECT_THROW(g.wait(), std::out_of_range);
  });
}

TEST_P(Errgroup, IsStoppedByItsParent) {
  program([] {
    auto [parent, cancel] = cairn::with_cancel(cairn::background());
    errgroup g(parent);
    for (int i = 0; i < 5; ++i) g.go([ctx = g.ctx()] { ctx.done().recv(); });
    cancel();
    EXPECT_NO_THROW(g.wait());
  });
}

TEST_P(Errgroup, LimitsHowManyRun) {
  program([] {
    errgroup g;
    g.set_limit(3);
    std::atomic<int> running{0}, most{0}, all{0};
    for (int i = 0; i < 50; ++i)
      g.go([&] {
        const int now = ++running;
        for (int was = most; was < now && !most.compare_exchange_weak(was, now);) {
        }
        cairn::yield();
        --running;
        ++all;
      });
    g.wait();
    EXPECT_EQ(all, 50);
    EXPECT_LE(most, 3);
    g.set_limit(1);
    wait_group leave;
    leave.add();
    EXPECT_TRUE(g.try_go([&] { leave.wait(); }));
    EXPECT_FALSE(g.try_go([] { ADD_FAILURE() << "beyond the limit"; }));
    EXPECT_THROW(g.set_limit(2), std::logic_error);
    leave.done();
    g.wait();
    g.set_limit(0);
    EXPECT_FALSE(g.try_go([] {}));
    g.set_limit(-1);
    EXPECT_TRUE(g.try_go([] {}));
    g.wait();
  });
}

TEST_P(Errgroup, AGoroutineMayEndItselfAndFailWithAnything) {
  program([] {
    errgroup g;
    g.go([] { cairn::goexit(); });
    EXPECT_NO_THROW(g.wait());
    g.go([] { throw 7; });
    EXPECT_THROW(g.wait(), int);
  });
}

TEST_P(Errgroup, MayBeDestroyedAsSoonAsWaitHasReturned) {
  program([] {
    for (std::size_t i = 0; i < test_count(500); ++i) {
      std::optional<errgroup> g;
      g.emplace();
      g->set_limit(2);
      for (int k = 0; k < 4; ++k)
        g->go([k] {
          if (k == 3) throw std::runtime_error("last");
        });
      EXPECT_THROW(g->wait(), std::runtime_error);
    }
  });
}

using ErrgroupDeathTest = Errgroup;
INSTANTIATE_TEST_SUITE_P(Procs, ErrgroupDeathTest, testing::Values(1, 2, 8));
TEST_P(ErrgroupDeathTest, DestroyedWhileItsGoroutinesRunAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      program([] {
        errgroup g;
        g.go([&g] { g.ctx().done().recv(); });
      }),
      "cairn: sync::errgroup: destroyed while goroutines of it run; call wait\\(\\) on every way out");
}

TEST_P(Errgroup, MayBeDestroyedAfterTheRunThatEndedItsGoroutines) {
  std::optional<errgroup> g;
  program([&g] {
    g.emplace();
    g->go([&g] { g->ctx().done().recv(); });
  });
  program([&g] { g.reset(); });
}

TEST_P(Errgroup, WorksFromThreadsThatAreNoGoroutines) {
  program([] {
    std::thread thread([] {
      errgroup g;
      g.set_limit(1);
      std::atomic<int> ended{0};
      for (int i = 0; i < 5; ++i) g.go([&] { ++ended; });
      g.wait();
      EXPECT_EQ(ended, 5);
    });
    cairn::blocking([&] { thread.join(); });
  });
}

}  // namespace
