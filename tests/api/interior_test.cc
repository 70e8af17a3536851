// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Pointers into the middle and to the end of objects, and what they must not keep.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <vector>

#include "api/support.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::root;

// Keeps `p` in this frame only, while other objects take what a collection frees.
template <class T>
[[gnu::noinline]] T* through_a_collection(T* p) {
  T* volatile local = p;
  collect_and_reuse();
  return local;
}

TEST(Interior, EveryByteOfAnObjectKeepsItFromAStack) {
  for (std::size_t offset = 0; offset < sizeof(cell); ++offset) {
    char* inside = through_a_collection(reinterpret_cast<char*>(make_list(offset, 3)) + offset);
    ASSERT_TRUE(is_list(reinterpret_cast<cell*>(inside - offset), offset, 3)) << "offset " << offset;
  }
}

TEST(Interior, EveryByteOfAnObjectKeepsItFromAField) {
  struct field {
    gc_ptr<char> inside;
  };
  for (std::size_t offset = 0; offset < sizeof(cell); ++offset) {
    root<field> f = cairn::make_gc<field>();
    [&]() __attribute__((noinline)) { f->inside = reinterpret_cast<char*>(make_list(offset, 3)) + offset; }
    ();
    collect_and_reuse();
    ASSERT_TRUE(is_list(reinterpret_cast<cell*>(f->inside.get() - offset), offset, 3)) << "offset " << offset;
  }
}

TEST(Interior, AnyPartOfALargeArrayKeepsAllOfIt) {
  constexpr std::size_t length = 100'000;
  for (std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{1023}, std::size_t{1024},
                         std::size_t{50'000}, length - 1}) {
    gc_ptr<cell>* element = nullptr;
    [&]() __attribute__((noinline)) {
      auto array = cairn::make_gc_array<gc_ptr<cell>>(length);
      for (std::size_t i = 0; i < length; i += 997) array[i] = make_cell(i);
      element = &array[at];
    }
    ();
    element = through_a_collection(element);
    gc_ptr<cell>* first = element - at;
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_TRUE(i % 997 == 0 ? first[i]->is(i) : first[i] == nullptr)
          << "element " << i << ", held by " << at;
  }
}

// Only an address one past the end is left: 64 bytes fill their slot, so it names the next one.
TEST(Interior, OnePastTheEndKeepsAnArrayFromAStack) {
  for (std::size_t n : {std::size_t{1}, std::size_t{8}, std::size_t{64}, std::size_t{1024}, std::size_t{4096},
                        std::size_t{100'000}}) {
    std::uint64_t* end = nullptr;
    [&]() __attribute__((noinline)) {
      // Neighbours before and behind.
      std::vector<root<std::uint64_t>> arrays;
      for (int k = 0; k < 5; ++k) {
        auto array = cairn::make_gc_array<std::uint64_t>(n);
        for (std::size_t i = 0; i < n; ++i) array[i] = mix(i + static_cast<std::size_t>(k) * n);
        arrays.emplace_back(array.data());
      }
      end = arrays[2].get() + n;
    }
    ();
    for (int round = 0; round < 2; ++round) {
      std::uint64_t* volatile local = end;
      clear_stack();
      cairn::gc::collect();
      for (int k = 0; k < 50; ++k) {
        auto other = cairn::make_gc_array<std::uint64_t>(n);
        std::fill(other.begin(), other.end(), 0xbad);
      }
      std::uint64_t* first = local - n;
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_EQ(first[i], mix(i + 2 * n)) << n << " elements, element " << i;
    }
  }
}

TEST(Interior, OnePastTheEndKeepsWhatAppendAndAVectorAllocated) {
  gc_ptr<cell>* volatile ends[2] = {};
  [&]() __attribute__((noinline)) {
    cairn::gc_slice<gc_ptr<cell>> slice;
    for (std::uint64_t i = 0; i < 8; ++i) slice = slice.append(make_cell(i));
    ends[0] = slice.data() + 8;
    // Its destructor never runs, so the buffer is the collector's.
    cairn::vector<gc_ptr<cell>>* vector = cairn::make_gc<cairn::vector<gc_ptr<cell>>>();
    vector->reserve(16);
    for (std::uint64_t i = 0; i < 16; ++i) vector->emplace_back(make_cell(i));
    ends[1] = vector->data() + 16;
  }
  ();
  for (int round = 0; round < 2; ++round) {
    collect_and_reuse();
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(ends[0][i - 8]->is(static_cast<std::uint64_t>(i)));
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(ends[1][i - 16]->is(static_cast<std::uint64_t>(i)));
  }
}

// Single objects fill their slots too, and must not keep their neighbours: objects made in a row, every
// second dropped.
TEST(Interior, AnObjectsStartDoesNotKeepItsNeighbour) {
  struct exact {  // 112 bytes, a size class that no array here uses
    gc_ptr<exact> link;
    std::uint64_t words[13];
  };
  std::vector<root<exact>> kept;
  std::vector<cairn::gc_weak<exact>> dropped;
  apart([&] {
    for (int i = 0; i < 400; ++i) {
      exact* e = cairn::make_gc<exact>();
      if (i % 2 == 0) dropped.emplace_back(e);
      else kept.emplace_back(e);
    }
  });
  // From a stack as well.
  exact* volatile starts[200];
  for (std::size_t i = 0; i < 200; ++i) starts[i] = kept[i];
  kept.clear();
  EXPECT_TRUE(collect_until([&] {
    for (const auto& w : dropped)
      if (!is_gone(w)) return false;
    return true;
  }));
  cairn::keep_alive(starts[0]);
}

}  // namespace
