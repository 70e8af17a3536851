// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The concurrent map: against a model, with good and with bad hashes, beside collections, and with values of all kinds.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace sync = cairn::sync;
using sync::wait_group;

// All keys in one chain; few in common, from the top or from the bottom.
struct constant_hash {
  std::size_t operator()(int) const { return 7; }
};
struct coarse_hash {
  std::size_t operator()(int k) const { return static_cast<std::size_t>(k % 5); }
};
struct fine_hash {
  std::size_t operator()(int k) const { return mix(static_cast<std::uint64_t>(k)); }
};

template <class Hash>
class MapOf : public testing::Test {};
using hashes = testing::Types<std::hash<int>, constant_hash, coarse_hash, fine_hash>;
class hash_names {
 public:
  template <class T>
  static std::string GetName(int i) {
    constexpr std::array<const char*, 4> names = {"Standard", "Constant", "Coarse", "Fine"};
    return names[static_cast<std::size_t>(i)];
  }
};
TYPED_TEST_SUITE(MapOf, hashes, hash_names);

// Operations at random, one after the other: each gives what the model gives.
template <class V, class Hash, class Make>
void expect_like_model(Make make) {
  sync::map<int, V, Hash> m;
  std::map<int, V> model;
  const auto model_value = [&](int k) {
    const auto it = model.find(k);
    return it == model.end() ? std::optional<V>() : std::optional<V>(it->second);
  };
  for (std::uint64_t i = 0; i < test_count(20'000); ++i) {
    const std::uint64_t r = mix(i);
    const int k = static_cast<int>(r >> 8) % 64;
    const V a = make(r >> 32 & 7), b = make(r >> 36 & 7);
    const std::optional<V> now = model_value(k);
    switch (r % 9) {
      case 0:
        ASSERT_EQ(m.load(k), now);
        break;
      case 1:
        m.store(k, a);
        model[k] = a;
        break;
      case 2: {
        const auto [v, loaded] = m.load_or_store(k, a);
        ASSERT_EQ(loaded, now.has_value());
        ASSERT_EQ(v, now.value_or(a));
        model.emplace(k, a);
        break;
      }
      case 3:
        ASSERT_EQ(m.load_and_delete(k), now);
        model.erase(k);
        break;
      case 4:
        ASSERT_EQ(m.swap(k, a), now);
        model[k] = a;
        break;
      case 5:
        ASSERT_EQ(m.compare_and_swap(k, a, b), now == std::optional<V>(a));
        if (now == std::optional<V>(a)) model[k] = b;
        break;
      case 6:
        ASSERT_EQ(m.compare_and_delete(k, a), now == std::optional<V>(a));
        if (now == std::optional<V>(a)) model.erase(k);
        break;
      case 7:
        ASSERT_EQ(m.erase(k), now.has_value());
        model.erase(k);
        break;
      case 8: {
        if (r >> 40 & 63) break;
        std::map<int, V> seen;
        m.range([&](int key, const V& v) {
          EXPECT_TRUE(seen.emplace(key, v).second);
          return true;
        });
        ASSERT_EQ(seen, model);
        if (r >> 46 & 1) {
          m.clear();
          model.clear();
        }
        break;
      }
    }
  }
}

TYPED_TEST(MapOf, BehavesLikeAModel) {
  expect_like_model<int, TypeParam>([](std::uint64_t x) { return static_cast<int>(x); });
  expect_like_model<std::string, TypeParam>(
      [](std::uint64_t x) { return std::string(20, static_cast<char>('a' + x)); });
}

// Each goroutine has keys of its own, in nodes that it shares with the others.
TYPED_TEST(MapOf, KeepsWhatEachOfManyPutsIn) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      sync::map<int, std::uint64_t, TypeParam> m;
      wait_group all;
      constexpr int k_writers = 8, k_keys = 40;
      for (int w = 0; w < k_writers; ++w)
        all.go([&m, w] {
          for (std::uint64_t round = 0; round < test_count(20); ++round) {
            for (int i = 0; i < k_keys; ++i)
              m.store(w + i * k_writers, round << 8 | static_cast<unsigned>(w));
            if (round % 4 == 0) cairn::yield();
            for (int i = 0; i < k_keys; ++i) {
              const int k = w + i * k_writers;
              if (m.load(k) != std::optional<std::uint64_t>(round << 8 | static_cast<unsigned>(w)))
                ADD_FAILURE() << "key " << k << " is lost";
              if (i % 3 != 0 && !m.erase(k)) ADD_FAILURE() << "key " << k << " is lost before it is erased";
              if (i % 3 != 0 && m.load(k)) ADD_FAILURE() << "key " << k << " is there after it was erased";
            }
          }
        });
      all.wait();
      std::set<int> left;
      m.range([&](int k, std::uint64_t) { return left.insert(k), true; });
      EXPECT_EQ(left.size(), static_cast<std::size_t>(k_writers * ((k_keys + 2) / 3)));
      for (int k : left) EXPECT_TRUE(m.erase(k));
      m.range([](int, std::uint64_t) { return ADD_FAILURE() << "it is not empty", false; });
    });
}

