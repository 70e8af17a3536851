// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// make_gc: every size and alignment, zeroed memory, aggregates, constructors that throw.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/size_classes.h"
#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::make_gc;
using cairn::root;

TEST(MakeGc, MakesAggregatesInAllWays) {
  struct pair {
    int a;
    gc_ptr<cell> b;
  };
  struct nested {
    pair first;
    int rest[3] = {7, 8, 9};
  };
  cell* c = make_cell(3);
  EXPECT_TRUE(make_gc<pair>()->a == 0 && make_gc<pair>()->b == nullptr);
  gc_ptr<pair> p = make_gc<pair>(5, c);
  EXPECT_TRUE(p->a == 5 && p->b == c);
  EXPECT_TRUE(make_gc<pair>(6)->b == nullptr);
  EXPECT_EQ(make_gc<pair>(pair{4, c})->a, 4);
  EXPECT_EQ(make_gc<nested>()->rest[2], 9);
  EXPECT_EQ((make_gc<nested>(pair{1, c})->first.b->id), 3u);
  EXPECT_EQ(*make_gc<int>(5), 5);
  EXPECT_EQ(*make_gc<int>(), 0);
  EXPECT_EQ(*make_gc<std::string>("abc"), "abc");
  EXPECT_EQ((*make_gc<std::array<int, 3>>(std::array<int, 3>{1, 2, 3}))[2], 3);
}

TEST(MakeGc, ForwardsItsArguments) {
  struct takes {
    std::unique_ptr<int> owned;
    int& reference;
    takes(std::unique_ptr<int> o, int& r) : owned(std::move(o)), reference(r) {}
  };
  int there = 0;
  gc_ptr<takes> t = make_gc<takes>(std::make_unique<int>(4), there);
  t->reference = *t->owned;
  EXPECT_EQ(there, 4);
  struct many {
    many(std::initializer_list<int> l) : n(l.size()) {}
    std::size_t n;
  };
  EXPECT_EQ(make_gc<many>(std::initializer_list<int>{1, 2, 3})->n, 3u);
}

// ---- sizes ------------------------------------------------------------------------------------------------

template <std::size_t N>
struct blob {
  unsigned char bytes[N];
};

template <std::size_t N>
[[gnu::noinline]] root<blob<N>> make_blob() {
  gc_ptr<blob<N>> b = make_gc<blob<N>>();
  for (std::size_t i = 0; i < N; ++i) {
    EXPECT_EQ(b->bytes[i], 0) << N << " bytes, byte " << i;
    b->bytes[i] = static_cast<unsigned char>(mix(N + i));
  }
  return b;
}
template <std::size_t N>
[[gnu::noinline]] void expect_whole(const root<blob<N>>& b) {
  for (std::size_t i = 0; i < N; ++i)
    ASSERT_EQ(b->bytes[i], static_cast<unsigned char>(mix(N + i))) << N << " bytes, byte " << i;
}
// The boundary of one size class: four objects of each size, so that overlapping ones are seen.
template <std::size_t Size>
void around() {
  std::vector<root<blob<Size - 1>>> below;
  std::vector<root<blob<Size>>> exact;
  std::vector<root<blob<Size + 1>>> above;
  for (int i = 0; i < 4; ++i) {
    below.push_back(make_blob<Size - 1>());
    exact.push_back(make_blob<Size>());
    above.push_back(make_blob<Size + 1>());
  }
  cairn::gc::collect();
  for (std::size_t i = 0; i < 4; ++i) {
    expect_whole(below[i]);
    expect_whole(exact[i]);
    expect_whole(above[i]);
  }
}
template <std::size_t... I>
void around_all(std::index_sequence<I...>) {
  (around<k_go_sizes[I]>(), ...);
}

TEST(MakeGc, ObjectsAroundEveryClassBoundaryAreZeroedAndApart) {
  for (int round = 0; round < 2; ++round)  // the second round gets reused slots
    around_all(std::make_index_sequence<std::size(k_go_sizes)>());
}

