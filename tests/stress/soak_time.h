// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The soak's time and contexts. Nothing here is late or early: it happens, or it does not happen any more, and as often
// as it was asked for.
#pragma once
#include <array>
#include <exception>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>

#include "stress/soak.h"

namespace soak {

// Functions that timers call: each time a timer was started it called its function, or a stop or reset says that it
// did not.
class function_timers : public kind {
 public:
  function_timers() : kind("after_func timers") {}

 private:
  void act(random_source& random) override {
    const std::uint64_t id = random();
    const cairn::timer t = cairn::after_func(up_to(random, 1500), [this, id, held = make_list(id, 4)] {
      expect(is_list(held, id, 4), "what a timer's function holds has changed");
      if (id % 4 == 0) cairn::yield();
      ++called_;
    });
    ++started_;
    for (std::uint64_t i = random() % 4; i-- > 0;) {
      if (random() % 2 == 0) cairn::sleep_for(up_to(random, 1500));
      if (t.reset(up_to(random, 1500))) ++taken_back_;
      ++started_;
    }
    if (random() % 2 == 0 && t.stop()) {
      ++taken_back_;
      expect(!t.stop(), "a timer was stopped twice");
    }
  }
  void end() override {
    expect(eventually([this] { return called_ + taken_back_ >= started_; }),
           "a timer's function was not called");
    expect(called_ + taken_back_ == started_, "a timer's function was called too often");
  }

  std::atomic<std::uint64_t> started_{0}, taken_back_{0}, called_{0};
};

// Timers and tickers with channels.
class timers : public kind {
 public:
  timers() : kind("timers and tickers", 3) {}

 private:
  static void tick(random_source& random) {
    const cairn::ticker ticks(1us + up_to(random, 1000));
    auto last = clock_type::time_point::min();
    for (std::uint64_t i = random() % 4; i-- > 0;) {
      const auto now = ticks.c().recv();
      expect(now && *now >= last, "a ticker's time went back");
      last = *now;
      if (random() % 4 == 0) ticks.reset(1us + up_to(random, 1000));
    }
    if (random() % 4 == 0) return;  // it ticks until it is collected
    ticks.stop();
    expect(!ticks.c().try_recv().ok, "a stopped ticker has a tick left");
  }
  void act(random_source& random) override {
    if (random() % 2 == 0) return tick(random);
    const auto d = up_to(random, 1000);
    const auto before = clock_type::now();
    const cairn::timer t(d);
    if (random() % 4 == 0) t.reset(2 * d);
    switch (random() % 4) {
      case 0:
        expect(t.c().recv().has_value(), "a timer's channel was closed");
        expect(clock_type::now() - before >= d, "a timer was early");
        expect(!t.stop(), "a timer was stopped after it had been received from");
        break;
      case 1:
        expect(t.stop() && !t.c().try_recv().ok, "a timer that nobody received from could not be stopped");
        break;
      case 2:
        expect(cairn::select(cairn::on_recv(cairn::after(1h)), cairn::on_recv(t.c())) == 1,
               "an hour has passed");
        break;
      default:
        cairn::sleep_until(before + d);
        expect(clock_type::now() - before >= d, "a sleeper woke early");
    }
  }
};

// A tree of contexts of all sorts, with functions, goroutines and stop tokens that wait for its nodes, and its end.
class contexts : public kind {
 public:
  contexts() : kind("context trees", 3) {}

 private:
  static constexpr std::size_t k_nodes = 10;
  struct tree {
    std::array<cairn::context, k_nodes> nodes;
    std::array<cairn::cancel_func, k_nodes> cancels;  // of nodes that the root's end does not reach
    std::array<std::uint64_t, k_nodes> values{};      // under "key"
    std::stop_source source;
    wait_group waiters;
    std::atomic<std::uint64_t> functions{0}, called{0}, stopped{0};
  };

