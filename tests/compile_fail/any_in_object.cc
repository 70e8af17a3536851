// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A std::any may hold a gc_ptr in memory that the collector does not know. Referring to one elsewhere is fine.
// expect: a std::any in a collected object can hold a gc_ptr where the collector would lose it
#include <any>

#include <cairn/make_gc.h>

std::any elsewhere;
struct holder {
  int n;
#ifdef GOOD
  std::any& value;
#else
  std::any value;
#endif
};
auto f() { return cairn::make_gc<holder>(3, elsewhere); }
