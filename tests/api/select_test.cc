// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Select, in its static and its dynamic form.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
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
using cairn::recv_chan;
using cairn::select_case;
using cairn::send_chan;
using cairn::spawn;
using cairn::sync::wait_group;

class Select : public testing::TestWithParam<int> {
 protected:
  template <class F>
  void on(F f) {
    on_procs(GetParam(), f);
  }
};

void let_others_wait() {
  for (int i = 0; i < 20; ++i) cairn::yield();
  cairn::sleep_for(2ms);
}

// ---- what one goroutine sees --------------------------------------------------------------------------------------

TEST(SelectAlone, TakesTheOnlyCaseThatIsReady) {
  auto a = make_chan<int>(1), b = make_chan<int>(1);
  b.send(4);
  int got = 0;
  const auto handler = [&](std::optional<int> v) { got = *v; };
  EXPECT_EQ(cairn::select(on_recv(a, handler), on_recv(b, handler)), 1);
  EXPECT_EQ(got, 4);
  bool sent = false;
  EXPECT_EQ(cairn::select(on_send(a, 5, [&] { sent = true; }), on_recv(b)), 0);
  EXPECT_TRUE(sent);
  EXPECT_EQ(a.recv(), 5);
}

TEST(SelectAlone, DefaultIsForWhenNothingIsReady) {
  auto a = make_chan<int>(1), full = make_chan<int>(1), none = make_chan<int>();
  full.send(1);
  int defaults = 0;
  const auto count = [&] { ++defaults; };
  EXPECT_EQ(cairn::select(on_default(count)), 0);
  EXPECT_EQ(cairn::select(on_recv(a), on_default(count)), 1);
  EXPECT_EQ(cairn::select(on_recv(a), on_default(count), on_send(full, 2), on_recv(none), on_send(none, 1)),
            1);
  EXPECT_EQ(defaults, 3);
  a.send(3);
  EXPECT_EQ(cairn::select(on_default(count), on_recv(a)), 1);
  EXPECT_EQ(defaults, 3);
}

TEST(SelectAlone, NullChannelsAreNeverTaken) {
  chan<int> null;
  chan<std::string> null_text;
  auto a = make_chan<int>(1);
  EXPECT_EQ(cairn::select(on_recv(null), on_send(null, 1), on_send(null_text, "x"), on_default()), 3);
  EXPECT_EQ(cairn::select(on_recv(null), on_send(a, 1), on_recv(null_text)), 1);
}

TEST(SelectAlone, ClosedChannelsAreReady) {
  auto c = make_chan<int>(1);
  auto signal = make_chan<void>();
  c.close();
  signal.close();
  bool was_empty = false, was_false = false;
  EXPECT_EQ(cairn::select(on_recv(c, [&](std::optional<int> v) { was_empty = !v; }), on_default()), 0);
  EXPECT_EQ(cairn::select(on_recv(signal, [&](bool ok) { was_false = !ok; }), on_default()), 0);
  EXPECT_TRUE(was_empty && was_false);
  EXPECT_THROW(cairn::select(on_send(c, 1), on_default()), closed_channel);
  EXPECT_THROW(cairn::select(on_send(signal)), closed_channel);
}

TEST(SelectAlone, IndexCountsArguments) {
  auto a = make_chan<int>(1);
  auto v = make_chan<void>(1);
  chan<int> null;
  v.send();
  EXPECT_EQ(cairn::select(on_recv(null), on_recv(null), on_recv(v), on_default()), 2);
  EXPECT_EQ(cairn::select(on_default(), on_recv(null), on_recv(v)), 0);
  EXPECT_EQ(cairn::select(on_recv(null), on_default(), on_send(a, 1)), 2);
}

TEST(SelectAlone, ValueIsMovedFromOnlyIfItsCaseIsTaken) {
  auto full = make_chan<std::unique_ptr<int>>(1), free = make_chan<std::unique_ptr<int>>(1);
  full.send(std::make_unique<int>(0));
  auto p = std::make_unique<int>(1), q = std::make_unique<int>(2);
  EXPECT_EQ(cairn::select(on_send(full, std::move(p)), on_default()), 1);
  EXPECT_TRUE(p);
  EXPECT_EQ(cairn::select(on_send(full, std::move(p)), on_send(free, std::move(q))), 1);
  EXPECT_TRUE(p);
  EXPECT_FALSE(q);
  EXPECT_EQ(**free.recv(), 2);
}

