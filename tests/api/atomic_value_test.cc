// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Values that are replaced as a whole.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
namespace sync = cairn::sync;
using sync::atomic_value;
using sync::wait_group;

constinit atomic_value<std::string> static_value;

TEST(AtomicValue, LoadsStoresAndSwaps) {
  atomic_value<std::string> v("x");
  EXPECT_EQ(v.load(), "x");
  v.store("y");
  EXPECT_EQ(v.swap("z"), "y");
  EXPECT_FALSE(v.compare_and_swap("y", "w"));
  EXPECT_EQ(v.load(), "z");
  EXPECT_TRUE(v.compare_and_swap("z", "w"));
  EXPECT_EQ(v.load(), "w");
}

TEST(AtomicValue, IsTheDefaultAtFirst) {
  EXPECT_EQ(static_value.load(), "");
  EXPECT_EQ(static_value.swap("a"), "");
  EXPECT_TRUE(static_value.compare_and_swap("a", ""));
  atomic_value<int> n;
  EXPECT_TRUE(n.compare_and_swap(0, 1));
  EXPECT_EQ(n.load(), 1);
  struct no_default {
    explicit no_default(int x) : n(x) {}
    int n;
  };
  atomic_value<no_default> other(no_default(3));
  EXPECT_EQ(other.load().n, 3);
}

TEST(AtomicValue, PassesOnWhatAComparisonThrows) {
  struct picky {
    int n = 0;
    bool operator==(const picky& o) const {
      return n < 0 || o.n < 0 ? throw std::runtime_error("negative") : n == o.n;
    }
  };
  atomic_value<picky> v(picky{1});
  EXPECT_THROW(v.compare_and_swap(picky{-1}, picky{2}), std::runtime_error);
  EXPECT_EQ(v.load().n, 1);
}

// As Go's TestValueConcurrent: a value is never seen in parts.
TEST(AtomicValue, IsReadAsAWhole) {
  struct wide {
    std::array<std::uint64_t, 20> words{};
    std::string text;
    cairn::gc_ptr<cell> list;
    cell* raw = nullptr;
  };
  const auto make = [](std::uint64_t n) {
    wide w;
    w.words.fill(n);
    w.text = std::string(50, 'a') + std::to_string(n);
    w.list = make_list(n, 3);
    w.raw = make_list(n + 1, 3);
    return w;
  };
  for (int procs : {1, 2, 8})
    on_procs(procs, [&] {
      atomic_value<wide> v(make(0));
      collections back_to_back;
      std::atomic<bool> stop{false};
      const auto check = [&](const wide& w) {
        const std::uint64_t n = w.words[0];
        for (std::uint64_t x : w.words)
          if (x != n) ADD_FAILURE() << "words of two values";
        if (w.text != std::string(50, 'a') + std::to_string(n)) ADD_FAILURE() << "text of another value";
        if (!is_list(w.list.get(), n, 3) || !is_list(w.raw, n + 1, 3)) ADD_FAILURE() << "a list is broken";
      };
      wait_group all;
      std::thread reader([&] {
        while (!stop) check(v.load());
      });
      for (std::uint64_t g = 0; g < 4; ++g)
        all.go([&, g] {
          for (std::uint64_t i = 0; i < test_count(500); ++i) {
            if (i % 3 == 0) v.store(make(i * 4 + g));
            else if (i % 3 == 1) check(v.swap(make(i * 4 + g)));
            else check(v.load());
            if (i % 8 == 0) cairn::yield();
          }
        });
      EXPECT_TRUE(back_to_back.await(2));
      all.wait();
      stop = true;
      cairn::blocking([&] { reader.join(); });
    });
}

// A function of its own: std::stoul takes the address of errno, which is the thread's, and inlined into a loop
// that parks the compiler would keep it.
[[gnu::noinline]] std::string successor(const std::string& number) {
  return std::to_string(std::stoul(number) + 1);
}

TEST(AtomicValue, LosesNoCompareAndSwap) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      atomic_value<std::string> v("0");
      wait_group all;
      const std::size_t times = test_count(500);
      for (int g = 0; g < 4; ++g)
        all.go([&] {
          for (std::size_t i = 0; i < times; ++i)
            for (std::string now = v.load(); !v.compare_and_swap(now, successor(now)); now = v.load())
              cairn::yield();
        });
      all.wait();
      EXPECT_EQ(v.load(), std::to_string(4 * times));
    });
}

TEST(AtomicValue, LetsGoOfWhatItHeld) {
  std::atomic<int> alive{0};
  cairn::unique_gc<atomic_value<counted>> held;
  apart([&] {
    held = cairn::make_unique_gc<atomic_value<counted>>(counted(alive));
    for (int i = 0; i < 100; ++i) held->store(counted(alive));
  });
  EXPECT_TRUE(collect_until([&] { return alive == 1; }));
  apart([&] { held.reset(); });
  EXPECT_TRUE(collect_until([&] { return alive == 0; }));
}

}  // namespace
