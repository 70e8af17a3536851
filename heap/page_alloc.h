// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The page allocator: which pages of the reservation are in use. Address-ordered first fit, which keeps the
// top of the heap empty, where the scavenger returns it.
//
// Two bits a page: in use, scavenged (its memory is with the os; meaningful while the page is free). A chunk
// is 512 pages: one cache line of each. Over the chunks lies a radix summary: a node says how many free pages
// its range starts with, ends with, and has at most in a row. Fan-out 8: a node's children are two cache
// lines, and a 1 TiB heap needs seven levels. Only as many levels are kept up to date as the grown part
// needs: three at 1 GiB.
//
// Beside it, for the scavenger, counts per unit of 2 MiB (256 pages, a huge page) and one bit a unit for "has
// free pages that are not scavenged" and for "so has it, and is wholly free".
//
//   pages_grown == pages_in_use + pages_free,   pages_scavenged <= pages_free summary(level 0, c) == that of
//   chunk c's bits;   summary(level l, i) == merge of (l - 1, 8i .. 8i + 7), l <= top level no page below
//   search_hint is free
//
// Not thread-safe: the caller holds the mheap's lock. All storage is reserved by init() and committed by
// grow(); nothing else calls the os.
#pragma once
#include <cstddef>
#include <cstdint>

#include "heap/page_cache.h"

namespace cairn::heap {

// Storage that is reserved whole and committed from its start as it is needed.
class growing_table {
 public:
  // A multiple of any physical page; raise -> fewer calls of the os, more memory that is never used.
  static constexpr std::size_t k_step_bytes = std::size_t{64} << 10;

  // `base` and `reserved_bytes` are multiples of k_step_bytes.
  void init(void* base, std::size_t reserved_bytes) noexcept;
  // The first `bytes` can be used afterwards, and were zero at first. False when the os refuses.
  [[nodiscard]] bool ensure(std::size_t bytes) noexcept;
  std::size_t committed_bytes() const noexcept { return committed_; }

 private:
  char* base_ = nullptr;
  std::size_t reserved_ = 0;
  std::size_t committed_ = 0;
};

class page_alloc {
 public:
  static constexpr std::size_t k_chunk_pages = 512;
  static constexpr std::size_t k_unit_pages = 256;
  static constexpr std::size_t k_max_pages = std::size_t{1} << 27;  // 1 TiB

  constexpr page_alloc() noexcept = default;
  page_alloc(const page_alloc&) = delete;
  page_alloc& operator=(const page_alloc&) = delete;

  // For a reservation of so many pages, at most k_max_pages. False when the os refuses.
  [[nodiscard]] bool init(std::size_t reserved_pages) noexcept;
  // Returns the storage; init() may follow. The tests' end.
  void destroy() noexcept;

  // Pages [first, first + count) come into being: free and scavenged, which is what committed and untouched
  // memory is. Both are multiples of k_chunk_pages, and `first` is not below what was grown before. False,
  // and nothing changed, when the os refuses.
  [[nodiscard]] bool grow(std::size_t first, std::size_t count) noexcept;

  // The lowest n adjacent free pages whose first is a multiple of `align_pages`, a power of two.
  [[nodiscard]] page_run alloc(std::size_t n, std::size_t align_pages = 1) noexcept;
  // Pages in use become free; any part of what was allocated.
  void free(std::size_t page, std::size_t n) noexcept;
  // The same for pages whose memory the os took back.
  void free_scavenged(std::size_t page, std::size_t n) noexcept;

  // The free pages of the lowest 64 that have any, all in use from now on. Empty when no page is free.
  [[nodiscard]] page_cache alloc_cache() noexcept;
  void free_cache(const page_cache& c) noexcept;

  std::size_t pages_grown() const noexcept { return pages_grown_; }
  std::size_t pages_in_use() const noexcept { return pages_in_use_; }
  std::size_t pages_free() const noexcept { return pages_free_; }
  std::size_t pages_scavenged() const noexcept { return pages_scavenged_; }
  // One past the last page grown.
  std::size_t end_page() const noexcept { return end_chunk_ * k_chunk_pages; }
  std::size_t committed_bytes() const noexcept;