  static void grow(tree& t, std::size_t i, random_source& random) {
    const std::size_t above = random() % i;
    const cairn::context& parent = t.nodes[above];
    t.values[i] = t.values[above];
    switch (random() % 7) {
      case 0:
        t.nodes[i] = cairn::with_cancel(parent).first;
        break;
      case 1:
        t.nodes[i] = cairn::with_timeout(parent, up_to(random, 2000)).first;
        break;
      case 2:
        t.nodes[i] = cairn::with_deadline(parent, clock_type::now() + 1h).first;
        break;
      case 3: {
        const auto [c, cancel] = cairn::with_cancel_cause(parent);
        t.nodes[i] = c;
        if (random() % 2 == 0) cancel(std::make_exception_ptr(std::runtime_error("a cause")));
        break;
      }
      case 4:
        t.values[i] = random();
        t.nodes[i] = cairn::with_value(parent, "key", t.values[i]);
        break;
      case 5: {
        const auto [c, cancel] = cairn::with_cancel(cairn::without_cancel(parent));
        t.nodes[i] = c;
        t.cancels[i] = cancel;
        break;
      }
      default:
        t.nodes[i] = cairn::with_stop_token(parent, t.source.get_token());
    }
  }
  static void hang_on(tree& t, std::size_t i, random_source& random) {
    switch (random() % 4) {
      case 0:
        t.waiters.go([&t, i] {
          t.nodes[i].done().recv();
          expect(static_cast<bool>(t.nodes[i].err()), "a context is over without a reason");
        });
        break;
      case 1: {
        ++t.functions;
        const cairn::stop_handle h = cairn::after_func(t.nodes[i], [&t] { ++t.called; });
        if (random() % 4 == 0 && h.stop()) ++t.stopped;
        break;
      }
      case 2:
        t.waiters.go([&t, i] {
          std::atomic<bool> told{false};
          std::stop_callback on_stop(t.nodes[i].stop_token(), [&told] { told = true; });
          while (!told) cairn::sleep_for(100us);
        });
        break;
      default:
        break;
    }
  }
  static void expect_over(const tree& t) {
    for (std::size_t i = 0; i < k_nodes; ++i) {
      const cairn::context& c = t.nodes[i];
      c.done().recv();  // below one whose time was up at this moment it may not be over yet
      const bool is_late = c.err() == cairn::context_errc::deadline_exceeded;
      expect(is_late || c.err() == cairn::context_errc::canceled, "a context goes on below a cancelled one");
      expect(!is_late || c.deadline().has_value(), "a context has passed a deadline that it does not have");
      expect(c.cause() != nullptr, "a context is over without a cause");
      const auto* value = c.value<std::uint64_t>("key");
      expect((value != nullptr ? *value : 0) == t.values[i], "a context has another one's value");
    }
  }
  static void expect_cause(const cairn::context& c, const std::string& text) {
    try {
      std::rethrow_exception(c.cause());
    } catch (const std::runtime_error& e) {
      expect(e.what() == text, "a context has another cause than it was given");
    }
  }
  void act(random_source& random) override {
    tree t;
    const auto [root, cancel] = cairn::with_cancel_cause(cairn::background());
    t.nodes[0] = root;
    for (std::size_t i = 1; i < k_nodes; ++i) grow(t, i, random);
    for (std::size_t i = 0; i < k_nodes; ++i) hang_on(t, i, random);
    if (random() % 2 == 0) cairn::sleep_for(up_to(random, 1000));
    if (random() % 4 == 0) t.source.request_stop();
    const std::string text = std::to_string(random());
    expect(!root.err(), "a root was cancelled by what is below");
    cancel(std::make_exception_ptr(std::runtime_error(text)));
    cancel(std::make_error_code(std::errc::io_error));
    for (const auto& c : t.cancels) c();
    expect_over(t);
    expect_cause(root, text);
    expect(!root.done().recv(), "a context's channel has sent something");
    t.waiters.wait();
    while (t.called + t.stopped != t.functions) cairn::sleep_for(100us);
  }
};

}  // namespace soak
