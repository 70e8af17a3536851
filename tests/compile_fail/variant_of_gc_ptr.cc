// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The words of a std::variant change their meaning while the collector looks at them. Seen through members, arrays and
// the standard's pairs.
// expect: a std::variant that can hold a gc_ptr must not lie in a collected object
#include <array>
#include <string>
#include <utility>
#include <variant>

#include <cairn/make_gc.h>
#include <cairn/root.h>

struct node {
  cairn::gc_ptr<node> next;
};
#ifdef GOOD
using part = std::variant<int, std::string, cairn::root<node>>;
#else
using part = std::variant<int, std::string, std::pair<int, node>>;
#endif
struct holder {
  int n;
  std::array<std::pair<int, part>, 2> parts;
};
auto f() { return cairn::make_gc<holder>(); }