  // For the scavenger. A unit is dense while more than k_dense_pages of its pages are in use; a dense one
  // would be filled again soon.
  static constexpr std::size_t k_dense_pages = 248;
  // A collection ended: units that were dense before the last one count as such no more.
  void next_cycle() noexcept { ++cycle_; }
  bool was_dense(std::size_t unit) const noexcept;
  // The highest unit below `limit` that is wholly free and not wholly scavenged; or has any free page that is
  // not. k_no_page: none.
  std::size_t highest_whole_unit(std::size_t limit) const noexcept;
  std::size_t highest_idle_unit(std::size_t limit) const noexcept;
  std::size_t unit_count() const noexcept { return end_page() / k_unit_pages; }
  // Takes out of `unit`: all of it if it is wholly free, else the highest run of free pages that are not
  // scavenged. A run begins and ends at multiples of `granule` pages, a power of two up to 64 (what of a
  // physical page is scavenged already goes with it). The pages are in use until free_scavenged() or free().
  // count 0: there is none.
  struct idle_run {
    std::size_t page = 0;
    std::size_t count = 0;
    std::size_t idle_pages = 0;  // of them not scavenged yet
  };
  [[nodiscard]] idle_run take_idle(std::size_t unit, std::size_t granule) noexcept;

  bool is_in_use(std::size_t page) const noexcept { return in_use_[page / 64] >> (page % 64) & 1; }
  bool is_scavenged(std::size_t page) const noexcept { return scavenged_[page / 64] >> (page % 64) & 1; }

  // Recomputes everything that is derived. Null, or the sentence that does not hold.
  const char* broken_invariant() const noexcept;
  // Aborts with it. Check level 3.
  void check_invariants() const noexcept;

 private:
  static constexpr int k_levels = 7;
  static constexpr std::size_t k_fan_out = 8;
  static constexpr std::size_t k_tables = 5 + k_levels;
  // Aligned so that it is copied whole; with 12 bytes a node's update costs twice as much.
  struct alignas(16) summary {
    std::uint32_t start = 0, most = 0, end = 0;  // free pages in a row: at the start, at most, at the end
    bool operator==(const summary&) const = default;
  };
  struct unit_info {
    std::uint16_t free = 0;         // 0 also before the unit is grown
    std::uint16_t idle = 0;         // of them not scavenged
    std::uint16_t dense_cycle = 0;  // cycle_ when last seen dense; wraps, which costs a needless skip
    std::uint16_t unused = 0;
  };
  static_assert(sizeof(unit_info) == 8);

  static constexpr std::size_t level_pages(int level) noexcept { return k_chunk_pages << (3 * level); }
  static summary summarize(const std::uint64_t* words) noexcept;
  static summary merge(const summary* children, std::size_t child_pages) noexcept;
  void update_summaries(std::size_t first_chunk, std::size_t last_chunk, bool all_levels) noexcept;
  void update_parents(std::size_t first_chunk, std::size_t last_chunk, bool all_levels) noexcept;
  enum class change : bool { taken, freed };
  void update_after(change what, std::size_t page, std::size_t n) noexcept;
  summary summary_less(std::size_t chunk, std::size_t at, std::size_t n) const noexcept;
  summary summary_more(std::size_t chunk, std::size_t at, std::size_t n) const noexcept;

  std::size_t find(std::size_t n, std::size_t from) const noexcept;
  std::size_t find_aligned(std::size_t n, std::size_t align_pages) const noexcept;

  enum class density : bool { ignore, note };
  std::size_t mark_used(std::size_t page, std::size_t n, density d) noexcept;
  void mark_free(std::size_t page, std::size_t n, bool scavenged, density d) noexcept;
  void count_unit(std::size_t unit, std::ptrdiff_t free_delta, std::ptrdiff_t idle_delta, density d) noexcept;
  void release(std::size_t page, std::size_t n, bool scavenged, density d) noexcept;
  static void table_sizes(std::size_t chunks, int top_level, std::size_t (&bytes)[k_tables]) noexcept;
  const char* broken_unit() const noexcept;
  const char* broken_summary() const noexcept;

  std::uint64_t* in_use_ = nullptr;
  std::uint64_t* scavenged_ = nullptr;
  summary* summary_[k_levels] = {};
  unit_info* units_ = nullptr;
  std::uint64_t* idle_units_ = nullptr;
  std::uint64_t* whole_units_ = nullptr;

  std::size_t search_hint_ = 0;
  std::size_t end_chunk_ = 0;  // one past the last chunk grown
  int top_level_ = 0;          // the lowest level one node of which covers all that was grown
  std::uint16_t cycle_ = 2;    // ahead of what zeroed units say
  std::size_t pages_grown_ = 0;
  std::size_t pages_in_use_ = 0;
  std::size_t pages_free_ = 0;
  std::size_t pages_scavenged_ = 0;

  // What the pointers above point to: in use, scavenged, units, idle units, whole units, then the levels.
  growing_table tables_[k_tables];
  void* storage_ = nullptr;
  std::size_t storage_bytes_ = 0;
  std::size_t reserved_pages_ = 0;
};

}  // namespace cairn::heap
