// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The elements of a cairn::vector lie in a collected object.
// expect: a std::any in a collected object can hold a gc_ptr where the collector would lose it
#include <any>
#include <vector>

#include <cairn/allocator.h>

#ifdef GOOD
void f(std::vector<std::any>& v) { v.emplace_back(); }
#else
void f(cairn::vector<std::any>& v) { v.emplace_back(); }
#endif
