// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_allocator and cairn::vector, and containers of Boost on it where Boost is there.
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "api/places.h"
#include "api/support.h"

#if __has_include(<boost/container/map.hpp>)
#include <boost/container/flat_map.hpp>
#include <boost/container/list.hpp>
#include <boost/container/map.hpp>
#define CAIRN_TEST_BOOST 1
#endif

namespace {

using namespace cairn_test;
using cairn::gc_allocator;
using cairn::gc_ptr;
using cairn::root;

using cells = cairn::vector<gc_ptr<cell>>;

[[gnu::noinline]] void fill(cells& v, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i) v.push_back(make_list(i, 2));
}
[[gnu::noinline]] bool is_filled(const cells& v, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i)
    if (!is_list(v[i], i, 2)) return false;
  return v.size() == n;
}

TEST(GcVector, KeepsItsElementsOnAStackInAnObjectAndInStaticData) {
  struct holder {
    std::uint64_t before;
    cells v;
  };
  static cells in_static;
  cells on_stack;
  root<holder> in_object = cairn::make_gc<holder>();
  fill(on_stack, 1000);
  fill(in_static, 2000);
  fill(in_object->v, 3000);
  for (int i = 0; i < 3; ++i) {
    collect_and_reuse();
    ASSERT_TRUE(is_filled(on_stack, 1000));
    ASSERT_TRUE(is_filled(in_static, 2000));
    ASSERT_TRUE(is_filled(in_object->v, 3000));
  }
  in_static = {};
}

TEST(GcVector, EditsKeepWhatIsIn) {
  cells v;
  fill(v, 100);
  v.erase(v.begin() + 10, v.begin() + 20);
  v.insert(v.begin() + 10, make_cell(1000));
  v.resize(200);
  v.pop_back();
  v.emplace_back(make_cell(2000));
  std::reverse(v.begin(), v.end());
  v.shrink_to_fit();
  cells copy = v, moved = std::move(v);
  copy.assign(5, moved[0]);
  std::swap(copy, moved);
  collect_and_reuse();
  ASSERT_EQ(copy.size(), 200u);
  EXPECT_TRUE(copy[0]->is(2000));
  EXPECT_TRUE(copy[199]->is(0) && copy[199 - 10]->is(1000) && copy[199 - 11]->is(20));
  for (const auto& p : moved) EXPECT_TRUE(p->is(2000));
}

// The word of a popped element must not keep it: gc_allocator clears what it destroys.
TEST(GcVector, LetsGoOfWhatIsRemoved) {
  root<cells> v = cairn::make_gc<cells>();
  std::vector<cairn::gc_weak<cell>> weak;
  apart([&] {
    for (std::uint64_t i = 0; i < 10; ++i) {
      v->push_back(make_cell(i));
      weak.emplace_back(v->back());
    }
  });
  apart([&] { v->pop_back(); });
  EXPECT_TRUE(dies(weak[9]));
  apart([&] { v->erase(v->begin()); });
  EXPECT_TRUE(dies(weak[0]));
  apart([&] { v->resize(3); });
  EXPECT_TRUE(dies(weak[5]));
  EXPECT_FALSE(is_gone(weak[1]) || is_gone(weak[2]) || is_gone(weak[3]));
  apart([&] { v->clear(); });
  EXPECT_TRUE(dies(weak[1]));
}

TEST(GcVector, OfStringsInAnObjectIsDestroyed) {
  static std::atomic<int> alive{0};
  struct counted {
    std::string text = std::string(100, 'x');
    counted() { ++alive; }
    counted(const counted& o) : text(o.text) { ++alive; }
    counted& operator=(const counted&) = default;
    ~counted() { --alive; }
  };
  struct holder {
    cairn::vector<counted> v;
  };
  apart([] {
    root<holder> h = cairn::make_gc<holder>();
    h->v.resize(50);
    h->v.resize(30);
    EXPECT_EQ(alive, 30);
  });
  EXPECT_TRUE(collect_until([] { return alive == 0; })) << alive;
}

