// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_slice: access, bounds, sharing, Go's growth, elements with destructors.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/places.h"
#include "api/size_classes.h"
#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::make_gc_array;

TEST(GcSlice, IsEmptyByDefault) {
  gc_slice<int> s;
  EXPECT_TRUE(s.empty() && s.size() == 0 && s.capacity() == 0 && s.data() == nullptr && s.begin() == s.end());
  EXPECT_THROW(s.at(0), std::out_of_range);
  EXPECT_EQ(s.sub(0, 0).size(), 0u);
  EXPECT_THROW(s.sub(0, 1), std::out_of_range);
}

TEST(GcSlice, AnArrayHasValueInitialisedElementsAndNoSpareCapacity) {
  for (std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{17}, std::size_t{1000},
                        std::size_t{100'000}}) {
    auto s = make_gc_array<int>(n);
    EXPECT_EQ(s.size(), n);
    EXPECT_EQ(s.capacity(), n);
    EXPECT_TRUE(std::all_of(s.begin(), s.end(), [](int i) { return i == 0; }));
    EXPECT_EQ(s.end() - s.begin(), static_cast<std::ptrdiff_t>(n));
  }
  EXPECT_TRUE(make_gc_array<int>(0).empty());
  EXPECT_TRUE(cairn::make_gc_bytes(0).empty());
  auto strings = make_gc_array<std::string>(5);
  EXPECT_TRUE(std::all_of(strings.begin(), strings.end(), [](const std::string& x) { return x.empty(); }));
}

TEST(GcSlice, ReadsAndWritesByIndex) {
  auto s = make_gc_array<std::uint64_t>(100);
  for (std::size_t i = 0; i < s.size(); ++i) s[i] = mix(i);
  collect_and_reuse();
  for (std::size_t i = 0; i < s.size(); ++i) ASSERT_EQ(s.at(i), mix(i));
  s.at(7) = 7;
  EXPECT_EQ(s[7], 7u);
  EXPECT_EQ(*(s.data() + 7), 7u);
}

TEST(GcSlice, AtOutsideTheSizeThrows) {
  auto s = make_gc_array<int>(10).sub(2, 5);
  EXPECT_NO_THROW(s.at(2));
  EXPECT_THROW(s.at(3), std::out_of_range);
  EXPECT_THROW(s.at(SIZE_MAX), std::out_of_range);
}

TEST(GcSlice, SubReachesToTheCapacityAndNoFurther) {
  auto s = make_gc_array<int>(10);
  std::iota(s.begin(), s.end(), 0);
  auto middle = s.sub(3, 6);
  EXPECT_EQ(middle.size(), 3u);
  EXPECT_EQ(middle.capacity(), 7u);
  EXPECT_EQ(middle[0], 3);
  auto longer = middle.sub(0, 7);
  EXPECT_EQ(longer.size(), 7u);
  EXPECT_EQ(longer[6], 9);
  EXPECT_EQ(s.sub(10, 10).size(), 0u);
  EXPECT_THROW(middle.sub(0, 8), std::out_of_range);
  EXPECT_THROW(middle.sub(4, 3), std::out_of_range);
  EXPECT_THROW(s.sub(11, 11), std::out_of_range);
  EXPECT_THROW(s.sub(SIZE_MAX, SIZE_MAX), std::out_of_range);
}

TEST(GcSlice, SlicesOfOneArrayShareIt) {
  auto whole = make_gc_array<int>(10);
  auto part = whole.sub(2, 4);
  part[0] = 42;
  EXPECT_EQ(whole[2], 42);
  auto appended = part.append(7);  // within the capacity: the array's next element
  EXPECT_EQ(whole[4], 7);
  EXPECT_TRUE(appended.data() == part.data());
  EXPECT_EQ(part.size(), 2u);
  EXPECT_EQ(appended.size(), 3u);
}

TEST(GcSlice, AppendBeyondTheCapacityCopies) {
  auto a = make_gc_array<int>(3);
  auto b = a.append(1);
  EXPECT_TRUE(b.data() != a.data());
  b[0] = 9;
  EXPECT_EQ(a[0], 0);
  EXPECT_EQ(a.size(), 3u);
  EXPECT_EQ(b.size(), 4u);
  EXPECT_EQ(b[3], 1);
}

TEST(GcSlice, SpareCapacityIsValueInitialised) {
  for (int round = 0; round < 20; ++round) {
    gc_slice<std::uint64_t> s = make_gc_array<std::uint64_t>(5);
    std::fill(s.begin(), s.end(), ~std::uint64_t{0});
    s = s.append(1);
    auto rest = s.sub(s.size(), s.capacity());
    EXPECT_TRUE(std::all_of(rest.begin(), rest.end(), [](std::uint64_t x) { return x == 0; }));
    std::fill(rest.begin(), rest.end(), ~std::uint64_t{0});
    s = {};
    if (round % 5 == 4) cairn::gc::collect();
  }
}

template <class T>
void expect_go_growth(std::size_t most) {
  gc_slice<T> s;
  std::size_t expected = 0;
  for (std::size_t n = 0; n < most; ++n) {
    if (n == expected) expected = go_capacity(expected, n + 1, sizeof(T));
    s = s.append(T{});
    ASSERT_EQ(s.size(), n + 1);
    ASSERT_EQ(s.capacity(), expected) << "after append number " << n + 1 << " of " << sizeof(T) << " bytes";
  }
}
struct three_bytes {
  char c[3];
};
struct forty_bytes {
  std::uint64_t w[5];
};

TEST(GcSlice, GrowsAsGoDoesElementByElement) {
  expect_go_growth<std::uint8_t>(50'000);
  expect_go_growth<std::uint16_t>(30'000);
  expect_go_growth<std::uint32_t>(30'000);
  expect_go_growth<std::uint64_t>(30'000);
  expect_go_growth<three_bytes>(20'000);
  expect_go_growth<forty_bytes>(20'000);
}

// What Go prints for a slice of ints and of bytes, not computed by the formula above.
TEST(GcSlice, GrowsThroughTheKnownCapacities) {
  std::vector<std::size_t> seen;
  gc_slice<std::int64_t> ints;
  for (std::int64_t i = 0; i < 20'000; ++i) {
    ints = ints.append(i);
    if (seen.empty() || seen.back() != ints.capacity()) seen.push_back(ints.capacity());
  }
  EXPECT_EQ(seen, (std::vector<std::size_t>{1,    2,    4,    8,    16,   32,   64,   128,   256,   512,  848,
                                            1280, 1792, 2560, 3408, 5120, 7168, 9216, 12288, 16384, 21504}));
  seen.clear();
  gc_slice<std::uint8_t> bytes;
  for (int i = 0; i < 10'000; ++i) {
    bytes = bytes.append(1);
    if (seen.empty() || seen.back() != bytes.capacity()) seen.push_back(bytes.capacity());
  }
  EXPECT_EQ(seen, (std::vector<std::size_t>{8, 16, 32, 64, 128, 256, 512, 896, 1408, 2048, 3072, 4096, 5376,
                                            6912, 9472, 12288}));
}

TEST(GcSlice, GrowsToWhatARangeNeeds) {
  auto five = make_gc_array<std::int64_t>(5);
  EXPECT_EQ(five.append(std::vector<std::int64_t>(2)).capacity(), go_capacity(5, 7, 8));
  EXPECT_EQ(five.append(std::vector<std::int64_t>(6)).capacity(), go_capacity(5, 11, 8));
  EXPECT_EQ(five.append(std::vector<std::int64_t>(5000)).capacity(), go_capacity(5, 5005, 8));
  EXPECT_EQ(gc_slice<std::uint8_t>().append(std::vector<std::uint8_t>(5)).capacity(), 8u);
}

TEST(GcSlice, AppendsRangesOfEveryKind) {
  gc_slice<int> s;
  s = s.append(std::vector<int>{1, 2});
  s = s.append(std::list<int>{3});
  s = s.append(std::span<const int>());
  const short shorts[] = {4, 5};
  s = s.append(shorts);
  std::vector<int> expected{1, 2, 3, 4, 5};
  EXPECT_TRUE(std::equal(s.begin(), s.end(), expected.begin(), expected.end()));
  gc_slice<std::string> words;
  words = words.append("abc").append(std::string("def")).append(std::vector<std::string>{"g", "h"});
  EXPECT_EQ(words.size(), 4u);  // a char array is a value here, not a range of characters
  EXPECT_EQ(words[0] + words[1] + words[2] + words[3], "abcdefgh");
}

TEST(GcSlice, AppendsItself) {
  gc_slice<gc_ptr<cell>> s;
  for (std::uint64_t i = 0; i < 3; ++i) s = s.append(make_cell(i));
  for (int round = 0; round < 8; ++round) {
    s = s.append(s);
    collect_and_reuse();
  }
  ASSERT_EQ(s.size(), 3u << 8);
  for (std::size_t i = 0; i < s.size(); ++i) ASSERT_TRUE(s[i]->is(i % 3));
  // Onto its own elements, within the capacity.
  auto n = make_gc_array<int>(8);
  std::iota(n.begin(), n.end(), 0);
  auto shifted = n.sub(0, 2).append(n.sub(1, 6));
  EXPECT_EQ(std::vector<int>(shifted.begin(), shifted.end()), (std::vector<int>{0, 1, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(shifted.data() == n.data());
  int& element = n[7];
  auto grown = n.append(element);
  EXPECT_EQ(grown[8], 7);
}

TEST(GcSlice, ConvertsToConst) {
  auto s = make_gc_array<int>(3);
  gc_slice<const int> c = s;
  s[1] = 5;
  EXPECT_EQ(c[1], 5);
  EXPECT_EQ(c.sub(1, 3).size(), 2u);
  static_assert(!std::is_convertible_v<gc_slice<const int>, gc_slice<int>>);
  std::span<const int> view(c);
  EXPECT_EQ(view[1], 5);
}

TEST(GcSlice, KeepsItsElementsAndWhatTheyReach) {
  struct holder {
    gc_slice<gc_ptr<cell>> cells;
  };
  static gc_slice<gc_ptr<cell>> in_static;
  gc_slice<gc_ptr<cell>> on_stack;
  cairn::root<holder> in_object = cairn::make_gc<holder>();
  [&]() __attribute__((noinline)) {
    for (auto* s : {&in_static, &on_stack, &in_object->cells}) {
      *s = make_gc_array<gc_ptr<cell>>(200);
      for (std::uint64_t i = 0; i < 200; ++i) (*s)[i] = make_list(i, 3);
      *s = s->sub(50, 60);  // holds the whole array
    }
  }
  ();
  for (int round = 0; round < 2; ++round) {
    collect_and_reuse();
    for (auto* s : {&in_static, &on_stack, &in_object->cells})
      for (std::uint64_t i = 0; i < 200; ++i) ASSERT_TRUE(is_list(*(s->data() + i - 50), i, 3));
  }
  in_static = {};
}

TEST(GcSlice, AnEmptySliceAtTheEndKeepsNothingWrong) {
  struct holder {
    gc_slice<std::uint64_t> s;
  };
  cairn::root<holder> h = cairn::make_gc<holder>();
  [&]() __attribute__((noinline)) { h->s = make_gc_array<std::uint64_t>(8).sub(8, 8); }
  ();
  collect_and_reuse();
  EXPECT_EQ(h->s.size(), 0u);
  EXPECT_EQ(h->s.capacity(), 0u);
  h->s = h->s.append(4);
  collect_and_reuse();
  EXPECT_EQ(h->s[0], 4u);
}

struct counted {
  static inline std::atomic<int> alive{0}, destroyed{0};
  static inline std::atomic<bool> damaged{false};
  std::string text = "a text that is too long for the small buffer of a string";
  counted() { ++alive; }
  counted(const counted& o) : text(o.text) { ++alive; }
  counted& operator=(const counted&) = default;
  ~counted() {
    if (text.size() != 56) damaged = true;
    --alive;
    ++destroyed;
  }
};

TEST(GcSlice, DestroysEachElementOnce) {
  counted::destroyed = 0;
  apart([] {
    auto s = make_gc_array<counted>(1000);
    EXPECT_EQ(counted::alive, 1000);
    EXPECT_EQ(s.size(), 1000u);
  });
  EXPECT_TRUE(collect_until([] { return counted::alive == 0; })) << counted::alive << " left";
  EXPECT_EQ(counted::destroyed, 1000);
  EXPECT_FALSE(counted::damaged);
}

TEST(GcSlice, DestroysWhatAppendLeftBehind) {
  apart([] {
    gc_slice<counted> s;
    for (int i = 0; i < 300; ++i) s = s.append(counted());
    EXPECT_EQ(s.size(), 300u);
  });
  EXPECT_TRUE(collect_until([] { return counted::alive == 0; })) << counted::alive << " left";
  EXPECT_FALSE(counted::damaged);
}

struct thrower {
  static inline int copies_left = 1000;
  int value = 0;
  thrower() = default;
  thrower(const thrower& o) : value(o.value) { count(); }
  thrower& operator=(const thrower& o) {
    count();
    value = o.value;
    return *this;
  }
  ~thrower() {}
  static void count() {
    if (--copies_left < 0) throw std::runtime_error("no more copies");
  }
};

TEST(GcSlice, AnElementThatThrowsWhileCopiedLeavesTheSliceAsItWas) {
  gc_slice<thrower> s = make_gc_array<thrower>(16);
  for (std::size_t i = 0; i < s.size(); ++i) s[i].value = static_cast<int>(i);
  thrower extra;
  thrower::copies_left = 5;
  EXPECT_THROW(s = s.append(extra), std::runtime_error);
  thrower::copies_left = 1000;
  ASSERT_EQ(s.size(), 16u);
  for (std::size_t i = 0; i < s.size(); ++i) EXPECT_EQ(s[i].value, static_cast<int>(i));
  collect_and_reuse();
}

TEST(GcSlice, BytesAreZeroedAndWritable) {
  for (int round = 0; round < 3; ++round) {
    for (std::size_t n = 1; n < 200'000; n = n * 3 / 2 + 1) {
      auto s = cairn::make_gc_bytes(n);
      ASSERT_EQ(s.size(), n);
      ASSERT_EQ(s.capacity(), n);
      for (std::byte b : s) ASSERT_EQ(b, std::byte{0}) << n << " bytes";
      std::fill(s.begin(), s.end(), std::byte{0xff});
    }
    cairn::gc::collect();
  }
}

TEST(GcSlice, ASizeThatOverflowsThrows) {
  EXPECT_THROW((void)make_gc_array<std::uint64_t>(SIZE_MAX / 4), std::bad_array_new_length);
  EXPECT_THROW((void)make_gc_array<std::uint64_t>(SIZE_MAX), std::bad_array_new_length);
  EXPECT_THROW((void)make_gc_array<std::string>(SIZE_MAX / 16), std::bad_array_new_length);
  EXPECT_THROW((void)cairn::make_gc_bytes(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW((void)cairn::make_gc_bytes(std::size_t{1} << 50), std::bad_alloc);
  EXPECT_THROW((void)make_gc_array<std::uint64_t>(std::size_t{1} << 50), std::bad_alloc);
  auto s = make_gc_array<std::uint64_t>(4);  // the heap is whole after that
  EXPECT_EQ(s.size(), 4u);
  collect_and_reuse();
}

}  // namespace