// Of all that try to put a key in, or to take it out, one succeeds.
TYPED_TEST(MapOf, OneOfManyWins) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      sync::map<int, int, TypeParam> m;
      for (std::size_t round = 0; round < test_count(100); ++round) {
        std::atomic<int> stored{0}, swapped{0}, deleted{0};
        const int k = static_cast<int>(round % 10);
        wait_group in, all;
        in.add(6);
        for (int i = 0; i < 6; ++i)
          all.go([&, i] {
            if (!m.load_or_store(k, i).second) ++stored;
            in.done();
            in.wait();
            const int now = m.load(k).value_or(-1);
            if (now < 100 && m.compare_and_swap(k, now, 100 + i)) ++swapped;
            cairn::yield();
            if (m.load_and_delete(k)) ++deleted;
          });
        all.wait();
        EXPECT_EQ(stored, 1);
        EXPECT_LE(swapped, 1);
        EXPECT_EQ(deleted, 1);
        EXPECT_EQ(m.load(k), std::nullopt);
      }
    });
}

// Increments by compare_and_swap, from goroutines and threads, are not lost, for values of every kind of cell.
template <class V, class Next>
void expect_all_increments(Next next, V zero, V last) {
  sync::map<int, V, coarse_hash> m;
  const std::size_t times = test_count(500);
  const auto work = [&] {
    for (std::size_t i = 0; i < times; ++i)
      for (V now = *m.load(3); !m.compare_and_swap(3, now, next(now)); now = *m.load(3)) {
      }
  };
  m.store(3, zero);
  m.store(8, zero);
  std::thread thread(work);
  wait_group all;
  for (int i = 0; i < 3; ++i) all.go(work);
  all.wait();
  cairn::blocking([&] { thread.join(); });
  (void)last;
  std::size_t count = 0;
  for (V v = zero; v != *m.load(3); v = next(v)) ++count;
  EXPECT_EQ(count, 4 * times);
  EXPECT_EQ(m.load(8), zero);
}

// A function of its own: std::stoul takes the address of errno, which is the thread's, and inlined into a loop
// that parks the compiler would keep it.
[[gnu::noinline]] std::string successor(const std::string& number) {
  return std::to_string(std::stoul(number) + 1);
}

TEST(Map, LosesNoCompareAndSwap) {
  on_one_and_two_procs([] {
    expect_all_increments<std::uint64_t>([](std::uint64_t v) { return v + 1; }, 0, 0);
    expect_all_increments<std::string>(successor, "0", "");
    cairn::gc_slice<int> numbers = cairn::make_gc_array<int>(4 * test_count(500) + 1);
    expect_all_increments<int*>([](int* v) { return v + 1; }, numbers.data(), nullptr);
  });
}

