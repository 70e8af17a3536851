// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Raw links are not seen by the barrier.
// expect: gc_allocator cannot make safe: use boost::container::list
#include <cairn/allocator.h>

#include <list>

#ifdef GOOD
auto f() { return cairn::vector<int>(3); }
#else
auto f() { return std::list<int, cairn::gc_allocator<int>>(3); }
#endif
