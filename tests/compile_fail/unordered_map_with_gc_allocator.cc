// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Raw links are not seen by the barrier.
// expect: gc_allocator cannot make safe: use boost::container::list
#include <cairn/allocator.h>

#include <unordered_map>

template <class A>
using map = std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, A>;

#ifdef GOOD
void f(map<std::allocator<std::pair<const int, int>>>& m) { m[1] = 2; }
#else
void f(map<cairn::gc_allocator<std::pair<const int, int>>>& m) { m[1] = 2; }
#endif
