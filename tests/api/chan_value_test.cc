// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What becomes of values in channels: who destroys them, what their moves may do, and what is left when a run ends.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::chan;
using cairn::closed_channel;
using cairn::go;
using cairn::make_chan;
using cairn::on_default;
using cairn::on_recv;
using cairn::on_send;
using cairn::select_case;
using cairn::spawn;
using cairn::sync::wait_group;

class ChanValue : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void on(F f) {
    on_procs(GetParam(), f);
  }
};

// Counts those that are there; each must be destroyed once.
struct tracked {
  explicit tracked(int n) : number(n) { ++alive; }
  tracked(tracked&& o) noexcept : number(std::exchange(o.number, -1)) { ++alive; }
  ~tracked() { --alive; }
  static inline std::atomic<int> alive{0};
  int number;
};

TEST_P(ChanValue, EachIsDestroyedOnce) {
  on([] {
    {
      auto c = make_chan<tracked>(2);
      wait_group all;
      for (int s = 0; s < 4; ++s)
        all.go([=] {
          for (int i = 0; i < 500; ++i) c.send(tracked(i));
        });
      for (int i = 0; i < 2000; ++i) {
        const auto v = c.recv();
        ASSERT_TRUE(v->number >= 0 && v->number < 500);
      }
      all.wait();
    }
    EXPECT_EQ(tracked::alive, 0);
  });
}

TEST_P(ChanValue, WhatIsLeftInACollectedChannelIsDestroyed) {
  on([] {
    for (const bool closed : {false, true}) {
      apart([closed] {
        auto c = make_chan<tracked>(10);
        for (int i = 0; i < 7; ++i) c.send(tracked(i));
        EXPECT_EQ(c.recv()->number, 0);
        if (closed) c.close();
      });
      EXPECT_TRUE(collect_until([] { return tracked::alive == 0; })) << tracked::alive;
    }
  });
}

TEST_P(ChanValue, OfASendThatFailedIsDestroyed) {
  on([] {
    {
      auto c = make_chan<tracked>();
      auto sender = spawn([c] { EXPECT_THROW(c.send(tracked(1)), closed_channel); });
      cairn::sleep_for(1ms);
      c.close();
      sender.get();
      EXPECT_THROW(c.send(tracked(2)), closed_channel);
      EXPECT_THROW(c.try_send(tracked(3)), closed_channel);
    }
    EXPECT_EQ(tracked::alive, 0);
  });
}

