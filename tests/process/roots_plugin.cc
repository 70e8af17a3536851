// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A library that is loaded and unloaded while the program runs. Its static data holds pointers; its thread-
// local data, which the collector does not see in such a library, holds a root.
#include <cairn/cairn.h>

#include <chrono>
#include <thread>

// Hidden, so that the compiler makes no symbols of it that would keep the library from being unloaded.
#pragma GCC visibility push(hidden)
#include "api/support.h"
#pragma GCC visibility pop

namespace {

cairn::gc_ptr<cairn_test::cell> in_bss;
struct {
  std::uint64_t number = 0x1234;
  cairn::gc_ptr<cairn_test::cell> p;
} in_data;
cairn::gc_ptr<cairn_test::cell> table[5000];
thread_local cairn::root<cairn_test::cell> in_thread;

}  // namespace

extern "C" void fill_plugin(std::uint64_t n) {
  in_bss = cairn_test::make_list(n, 50);
  in_data.p = cairn_test::make_list(n + 1, 50);
  for (std::uint64_t i = 0; i < 5000; i += 7) table[i] = cairn_test::make_cell(n + i);
}
extern "C" bool plugin_is(std::uint64_t n) {
  bool good = cairn_test::is_list(in_bss, n, 50) && cairn_test::is_list(in_data.p, n + 1, 50) &&
              in_data.number == 0x1234;
  for (std::uint64_t i = 0; i < 5000; i += 7) good = good && table[i]->is(n + i);
  return good;
}
extern "C" void fill_thread(std::uint64_t n) { in_thread = cairn_test::make_list(n + 2, 50); }
extern "C" bool thread_is(std::uint64_t n) { return cairn_test::is_list(in_thread, n + 2, 50); }
extern "C" void* plugin_cell() { return in_bss; }
