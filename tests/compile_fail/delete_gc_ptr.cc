// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The collector frees: delete of a gc_ptr is refused.
// expect: ambiguous
#include <cairn/gc_ptr.h>

struct node {
  cairn::gc_ptr<node> next;
};

#ifdef GOOD
void f(cairn::gc_ptr<node> p) { p.reset(); }
#else
void f(cairn::gc_ptr<node> p) { delete p; }
#endif
