// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Contexts: what cancelling reaches, what it does not, causes, deadlines, values, and the way from and to stop tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::cancel_func;
using cairn::context;
using cairn::context_errc;
using cairn::sync::wait_group;

class Context : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void program(F f) const {
    on_procs(GetParam(), f);
  }
};
INSTANTIATE_TEST_SUITE_P(Procs, Context, testing::Values(1, 2, 8));

bool is_done(const context& c) {
  const cairn::recv_chan<void> done = c.done();
  return done && done.try_recv().closed;
}
void expect_alive(const context& c) {
  EXPECT_FALSE(is_done(c));
  EXPECT_FALSE(c.err());
  EXPECT_EQ(c.cause(), nullptr);
}
void expect_over(const context& c, context_errc why = context_errc::canceled) {
  EXPECT_EQ(c.err(), why);
  EXPECT_TRUE(is_done(c));
  EXPECT_NE(c.cause(), nullptr);
}
std::string what(const std::exception_ptr& e) {
  if (e == nullptr) return "";
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  }
}

TEST(ContextRoot, IsNeverOver) {
  for (const context& c : {cairn::background(), cairn::todo(), context()}) {
    EXPECT_FALSE(c.done());
    EXPECT_FALSE(c.err());
    EXPECT_FALSE(c.deadline());
    EXPECT_EQ(c.value<int>("key"), nullptr);
    EXPECT_FALSE(c.stop_token().stop_possible());
  }
}

TEST_P(Context, CancellingReachesAllBelowAndNothingAbove) {
  program([] {
    auto [top, cancel_top] = cairn::with_cancel(cairn::background());
    auto [left, cancel_left] = cairn::with_cancel(top);
    auto [right, cancel_right] = cairn::with_cancel(top);
    context value = cairn::with_value(left, "k", 1);
    auto [below, cancel_below] = cairn::with_cancel(value);
    const auto early = below.done();
    cancel_left();
    cancel_left();
    expect_over(left);
    expect_over(value);
    expect_over(below);
    EXPECT_TRUE(early == below.done());
    expect_alive(top);
    expect_alive(right);
    cancel_below();
    cancel_right();
    expect_alive(top);
    cancel_top();
    expect_over(top);
    auto [late, cancel_late] = cairn::with_cancel(top);
    expect_over(late);
    cancel_func()();
  });
}

TEST_P(Context, WhoWaitsForDoneWakes) {
  program([] {
    auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    wait_group all;
    for (int i = 0; i < 20; ++i)
      all.go([below = i % 2 == 0 ? ctx : cairn::with_value(ctx, i, i)] {
        EXPECT_FALSE(below.done().recv());
        EXPECT_EQ(below.err(), context_errc::canceled);
      });
    std::thread thread([&ctx = ctx] { ctx.done().recv(); });
    cairn::sleep_for(2ms);
    cancel();
    all.wait();
    cairn::blocking([&] { thread.join(); });
  });
}

// Nobody sees an error before the channel is closed, nor a closed channel without an error.
TEST_P(Context, TheErrorComesWithTheChannel) {
  program([] {
    for (std::size_t i = 0; i < test_count(500); ++i) {
      auto [ctx, cancel] = cairn::with_cancel(cairn::background());
      wait_group all;
      all.go([&ctx = ctx] {
        while (!ctx.err()) cairn::yield();
        EXPECT_TRUE(is_done(ctx));
      });
      all.go([&ctx = ctx] {
        ctx.done().recv();
        EXPECT_TRUE(ctx.err());
      });
      all.go([&cancel = cancel] { cancel(); });
      all.wait();
    }
  });
}

TEST_P(Context, CancelsThatMeetDoNotDeadlock) {
  program([] {
    for (std::size_t round = 0; round < test_count(20); ++round) {
      auto [top, cancel_top] = cairn::with_cancel(cairn::background());
      cairn::gc_slice<context> contexts = cairn::make_gc_array<context>(0);
      cairn::gc_slice<cancel_func> cancels = cairn::make_gc_array<cancel_func>(0);
      contexts = contexts.append(top);
      cancels = cancels.append(cancel_top);
      for (std::size_t i = 0; i < 100; ++i) {  // a tree: each below one that was made before
        auto [c, cancel] = cairn::with_cancel(contexts[mix(round << 32 | i) % contexts.size()]);
        contexts = contexts.append(c);
        cancels = cancels.append(cancel);
      }
      wait_group all;
      for (const cancel_func& cancel : cancels) all.go([cancel] { cancel(); });
      for (const context& c : contexts)
        all.go([c] {
          c.done().recv();
          auto [more, cancel] = cairn::with_cancel(c);
          EXPECT_TRUE(more.err());
        });
      all.wait();
      for (const context& c : contexts) expect_over(c);
    }
  });
}

