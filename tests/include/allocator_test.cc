// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_allocator in the containers it is for, and that it clears what a container destroys.
#include "cairn/allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cairn/gc_ptr.h"
#include "cairn/layout.h"
#include "cairn/make_gc.h"

#if __has_include(<boost/container/map.hpp>)
#include <boost/container/flat_map.hpp>
#include <boost/container/list.hpp>
#include <boost/container/map.hpp>
#endif

namespace {

using cairn::gc_allocator;
using cairn::gc_ptr;
using cairn::make_gc;

struct node {
  int v;
  gc_ptr<node> next;
};

using traits = std::allocator_traits<gc_allocator<node>>;
static_assert(std::is_same_v<traits::pointer, gc_ptr<node>> &&
              std::is_same_v<traits::const_pointer, gc_ptr<const node>>);
static_assert(std::is_same_v<traits::void_pointer, gc_ptr<void>> && traits::is_always_equal::value);
static_assert(std::is_same_v<traits::rebind_alloc<int>, gc_allocator<int>>);
static_assert(gc_allocator<int>() == gc_allocator<node>());
static_assert(cairn::skip_destructor<cairn::vector<int>> &&
              cairn::skip_destructor<cairn::vector<gc_ptr<node>>>);
static_assert(cairn::skip_destructor<cairn::vector<cairn::vector<int>>>);
static_assert(!cairn::skip_destructor<cairn::vector<std::string>>);

TEST(GcAllocator, ServesAVectorOfPointers) {
  cairn::vector<gc_ptr<node>> v;
  for (int i = 0; i < 1000; ++i) v.push_back(make_gc<node>(i));
  v.erase(v.begin() + 100, v.begin() + 900);
  v.insert(v.begin(), make_gc<node>(-1));
  EXPECT_EQ(v.size(), 201u);
  EXPECT_EQ(v[0]->v, -1);
  EXPECT_EQ(v[200]->v, 999);
  cairn::vector<gc_ptr<node>> copy = v, moved = std::move(v);
  EXPECT_EQ(copy, moved);
  std::sort(copy.begin(), copy.end(), [](node* a, node* b) { return a->v > b->v; });
  EXPECT_EQ(copy[0]->v, 999);
  copy.assign(3, nullptr);
  EXPECT_TRUE(copy[2] == nullptr);
}

TEST(GcAllocator, ClearsWhatIsDestroyed) {
  cairn::vector<gc_ptr<node>> v;
  v.reserve(8);
  for (int i = 0; i < 8; ++i) v.push_back(make_gc<node>(i));
  const gc_ptr<node>* const words = v.data();
  v.pop_back();
  EXPECT_TRUE(words[7].get() == nullptr && words[6].get() != nullptr);
  v.clear();
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(words[i].get() == nullptr);
}

TEST(GcAllocator, GivesZeroedAlignedMemory) {
  struct alignas(128) line {
    std::uint64_t words[16];
  };
  for (std::size_t n : {std::size_t{1}, std::size_t{3}, std::size_t{100}, std::size_t{1000}}) {
    const gc_ptr<line> p = gc_allocator<line>().allocate(n);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p.get()) % 128, 0u);
    for (std::size_t i = 0; i < n; ++i)
      for (const std::uint64_t w : p[static_cast<std::ptrdiff_t>(i)].words) ASSERT_EQ(w, 0u);
  }
  EXPECT_THROW(static_cast<void>(gc_allocator<line>().allocate(SIZE_MAX / 64)), std::bad_array_new_length);
}

TEST(GcAllocator, ServesDequesAndStrings) {
  std::deque<gc_ptr<node>, gc_allocator<gc_ptr<node>>> d;
  for (int i = 0; i < 1000; ++i) {
    d.push_back(make_gc<node>(i));
    d.push_front(make_gc<node>(-i));
    if (i % 3 == 0) d.pop_front();
  }
  EXPECT_EQ(d.back()->v, 999);
  std::basic_string<char, std::char_traits<char>, gc_allocator<char>> s("a");
  for (int i = 0; i < 1000; ++i) s += "bc";
  EXPECT_EQ(s.size(), 2001u);
  cairn::vector<std::string> strings;
  for (int i = 0; i < 100; ++i) strings.push_back(std::string(static_cast<std::size_t>(i), 'x'));
  EXPECT_EQ(strings[99].size(), 99u);
}

#if __has_include(<boost/container/map.hpp>)
TEST(GcAllocator, ServesTheNodeContainersOfBoost) {
  boost::container::map<int, gc_ptr<node>, std::less<int>, gc_allocator<std::pair<const int, gc_ptr<node>>>> m;
  for (int i = 0; i < 1000; ++i) m[i * 7 % 1000] = make_gc<node>(i);
  for (int i = 0; i < 1000; i += 2) m.erase(i);
  ASSERT_EQ(m.size(), 500u);
  for (const auto& [k, p] : m) ASSERT_EQ(p->v * 7 % 1000, k);
  boost::container::list<gc_ptr<node>, gc_allocator<gc_ptr<node>>> l;
  for (int i = 0; i < 100; ++i) l.push_front(make_gc<node>(i));
  l.reverse();
  EXPECT_EQ(l.front()->v, 0);
  boost::container::flat_map<int, gc_ptr<node>, std::less<int>, gc_allocator<std::pair<int, gc_ptr<node>>>> f;
  for (int i = 100; i-- > 0;) f[i] = make_gc<node>(i);
  EXPECT_EQ(f.begin()->second->v, 0);
}
#endif

}  // namespace
