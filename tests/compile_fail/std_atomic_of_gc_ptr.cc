// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A std::atomic would store without the barrier.
// expect: trivially copyable
#include <cairn/gc_atomic.h>

struct node {
  cairn::gc_ptr<node> next;
};

#ifdef GOOD
cairn::gc_atomic<node> a;
#else
std::atomic<cairn::gc_ptr<node>> a;
#endif
