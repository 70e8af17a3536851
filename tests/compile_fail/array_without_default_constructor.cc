// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Arrays are value-initialised up to their capacity.
// expect: give the type a default constructor
#include <cairn/make_gc.h>

struct needs_a_number {
  explicit needs_a_number(int) {}
};

#ifdef GOOD
auto f() { return cairn::make_gc_array<cairn::gc_ptr<needs_a_number>>(3); }
#else
auto f() { return cairn::make_gc_array<needs_a_number>(3); }
#endif
