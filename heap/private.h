// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What of the library's own static data the scan of static data leaves out.
//
// CAIRN_PRIVATE: for variables that hold heap addresses of their own (the heap's base, cursors), which would keep
// objects alive. They lie in one section.
//
// private_table: for large tables that are zero at first, and hold no heap addresses at all. In that section they would
// lie in the file whole; left in they would be scanned by every cycle, three megabytes, and the goal grow by as much. A
// constant object beside the table tells of it when the library is loaded, by its constructor. A cycle before that
// looks at the table in vain, and that is all.
#pragma once
#include <cstddef>

#define CAIRN_PRIVATE [[gnu::section("cairn_state")]]

extern "C" char __start_cairn_state[] __attribute__((visibility("hidden")));
extern "C" char __stop_cairn_state[] __attribute__((visibility("hidden")));

namespace cairn::heap {

class private_table {
 public:
  template <class T, std::size_t N>
  explicit private_table(T (&table)[N]) noexcept : from_(&table), bytes_(sizeof table), next_(first_) {
    first_ = this;
  }
  private_table(const private_table&) = delete;
  private_table& operator=(const private_table&) = delete;

  // f(from, bytes) for each table.
  template <class F>
  static void for_each(F&& f) {
    for (const private_table* t = first_; t != nullptr; t = t->next_) f(t->from_, t->bytes_);
  }

 private:
  static const private_table* first_;  // Written by constructors only, while the library is loaded.

  const void* from_;
  std::size_t bytes_;
  const private_table* next_;
};

}  // namespace cairn::heap
