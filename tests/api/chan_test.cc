// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Channels: what they promise between goroutines and threads, for values of all kinds.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
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
using cairn::null_channel;
using cairn::recv_chan;
using cairn::send_chan;
using cairn::spawn;
using cairn::sync::wait_group;

class Chan : public testing::TestWithParam<int> {
 protected:
  // A program on as many Ps as the parameter says.
  template <class F>
  void on(F f) {
    on_procs(GetParam(), f);
  }
};
class ChanCapacity : public testing::TestWithParam<std::tuple<int, std::size_t>> {
 protected:
  template <class F>
  void on(F f) {
    on_procs(std::get<0>(GetParam()), f);
  }
  std::size_t capacity() const { return std::get<1>(GetParam()); }
};

// Goroutines that run have come as far as they can without the caller.
void let_others_wait() {
  for (int i = 0; i < 20; ++i) cairn::yield();
  cairn::sleep_for(2ms);
}

// ---- types --------------------------------------------------------------------------------------------------------

struct pair_of_pointers {
  cairn::gc_ptr<cell> a;
  cell* b;
  int n;
};
class opaque {
 public:
  explicit opaque(int n) : n_(n), self_(this) {}
  opaque(opaque&& o) noexcept : n_(std::exchange(o.n_, -1)), self_(this) {}
  bool is(int n) const { return n_ == n && self_ == this; }

 private:
  int n_;
  opaque* self_;
};

static_assert(sizeof(chan<int>) == sizeof(void*));
static_assert(std::is_convertible_v<chan<int>, send_chan<int>> &&
              std::is_convertible_v<chan<int>, recv_chan<int>>);
static_assert(!std::is_convertible_v<send_chan<int>, chan<int>> &&
              !std::is_convertible_v<recv_chan<int>, chan<int>>);
static_assert(!std::is_convertible_v<send_chan<int>, recv_chan<int>>);
static_assert(std::is_trivially_destructible_v<chan<std::string>>);
template <class C>
concept can_send = requires(const C& c) {
  c.send(1);
};
template <class C>
concept can_recv = requires(const C& c) {
  c.recv();
};
template <class C>
concept can_close = requires(const C& c) {
  c.close();
};
static_assert(can_send<chan<int>> && can_send<send_chan<int>> && !can_send<recv_chan<int>>);
static_assert(can_recv<chan<int>> && !can_recv<send_chan<int>> && can_recv<recv_chan<int>>);
static_assert(can_close<chan<int>> && can_close<send_chan<int>> && !can_close<recv_chan<int>>);
static_assert(std::is_same_v<decltype(chan<void>().recv()), bool>);
static_assert(std::is_same_v<decltype(chan<int>().recv()), std::optional<int>>);

// Which types need no box.
using cairn::detail::goes_as_words;
static_assert(goes_as_words<int>() && goes_as_words<char>() && goes_as_words<double>());
static_assert(goes_as_words<cell*>() && goes_as_words<cairn::gc_ptr<cell>>() && goes_as_words<chan<int>>());
static_assert(goes_as_words<cairn::gc_slice<int>>() && goes_as_words<pair_of_pointers>());
static_assert(goes_as_words<std::array<cairn::gc_ptr<cell>, 3>>());
static_assert(goes_as_words<std::pair<int, cairn::gc_ptr<cell>>>() && goes_as_words<std::array<char, 3>>());
static_assert(!goes_as_words<std::string>() && !goes_as_words<std::unique_ptr<int>>() &&
              !goes_as_words<opaque>());
static_assert(!goes_as_words<std::vector<int>>() && !goes_as_words<cairn::root<cell>>());

// ---- what one goroutine sees --------------------------------------------------------------------------------------

TEST(ChanAlone, KeepsValuesInOrderUpToItsCapacity) {
  auto c = make_chan<int>(3);
  EXPECT_EQ(c.cap(), 3u);
  EXPECT_EQ(c.len(), 0u);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 3; ++i) {
      c.send(10 * round + i);
      EXPECT_EQ(c.len(), static_cast<std::size_t>(i + 1));
    }
    EXPECT_FALSE(c.try_send(99));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(c.recv(), 10 * round + i);
    EXPECT_EQ(c.len(), 0u);
  }
}

TEST(ChanAlone, TryWithoutCounterpartDoesNothing) {
  auto c = make_chan<int>();
  EXPECT_FALSE(c.try_send(1));
  const auto r = c.try_recv();
  EXPECT_FALSE(r.ok);
  EXPECT_FALSE(r.closed);
  EXPECT_FALSE(r.value);
  EXPECT_EQ(c.cap(), 0u);
}

