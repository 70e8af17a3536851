// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Arrays are slices.
// expect: for an array use make_gc_array<T>(n)
#include <cairn/make_gc.h>

#ifdef GOOD
auto f() { return cairn::make_gc_array<int>(3); }
#else
auto f() { return cairn::make_gc<int[3]>(); }
#endif
