// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Reserving the heap and its side tables, and committing them arena by arena. See heap/space.h.
#include "heap/space.h"

#include "heap/private.h"

namespace cairn::heap {

CAIRN_PRIVATE constinit space g_space;

namespace {

constexpr std::size_t k_bit_bytes = k_page_groups * sizeof(bit_group);
constexpr std::size_t k_bytes_per_page = 4 + 8 + 8 + k_bit_bytes;

// The part of a table that describes one arena is a whole number of system pages for every entry size.
static_assert(4 * k_arena_pages % 4096 == 0);

}  // namespace

bool space::init() noexcept {
  const reservation r = reserve_heap();
  if (r.base == nullptr) return false;
  const std::size_t pages = r.bytes / k_page_bytes;
  auto* tables = static_cast<char*>(the_os().reserve(pages * k_bytes_per_page, k_arena_bytes, nullptr));
  if (tables == nullptr) {
    the_os().release(r.base, r.bytes);
    return false;
  }
  auto cut = [&tables, pages]<class T>(T*& table, std::size_t bytes_per_page = sizeof(T)) {
    table = reinterpret_cast<T*>(tables);
    tables += pages * bytes_per_page;
  };
  cut(bits, k_bit_bytes);  // the aligned ones first
  cut(spans);
  cut(masks);
  cut(info);
  base = reinterpret_cast<std::uintptr_t>(r.base);
  reserved = r.bytes;
  return true;
}

bool space::commit_arena() noexcept {
  const std::size_t done = committed.load(std::memory_order_relaxed);
  if (done + k_arena_bytes > reserved) return false;
  auto commit_part = [first = done / k_page_bytes]<class T>(T* table, std::size_t entries = 1) {
    return the_os().commit(table + first * entries, k_arena_pages * entries * sizeof(T));
  };
  // A table whose part was committed when a later one is refused stays so; committing it again changes nothing.
  if (!commit_part(bits, k_page_groups) || !commit_part(spans) || !commit_part(masks) || !commit_part(info))
    return false;
  if (!the_os().commit(reinterpret_cast<void*>(base + done), k_arena_bytes)) return false;
  // Pairs with committed_pages; contains() may use a stale value.
  committed.store(done + k_arena_bytes, std::memory_order_release);
  return true;
}

}  // namespace cairn::heap
