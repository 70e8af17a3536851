// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A slice of const elements is not written to.
// expect: append
#include <cairn/gc_slice.h>

#ifdef GOOD
cairn::gc_slice<int> f(cairn::gc_slice<int> s) { return s.append(3); }
#else
cairn::gc_slice<const int> f(cairn::gc_slice<const int> s) { return s.append(3); }
#endif
