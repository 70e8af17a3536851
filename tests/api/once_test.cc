// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What happens at the first call only, whatever the function does.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace sync = cairn::sync;
using sync::once;
using sync::wait_group;

constinit once static_once;

class Once : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void program(F f) const {
    on_procs(GetParam(), f);
  }
};
INSTANTIATE_TEST_SUITE_P(Procs, Once, testing::Values(1, 2, 8));

TEST_P(Once, IsCalledOnceAndAllSeeItsEnd) {
  program([] {
    for (std::size_t round = 0; round < test_count(100); ++round) {
      once o;
      int calls = 0;
      wait_group all;
      for (int i = 0; i < 10; ++i)
        all.go([&] {
          o.call([&] {
            cairn::yield();
            ++calls;
          });
          EXPECT_EQ(calls, 1);
        });
      all.wait();
    }
  });
}

TEST_P(Once, WorksBetweenThreadsAndGoroutines) {
  program([] {
    once o;
    std::string made;
    auto use = [&] {
      o.call([&] {
        cairn::sleep_for(2ms);
        made = "made";
      });
      EXPECT_EQ(made, "made");
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(use);
    wait_group all;
    for (int i = 0; i < 10; ++i) all.go(use);
    all.wait();
    cairn::blocking([&] {
      for (std::thread& thread : threads) thread.join();
    });
  });
}

TEST_P(Once, AFunctionThatThrowsIsDone) {
  program([] {
    once o;
    EXPECT_THROW(o.call([] { throw std::runtime_error("first"); }), std::runtime_error);
    bool called = false;
    o.call([&] { called = true; });
    EXPECT_FALSE(called);
  });
}

TEST_P(Once, AFunctionThatEndsItsGoroutineIsDone) {
  program([] {
    once o;
    EXPECT_THROW(cairn::spawn([&] { o.call([] { cairn::goexit(); }); }).get(), cairn::goroutine_exited);
    bool called = false;
    o.call([&] { called = true; });
    EXPECT_FALSE(called);
  });
}

TEST(OnceValue, GivesAllTheSameValue) {
  on_one_and_two_procs([] {
    std::atomic<int> calls{0};
    auto value = sync::once_value([&] {
      cairn::yield();
      return std::string(100, 'x') + std::to_string(++calls);
    });
    wait_group all;
    std::atomic<const std::string*> seen{&value()};
    for (int i = 0; i < 10; ++i)
      all.go([copy = value, &seen] {
        EXPECT_EQ(copy(), std::string(100, 'x') + "1");
        EXPECT_EQ(&copy(), seen.load());
      });
    all.wait();
    EXPECT_EQ(calls, 1);
  });
}

TEST(OnceValue, RethrowsTheSameToEveryone) {
  on_one_and_two_procs([] {
    int calls = 0;
    auto value = sync::once_value([&]() -> int { throw std::runtime_error("no " + std::to_string(++calls)); });
    auto number = sync::once_value([]() -> int { throw 7; });
    for (int i = 0; i < 3; ++i) {
      try {
        value();
        ADD_FAILURE() << "it returned";
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "no 1");
      }
      EXPECT_THROW(number(), int);
    }
  });
}

TEST(OnceValue, AFunctionThatEndedItsGoroutineFailsForTheOthers) {
  on_one_and_two_procs([] {
    auto value = sync::once_value([]() -> int { cairn::goexit(); });
    EXPECT_THROW(cairn::spawn([&] { value(); }).get(), cairn::goroutine_exited);
    EXPECT_THROW(value(), cairn::goroutine_exited);
  });
}

TEST(OnceValue, HandsOnReferencesAndNothing) {
  int n = 3, calls = 0;
  auto reference = sync::once_value([&]() -> int& { return n; });
  reference() = 4;
  EXPECT_EQ(n, 4);
  auto nothing = sync::once_value([&] { ++calls; });
  nothing();
  nothing();
  EXPECT_EQ(calls, 1);
  auto unique = sync::once_value([p = std::make_unique<int>(5)] { return *p; });
  EXPECT_EQ(unique(), 5);
}

// What the function holds is gone with its first call, and what it made stays as long as somebody may ask for it.
TEST(OnceValue, KeepsItsValueAndNotItsFunction) {
  on_one_and_two_procs([] {
    cairn::gc_weak<cell> captured, made;
    auto value = std::make_unique<decltype(sync::once_value(std::function<cell*()>()))>(
        [] { return nullptr; });
    cairn::spawn([&] {
      cell* first = make_cell(1);
      captured = cairn::gc_weak<cell>(first);
      *value = sync::once_value(std::function<cell*()>([first] { return make_cell(first->id + 1); }));
      made = cairn::gc_weak<cell>((*value)());
    }).get();
    EXPECT_TRUE(dies(captured));
    collect_and_reuse();
    aside([&] { cairn::spawn([&] { EXPECT_TRUE((*value)()->is(2)); }).get(); });
    value.reset();
    EXPECT_TRUE(dies(made));
  });
}

TEST(OnceRun, AStaticOneIsDoneForLaterRunsToo) {
  int calls = 0;
  for (int i = 0; i < 3; ++i) on_procs(2, [&] { static_once.call([&] { ++calls; }); });
  EXPECT_EQ(calls, 1);
}

}  // namespace
