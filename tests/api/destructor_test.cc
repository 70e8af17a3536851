// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Destructors of managed objects: exactly once, on another thread, or now by destroy().
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;

// A type of its own per test, so that counts do not mix.
template <int Tag>
struct counted {
  static inline std::atomic<int> made{0}, destroyed{0}, wrong{0};
  std::uint64_t id = 77;
  std::unique_ptr<std::uint64_t> outside = std::make_unique<std::uint64_t>(77);
  gc_ptr<cell> held;
  counted() { ++made; }
  explicit counted(cell* c) : held(c) { ++made; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() {
    if (id != 77 || *outside != 77) ++wrong;
    if (held && !held->is(held->id)) ++wrong;  // what it reaches is still allocated
    id = 0;
    ++destroyed;
  }
};

TEST(Destructor, RunsExactlyOncePerObject) {
  using type = counted<1>;
  const int n = static_cast<int>(test_count(20'000, 1000));
  apart([n] {
    for (int i = 0; i < n; ++i) (void)make_gc<type>(make_cell(5));
  });
  EXPECT_TRUE(collect_until([n] { return type::destroyed == n; })) << type::destroyed;
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(type::destroyed, n);
  EXPECT_EQ(type::wrong, 0);
}

TEST(Destructor, WaitsUntilTheObjectIsUnreachable) {
  using type = counted<2>;
  root<type> held;
  apart([&] { held = make_gc<type>(make_cell(1)); });
  for (int i = 0; i < 5; ++i) collect_and_reuse();
  EXPECT_EQ(type::destroyed, 0);
  aside([&] {
    EXPECT_EQ(held->id, 77u);
    held.reset();
  });
  EXPECT_TRUE(collect_until([] { return type::destroyed == 1; }));
  EXPECT_EQ(type::wrong, 0);
}

TEST(Destructor, RunsForEveryElementOfAnArray) {
  using type = counted<3>;
  apart([] {
    (void)cairn::make_gc_array<type>(1);
    (void)cairn::make_gc_array<type>(100);
    (void)cairn::make_gc_array<type>(5000);  // a large object
  });
  EXPECT_TRUE(collect_until([] { return type::destroyed == 5101; })) << type::destroyed;
  EXPECT_EQ(type::wrong, 0);
}

TEST(Destructor, OfAnArrayWaitsForTheLastPointerIntoIt) {
  using type = counted<4>;
  root<std::uint64_t> inside;
  apart([&] { inside = &cairn::make_gc_array<type>(50)[49].id; });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(type::destroyed, 0);
  aside([&] { inside.reset(); });
  EXPECT_TRUE(collect_until([] { return type::destroyed == 50; })) << type::destroyed;
}

TEST(Destructor, RunsForObjectsOfACycle) {
  struct part {
    gc_ptr<part> other;
    counted<5> inside;
  };
  apart([] {
    for (int i = 0; i < 100; ++i) {
      gc_ptr<part> a = make_gc<part>(), b = make_gc<part>();
      a->other = b;
      b->other = a;
    }
  });
  EXPECT_TRUE(collect_until([] { return counted<5>::destroyed == 200; })) << counted<5>::destroyed;
  EXPECT_EQ(counted<5>::wrong, 0);
}

TEST(Destructor, OfADerivedObjectHeldByItsBaseIsTheDerivedOne) {
  struct animal {
    std::uint64_t legs = 4;
    virtual ~animal() = default;
  };
  struct bird : animal {
    counted<6> inside;
  };
  root<animal> held;
  apart([&] { held = gc_ptr<bird>(make_gc<bird>()); });
  collect_and_reuse();
  EXPECT_EQ(counted<6>::destroyed, 0);
  aside([&] { held.reset(); });
  EXPECT_TRUE(collect_until([] { return counted<6>::destroyed == 1; }));
}

TEST(Destructor, RunsOnAThreadOfTheRuntime) {
  static std::atomic<std::thread::id> ran_on;
  struct type {
    std::string text = "x";
    ~type() { ran_on = std::this_thread::get_id(); }
  };
  apart([] { (void)make_gc<type>(); });
  EXPECT_TRUE(collect_until([] { return ran_on.load() != std::thread::id(); }));
  EXPECT_TRUE(ran_on.load() != std::this_thread::get_id());
}

TEST(Destructor, MayMakeObjectsAndCollect) {
  static root<cell> left_behind;
  static std::atomic<bool> done{false};
  struct type {
    std::uint64_t x = 1;
    ~type() {
      left_behind = make_list(1, 100);
      cairn::gc::collect();
      done = true;
    }
  };
  apart([] { (void)make_gc<type>(); });
  EXPECT_TRUE(collect_until([] { return done.load(); }));
  collect_and_reuse();
  EXPECT_TRUE(is_list(left_behind, 1, 100));
  left_behind.reset();
}

TEST(Destructor, DestroyRunsItNowAndOnce) {
  using type = counted<7>;
  root<type> held;
  apart([&] {
    held = make_gc<type>();
    cairn::destroy(held.get());
    EXPECT_EQ(type::destroyed, 1);
    EXPECT_EQ(held->id, 0u);  // the memory is still the object's
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(held->id, 0u);
  held.reset();
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(type::destroyed, 1);
}

TEST(Destructor, DestroyTwiceRunsItOnce) {
  using type = counted<8>;
  gc_ptr<type> p = make_gc<type>();
  cairn::destroy(p);
  cairn::destroy(p);
  EXPECT_EQ(type::destroyed, 1);
}

TEST(Destructor, DestroyOfAnObjectWithoutOneIsHarmless) {
  gc_ptr<cell> p = make_cell(3);
  cairn::destroy(p);
  collect_and_reuse();
  EXPECT_TRUE(p->is(3));
}

struct skipped {
  static inline std::atomic<int> destroyed{0};
  std::uint64_t x = 1;
  ~skipped() { ++destroyed; }
};

}  // namespace

template <>
inline constexpr bool cairn::skip_destructor<skipped> = true;

namespace {

TEST(Destructor, IsLeftOutWhereTheTypeSaysSo) {
  apart([] {
    for (int i = 0; i < 100; ++i) (void)make_gc<skipped>();
    (void)cairn::make_gc_array<skipped>(100);
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(skipped::destroyed, 0);
}

TEST(Destructor, RunsForObjectsOfEverySize) {
  static std::atomic<int> destroyed{0}, wrong{0};
  auto make = []<std::size_t N>(std::integral_constant<std::size_t, N>) {
    struct sized {
      unsigned char bytes[N];
      sized() { std::fill(bytes, bytes + N, static_cast<unsigned char>(N)); }
      ~sized() {
        for (unsigned char b : bytes)
          if (b != static_cast<unsigned char>(N)) ++wrong;
        ++destroyed;
      }
    };
    for (int i = 0; i < 10; ++i) (void)make_gc<sized>();
  };
  apart([&] {
    make(std::integral_constant<std::size_t, 1>());
    make(std::integral_constant<std::size_t, 7>());
    make(std::integral_constant<std::size_t, 8>());
    make(std::integral_constant<std::size_t, 15>());
    make(std::integral_constant<std::size_t, 16>());
    make(std::integral_constant<std::size_t, 56>());
    make(std::integral_constant<std::size_t, 57>());
    make(std::integral_constant<std::size_t, 512>());
    make(std::integral_constant<std::size_t, 513>());
    make(std::integral_constant<std::size_t, 8192>());
    make(std::integral_constant<std::size_t, 32760>());
    make(std::integral_constant<std::size_t, 32768>());
    make(std::integral_constant<std::size_t, 100000>());
  });
  EXPECT_TRUE(collect_until([] { return destroyed == 130; })) << destroyed;
  EXPECT_EQ(wrong, 0);
}

// Objects that die and objects that are destroyed by hand, by many threads, while others collect.
TEST(Destructor, RunsOncePerObjectWithManyThreads) {
  using type = counted<9>;
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop.load()) cairn::gc::collect();
  });
  std::vector<std::thread> threads;
  const int each = static_cast<int>(test_count(3000, 300));
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([each, t] {
      for (int i = 0; i < each; ++i) {
        gc_ptr<type> p = make_gc<type>(make_cell(static_cast<std::uint64_t>(i)));
        if ((i + t) % 3 == 0) cairn::destroy(p);
      }
    });
  for (auto& t : threads) t.join();
  stop.store(true);
  collector.join();
  EXPECT_TRUE(collect_until([] { return type::destroyed == type::made; }))
      << type::destroyed << "/" << type::made;
  collect_and_reuse();
  EXPECT_EQ(type::destroyed, 4 * each);
  EXPECT_EQ(type::wrong, 0);
}

}  // namespace