TEST(ChanAlone, ClosedChannelIsDrainedAndThenSaysSo) {
  auto c = make_chan<int>(4);
  c.send(1);
  c.send(2);
  c.close();
  EXPECT_THROW(c.send(3), closed_channel);
  EXPECT_THROW(c.try_send(3), closed_channel);
  EXPECT_THROW(c.close(), closed_channel);
  EXPECT_EQ(c.recv(), 1);
  auto r = c.try_recv();
  EXPECT_TRUE(r.ok && !r.closed && r.value == 2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(c.recv(), std::nullopt);
    r = c.try_recv();
    EXPECT_TRUE(!r.ok && r.closed && !r.value);
  }
}

TEST(ChanAlone, NullChannel) {
  chan<int> none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.len(), 0u);
  EXPECT_EQ(none.cap(), 0u);
  EXPECT_THROW(none.close(), null_channel);
  EXPECT_FALSE(none.try_send(1));
  EXPECT_FALSE(none.try_recv().ok);
  EXPECT_FALSE(none.try_recv().closed);
  chan<std::string> no_text;
  EXPECT_FALSE(no_text.try_send("text"));
  EXPECT_FALSE(no_text.try_recv().ok);
  EXPECT_THROW(send_chan<int>(none).close(), null_channel);
}

TEST(ChanAlone, HandlesCompareByChannel) {
  auto a = make_chan<int>(), b = make_chan<int>();
  const auto again = a;
  EXPECT_TRUE(a);
  EXPECT_TRUE(a == again);
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(a != b);
  EXPECT_EQ(std::hash<chan<int>>()(a), std::hash<chan<int>>()(again));
}

TEST(ChanAlone, AbsurdCapacitiesThrow) {
  EXPECT_THROW(make_chan<int>(static_cast<std::size_t>(-1)), std::length_error);
  EXPECT_THROW(make_chan<void>(static_cast<std::size_t>(-1)), std::length_error);
  EXPECT_THROW(make_chan<double>(std::numeric_limits<std::size_t>::max() / 8), std::length_error);
  EXPECT_THROW(make_chan<std::string>(static_cast<std::size_t>(-5)), std::length_error);
#if !CAIRN_ASAN && !CAIRN_TSAN
  EXPECT_THROW(make_chan<double>(std::size_t{1} << 55), std::bad_alloc);
#endif
  auto c = make_chan<void>(std::size_t{1} << 40);  // no elements, no memory
  c.send();
  EXPECT_EQ(c.len(), 1u);
}

TEST(ChanAlone, SignalsCountUpToTheCapacity) {
  auto c = make_chan<void>(2);
  c.send();
  EXPECT_TRUE(c.try_send());
  EXPECT_FALSE(c.try_send());
  EXPECT_TRUE(c.recv());
  EXPECT_TRUE(c.try_recv().ok);
  EXPECT_FALSE(c.try_recv().ok);
  c.close();
  EXPECT_FALSE(c.recv());
  EXPECT_TRUE(c.try_recv().closed);
  EXPECT_THROW(c.send(), closed_channel);
}

template <class T, class Make, class Check>
void goes_through(Make make, Check is) {
  auto c = make_chan<T>(3);
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 3; ++i) c.send(make(3 * round + i));
    for (int i = 0; i < 2; ++i) {
      auto v = c.recv();
      ASSERT_TRUE(v);
      EXPECT_TRUE(is(*v, 3 * round + i));
    }
    auto r = c.try_recv();
    ASSERT_TRUE(r.ok);
    EXPECT_TRUE(is(*r.value, 3 * round + 2));
  }
  auto handed = make_chan<T>();
  auto sender = spawn([=] {
    for (int i = 0; i < 50; ++i) handed.send(make(i));
    handed.close();
  });
  int n = 0;
  for (T v : handed) EXPECT_TRUE(is(v, n++));
  EXPECT_EQ(n, 50);
  sender.get();
}

