// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Which of the two types was meant has to be said.
// expect: gc_ptr<node>
#include <cairn/gc_ptr.h>

struct node {
  cairn::gc_ptr<node> next;
};

#ifdef GOOD
node* f(bool b, cairn::gc_ptr<node> p, node* n) { return b ? p.get() : n; }
#else
node* f(bool b, cairn::gc_ptr<node> p, node* n) { return b ? p : n; }
#endif
