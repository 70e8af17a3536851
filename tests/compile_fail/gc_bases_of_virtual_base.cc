// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Where a virtual base lies is known only of an object that exists.
// expect: CAIRN_GC_BASES is for bases that are not virtual
#include <cairn/gc_ptr.h>
#include <cairn/make_gc.h>

struct base {
  cairn::gc_ptr<base> next;
};
#ifdef GOOD
class derived : base {
#else
class derived : virtual base {
#endif
  CAIRN_GC_FIELDS(derived, own_)
  CAIRN_GC_BASES(derived, base)
  cairn::gc_ptr<base> own_;
};
auto f() { return cairn::make_gc<derived>(); }