struct counted {
  explicit counted(int* counter) : moves(counter) {}
  counted(counted&& o) noexcept : moves(o.moves) { ++*moves; }
  counted(const counted& o) : moves(o.moves) { ++*moves; }
  int* moves;
};
TEST(SelectAlone, ValueOfALosingCaseIsNotTouchedAtAll) {
  auto full = make_chan<counted>();
  auto ready = make_chan<int>(1);
  int moves = 0;
  counted value(&moves);
  ready.send(1);
  EXPECT_EQ(cairn::select(on_send(full, value), on_send(full, std::move(value)), on_recv(ready)), 2);
  EXPECT_EQ(moves, 0);
}

TEST(SelectAlone, HandlerMayThrow) {
  auto c = make_chan<int>(1);
  c.send(1);
  EXPECT_THROW(cairn::select(on_recv(c, [](auto) { throw std::runtime_error("x"); })), std::runtime_error);
  EXPECT_EQ(c.len(), 0u);
  EXPECT_THROW(cairn::select(on_send(c, 2, [] { throw std::runtime_error("x"); })), std::runtime_error);
  EXPECT_EQ(c.recv(), 2);
  EXPECT_THROW(cairn::select(on_default([] { throw std::runtime_error("x"); })), std::runtime_error);
  c.send(3);  // and nothing is locked
  EXPECT_EQ(c.recv(), 3);
}

TEST(SelectAlone, HandlersRunAfterEverythingIsUnlocked) {
  auto a = make_chan<int>(1), b = make_chan<int>(1);
  a.send(1);
  cairn::select(on_recv(b), on_recv(a, [&](std::optional<int> v) {
                  b.send(*v + 1);
                  EXPECT_EQ(cairn::select(on_recv(b, [&](std::optional<int> w) { a.send(*w + 1); })), 0);
                }));
  EXPECT_EQ(a.recv(), 3);
}

TEST(SelectAlone, OneWayViewsAndConversions) {
  auto c = make_chan<double>(1);
  auto text = make_chan<std::string>(1);
  auto nodes = make_chan<cairn::gc_ptr<cell>>(1);
  const send_chan<double> in = c;
  const recv_chan<double> out = c;
  EXPECT_EQ(cairn::select(on_send(in, 3)), 0);
  EXPECT_EQ(cairn::select(on_recv(out, [](std::optional<double> v) { EXPECT_EQ(v, 3.0); })), 0);
  EXPECT_EQ(cairn::select(on_send(text, "abc")), 0);
  EXPECT_EQ(text.recv(), "abc");
  cell* node = make_cell(5);
  EXPECT_EQ(cairn::select(on_send(nodes, node)), 0);
  EXPECT_EQ(cairn::select(on_recv(nodes, [](auto v) { EXPECT_TRUE((*v)->is(5)); })), 0);
}

// ---- the dynamic form ---------------------------------------------------------------------------------------------

TEST(SelectDynamic, CasesCanBeUsedAgain) {
  auto numbers = make_chan<int>(2);
  auto text = make_chan<std::string>(2);
  std::vector<select_case> cases;
  std::vector<int> got;
  cases.push_back(on_recv(numbers, [&](std::optional<int> v) { got.push_back(*v); }));
  cases.emplace_back(on_send(text, std::string(50, 'x')));
  cases.push_back(on_default());
  EXPECT_EQ(cairn::select(cases), 1);
  EXPECT_EQ(cairn::select(cases), 1);
  EXPECT_EQ(cairn::select(cases), 2);
  numbers.send(8);
  EXPECT_EQ(cairn::select(std::span<select_case>(cases)), 0);
  EXPECT_EQ(got, std::vector<int>{8});
  EXPECT_EQ(text.recv(), std::string(50, 'x'));
  EXPECT_EQ(text.recv(), std::string(50, 'x'));
}

TEST(SelectDynamic, TwoDefaultsAreAMistake) {
  auto c = make_chan<int>(1);
  select_case cases[] = {on_default(), on_send(c, 1), on_default()};
  EXPECT_THROW(cairn::select(cases), std::invalid_argument);
  EXPECT_EQ(c.len(), 0u);
}

TEST(SelectDynamic, DefaultAlone) {
  select_case cases[] = {on_default()};
  EXPECT_EQ(cairn::select(cases), 0);
}

