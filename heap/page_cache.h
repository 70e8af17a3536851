// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// 64 aligned pages, taken out of the page allocator together, from which one thread allocates without a lock.
// Owner: the P or attached thread that holds it.
//
//   scavenged & ~free == 0
#pragma once
#include <cstddef>
#include <cstdint>

namespace cairn::heap {

class page_alloc;

inline constexpr std::size_t k_no_page = ~std::size_t{0};

struct page_run {
  std::size_t page = k_no_page;  // the first
  // So many of the pages had been returned to the os: when it is all of them, the run is zero.
  std::size_t scavenged_pages = 0;
  explicit operator bool() const noexcept { return page != k_no_page; }
};

struct page_cache {
  static constexpr std::size_t k_pages = 64;
  // Longer runs go to the page allocator: the cache would rarely hold one.
  static constexpr std::size_t k_max_run_pages = 16;

  std::size_t base = 0;         // the first page, a multiple of 64
  std::uint64_t free = 0;       // bit i: page base + i is ours to give
  std::uint64_t scavenged = 0;  // bit i: and is scavenged

  bool empty() const noexcept { return free == 0; }
  // The lowest run of n pages, 0 < n <= 64.
  [[nodiscard]] page_run alloc(std::size_t n) noexcept;
  // Returns what is left. The caller holds the lock of `pages`.
  void flush(page_alloc& pages) noexcept;
};

}  // namespace cairn::heap
