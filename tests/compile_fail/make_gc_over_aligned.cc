// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// No alignment above half a heap page.
// expect: Cairn aligns objects up to 4096 bytes
#include <cairn/make_gc.h>

template <int Align>
struct alignas(Align) page {
  char bytes[64];
};

#ifdef GOOD
auto f() { return cairn::make_gc<page<4096>>(); }
#else
auto f() { return cairn::make_gc<page<8192>>(); }
#endif
