// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRN_GC_FIELDS says that there are no other pointers; a base with CAIRN_GC_BASES says that there are.
// expect: a base of this class has CAIRN_GC_BASES
#include <cairn/gc_ptr.h>
#include <cairn/make_gc.h>

struct base {
  cairn::gc_ptr<base> next;
};
struct middle : base {
  middle() {}
  CAIRN_GC_FIELDS(middle)
  CAIRN_GC_BASES(middle, base)
};
struct derived : middle {
  derived() {}
  cairn::gc_ptr<base> own;
  CAIRN_GC_FIELDS(derived, own)
#ifdef GOOD
  CAIRN_GC_BASES(derived, middle)
#endif
};
auto f() { return cairn::make_gc<derived>(); }