TEST_P(Chan, CarriesValuesOfAllKinds) {
  on([] {
    goes_through<char>([](int i) { return static_cast<char>(i); }, [](char v, int i) { return v == i; });
    goes_through<std::int16_t>([](int i) { return static_cast<std::int16_t>(i); },
                               [](std::int16_t v, int i) { return v == i; });
    goes_through<double>([](int i) { return i; }, [](double v, int i) { return v == i; });
    goes_through<std::array<char, 3>>(
        [](int i) {
          return std::array<char, 3>{1, 2, static_cast<char>(i)};
        },
        [](auto& v, int i) { return v[0] == 1 && v[2] == i; });
    goes_through<std::array<std::uint64_t, 100>>(
        [](int i) {
          std::array<std::uint64_t, 100> a{};
          a[0] = a[99] = static_cast<std::uint64_t>(i);
          return a;
        },
        [](auto& v, int i) {
          return v[0] == static_cast<std::uint64_t>(i) && v[99] == static_cast<std::uint64_t>(i) && v[50] == 0;
        });
    goes_through<std::array<char, 10000>>(
        [](int i) {
          std::array<char, 10000> a{};
          a[0] = a[9999] = static_cast<char>(i);
          return a;
        },
        [](auto& v, int i) { return v[0] == i && v[9999] == i && v[5000] == 0; });
    goes_through<std::string>(
        [](int i) { return std::string(i % 2 ? 3u : 50u, 'x') + std::to_string(i); },
        [](auto& v, int i) { return v == std::string(i % 2 ? 3u : 50u, 'x') + std::to_string(i); });
    goes_through<std::unique_ptr<int>>([](int i) { return std::make_unique<int>(i); },
                                       [](auto& v, int i) { return *v == i; });
    goes_through<std::vector<int>>([](int i) { return std::vector<int>(5, i); },
                                   [](auto& v, int i) { return v.size() == 5 && v[4] == i; });
    goes_through<opaque>([](int i) { return opaque(i); }, [](auto& v, int i) { return v.is(i); });
    goes_through<cell*>([](int i) { return make_cell(static_cast<std::uint64_t>(i)); },
                        [](cell* v, int i) { return v->is(static_cast<std::uint64_t>(i)); });
    goes_through<cairn::gc_ptr<cell>>([](int i) { return make_cell(static_cast<std::uint64_t>(i)); },
                                      [](auto& v, int i) { return v->is(static_cast<std::uint64_t>(i)); });
    goes_through<pair_of_pointers>(
        [](int i) {
          const auto n = static_cast<std::uint64_t>(i);
          return pair_of_pointers{make_cell(n), make_cell(n + 1), i};
        },
        [](auto& v, int i) {
          const auto n = static_cast<std::uint64_t>(i);
          return v.a->is(n) && v.b->is(n + 1) && v.n == i;
        });
    goes_through<cairn::vector<cairn::gc_ptr<cell>>>(
        [](int i) { return cairn::vector<cairn::gc_ptr<cell>>(3, make_cell(static_cast<std::uint64_t>(i))); },
        [](auto& v, int i) { return v.size() == 3 && v[2]->is(static_cast<std::uint64_t>(i)); });
    goes_through<std::optional<cairn::gc_ptr<cell>>>(
        [](int i) { return std::optional<cairn::gc_ptr<cell>>(make_cell(static_cast<std::uint64_t>(i))); },
        [](auto& v, int i) { return (*v)->is(static_cast<std::uint64_t>(i)); });
  });
}

struct alignas(256) aligned {
  int n;
  bool is(int i) const { return n == i && reinterpret_cast<std::uintptr_t>(this) % 256 == 0; }
};
TEST_P(Chan, CarriesWhatIsAlignedMoreThanUsual) {
  on([] {
    goes_through<aligned>([](int i) { return aligned{i}; }, [](aligned& v, int i) { return v.is(i); });
  });
}

TEST_P(Chan, CarriesChannels) {
  on([] {
    auto requests = make_chan<chan<int>>();
    auto server = spawn([=] {
      int n = 0;
      for (chan<int> reply : requests) reply.send(n++);
    });
    for (int i = 0; i < 10; ++i) {
      auto reply = make_chan<int>();
      requests.send(reply);
      EXPECT_EQ(reply.recv(), i);
    }
    requests.close();
    server.get();
  });
}

TEST(ChanAlone, LvaluesAreCopiedAndRvaluesMoved) {
  auto c = make_chan<std::string>(2);
  std::string text(100, 'a'), moved(100, 'b');
  c.send(text);
  EXPECT_EQ(text.size(), 100u);
  c.send(std::move(moved));
  EXPECT_FALSE(c.try_send(std::move(text)));
  EXPECT_EQ(text.size(), 100u) << "moved from although it was not sent";
  EXPECT_EQ(c.recv(), std::string(100, 'a'));
  EXPECT_EQ(c.recv(), std::string(100, 'b'));
}

// ---- waiting ------------------------------------------------------------------------------------------------------

TEST_P(ChanCapacity, ReceiverWaitsForTheValue) {
  on([this] {
    auto c = make_chan<int>(capacity());
    std::atomic<bool> received{false};
    auto receiver = spawn([&] {
      const auto v = c.recv();
      received = true;
      return v;
    });
    let_others_wait();
    EXPECT_FALSE(received);
    c.send(7);
    EXPECT_EQ(receiver.get(), 7);
  });
}