// A range beside writers comes to every key that stays, and to none twice.
TEST(Map, RangeComesToEachKeyOnce) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      sync::map<int, int> m;
      constexpr int k_stay = 500;
      for (int i = 0; i < k_stay; ++i) m.store(i * 2, i);
      std::atomic<bool> stop{false};
      wait_group all;
      for (int w = 0; w < 3; ++w)
        all.go([&, w] {
          for (std::uint64_t i = 0; !stop; ++i) {
            const int k = static_cast<int>(mix(i * 3 + static_cast<unsigned>(w)) % k_stay) * 2 + 1;
            if (i % 2 == 0) m.store(k, w);
            else m.erase(k);
            m.store((k / 2) * 2, k / 2);
            if (i % 64 == 0) cairn::yield();
          }
        });
      for (std::size_t round = 0; round < test_count(50); ++round) {
        std::set<int> seen;
        m.range([&](int k, int v) {
          EXPECT_TRUE(seen.insert(k).second) << k << " comes twice";
          if (k % 2 == 0) {
            EXPECT_EQ(v, k / 2);
          }
          return true;
        });
        for (int i = 0; i < k_stay; ++i) EXPECT_EQ(seen.count(i * 2), 1u) << "misses " << i * 2;
        cairn::yield();
      }
      stop = true;
      all.wait();
    });
}

TEST(Map, RangeMayChangeTheMapAndStop) {
  sync::map<int, int> m;
  for (int i = 0; i < 100; ++i) m.store(i, i);
  int calls = 0;
  m.range([&](int k, int) {
    ++calls;
    EXPECT_TRUE(m.erase(k));
    m.store(k + 1000, k);
    m.load(k + 1);
    return calls < 50;
  });
  EXPECT_EQ(calls, 50);
  int left = 0;
  m.range([&](int, int) { return ++left, true; });
  EXPECT_EQ(left, 100);
}

struct throwing {
  int n = 0;
  explicit throwing(int number) : n(number) {}
  throwing(const throwing& o) : n(o.n) {
    if (n < 0) throw std::runtime_error("copied");
  }
  bool operator==(const throwing& o) const {
    if (o.n == 99) throw std::logic_error("compared");
    return n == o.n;
  }
};

TEST(Map, WhatUserCodeThrowsLeavesItAsItWas) {
  on_one_and_two_procs([] {
    sync::map<int, throwing> m;
    m.store(1, throwing(5));
    throwing bad(0);
    bad.n = -1;
    EXPECT_THROW(m.store(1, bad), std::runtime_error);
    EXPECT_THROW(m.swap(2, bad), std::runtime_error);
    EXPECT_THROW(m.load_or_store(3, bad), std::runtime_error);
    EXPECT_THROW(m.compare_and_swap(1, throwing(99), throwing(6)), std::logic_error);
    EXPECT_THROW(m.compare_and_delete(1, throwing(99)), std::logic_error);
    EXPECT_EQ(m.load(1)->n, 5);
    EXPECT_FALSE(m.load(2) || m.load(3));
    m.store(1, throwing(6));  // no lock is left held
    EXPECT_TRUE(m.erase(1));
  });
}

// Keys and values that own memory, and such that refer to collected objects, by raw pointers too.
TEST(Map, KeepsWhatKeysAndValuesReferTo) {
  for (int procs : {1, 2, 8})
    on_procs(procs, [] {
      struct pair_of_lists {
        cell* raw;
        cairn::gc_ptr<cell> managed;
      };
      sync::map<std::string, pair_of_lists> boxed;
      sync::map<int, cairn::gc_ptr<cell>> direct;
      sync::map<int, cell*> raw;
      sync::map<cell*, std::string> by_pointer;
      collections back_to_back;
      wait_group all;
      for (int w = 0; w < 4; ++w)
        all.go([&, w] {
          for (std::size_t round = 0; round < test_count(30); ++round)
            for (int i = 0; i < 20; ++i) {
              const auto id = static_cast<std::uint64_t>(i) * 100;
              const std::string key = "a key that is too long to be kept inside " + std::to_string(i);
              boxed.store(key, {make_list(id, 5), make_list(id + 7, 5)});
              direct.store(i, make_list(id + 1, 5));
              raw.store(i, make_list(id + 2, 5));
              if (i == 0 && w == 0) {
                cell* mark = make_cell(round);
                by_pointer.store(mark, std::to_string(round) + " is its name, which is long as well");
              }
              const auto b = boxed.load(key);
              if (b && (!is_list(b->raw, id, 5) || !is_list(b->managed.get(), id + 7, 5)))
                ADD_FAILURE() << "boxed";
              const auto d = direct.load(i);
              if (!d || !is_list(d->get(), id + 1, 5)) ADD_FAILURE() << "direct";
              const auto r = raw.load(i);
              if (!r || !is_list(*r, id + 2, 5)) ADD_FAILURE() << "raw";
              if (mix(id + round) % 4 == 0) boxed.erase(key);  // others find none then
              if (i % 8 == 0) cairn::yield();
            }
        });
      EXPECT_TRUE(back_to_back.await(3));
      all.wait();
      std::size_t marks = 0;
      by_pointer.range([&](cell* c, const std::string& name) {
        EXPECT_TRUE(c->is(c->id));
        EXPECT_EQ(name.substr(0, name.find(' ')), std::to_string(c->id));
        return ++marks, true;
      });
      EXPECT_EQ(marks, test_count(30));
    });
}