// No allocation, once as many are under way as there ever will be.
TEST_P(ChanValue, BoxesAreUsedAgain) {
  on([] {
    auto boxed = make_chan<std::unique_ptr<int>>(4);
    auto handed = make_chan<std::unique_ptr<int>>();
    auto words = make_chan<cell*>(4);
    const auto work = [=](int n) {
      auto other = spawn([=] {
        for (int i = 0; i < n; ++i) handed.recv();
      });
      for (int i = 0; i < n; ++i) {
        boxed.send(std::make_unique<int>(i));
        EXPECT_EQ(**boxed.recv(), i);
        handed.send(nullptr);
        words.send(nullptr);
        words.recv();
        cairn::select(on_send(boxed, std::make_unique<int>(i)), on_default());
        cairn::select(on_recv(boxed), on_default());
      }
      other.get();
    };
    work(100);
    const auto before = cairn::gc::read_stats().total_allocs;
    work(1'000);
    EXPECT_LT(cairn::gc::read_stats().total_allocs - before, 100u);
  });
}

// ---- moves that throw ---------------------------------------------------------------------------------------------

struct fragile {
  explicit fragile(int n) : number(n) {}
  fragile(const fragile& o) : number(o.number) { maybe_throw(); }
  static void maybe_throw() {
    if (countdown > 0 && --countdown == 0) throw std::runtime_error("fragile");
  }
  static inline std::atomic<int> countdown{0};
  int number;
};

// The next n-th copy of a fragile throws.
void let_throw(int n) { fragile::countdown = n; }

TEST_P(ChanValue, ThatCannotBeMovedInIsNotSent) {
  on([] {
    auto c = make_chan<fragile>(2);
    const fragile value(1);
    let_throw(1);
    EXPECT_THROW(c.send(value), std::runtime_error);
    EXPECT_EQ(c.len(), 0u);
    let_throw(1);
    EXPECT_THROW(c.try_send(value), std::runtime_error);
    let_throw(1);
    EXPECT_THROW(cairn::select(on_send(c, value)), std::runtime_error);
    // Places in the ring that came to nothing are passed over.
    c.try_recv();
    c.send(fragile(5));
    EXPECT_EQ(c.recv()->number, 5);
    EXPECT_FALSE(c.try_recv().ok);
    c.close();
    EXPECT_FALSE(c.recv());
  });
}

TEST_P(ChanValue, WhoWaitsForOneThatCannotBeMovedInWaitsOn) {
  on([] {
    for (int kind = 0; kind < 3; ++kind) {
      auto c = make_chan<fragile>();
      auto receiver = spawn([c, kind] {
        if (kind == 0) return c.recv()->number;
        int got = 0;
        const auto take = [&](const std::optional<fragile>& v) { got = v->number; };
        if (kind == 1) {
          cairn::select(on_recv(c, take), on_recv(chan<int>()));
        } else {
          select_case cases[] = {on_recv(chan<int>()), on_recv(c, take)};
          EXPECT_EQ(cairn::select(cases), 1);
        }
        return got;
      });
      cairn::sleep_for(1ms);
      const fragile value(3);
      let_throw(1);
      // Tried until it meets the receiver, at which it throws.
      EXPECT_THROW(
          while (true) {
            c.try_send(value);
            cairn::yield();
          },
          std::runtime_error);
      let_throw(0);
      c.send(fragile(4));
      EXPECT_EQ(receiver.get(), 4);
    }
  });
}

TEST_P(ChanValue, ThatCannotBeMovedOutIsGone) {
  on([] {
    auto c = make_chan<fragile>(2);
    c.send(fragile(1));
    c.send(fragile(2));
    let_throw(1);
    EXPECT_THROW(c.recv(), std::runtime_error);
    EXPECT_EQ(c.recv()->number, 2);
    c.send(fragile(3));
    let_throw(1);
    EXPECT_THROW(c.try_recv(), std::runtime_error);
    EXPECT_EQ(c.len(), 0u);
  });
}

// ---- moves that do all kinds of things ----------------------------------------------------------------------------

// Parks, allocates, collects and uses channels whenever it is moved.
struct busy {
  explicit busy(std::uint64_t n) : list(make_list(n, 3)) {}
  busy(busy&& o) : list(o.list) {
    cairn::yield();
    churn(20);
    auto c = make_chan<int>(1);
    c.send(1);
    cairn::select(on_recv(c), on_default());
    if (list->id % 16 == 0) cairn::gc::collect();
    o.list = nullptr;
  }
  ~busy() {
    if (list) cairn::yield();
  }
  cairn::gc_ptr<cell> list;
};

TEST_P(ChanValue, MovesMayParkAllocateCollectAndUseChannels) {
  on([] {
    for (std::size_t capacity : {0u, 3u}) {
      const std::uint64_t each = test_count(50, 5);
      auto c = make_chan<busy>(capacity);
      wait_group sending, receiving;
      for (std::uint64_t s = 0; s < 4; ++s)
        sending.go([=] {
          for (std::uint64_t i = 0; i < each; ++i) {
            if (s == 0) {
              cairn::select(on_send(c, busy(i)), on_recv(chan<int>()));
            } else if (s == 1) {
              busy b(i);
              while (!c.try_send(std::move(b))) cairn::yield();
            } else {
              c.send(busy(i));
            }
          }
        });
      std::atomic<std::uint64_t> received{0};
      for (int r = 0; r < 3; ++r)
        receiving.go([=, &received] {
          for (bool more = true; more;) {
            const auto take = [&](const std::optional<busy>& v) {
              more = v.has_value();
              if (!more) return;
              ASSERT_TRUE(is_list(v->list, v->list->id, 3));
              ++received;
            };
            if (r == 0) cairn::select(on_recv(c, take));
            else take(c.recv());
          }
        });
      sending.wait();
      c.close();
      receiving.wait();
      EXPECT_EQ(received, 4 * each);
    }
  });
}

// A receiver that takes what has been promised waits until it is there.
TEST_P(ChanValue, APromisedValueIsWaitedFor) {
  on([] {
    struct slow {
      explicit slow(int n) : number(n) {}
      slow(slow&& o) : number(o.number) { cairn::sleep_for(20ms); }
      int number;
    };
    auto c = make_chan<slow>(1);
    wait_group sender;
    sender.go([c] { EXPECT_TRUE(c.try_send(slow(6))); });
    std::optional<int> got;
    while (!got) {
      auto r = c.try_recv();
      if (r.ok) got = r.value->number;
      else cairn::yield();
    }
    EXPECT_EQ(got, 6);
    sender.wait();
  });
}

// ---- threads ------------------------------------------------------------------------------------------------------

template <class T, class Make>
void threads_meet(int procs, Make make) {
  on_procs(procs, [make] {
    for (std::size_t capacity : {0u, 2u}) {
      const std::uint64_t n = test_count(2'000, 10);
      const auto c = cairn::root<chan<T>>(cairn::make_gc<chan<T>>(make_chan<T>(capacity)));
      std::atomic<std::uint64_t> received{0};
      std::vector<std::thread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([c, n, make] {
          for (std::uint64_t i = 0; i < n; ++i) c->send(make(i));
        });
        threads.emplace_back([c, &received] {
          while (c->recv()) ++received;
        });
      }
      wait_group senders, receivers;
      for (int g = 0; g < 2; ++g) {
        senders.go([c, n, make] {
          for (std::uint64_t i = 0; i < n; ++i) c->send(make(i));
        });
        receivers.go([c, &received] {
          while (c->recv()) ++received;
        });
      }
      senders.wait();
      cairn::blocking([&] {
        threads[0].join();
        threads[2].join();
      });
      c->close();
      receivers.wait();
      cairn::blocking([&] {
        threads[1].join();
        threads[3].join();
      });
      EXPECT_EQ(received, 4 * n);
    }
  });
}
TEST_P(ChanValue, ThreadsSendAndReceiveToo) {
  threads_meet<std::uint64_t>(GetParam(), [](std::uint64_t i) { return i; });
  threads_meet<std::string>(GetParam(), [](std::uint64_t i) { return std::to_string(i); });
}

TEST(ChanThreads, WorkWithoutARun) {
  auto c = make_chan<std::string>(), back = make_chan<std::string>();
  const cairn::root<chan<std::string>> there = cairn::make_gc<chan<std::string>>(c),
                                       again = cairn::make_gc<chan<std::string>>(back);
  std::thread other([there, again] {
    for (const std::string& s : *there) again->send(s + "!");
    again->close();
  });
  for (int i = 0; i < 100; ++i) {
    c.send(std::to_string(i));
    EXPECT_EQ(back.recv(), std::to_string(i) + "!");
  }
  c.close();
  EXPECT_FALSE(back.recv());
  other.join();
}

// ---- the end of a run ---------------------------------------------------------------------------------------------

// Goroutines that are dropped where they wait leave the channels usable, for those who come after.
TEST_P(ChanValue, DroppedWaitersLeaveNoTrace) {
  const auto c = cairn::root<chan<int>>(cairn::make_gc<chan<int>>(make_chan<int>())),
             d = cairn::root<chan<int>>(cairn::make_gc<chan<int>>(make_chan<int>()));
  const auto text = cairn::root<chan<std::string>>(
      cairn::make_gc<chan<std::string>>(make_chan<std::string>()));
  for (int round = 0; round < 5; ++round) {
    on([&] {
      for (int i = 0; i < 20; ++i) {
        go([&] { c->recv(); });
        go([&] { cairn::select(on_recv(*c), on_recv(*d), on_send(*text, "lost")); });
        go([&] { text->recv(); });
        go([&] { cairn::select(on_recv(*text), on_recv(*d)); });
        go([] { chan<int>().recv(); });
        go([] { cairn::select(); });
      }
      for (int i = 0; i < 10; ++i) cairn::yield();
      if (round % 2 == 1) {  // some have been called and did not run yet
        c->try_send(1);
        d->try_send(2);
        text->try_send("x");
        text->try_recv();
      }
    });
    EXPECT_FALSE(c->try_send(1));
    EXPECT_FALSE(d->try_send(1));
    EXPECT_FALSE(text->try_send("x"));
    EXPECT_FALSE(text->try_recv().ok);
    EXPECT_FALSE(c->try_recv().ok);
  }
}

// A thread that has taken what a dropped goroutine had promised looks for the next one.
TEST_P(ChanValue, APromiseOfADroppedGoroutineIsBroken) {
  for (std::size_t round = 0; round < test_count(20, 3); ++round) {
    const auto text = cairn::root<chan<std::string>>(
        cairn::make_gc<chan<std::string>>(make_chan<std::string>()));
    std::thread outside;
    std::atomic<bool> begun{false};
    std::string got;
    on([&] {
      for (int i = 0; i < 3; ++i)
        go([&] { cairn::select(on_send(*text, "promised"), on_recv(chan<int>())); });
      for (int i = 0; i < 5; ++i) cairn::yield();
      outside = std::thread([&] {
        begun = true;
        for (std::string s : *text) got = std::move(s);
      });
      while (!begun) cairn::yield();
    });
    text->send("last");
    text->close();
    outside.join();
    EXPECT_EQ(got, "last");
  }
}

INSTANTIATE_TEST_SUITE_P(Procs, ChanValue, testing::Values(1, 2, 8));

}  // namespace
