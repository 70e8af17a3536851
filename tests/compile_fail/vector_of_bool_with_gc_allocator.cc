// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Its iterators and ends are raw pointers.
// expect: std::vector<bool> keeps raw pointers to its words
#include <cairn/allocator.h>

#ifdef GOOD
auto f() { return cairn::vector<char>(3); }
#else
auto f() { return cairn::vector<bool>(3); }
#endif