// Go's issue 40999: what is deleted goes, and the nodes with it; and values that were replaced are destroyed.
TEST(Map, LetsGoOfWhatIsDeletedOrReplaced) {
  std::atomic<int> alive{0};
  sync::map<int, counted> m;
  apart([&] {
    for (int i = 0; i < 100; ++i) {
      m.store(i, counted(alive));
      m.store(i, counted(alive));
      if (i % 2 == 0) m.erase(i);
    }
  });
  EXPECT_TRUE(collect_until([&] { return alive == 50; }));
  apart([&] {
    for (int i = 0; i < 100; ++i) m.erase(i);
  });
  EXPECT_TRUE(collect_until([&] { return alive == 0; }));
  cairn::gc::collect();
  const std::size_t before = cairn::gc::read_stats().heap_objects;
  apart([&] {
    sync::map<int, int> other;
    for (int i = 0; i < 100'000; ++i) {
      other.store(i, i);
      other.erase(i);
    }
    cairn::gc::collect();
    EXPECT_LT(cairn::gc::read_stats().heap_objects, before + 1000);
  });
}

constinit sync::map<std::string, int> static_map;

TEST(Map, IsUsedByLaterRuns) {
  for (std::size_t i = 0; i < test_count(20); ++i)
    on_procs(i % 2 == 0 ? 1 : 2, [i] {
      for (int k = 0; k < 5; ++k)
        cairn::go([] {
          for (int n = 0;; ++n) {
            static_map.store(std::to_string(n % 50), n);
            static_map.erase(std::to_string((n + 25) % 50));
          }
        });
      for (std::size_t k = 0; k < i % 5; ++k) cairn::yield();
      if (i % 3 == 0) cairn::sleep_for(1ms);
    });
  for (int n = 0; n < 50; ++n) static_map.store(std::to_string(n), n);
  int count = 0;
  static_map.range([&](const std::string& k, int v) {
    EXPECT_EQ(k, std::to_string(v));
    ++count;
    return true;
  });
  EXPECT_EQ(count, 50);
}

// Whose copy constructor is somebody who uses the map himself.
struct nosy {
  nosy(sync::map<int, nosy>* m, int k) : map(m), key(k) {}
  nosy(const nosy& o) : map(o.map), key(o.key) {
    if (map != nullptr) map->store(key + 1, nosy(nullptr, 0));
  }
  nosy(nosy&& o) noexcept : map(o.map), key(o.key) {}
  sync::map<int, nosy>* map;
  int key;
};

TEST(Map, IsFreeWhileAValueThatWasTakenOutIsCopied) {
  on_one_and_two_procs([] {
    sync::map<int, nosy> m;
    for (int k = 0; k < 200; k += 2) {
      m.store(k, nosy(&m, k));
      EXPECT_EQ(m.load_and_delete(k)->key, k);
      EXPECT_TRUE(m.load(k + 1));
    }
  });
}

}  // namespace
