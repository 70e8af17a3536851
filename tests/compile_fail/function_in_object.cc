// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a std::function captures is in memory that the collector does not know.
// expect: a std::function in a collected object can hold a gc_ptr where the collector would lose it
#include <functional>
#include <optional>

#include <cairn/make_gc.h>

struct holder {
#ifdef GOOD
  std::optional<int (*)(int)> call;
#else
  std::optional<std::function<int(int)>> call;
#endif
  cairn::gc_ptr<holder> next;
};
auto f() { return cairn::make_gc<holder>(); }
