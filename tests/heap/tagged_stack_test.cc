// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/tagged_stack.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "heap/delay.h"
#include "tests/scale.h"

namespace cairn::heap {
namespace {

constinit tagged_stack g_stack;  // constant initialisation is part of the contract

struct item : stack_link {
  std::uint64_t contents = 0;  // plain: the stack orders it
  std::atomic<int> owners{0};
};

TEST(TaggedStack, GivesBackTheItemPushedLast) {
  EXPECT_TRUE(g_stack.empty());
  EXPECT_EQ(g_stack.pop(), nullptr);
  static item a, b;
  g_stack.push(&a);
  g_stack.push(&b);
  EXPECT_FALSE(g_stack.empty());
  EXPECT_EQ(g_stack.pop(), &b);
  g_stack.push(&b);
  EXPECT_EQ(g_stack.pop(), &b);
  EXPECT_EQ(g_stack.pop(), &a);
  EXPECT_EQ(g_stack.pop(), nullptr);
  EXPECT_TRUE(g_stack.empty());
}

TEST(TaggedStack, TakesAChainAsItIs) {
  static tagged_stack stack;
  static item below, chain[3];
  stack.push(&below);
  chain[0].next = &chain[1];
  chain[1].next = &chain[2];
  stack.push_chain(&chain[0], &chain[2]);
  for (item& i : chain) EXPECT_EQ(stack.pop(), &i);
  EXPECT_EQ(stack.pop(), &below);
  EXPECT_EQ(stack.pop(), nullptr);
}

TEST(TaggedStack, GivesBackSeveralAtOnce) {
  static tagged_stack stack;
  static item items[3];
  unsigned taken = 7;
  EXPECT_EQ(stack.pop_chain(2, taken), nullptr);
  EXPECT_EQ(taken, 0u);
  for (item& i : items) stack.push(&i);
  EXPECT_EQ(stack.pop_chain(2, taken), &items[2]);
  EXPECT_EQ(taken, 2u);
  EXPECT_EQ(items[2].next.load(), &items[1]);
  EXPECT_EQ(stack.pop_chain(2, taken), &items[0]);
  EXPECT_EQ(taken, 1u);
  EXPECT_TRUE(stack.empty());
}

// Threads that take items of a stack, have them for a moment, and put them back, with waits between a look at
// the top and the exchange. Each item has one owner at a time, and none is lost.
template <std::size_t n>
class storm {
 public:
  storm() {
    for (item& i : items_) stack.push(&i);
  }
  item* have(stack_link* link) {
    auto* i = static_cast<item*>(link);
    if (i == nullptr) return nullptr;
    if (i->owners.fetch_add(1, std::memory_order_relaxed) != 0) ++in_two_hands_;
    ++i->contents;
    ++taken_;
    return i;
  }
  void give(item* i) {
    if (i == nullptr) return;
    i->owners.fetch_sub(1, std::memory_order_relaxed);
    stack.push(i);
  }
  // once(thread) is one round.
  template <class F>
  void run(F once) {
    const std::size_t rounds = test_count(50'000, 2'000);
    set_delays(50, 3);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < rounds && in_two_hands_ == 0; ++i) once(t);
      });
    for (std::thread& t : threads) t.join();
    set_delays(0, 0);
    EXPECT_EQ(in_two_hands_.load(), 0u);
    std::uint64_t counted = 0;
    for (item& i : items_) counted += i.contents;
    EXPECT_EQ(counted, taken_.load());
    std::size_t left = 0;
    while (stack.pop() != nullptr && left <= n) ++left;
    EXPECT_EQ(left, n) << "an item was lost, or is there twice";
  }

  tagged_stack stack;

 private:
  item items_[n];
  std::atomic<std::uint64_t> in_two_hands_{0}, taken_{0};
};

// As below, but what two threads take at once, and put back the other way round, is a chain of two.
TEST(TaggedStack, AChainIsTakenAsItWasWhenItsTopWasLookedAt) {
  static storm<5> s;
  s.run([](int t) {
    unsigned n = 0;
    item* mine[2] = {};
    stack_link* link = s.stack.pop_chain(t < 2 ? 2 : 1, n);
    // All links before an item is put back: that changes them.
    for (unsigned k = 0; k < n; ++k, link = link->next) mine[k] = static_cast<item*>(link);
    for (item* i : mine) s.have(i);
    for (item* i : mine) s.give(i);
  });
}

// Three items, and threads that take two and put them back the other way round, with waits between a look at the top
// and the exchange: the top is often the same again while what lies beneath it is another. Without the tag an item
// would come to be in two hands, or be lost, within milliseconds.
TEST(TaggedStack, ATopThatHasComeBackIsNotTakenForTheOldOne) {
  static storm<3> s;
  s.run([](int) {
    item* first = s.have(s.stack.pop());
    item* second = s.have(s.stack.pop());
    s.give(first);
    s.give(second);
  });
}

}  // namespace
}  // namespace cairn::heap