TEST_P(Context, ALongChainAndAWideOneEnd) {
  program([] {
    auto [top, cancel] = cairn::with_cancel(cairn::background());
    context last = top;
    std::size_t over = 0;
    const std::size_t n = test_count(20'000);
    for (std::size_t i = 0; i < n; ++i) last = cairn::with_cancel(last).first;
    cairn::gc_slice<context> wide = cairn::make_gc_array<context>(n);
    for (context& c : wide) c = cairn::with_cancel(top).first;
    cancel();
    expect_over(last);
    for (const context& c : wide) over += c.err() == context_errc::canceled;
    EXPECT_EQ(over, n);
  });
}

TEST_P(Context, DeadlinesEndIt) {
  program([] {
    const auto start = std::chrono::steady_clock::now();
    auto [slow, cancel_slow] = cairn::with_timeout(cairn::background(), 1h);
    auto [quick, cancel_quick] = cairn::with_timeout(slow, 5ms);
    auto [inherits, cancel_inherits] = cairn::with_deadline(quick, start + 2h);
    EXPECT_EQ(inherits.deadline(), quick.deadline());
    EXPECT_GE(*quick.deadline(), start + 5ms);
    context below = cairn::with_value(quick, 1, 2);
    EXPECT_EQ(below.deadline(), quick.deadline());
    EXPECT_FALSE(cairn::without_cancel(quick).deadline());
    inherits.done().recv();
    EXPECT_GE(std::chrono::steady_clock::now(), *quick.deadline());
    for (const context& c : {quick, inherits, below}) expect_over(c, context_errc::deadline_exceeded);
    EXPECT_EQ(what(below.cause()), std::system_error(make_error_code(context_errc::deadline_exceeded)).what());
    expect_alive(slow);
    cancel_slow();
    expect_over(slow);
    auto [past, cancel_past] = cairn::with_deadline(cairn::background(), start - 1s);
    expect_over(past, context_errc::deadline_exceeded);
    auto [endless, cancel_endless] = cairn::with_timeout(cairn::background(), std::chrono::nanoseconds::max());
    expect_alive(endless);
    cancel_endless();
    expect_over(endless);
  });
}

TEST(ContextErrors, HaveNames) {
  const std::error_code canceled = context_errc::canceled, late = context_errc::deadline_exceeded;
  EXPECT_EQ(canceled.message(), "context canceled");
  EXPECT_EQ(late.message(), "context deadline exceeded");
  EXPECT_EQ(&canceled.category(), &cairn::context_category());
  EXPECT_NE(canceled, late);
}

TEST_P(Context, TheFirstCauseStays) {
  program([] {
    auto [top, cancel_top] = cairn::with_cancel_cause(cairn::background());
    auto [below, cancel_below] = cairn::with_cancel_cause(top);
    auto [plain, cancel_plain] = cairn::with_cancel(below);
    EXPECT_EQ(plain.cause(), nullptr);
    cancel_below(std::make_exception_ptr(std::runtime_error("first")));
    cancel_below(std::make_exception_ptr(std::runtime_error("second")));
    cancel_top(std::make_error_code(std::errc::io_error));
    EXPECT_EQ(what(below.cause()), "first");
    EXPECT_EQ(what(plain.cause()), "first");
    EXPECT_EQ(plain.err(), context_errc::canceled);
    EXPECT_EQ(what(top.cause()), std::system_error(std::make_error_code(std::errc::io_error)).what());
    EXPECT_EQ(what(cairn::with_cancel(top).first.cause()), what(top.cause()));
    auto [none, cancel_none] = cairn::with_cancel_cause(cairn::background());
    cancel_none(nullptr);
    EXPECT_EQ(what(none.cause()), std::system_error(make_error_code(context_errc::canceled)).what());
    cairn::cancel_cause_func()(nullptr);
  });
}

struct request_key {
  int n;
  bool operator==(const request_key&) const = default;
};

TEST_P(Context, ValuesAreFoundByTypeAndValue) {
  program([] {
    context c = cairn::with_value(cairn::background(), "user", std::string("anna"));
    c = cairn::with_value(c, request_key{1}, 10);
    c = cairn::with_cancel(c).first;
    c = cairn::with_value(c, request_key{2}, 20.5);
    c = cairn::with_value(c, 1, make_list(100, 5));
    collections back_to_back;
    EXPECT_TRUE(back_to_back.await(2));
    EXPECT_EQ(*c.value<std::string>("user"), "anna");
    EXPECT_EQ(*c.value<std::string>(std::string("user")), "anna");
    EXPECT_EQ(*c.value<int>(request_key{1}), 10);
    EXPECT_EQ(*c.value<double>(request_key{2}), 20.5);
    EXPECT_EQ(c.value<int>(request_key{2}), nullptr);  // it is no int
    EXPECT_EQ(c.value<int>(request_key{3}), nullptr);
    EXPECT_EQ(c.value<std::string>("users"), nullptr);
    EXPECT_TRUE(is_list(*c.value<cell*>(1), 100, 5));
    EXPECT_EQ(c.value<cell*>(1L), nullptr);  // a key of another type
    context hides = cairn::with_value(c, "user", std::string("ben"));
    EXPECT_EQ(*hides.value<std::string>("user"), "ben");
    EXPECT_EQ(*c.value<std::string>("user"), "anna");
  });
}

TEST_P(Context, WithoutCancelKeepsOnlyTheValues) {
  program([] {
    auto [top, cancel] = cairn::with_timeout(cairn::with_value(cairn::background(), "k", 7), 1h);
    context free = cairn::without_cancel(top);
    auto [below, cancel_below] = cairn::with_cancel(free);
    cancel();
    EXPECT_FALSE(free.done());
    EXPECT_FALSE(free.err());
    EXPECT_EQ(*below.value<int>("k"), 7);
    expect_alive(below);
    cancel_below();
    expect_over(below);
  });
}

TEST_P(Context, FunctionsAreCalledOnceItIsOver) {
  program([] {
    auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    std::atomic<int> calls{0}, stopped{0};
    wait_group ran;
    ran.add(2);
    const auto count = [&] {
      ++calls;
      ran.done();
    };
    cairn::stop_handle first = cairn::after_func(ctx, count);
    cairn::stop_handle second = cairn::after_func(cairn::with_value(ctx, 1, 1), count);
    cairn::stop_handle other = cairn::after_func(ctx, [&] { ++stopped; });
    cairn::stop_handle never = cairn::after_func(cairn::background(), [&] { ++stopped; });
    EXPECT_TRUE(other.stop());
    EXPECT_FALSE(other.stop());
    EXPECT_EQ(calls, 0);
    cancel();
    ran.wait();
    EXPECT_FALSE(first.stop());
    EXPECT_FALSE(second.stop());
    EXPECT_FALSE(never.stop());
    EXPECT_EQ(calls, 2);
    ran.add();
    cairn::after_func(ctx, count);  // at once
    ran.wait();
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(stopped, 0);
  });
}

// Of a stop and a cancel that meet one wins.
TEST_P(Context, AFunctionIsStoppedOrCalled) {
  program([] {
    for (std::size_t i = 0; i < test_count(500); ++i) {
      auto [ctx, cancel] = cairn::with_cancel(cairn::background());
      std::atomic<int> calls{0};
      wait_group all, called;
      called.add();
      cairn::stop_handle h = cairn::after_func(ctx, [&] {
        ++calls;
        called.done();
      });
      bool stopped = false;
      all.go([&cancel = cancel] { cancel(); });
      all.go([&] { stopped = h.stop(); });
      all.wait();
      if (!stopped) called.wait();
      EXPECT_EQ(calls + stopped, 1);
    }
  });
}

TEST_P(Context, StopTokensGoBothWays) {
  program([] {
    auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    const std::stop_token token = ctx.stop_token();
    EXPECT_TRUE(token.stop_possible());
    int calls = 0;
    std::stop_callback callback(token, [&] { ++calls; });
    EXPECT_FALSE(token.stop_requested());
    cancel();
    EXPECT_TRUE(token.stop_requested());
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(ctx.stop_token().stop_requested());
    EXPECT_TRUE(cairn::with_cancel(ctx).first.stop_token().stop_requested());

    std::stop_source source;
    auto [above, cancel_above] = cairn::with_cancel(cairn::background());
    context by_token = cairn::with_stop_token(above, source.get_token());
    context below = cairn::with_value(by_token, 1, 1);
    collections back_to_back;
    EXPECT_TRUE(back_to_back.await(2));
    expect_alive(below);
    std::thread([&] { source.request_stop(); }).join();
    expect_over(below);
    expect_alive(above);
    expect_over(cairn::with_stop_token(above, source.get_token()));
    std::stop_source other;
    context by_both = cairn::with_stop_token(above, other.get_token());
    cancel_above();
    expect_over(by_both);
    other.request_stop();
  });
}

// As Go's XTestCancelRemoves: what is cancelled is not kept by the one above.
TEST(ContextMemory, WhatIsCancelledIsLetGo) {
  on_one_and_two_procs([] {
    auto [top, cancel_top] = cairn::with_cancel(cairn::background());
    cairn::spawn([top = top] {
      for (int i = 0; i < 20'000; ++i) {
        cairn::with_cancel(top).second();
        cairn::with_timeout(top, 1h).second();
        cairn::after_func(top, [] {}).stop();
      }
    }).get();
    cairn::gc::collect();
    const std::size_t before = cairn::gc::read_stats().heap_objects;
    EXPECT_LT(before, 20'000u);
    cancel_top();
  });
}

// What a context keeps is gone with it; a token outlives it.
TEST(ContextMemory, GoesWithTheLastHandle) {
  std::atomic<int> alive{0};
  std::stop_source source;
  apart([&] {
    for (int i = 0; i < 50; ++i) {
      context c = cairn::with_value(cairn::background(), std::string("k"), counted(alive));
      c = cairn::with_stop_token(c, source.get_token());
      cairn::after_func(c, [held = counted(alive)] {}).stop();
    }
  });
  EXPECT_TRUE(collect_until([&] { return alive == 0; }));
  source.request_stop();
}

// The token's own state keeps nothing alive: who waits does.
TEST(ContextMemory, ATokenReachesWhoeverWaitsThoughNoHandleIsLeft) {
  on_one_and_two_procs([] {
    std::stop_source source;
    std::atomic<bool> called{false};
    cairn::spawn([&] {
      auto ctx = cairn::with_stop_token(cairn::background(), source.get_token());
      cairn::after_func(cairn::with_cancel(ctx).first, [&] { called = true; });
    }).get();
    auto waiter = cairn::spawn([&] {
      cairn::recv_chan<void> done;
      {
        auto ctx = cairn::with_stop_token(cairn::background(), source.get_token());
        done = cairn::with_cancel(ctx).first.done();
      }
      return done.recv();
    });
    for (int i = 0; i < 3; ++i) {
      cairn::gc::collect();
      cairn::sleep_for(1ms);
    }
    source.request_stop();
    EXPECT_FALSE(waiter.get());
    EXPECT_TRUE(eventually([&] { return called.load(); }));
  });
}

TEST(ContextMemory, ADeadlineBeforeAllTimeHasPassed) {
  auto [ctx, cancel] = cairn::with_deadline(cairn::background(), std::chrono::steady_clock::time_point::min());
  EXPECT_EQ(ctx.err(), cairn::context_errc::deadline_exceeded);
  cancel();
}

// On one P, with a hog that has had its slice before it cancels: it is asked to make room in the middle.
TEST(ContextTree, IsCancelledAsAWholeThoughTheRunEndsWhileItMakesRoom) {
  constexpr int k_below = 20'000;
  for (std::size_t round = 0; round < test_count(10); ++round) {
    auto [top, cancel] = cairn::with_cancel(cairn::background());
    auto below = cairn::make_gc_array<context>(k_below);
    for (context& c : below) c = cairn::with_cancel(top).first;
    on_procs(1, [&, &cancel = cancel] {
      cairn::go([&] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(8 + round % 3);
        while (std::chrono::steady_clock::now() < end) {
        }
        cancel();
      });
      cairn::yield();
    });
    const auto over = std::count_if(below.begin(), below.end(), [](const context& c) { return is_done(c); });
    EXPECT_EQ(over, top.err() ? k_below : 0);
  }
}

// What a goroutine of one run was about to cancel may be what the next one waits for.
TEST(ContextTree, IsCancelledAsAWholeThoughTheRunEndsMeanwhile) {
  constexpr int k_below = 300;
  for (std::size_t round = 0; round < test_count(100); ++round) {
    auto [top, cancel] = cairn::with_cancel(cairn::background());
    context below[k_below];
    for (context& c : below) c = cairn::with_cancel(top).first;
    on_procs(2, [&, &cancel = cancel] {
      std::atomic<bool> runs{false};
      cairn::go([&] { runs = true, cancel(); });
      for (int i = 0; i < 1000 && !runs; ++i) cairn::yield();
    });
    const auto over = std::count_if(std::begin(below), std::end(below),
                                    [](const context& c) { return is_done(c); });
    EXPECT_EQ(over, top.err() ? k_below : 0);
  }
}

}  // namespace