template <std::size_t... I>
void tiny_all(std::index_sequence<I...>) {
  std::vector<root<unsigned char>> all;
  for (int i = 0; i < 1000; ++i) {
    (
        [&] {
          auto b = make_blob<I + 1>();
          all.emplace_back(b->bytes);
        }(),
        ...);
  }
  cairn::gc::collect();
  std::size_t k = 0;
  for (int i = 0; i < 1000; ++i)
    for (std::size_t n = 1; n <= sizeof...(I); ++n, ++k)
      for (std::size_t b = 0; b < n; ++b) ASSERT_EQ(all[k].get()[b], static_cast<unsigned char>(mix(n + b)));
}

TEST(MakeGc, TinyObjectsThatShareABlockStayApart) { tiny_all(std::make_index_sequence<16>()); }

TEST(MakeGc, TinyObjectsAreAlignedForTheirType) {
  std::vector<root<double>> doubles;
  for (int i = 0; i < 1000; ++i) {
    (void)make_gc<char>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(make_gc<std::uint16_t>().get()) % 2, 0u);
    (void)make_gc<char>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(make_gc<std::uint32_t>().get()) % 4, 0u);
    (void)make_gc<char>();
    doubles.emplace_back(make_gc<double>(i));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(doubles.back().get()) % 8, 0u);
  }
  collect_and_reuse();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(*doubles[static_cast<std::size_t>(i)], i);
}

TEST(MakeGc, ObjectsUpTo100MiBAreZeroedAndKept) {
  for (std::size_t bytes :
       {std::size_t{32769}, std::size_t{65536}, std::size_t{1} << 20, std::size_t{10} << 20,
        (std::size_t{64} << 20) - 1, (std::size_t{64} << 20) + 1, std::size_t{100} << 20}) {
    for (int round = 0; round < 2; ++round) {
      auto a = cairn::make_gc_array<std::uint64_t>(bytes / 8 + 1);
      ASSERT_TRUE(std::all_of(a.begin(), a.end(), [](std::uint64_t w) { return w == 0; })) << bytes;
      for (std::size_t i = 0; i < a.size(); ++i) a[i] = i;
      cairn::gc::collect();
      for (std::size_t i = 0; i < a.size(); i += 511) ASSERT_EQ(a[i], i);
      std::fill(a.begin(), a.end(), ~std::uint64_t{0});
      a = {};
      clear_stack();
      cairn::gc::collect();
    }
  }
}

// Memory that a constructor leaves alone is zero, however it was used before.
struct leaves_it_alone {
  leaves_it_alone() {}
  std::uint64_t words[12];
};
[[gnu::noinline]] bool is_zero(const volatile void* p, std::size_t bytes) {
  auto* b = static_cast<const volatile unsigned char*>(p);
  for (std::size_t i = 0; i < bytes; ++i)
    if (b[i] != 0) return false;
  return true;
}

TEST(MakeGc, ReusedMemoryIsZeroedBeforeTheConstructor) {
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 2000; ++i) {
      gc_ptr<leaves_it_alone> p = make_gc<leaves_it_alone>();
      ASSERT_TRUE(is_zero(p.get(), sizeof *p));
      std::memset(static_cast<void*>(p.get()), 0xee, sizeof *p);
    }
    cairn::gc::collect();
  }
}

// ---- alignment --------------------------------------------------------------------------------------------

template <std::size_t Align>
void expect_alignment() {
  struct alignas(Align) aligned {
    gc_ptr<cell> held;
    std::uint64_t id = 0;
  };
  struct alignas(Align) aligned_bytes {
    unsigned char b;
  };
  std::vector<root<aligned>> all;
  for (std::uint64_t i = 0; i < 20; ++i) {
    all.emplace_back(make_gc<aligned>(make_cell(i), i));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(all.back().get()) % Align, 0u) << Align;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(make_gc<aligned_bytes>().get()) % Align, 0u) << Align;
    auto array = cairn::make_gc_array<aligned>(1 + i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.data()) % Align, 0u) << Align;
    auto grown = array.append(aligned{nullptr, 5});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(grown.data()) % Align, 0u) << Align;
    cairn::vector<aligned> v(i + 1);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(v.data()) % Align, 0u) << Align;
    auto owned = cairn::make_unique_gc<aligned>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(owned.get()) % Align, 0u) << Align;
  }
  collect_and_reuse();
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(all[i]->held->is(i) && all[i]->id == i);
}

