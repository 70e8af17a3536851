// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_slice: Go's capacities, sharing, checks, elements of every kind.
#include "cairn/gc_slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <list>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "cairn/gc_ptr.h"
#include "cairn/make_gc.h"

namespace {

using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::make_gc_array;

static_assert(std::ranges::contiguous_range<gc_slice<int>> && std::ranges::borrowed_range<gc_slice<int>>);

// The capacities through which a slice goes while elements are appended one by one.
template <class T>
std::vector<std::size_t> capacities(std::size_t how_many) {
  std::vector<std::size_t> seen;
  gc_slice<T> s;
  while (seen.size() < how_many) {
    const std::size_t before = s.capacity();
    s = s.append(T{});
    if (s.capacity() != before) seen.push_back(s.capacity());
  }
  return seen;
}

template <std::size_t Bytes>
struct block {
  std::array<std::uint8_t, Bytes> bytes;
};

// As go1.22's for s := []T{}; ; s = append(s, T{}).
TEST(GcSlice, GrowsAsGoDoesElementByElement) {
  using list = std::vector<std::size_t>;
  EXPECT_EQ(capacities<std::uint8_t>(20),
            (list{8,    16,   32,   64,   128,  256,   512,   896,   1408,  2048,
                  3072, 4096, 5376, 6912, 9472, 12288, 16384, 21760, 28672, 40960}));
  EXPECT_EQ(capacities<std::int64_t>(20),
            (list{1,   2,    4,    8,    16,   32,   64,   128,  256,   512,
                  848, 1280, 1792, 2560, 3408, 5120, 7168, 9216, 12288, 16384}));
  EXPECT_EQ(capacities<std::int32_t>(12), (list{2, 4, 8, 16, 32, 64, 128, 256, 512, 864, 1344, 2048}));
  EXPECT_EQ(capacities<block<24>>(11), (list{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 853}));
  EXPECT_EQ(capacities<block<5>>(6), (list{1, 3, 6, 12, 25, 51}));
}

struct step {
  std::size_t old, more, go;
};
// cap(append(make([]int64, old), make([]int64, more)...)) in Go.
constexpr step k_steps[] = {
    {0, 1, 1},          {0, 3, 3},       {0, 5, 6},          {0, 7, 8},         {0, 9, 10},
    {1, 1, 2},          {1, 2, 3},       {2, 3, 6},          {4, 1, 8},         {4, 3, 8},
    {5, 6, 12},         {5, 1, 10},      {7, 1, 14},         {10, 11, 22},      {255, 1, 512},
    {256, 1, 512},      {257, 1, 608},   {512, 1, 848},      {848, 433, 1792},  {1000, 1, 1536},
    {1000, 1001, 2048}, {4096, 1, 6144}, {4096, 4096, 9216}, {10000, 1, 13312},
};
TEST(GcSlice, GrowsAsGoDoesByManyElements) {
  for (const step& s : k_steps) {
    const auto grown = make_gc_array<std::int64_t>(s.old).append(std::vector<std::int64_t>(s.more));
    EXPECT_EQ(grown.capacity(), s.go) << s.old << " + " << s.more;
    EXPECT_EQ(grown.size(), s.old + s.more);
  }
}

TEST(GcSlice, SharesItsArrayWithinTheCapacity) {
  auto a = make_gc_array<int>(4);
  const auto front = a.sub(0, 2);
  EXPECT_EQ(front.size(), 2u);
  EXPECT_EQ(front.capacity(), 4u);
  const auto longer = front.append(7);
  EXPECT_EQ(a[2], 7);
  EXPECT_EQ(longer.data(), a.data());
  const auto other = a.append(9);
  EXPECT_NE(other.data(), a.data());
  other[0] = 5;
  EXPECT_EQ(a[0], 0);
}

TEST(GcSlice, KeepsTheRestOfTheArrayOnSub) {
  const auto a = make_gc_array<int>(10);
  EXPECT_EQ(a.sub(3, 5).capacity(), 7u);
  EXPECT_EQ(a.sub(3, 5).sub(0, 7).size(), 7u);
  EXPECT_EQ(a.sub(3, 5).data(), a.data() + 3);
  EXPECT_EQ(a.sub(10, 10).capacity(), 0u);
  EXPECT_TRUE(a.sub(10, 10).empty());
  EXPECT_TRUE(gc_slice<int>().sub(0, 0).empty());
}

TEST(GcSlice, ThrowsOutOfRange) {
  const auto a = make_gc_array<int>(3);
  EXPECT_THROW(a.at(3), std::out_of_range);
  EXPECT_THROW(a.sub(0, 4), std::out_of_range);
  EXPECT_THROW(a.sub(2, 1), std::out_of_range);
  EXPECT_THROW(a.sub(4, 4), std::out_of_range);
  EXPECT_THROW(gc_slice<int>().at(0), std::out_of_range);
  a.at(2) = 4;
  EXPECT_EQ(a[2], 4);
}

#ifndef NDEBUG
TEST(GcSliceDeathTest, AbortsOnABadIndexInDebugBuilds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto a = make_gc_array<int>(3);
  EXPECT_DEATH(static_cast<void>(a[3]), "the index of a gc_slice is not below its size");
}
#endif

TEST(GcSlice, AppendsPartsOfItself) {
  gc_slice<int> s;
  for (int i = 0; i < 8; ++i) s = s.append(i);
  ASSERT_EQ(s.capacity(), 8u);
  const auto twice = s.append(s);
  EXPECT_TRUE(std::ranges::equal(twice, std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}));
  const auto overlapping = s.sub(0, 2).append(s.sub(1, 5));
  EXPECT_TRUE(std::ranges::equal(overlapping, std::vector<int>{0, 1, 1, 2, 3, 4}));
  EXPECT_EQ(overlapping.data(), s.data());
  auto t = make_gc_array<std::string>(3);
  t[0] = "one long enough to be allocated by itself";
  t = t.append(t[0]);
  EXPECT_EQ(t[3], t[0]);
  t = t.sub(0, 1).append(t.sub(0, 3));
  EXPECT_EQ(t[1], "one long enough to be allocated by itself");
}