TEST_P(ChanCapacity, SenderWaitsWhileThereIsNoRoom) {
  on([this] {
    auto c = make_chan<int>(capacity());
    for (std::size_t i = 0; i < capacity(); ++i) c.send(static_cast<int>(i));
    std::atomic<bool> sent{false};
    auto sender = spawn([&] {
      c.send(-1);
      sent = true;
    });
    let_others_wait();
    EXPECT_FALSE(sent);
    for (std::size_t i = 0; i < capacity(); ++i) EXPECT_EQ(c.recv(), static_cast<int>(i));
    EXPECT_EQ(c.recv(), -1);
    sender.get();
  });
}

TEST_P(ChanCapacity, CloseWakesAllWhoReceive) {
  on([this] {
    auto c = make_chan<int>(capacity());
    std::vector<cairn::task<bool>> waiting;
    for (int i = 0; i < 200; ++i) waiting.push_back(spawn([c] { return c.recv().has_value(); }));
    let_others_wait();
    c.close();
    for (auto& w : waiting) EXPECT_FALSE(w.get());
  });
}

TEST_P(ChanCapacity, CloseThrowsAtAllWhoSend) {
  on([this] {
    auto c = make_chan<std::string>(capacity());
    for (std::size_t i = 0; i < capacity(); ++i) c.send("kept");
    std::vector<cairn::task<bool>> waiting;
    for (int i = 0; i < 100; ++i)
      waiting.push_back(spawn([c] {
        try {
          c.send("lost");
        } catch (const closed_channel&) {
          return true;
        }
        return false;
      }));
    let_others_wait();
    c.close();
    for (auto& w : waiting) EXPECT_TRUE(w.get());
    std::size_t kept = 0;
    for (const std::string& s : c) kept += s == "kept";
    EXPECT_EQ(kept, capacity());
  });
}