TEST(GcVector, OfTrivialElementsNeedsNoDestructor) {
  struct holder {
    cells v;
    cairn::vector<int> numbers;
  };
  static_assert(cairn::skip_destructor<cells>);
  static_assert(cairn::skip_destructor<holder>);
  static_assert(!cairn::skip_destructor<cairn::vector<std::string>>);
  static_assert(!cairn::skip_destructor<std::string>);
}

TEST(GcVector, OfNumbersSortsAndGrows) {
  cairn::vector<std::uint64_t> v;
  for (std::uint64_t i = 0; i < 100'000; ++i) v.push_back(mix(i));
  std::sort(v.begin(), v.end());
  collect_and_reuse();
  EXPECT_TRUE(std::is_sorted(v.begin(), v.end()));
  EXPECT_EQ(v.size(), 100'000u);
}

TEST(GcVector, OfVectorsKeepsAll) {
  cairn::vector<cells> rows(20);
  for (std::uint64_t i = 0; i < 20; ++i) fill(rows[i], 10 * i);
  rows.erase(rows.begin());
  rows.emplace_back();
  collect_and_reuse();
  for (std::uint64_t i = 1; i < 20; ++i) ASSERT_TRUE(is_filled(rows[i - 1], 10 * i));
}

TEST(GcAllocator, ServesADequeAndAString) {
  std::deque<gc_ptr<cell>, gc_allocator<gc_ptr<cell>>> queue;
  std::basic_string<char, std::char_traits<char>, gc_allocator<char>> text;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    queue.push_back(make_cell(i));
    if (i % 3 == 2) queue.pop_front();
    text += static_cast<char>('a' + i % 26);
    if (i % 1000 == 0) collect_and_reuse();
  }
  collect_and_reuse();
  for (std::size_t i = 0; i < queue.size(); ++i) ASSERT_TRUE(queue[i]->is(5000 - queue.size() + i));
  for (std::size_t i = 0; i < text.size(); ++i) ASSERT_EQ(text[i], static_cast<char>('a' + i % 26));
}

TEST(GcAllocator, ThrowsWhenTheSizeOverflows) {
  gc_allocator<std::uint64_t> a;
  EXPECT_THROW((void)a.allocate(SIZE_MAX / 4), std::bad_array_new_length);
  EXPECT_THROW((void)a.allocate(std::size_t{1} << 50), std::bad_alloc);
  EXPECT_TRUE(a == gc_allocator<int>());
}

#ifdef CAIRN_TEST_BOOST
template <class K>
using pairs = gc_allocator<std::pair<K, gc_ptr<cell>>>;

TEST(GcAllocator, ServesBoostContainers) {
  boost::container::map<std::uint64_t, gc_ptr<cell>, std::less<>, pairs<const std::uint64_t>> map;
  boost::container::flat_map<std::uint64_t, gc_ptr<cell>, std::less<>, pairs<std::uint64_t>> flat;
  boost::container::list<gc_ptr<cell>, gc_allocator<gc_ptr<cell>>> list;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    map[mix(i)] = make_cell(i);
    flat[mix(i) % 500] = make_cell(mix(i) % 500);
    list.push_back(make_cell(i));
    if (i % 5 == 4) map.erase(mix(i - 2));
    if (i % 5 == 4) list.pop_front();
    if (i % 1000 == 0) collect_and_reuse();
  }
  collect_and_reuse();
  for (const auto& [key, value] : map) ASSERT_EQ(key, mix(value->id));
  for (const auto& [key, value] : flat) ASSERT_TRUE(value->is(key));
  std::uint64_t expected = 600;
  for (const auto& value : list) ASSERT_TRUE(value->is(expected++));
  EXPECT_EQ(map.size(), 2400u);
}
#endif

}  // namespace