TEST(SelectDynamic, OwnsItsValueAndHandler) {
  auto c = make_chan<std::string>(1);
  std::vector<select_case> cases;
  {
    std::string text(40, 'v');
    auto said = std::make_shared<std::string>(40, 'h');
    cases.push_back(on_send(c, text, [said] { EXPECT_EQ(*said, std::string(40, 'h')); }));
  }
  churn();
  EXPECT_EQ(cairn::select(cases), 0);
  EXPECT_EQ(c.recv(), std::string(40, 'v'));
}

// They lie in malloc'd memory, and keep channels and values alive all the same.
TEST_P(Select, DynamicCasesKeepWhatTheyNeedAlive) {
  on([] {
    constexpr std::uint64_t n = 100;
    std::vector<select_case> cases;
    std::vector<std::optional<std::uint64_t>> got(n);
    spawn([&] {
      for (std::uint64_t i = 0; i < n; ++i) {
        auto c = make_chan<cell*>(1);
        c.send(make_list(i, 3));
        cases.push_back(on_recv(c, [&got, i](std::optional<cell*> v) {
          ASSERT_TRUE(v && is_list(*v, i, 3));
          got[i] = i;
        }));
      }
    }).get();
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    for (std::uint64_t i = 0; i < n; ++i) {
      const int at = cairn::select(cases);
      cases.erase(cases.begin() + at);
    }
    for (const auto& g : got) EXPECT_TRUE(g);
  });
}

TEST_P(Select, OverManyChannels) {
  on([] {
    constexpr std::size_t k_channels = 300;
    const std::size_t rounds = test_count(20);
    cairn::vector<chan<std::size_t>> channels;
    std::vector<select_case> cases;
    std::size_t sum = 0, at = 0;
    for (std::size_t i = 0; i < k_channels; ++i) {
      channels.push_back(make_chan<std::size_t>(i % 3));
      cases.push_back(on_recv(channels[i], [&](std::optional<std::size_t> v) { sum += at = *v; }));
    }
    wait_group all;
    for (std::size_t i = 0; i < k_channels; ++i)
      all.go([&channels, i, rounds] {
        for (std::size_t r = 0; r < rounds; ++r) channels[i].send(i);
      });
    for (std::size_t k = 0; k < k_channels * rounds; ++k)
      ASSERT_EQ(static_cast<std::size_t>(cairn::select(cases)), at);
    all.wait();
    EXPECT_EQ(sum, rounds * k_channels * (k_channels - 1) / 2);
  });
}

// ---- waiting ------------------------------------------------------------------------------------------------------

TEST_P(Select, WaitsForTheFirstThatComes) {
  on([] {
    auto a = make_chan<int>(), b = make_chan<int>();
    auto chosen = spawn([=] {
      int got = 0;
      const int i = cairn::select(on_recv(a), on_recv(b, [&](std::optional<int> v) { got = *v; }));
      return 100 * i + got;
    });
    let_others_wait();
    b.send(7);
    EXPECT_EQ(chosen.get(), 107);
    EXPECT_FALSE(a.try_send(1)) << "the case that lost is still there";
    EXPECT_FALSE(b.try_send(1));
  });
}

TEST_P(Select, WaitsToSend) {
  on([] {
    auto a = make_chan<std::string>(), b = make_chan<std::string>();
    auto chosen = spawn([=] { return cairn::select(on_send(a, "to a"), on_send(b, "to b")); });
    let_others_wait();
    EXPECT_EQ(a.recv(), "to a");
    EXPECT_EQ(chosen.get(), 0);
    EXPECT_FALSE(b.try_recv().ok);
  });
}

TEST_P(Select, CloseWakesIt) {
  on([] {
    auto a = make_chan<int>(), b = make_chan<int>();
    bool closed = false;
    auto receives = spawn(
        [&] { cairn::select(on_recv(a, [&](std::optional<int> v) { closed = !v; }), on_send(b, 1)); });
    let_others_wait();
    a.close();
    receives.get();
    EXPECT_TRUE(closed);
    auto sends = spawn([&] { cairn::select(on_recv(chan<int>()), on_send(b, 1)); });
    let_others_wait();
    b.close();
    EXPECT_THROW(sends.get(), closed_channel);
  });
}

