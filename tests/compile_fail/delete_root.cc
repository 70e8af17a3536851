// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The collector frees: delete of a root is refused.
// expect: ambiguous
#include <cairn/root.h>

struct node {
  cairn::gc_ptr<node> next;
};

#ifdef GOOD
void f(cairn::root<node> p) { p.reset(); }
#else
void f(cairn::root<node> p) { delete p; }
#endif
