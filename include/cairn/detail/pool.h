// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What sync::pool<T> is made of, whatever T is; gc/pool.cc. Internal.
#pragma once
#include <cstdint>

namespace cairn::detail {

struct pool_table;

// A collected object, known to the collector from the first object that is put in until its destructor has run.
struct pool_core {
  pool_core() noexcept = default;
  ~pool_core();
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;

  pool_table* current = nullptr;   // what was put in since the last cycle began
  pool_table* previous = nullptr;  // and before that: the next one drops it
  // In the list of all, as the complements of their addresses; owner: gc/pool.cc.
  std::uintptr_t next = 0, before = 0;
  bool is_known = false;
};

// On an attached thread.
void* take_from_pool(pool_core& pool) noexcept;  // null: there is nothing
void put_into_pool(pool_core& pool, void* object);

}  // namespace cairn::detail