TEST_P(ChanCapacity, ValuesOfOneSenderKeepTheirOrder) {
  on([this] {
    auto c = make_chan<std::uint64_t>(capacity());
    const std::uint64_t n = test_count(20'000);
    go([=] {
      for (std::uint64_t i = 0; i < n; ++i) c.send(i);
      c.close();
    });
    std::uint64_t expected = 0;
    for (std::uint64_t v : c) {
      ASSERT_EQ(v, expected);
      ++expected;
    }
    EXPECT_EQ(expected, n);
  });
}

// Those that wait are served in the order in which they came.
TEST_P(ChanCapacity, WaitersAreFirstInFirstOut) {
  on([this] {
    constexpr int k_waiters = 20;
    auto c = make_chan<int>(capacity());
    std::vector<cairn::task<int>> receivers;
    for (int i = 0; i < k_waiters; ++i) {
      std::atomic<bool> there{false};
      receivers.push_back(spawn([c, &there] {
        there = true;
        return *c.recv();
      }));
      ASSERT_TRUE(eventually([&] { return there.load(); }));
      let_others_wait();
    }
    for (int i = 0; i < k_waiters; ++i) c.send(i);
    for (int i = 0; i < k_waiters; ++i) EXPECT_EQ(receivers[static_cast<std::size_t>(i)].get(), i);
  });
}

TEST_P(ChanCapacity, SendersAreFirstInFirstOut) {
  on([this] {
    constexpr int k_waiters = 20;
    auto c = make_chan<int>(capacity());
    for (std::size_t i = 0; i < capacity(); ++i) c.send(-1);
    wait_group all;
    for (int i = 0; i < k_waiters; ++i) {
      std::atomic<bool> there{false};
      all.go([c, i, &there] {
        there = true;
        c.send(i);
      });
      ASSERT_TRUE(eventually([&] { return there.load(); }));
      let_others_wait();
    }
    for (std::size_t i = 0; i < capacity(); ++i) EXPECT_EQ(c.recv(), -1);
    for (int i = 0; i < k_waiters; ++i) EXPECT_EQ(c.recv(), i);
    all.wait();
  });
}

// Every value arrives once, whoever sends and receives.
template <class T, class Make, class Number>
void exchange(std::size_t capacity, int senders, int receivers, std::uint64_t each, Make make, Number number) {
  auto c = make_chan<T>(capacity);
  wait_group sending, receiving;
  for (int s = 0; s < senders; ++s)
    sending.go([=] {
      for (std::uint64_t i = 0; i < each; ++i) c.send(make(static_cast<std::uint64_t>(s) * each + i));
    });
  const std::uint64_t n = static_cast<std::uint64_t>(senders) * each;
  std::vector<std::atomic<int>> seen(n);
  for (int r = 0; r < receivers; ++r)
    receiving.go([&seen, c, number, n] {
      while (auto v = c.recv()) {
        const std::uint64_t i = number(*v);
        ASSERT_LT(i, n);
        seen[i].fetch_add(1, std::memory_order_relaxed);
      }
    });
  sending.wait();
  c.close();
  receiving.wait();
  for (auto& s : seen) ASSERT_EQ(s.load(), 1);
}

TEST_P(ChanCapacity, ManySendersAndManyReceivers) {
  on([this] {
    const std::uint64_t each = test_count(2'000, 10);
    exchange<std::uint64_t>(
        capacity(), 8, 8, each, [](std::uint64_t i) { return i; }, [](std::uint64_t v) { return v; });
    exchange<std::string>(
        capacity(), 4, 4, each, [](std::uint64_t i) { return std::to_string(i); },
        [](const std::string& v) { return std::stoull(v); });
    exchange<std::unique_ptr<std::uint64_t>>(
        capacity(), 4, 3, each, [](std::uint64_t i) { return std::make_unique<std::uint64_t>(i); },
        [](const std::unique_ptr<std::uint64_t>& v) { return *v; });
  });
}

TEST_P(ChanCapacity, PointersSurviveCollectionsOnTheWay) {
  on([this] {
    collections running;
    const std::uint64_t each = test_count(15'000, 50);
    exchange<cairn::gc_ptr<cell>>(
        capacity(), 4, 4, each, [](std::uint64_t i) { return cairn::gc_ptr<cell>(make_cell(i)); },
        [](const cairn::gc_ptr<cell>& v) { return v->is(v->id) ? v->id : ~std::uint64_t{0}; });
    exchange<cell*>(
        capacity(), 3, 5, each, [](std::uint64_t i) { return make_list(i, 3); },
        [](cell* v) { return is_list(v, v->id, 3) ? v->id : ~std::uint64_t{0}; });
    exchange<pair_of_pointers>(
        capacity(), 3, 3, each,
        [](std::uint64_t i) {
          return pair_of_pointers{make_cell(i), make_cell(i + 1), 0};
        },
        [](const pair_of_pointers& v) {
          return v.a->is(v.a->id) && v.b->is(v.a->id + 1) ? v.a->id : ~std::uint64_t{0};
        });
    exchange<cairn::vector<cairn::gc_ptr<cell>>>(
        capacity(), 3, 3, each,
        [](std::uint64_t i) { return cairn::vector<cairn::gc_ptr<cell>>(2, make_cell(i)); },
        [](const cairn::vector<cairn::gc_ptr<cell>>& v) {
          return v[1]->is(v[1]->id) ? v[1]->id : ~std::uint64_t{0};
        });
  });
}

// A value is handed over, and both sides park for a long time in between: only the receiver's stack has it.
TEST_P(Chan, WhatIsHandedToAParkedReceiverIsKeptAlive) {
  on([] {
    collections running;
    for (std::size_t round = 0; round < test_count(100, 5); ++round) {
      auto c = make_chan<cell*>();
      wait_group all;
      for (std::uint64_t i = 0; i < 20; ++i)
        all.go([c] {
          cell* v = *c.recv();
          const std::uint64_t id = v->id;
          cairn::sleep_for(100us);
          ASSERT_TRUE(is_list(v, id, 5));
        });
      cairn::yield();
      for (std::uint64_t i = 0; i < 20; ++i) c.send(make_list(i, 5));
      all.wait();
    }
  });
}

// What lies in the ring, and nothing else, keeps its objects alive.
TEST_P(Chan, WhatLiesInAChannelIsKeptAlive) {
  on([] {
    auto c = make_chan<cell*>(100);
    auto boxed = make_chan<cairn::vector<cairn::gc_ptr<cell>>>(100);
    spawn([=] {
      for (std::uint64_t i = 0; i < 100; ++i) {
        c.send(make_list(i, 3));
        boxed.send(cairn::vector<cairn::gc_ptr<cell>>(1, make_list(1000 + i, 3)));
      }
    }).get();
    for (int i = 0; i < 3; ++i) collect_and_reuse();
    for (std::uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(is_list(*c.recv(), i, 3));
      ASSERT_TRUE(is_list((*boxed.recv())[0], 1000 + i, 3));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Procs, Chan, testing::Values(1, 2, 8));
INSTANTIATE_TEST_SUITE_P(Procs, ChanCapacity,
                         testing::Combine(testing::Values(1, 2, 8), testing::Values(0, 1, 10)));

}  // namespace