TEST_P(Select, SameChannelSeveralTimes) {
  on([] {
    auto c = make_chan<int>();
    for (int i = 0; i < 100; ++i) {
      auto chosen = spawn([=] { return cairn::select(on_recv(c), on_recv(c), on_recv(c)); });
      if (i % 2 == 0) let_others_wait();
      c.send(i);
      const int at = chosen.get();
      EXPECT_TRUE(at >= 0 && at < 3);
      EXPECT_FALSE(c.try_send(1));
    }
  });
}

// A select never meets itself.
TEST_P(Select, SendAndReceiveOnTheSameChannel) {
  on([] {
    for (std::size_t capacity : {0u, 10u}) {
      const std::size_t n = test_count(10'000);
      auto c = make_chan<int>(capacity);
      wait_group both;
      for (int p = 0; p < 2; ++p)
        both.go([c, p, n] {
          for (std::size_t i = 0; i < n; ++i) {
            if (p == 0 || i % 2 == 0) {
              cairn::select(on_send(c, p), on_recv(c, [&](std::optional<int> v) {
                              ASSERT_TRUE(c.cap() != 0 || *v == 1 - p) << "it met itself";
                            }));
            } else {
              cairn::select(on_recv(c,
                                    [&](std::optional<int> v) {
                                      ASSERT_TRUE(c.cap() != 0 || *v == 1 - p) << "it met itself";
                                    }),
                            on_send(c, p));
            }
          }
        });
      both.wait();
    }
  });
}

// Two cases of one select are never both taken.
TEST_P(Select, OneSendPerSelect) {
  on([] {
    const int n = static_cast<int>(test_count(20'000));
    auto c1 = make_chan<int>(), c2 = make_chan<int>(), c3 = make_chan<int>(), c4 = make_chan<int>();
    go([=] {
      for (int i = 0; i < n; ++i)
        cairn::select(on_send(c1, i), on_send(c2, i), on_send(c3, i), on_send(c4, i));
      for (auto c : {c1, c2, c3, c4}) c.close();
    });
    auto all = make_chan<int>();
    wait_group forwarding;
    for (auto c : {c1, c2, c3, c4})
      forwarding.go([=] {
        for (int v : c) all.send(v);
      });
    go([&] {
      forwarding.wait();
      all.close();
    });
    std::vector<int> seen(static_cast<std::size_t>(n));
    for (int v : all) ++seen[static_cast<std::size_t>(v)];
    for (int i = 0; i < n; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], 1) << i;
  });
}

// With a default there is one moment in which no case was ready: a token that is always in one of two channels is
// found.
TEST_P(Select, DefaultIsNotTakenWhileSomethingIsAlwaysReady) {
  on([] {
    auto a = make_chan<int>(2), b = make_chan<int>(2);
    a.send(1);
    std::atomic<bool> over{false};
    wait_group mover;
    mover.go([&] {
      while (!over) {
        b.send(1);
        a.recv();
        a.send(1);
        b.recv();
        if (cairn::max_procs() == 1) cairn::yield();
      }
    });
    const std::size_t n = test_count(30'000);
    for (std::size_t i = 0; i < n; ++i) {
      const int at = cairn::select(on_recv(a), on_recv(b), on_default());
      ASSERT_NE(at, 2) << "the token was in neither";
      (at == 0 ? a : b).send(1);
      if (i % 64 == 0) cairn::yield();
    }
    over = true;
    mover.wait();
  });
}

// ---- races of close and what does not wait ------------------------------------------------------------------------

TEST_P(Select, NonBlockingReceiveSeesWhatWasThereBeforeTheClose) {
  on([] {
    for (std::size_t i = 0; i < test_count(3'000); ++i) {
      auto c = make_chan<int>(1);
      c.send(1);
      wait_group both;
      std::atomic<int> failures{0};
      both.go([&, c] {
        if (cairn::select(on_recv(c), on_default()) == 1) ++failures;
      });
      both.go([c] { c.close(); });
      both.wait();
      ASSERT_EQ(failures, 0);
    }
  });
}

// One sends and then closes; of two channels at least one is ready at any time.
TEST_P(Select, NonBlockingSelectBesideAClose) {
  on([] {
    const std::size_t n = test_count(5'000);
    auto done = make_chan<bool>(1);
    for (std::size_t i = 0; i < n; ++i) {
      auto c1 = make_chan<int>(1), c2 = make_chan<int>(1);
      c1.send(1);
      go([=] { done.send(cairn::select(on_recv(c1), on_recv(c2), on_default()) != 2); });
      if (i % 2 == 0) c2.send(1);
      else c2.close();
      cairn::select(on_recv(c1), on_default());
      ASSERT_EQ(done.recv(), true) << "no channel was ready";
    }
  });
}

// ---- fairness -----------------------------------------------------------------------------------------------------

TEST_P(Select, PicksAmongReadyCasesUniformly) {
  on([] {
    constexpr std::size_t k_cases = 4;
    const std::size_t n = test_count(40'000, 4'000);
    for (unsigned ready = 3; ready < 16; ++ready) {
      std::array<chan<int>, k_cases> c;
      for (std::size_t i = 0; i < k_cases; ++i) {
        c[i] = make_chan<int>(1);
        if ((ready >> i & 1) != 0) c[i].send(0);
      }
      std::array<std::size_t, k_cases> times{};
      if (__builtin_popcount(ready) < 2) continue;
      for (std::size_t k = 0; k < n; ++k) {
        const auto at = static_cast<std::size_t>(
            cairn::select(on_recv(c[0]), on_recv(c[1]), on_recv(c[2]), on_recv(c[3])));
        ++times[at];
        c[at].send(0);
      }
      const double share = static_cast<double>(n) / __builtin_popcount(ready);
      for (std::size_t i = 0; i < k_cases; ++i) {
        if ((ready >> i & 1) == 0) {
          EXPECT_EQ(times[i], 0u);
        } else {
          EXPECT_NEAR(static_cast<double>(times[i]), share, 6 * std::sqrt(share)) << ready << ' ' << i;
        }
      }
    }
  });
}

// Two senders that are always there get about the same share (as Go's TestSelectFairness).
TEST_P(Select, SendersThatAreAlwaysReadyShareFairly) {
  on([] {
    const int trials = static_cast<int>(test_count(10'000, 2'000));
    auto c1 = make_chan<int>(static_cast<std::size_t>(trials) + 1),
         c2 = make_chan<int>(static_cast<std::size_t>(trials) + 1);
    for (int i = 0; i < trials + 1; ++i) {
      c1.send(1);
      c2.send(2);
    }
    auto c3 = make_chan<int>(), c4 = make_chan<int>(), out = make_chan<int>();
    auto done = make_chan<void>();
    wait_group selecting;
    selecting.go([=] {
      for (bool more = true; more;) {
        int b = 0;
        const auto take = [&](std::optional<int> v) { b = *v; };
        cairn::select(on_recv(c3, take), on_recv(c4, take), on_recv(c1, take), on_recv(c2, take));
        cairn::select(on_send(out, b), on_recv(done, [&](bool) { more = false; }));
      }
    });
    int first = 0, second = 0;
    for (int i = 0; i < trials; ++i) ++(*out.recv() == 1 ? first : second);
    done.close();
    selecting.wait();
    const double expected = trials * 0.5;
    EXPECT_LT(std::abs(first - expected), 6 * std::sqrt(expected)) << first << ' ' << second;
  });
}

// ---- stress -------------------------------------------------------------------------------------------------------

// Four channels, all kinds of operations on each at once (as Go's TestSelectStress).
TEST_P(Select, Stress) {
  on([] {
    const int n = static_cast<int>(test_count(5'000));
    const std::array<chan<int>, 4> c{make_chan<int>(), make_chan<int>(), make_chan<int>(2), make_chan<int>(3)};
    wait_group all;
    for (std::size_t k = 0; k < 4; ++k) {
      all.go([&, k] {
        for (int i = 0; i < n; ++i) c[k].send(0);
      });
      all.go([&, k] {
        for (int i = 0; i < n; ++i) c[k].recv();
      });
    }
    // Each sends n to every channel, or receives as many from it; a channel that has had its share becomes null.
    const auto by_select = [&](bool sends) {
      std::array<chan<int>, 4> open = c;
      std::array<int, 4> times{};
      for (int i = 0; i < 4 * n; ++i) {
        const int at = sends ? cairn::select(on_send(open[3], 0), on_send(open[2], 0), on_send(open[0], 0),
                                             on_send(open[1], 0))
                             : cairn::select(on_recv(open[0]), on_recv(open[1]), on_recv(open[2]),
                                             on_recv(open[3]));
        static constexpr std::size_t k_sent_at[] = {3, 2, 0, 1};
        const std::size_t k = sends ? k_sent_at[at] : static_cast<std::size_t>(at);
        if (++times[k] == n) open[k] = {};
      }
    };
    for (int i = 0; i < 2; ++i) {
      all.go([&] { by_select(true); });
      all.go([&] { by_select(false); });
    }
    all.wait();
    for (const auto& one : c) EXPECT_EQ(one.len(), 0u);
  });
}

// The same with values that cannot be moved as words, and lists in them, while collections run.
TEST_P(Select, StressWithPointersAndBoxes) {
  on([] {
    collections running;
    const std::uint64_t n = test_count(3'000, 50);
    auto words = make_chan<cell*>();
    auto boxes = make_chan<std::pair<std::string, cairn::root<cell>>>(2);
    wait_group sending, receiving;
    for (std::uint64_t s = 0; s < 4; ++s)
      sending.go([=] {
        for (std::uint64_t i = 0; i < n; ++i) {
          cell* list = make_list(i, 3);
          cairn::select(on_send(words, list),
                        on_send(boxes, std::pair(std::to_string(i), cairn::root<cell>(list))));
        }
      });
    std::atomic<std::uint64_t> received{0};
    for (int r = 0; r < 4; ++r)
      receiving.go([=, &received] {
        for (bool more = true; more;) {
          cairn::select(on_recv(words,
                                [&](std::optional<cell*> v) {
                                  more = v.has_value();
                                  ASSERT_TRUE(!v || is_list(*v, (*v)->id, 3));
                                }),
                        on_recv(boxes, [&](auto v) {
                          more = v.has_value();
                          ASSERT_TRUE(!v || is_list(v->second.get(), std::stoull(v->first), 3));
                        }));
          if (more) ++received;
        }
      });
    sending.wait();
    ASSERT_TRUE(eventually([&] { return received == 4 * n; }));
    words.close();
    boxes.close();
    receiving.wait();
  });
}

// 100,000 selects that lose one case each leave nothing behind.
TEST_P(Select, LeavesNoTrace) {
  on([] {
    auto dummy = make_chan<int>();
    const auto selects = [dummy](std::size_t n) {
      auto c = make_chan<int>();
      auto other = spawn([=] {
        for (std::size_t i = 0; i < n; ++i) c.send(1);
      });
      for (std::size_t i = 0; i < n; ++i) cairn::select(on_recv(c), on_recv(dummy));
      other.get();
    };
    selects(1'000);
    cairn::gc::collect();
    const auto before = cairn::gc::read_stats();
    selects(test_count(100'000, 1'000));
    const auto after = cairn::gc::read_stats();
    EXPECT_LT(after.total_allocs - before.total_allocs, 100u);
    EXPECT_FALSE(dummy.try_send(1));
  });
}

// ---- threads ------------------------------------------------------------------------------------------------------

TEST_P(Select, ThreadsAndGoroutinesMeet) {
  const std::size_t n = test_count(2'000);
  on([n] {
    auto a = make_chan<std::size_t>(), b = make_chan<std::size_t>(1);
    auto quit = make_chan<void>();
    const cairn::root<chan<std::size_t>> shared_a = cairn::make_gc<chan<std::size_t>>(a),
                                         shared_b = cairn::make_gc<chan<std::size_t>>(b);
    std::vector<std::thread> threads;
    std::atomic<int> attached{0};  // until then nobody could wake main
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([=, &attached] {
        const cairn::attach_thread here;
        ++attached;
        for (std::size_t i = 0; i < n; ++i) cairn::select(on_send(*shared_a, i), on_send(*shared_b, i));
      });
    ASSERT_TRUE(eventually([&] { return attached == 3; }));
    std::size_t sum = 0;
    for (std::size_t i = 0; i < 3 * n; ++i) {
      const auto add = [&](std::optional<std::size_t> v) { sum += *v; };
      cairn::select(on_recv(a, add), on_recv(b, add), on_recv(quit));
    }
    cairn::blocking([&] {
      for (auto& t : threads) t.join();
    });
    EXPECT_EQ(sum, 3 * n * (n - 1) / 2);
  });
}

INSTANTIATE_TEST_SUITE_P(Procs, Select, testing::Values(1, 2, 8));

}  // namespace
