// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A gc_ptr<const T> does not become a gc_ptr<T>.
// expect: gc_ptr<const node>
#include <cairn/gc_ptr.h>

struct node {
  cairn::gc_ptr<node> next;
};

#ifdef GOOD
cairn::gc_ptr<const node> f(cairn::gc_ptr<const node> p) { return p; }
#else
cairn::gc_ptr<node> f(cairn::gc_ptr<const node> p) { return p; }
#endif
