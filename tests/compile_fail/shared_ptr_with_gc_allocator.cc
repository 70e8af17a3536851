// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Raw links are not seen by the barrier.
// expect: gc_allocator cannot make safe: use boost::container::list
#include <cairn/allocator.h>

#include <memory>

#ifdef GOOD
auto f() { return std::allocate_shared<int>(std::allocator<int>()); }
#else
auto f() { return std::allocate_shared<int>(cairn::gc_allocator<int>()); }
#endif