// A range that can be walked once, and does not know how long it is.
struct read_once {
  std::istringstream* input;
  auto begin() const { return std::istream_iterator<int>(*input); }
  auto end() const { return std::istream_iterator<int>(); }
};

TEST(GcSlice, AppendsRangesOfEveryCategory) {
  gc_slice<long> s;
  s = s.append(std::vector<int>{1, 2});
  s = s.append(std::list<short>{3, 4});
  std::istringstream input("5 6 7");
  s = s.append(read_once{&input});
  const int array[] = {8, 9};
  s = s.append(array);
  s = s.append(std::span<const int>());
  EXPECT_TRUE(std::ranges::equal(s, std::vector<long>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  gc_slice<std::string> words;
  words = words.append("abc");
  words = words.append(std::vector<const char*>{"d", "e"});
  EXPECT_EQ(words.size(), 3u);
  EXPECT_EQ(words[2], "e");
}

TEST(GcSlice, CopiesPointersWhenItGrows) {
  struct node {
    int v;
  };
  gc_slice<gc_ptr<node>> s;
  for (int i = 0; i < 1000; ++i) s = s.append(cairn::make_gc<node>(i));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(s[static_cast<std::size_t>(i)]->v, i);
  for (std::size_t i = s.size(); i < s.capacity(); ++i) ASSERT_TRUE(s.sub(0, s.capacity())[i] == nullptr);
}

TEST(GcSlice, ValueInitialisesUpToTheCapacity) {
  struct with_value {
    int v = 42;
  };
  gc_slice<with_value> s;
  for (int i = 0; i < 5; ++i) s = s.append(with_value{i});
  ASSERT_GT(s.capacity(), s.size());
  const auto all = s.sub(0, s.capacity());
  for (std::size_t i = s.size(); i < all.size(); ++i) EXPECT_EQ(all[i].v, 42);
}

struct counted {
  static inline int alive = 0, throw_at = -1;
  int v = 0;
  counted() { made(); }
  counted(const counted& o) : v(o.v) { made(); }
  counted& operator=(const counted&) = default;
  ~counted() { --alive; }
  static void made() {
    if (alive == throw_at) throw std::runtime_error("made too many");
    ++alive;
  }
};

TEST(GcSlice, DestroysWhatItMadeWhenAConstructorThrows) {
  for (int at = 0; at < 12; ++at) {
    counted::alive = 0;
    counted::throw_at = at;
    EXPECT_THROW(make_gc_array<counted>(12), std::runtime_error);
    EXPECT_EQ(counted::alive, 0);
  }
  counted::throw_at = -1;
  const auto s = make_gc_array<counted>(6);  // appending to it makes at least 12 elements
  const int before = counted::alive;
  for (int at = before; at < before + 12; ++at) {
    counted::throw_at = at;
    EXPECT_THROW(static_cast<void>(s.append(s)), std::runtime_error);
    EXPECT_EQ(counted::alive, before);
  }
  counted::throw_at = -1;
  EXPECT_EQ(s.append(s).size(), 12u);
}

TEST(GcSlice, RefusesSizesThatOverflow) {
  EXPECT_THROW(make_gc_array<std::int64_t>(SIZE_MAX / 8 + 1), std::bad_array_new_length);
  EXPECT_THROW(make_gc_array<std::int64_t>(SIZE_MAX), std::bad_array_new_length);
  EXPECT_THROW(cairn::make_gc_bytes(SIZE_MAX - 8), std::bad_array_new_length);
  EXPECT_EQ(make_gc_array<int>(0).data(), nullptr);
}

TEST(GcSlice, ConvertsToConstAndToSpans) {
  auto s = make_gc_array<int>(3);
  s[1] = 5;
  const gc_slice<const int> c = s;
  EXPECT_EQ(c[1], 5);
  EXPECT_EQ(c.data(), s.data());
  const std::span<int> sp(s);
  const std::span<const int> csp(c);
  EXPECT_EQ(sp.size(), 3u);
  EXPECT_EQ(csp[1], 5);
  EXPECT_EQ(c.sub(1, 2)[0], 5);
}

}  // namespace