TEST(MakeGc, HonoursAlignmentUpTo4096) {
  expect_alignment<16>();
  expect_alignment<32>();
  expect_alignment<64>();
  expect_alignment<128>();
  expect_alignment<256>();
  expect_alignment<512>();
  expect_alignment<1024>();
  expect_alignment<2048>();
  expect_alignment<4096>();
}

TEST(MakeGc, LargeOverAlignedObjectsAreAligned) {
  struct alignas(4096) large {
    unsigned char bytes[3 * 4096];
  };
  struct alignas(4096) larger {
    unsigned char bytes[25 * 4096];
  };
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(make_gc<large>().get()) % 4096, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(make_gc<larger>().get()) % 4096, 0u);
  }
}

struct alignas(256) aligned_with_destructor {
  static inline std::atomic<int> made{0}, destroyed{0};
  std::string text = "something that does not fit into the string itself";
  aligned_with_destructor() { ++made; }
  ~aligned_with_destructor() {
    if (reinterpret_cast<std::uintptr_t>(this) % 256 == 0 && text.size() == 50) ++destroyed;
  }
};

TEST(MakeGc, OverAlignedObjectsAreDestroyedAtTheirAddress) {
  apart([] {
    for (int i = 0; i < 100; ++i) (void)make_gc<aligned_with_destructor>();
    (void)cairn::make_gc_array<aligned_with_destructor>(100);
  });
  EXPECT_TRUE(collect_until([] { return aligned_with_destructor::destroyed == 200; }))
      << aligned_with_destructor::destroyed << " of " << aligned_with_destructor::made;
}

// ---- constructors that throw ------------------------------------------------------------------------------

struct refuses {
  static inline std::atomic<int> constructed{0}, destroyed{0}, until{0};
  gc_ptr<cell> held;
  refuses() {
    if (constructed == until) throw std::runtime_error("refused");
    held = make_cell(1);
    ++constructed;
  }
  ~refuses() { ++destroyed; }
};

TEST(MakeGc, AConstructorThatThrowsLeavesNoDestructorBehind) {
  refuses::constructed = refuses::destroyed = refuses::until = 0;
  apart([] {
    for (int i = 0; i < 1000; ++i) EXPECT_THROW((void)make_gc<refuses>(), std::runtime_error);
    EXPECT_THROW((void)cairn::make_unique_gc<refuses>(), std::runtime_error);
  });
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(refuses::destroyed, 0);
}

TEST(MakeGc, AnArraysConstructorThatThrowsUndoesTheOthers) {
  refuses::constructed = refuses::destroyed = 0;
  refuses::until = 60;
  apart([] { EXPECT_THROW((void)cairn::make_gc_array<refuses>(100), std::runtime_error); });
  EXPECT_TRUE(collect_until([] { return refuses::destroyed == 60; })) << refuses::destroyed;
  for (int i = 0; i < 3; ++i) collect_and_reuse();
  EXPECT_EQ(refuses::destroyed, 60);
}

// The object is being built while others collect: what the constructor has stored so far stays.
TEST(MakeGc, AHalfBuiltObjectKeepsWhatItHolds) {
  struct slow {
    gc_ptr<cell> first, second;
    slow() {
      first = make_list(1, 20);
      collect_and_reuse();
      second = make_list(2, 20);
      collect_and_reuse();
    }
  };
  for (int i = 0; i < 5; ++i) {
    gc_ptr<slow> s = make_gc<slow>();
    EXPECT_TRUE(is_list(s->first, 1, 20) && is_list(s->second, 2, 20));
  }
}

TEST(MakeGc, ConstructorsMayMakeObjectsThemselves) {
  struct tree {
    gc_ptr<tree> left, right;
    explicit tree(int depth) {
      if (depth == 0) return;
      left = make_gc<tree>(depth - 1);
      right = make_gc<tree>(depth - 1);
    }
    std::size_t count() const { return 1 + (left ? left->count() : 0) + (right ? right->count() : 0); }
  };
  for (int i = 0; i < 5; ++i) {
    gc_ptr<tree> t = make_gc<tree>(14);
    collect_and_reuse();
    EXPECT_EQ(t->count(), (std::size_t{1} << 15) - 1);
  }
}

}  // namespace
