// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The address space of the managed heap: one contiguous reservation and the side tables that describe its pages.
//
//   heap        [base, base + reserved)   committed in arenas of 64 MiB, in address order, never given up
//   info        4 B a page     span class, and the distance to the span's first page
//   spans       8 B a page     the mspan, valid at a span's first page
//   masks       8 B a page     which words of the span's objects may be pointers, valid at the first page
//   bits        512 B a page   mark, allocation and destructor bits of the span's objects, at the first page
//
// "Is this word a heap pointer" is a subtraction and a comparison with `committed`; the page is one shift; everything
// else of an object (its span's first page, class, index, mark bit) follows from `info` without touching an mspan.
//
// Bits lie in groups of 64 objects. Of an arena's pages first all groups 0 come, 32 B a page, then all groups
// 1, up to the 16 groups of a page of 8 byte objects: so the bits of larger objects, of which a page has one
// group or two, are neighbours in cache lines and in the system's pages, and memory for higher groups is
// touched only where there are any.
//
// Rejected: all groups of a page side by side (of 1 GiB of objects of 128 B the bits lay in 8192 pages of the system
// instead of 1024, and in a quarter of a cache's sets; a mark of a random graph took a seventh longer);
// bits at the tail of each page (they cost the power-of-two classes a slot or more and put every page's bits
// into the same few cache sets); a bitmap of one bit per 8 or 16 bytes of heap (no multiplication, but a span's bits
// spread over up to 128 bytes, whatever its class, and large objects waste theirs); one line of mark bits and one of
// allocation bits a page (marking an object touches both; grouped by 64 objects they share a line, and all the bits of
// a span of 128 objects fit in one).
//
// Memory that was committed reads as zero until it is written, so tables need no initialisation.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/size_class.h"
#include "heap/os.h"

namespace cairn::heap {

using detail::k_page_bytes;
using detail::k_page_shift;

class mspan;

inline constexpr std::size_t k_arena_pages = k_arena_bytes / k_page_bytes;
inline constexpr unsigned k_page_groups = 16;  // of 64 objects: 1024, what a page of 8 byte objects has

// The bits of 64 neighbouring objects of a span.
//
// An object is marked if its bit is set in either mark word. `mark` belongs to one marker, that of the thread which
// runs the cycle: it alone writes it while marking, with plain stores, a fifth of the time that a locked instruction
// takes. Everybody else (helpers, assists, allocation of what is born marked) sets bits in `mark_shared`, atomically.
// An object that two of them find at once is scanned twice, which does no harm. No mark is cleared while the barrier
// is on: a plain store could bring it back.
struct bit_group {
  std::atomic<std::uint64_t> mark;
  std::atomic<std::uint64_t> mark_shared;
  std::atomic<std::uint64_t> alloc;  // Owner: the span's; see heap/mspan.h.
  std::atomic<std::uint64_t> armed;  // A destructor is still to run. Any thread, atomically.

  std::uint64_t marked(std::memory_order order = std::memory_order_relaxed) const noexcept {
    return mark.load(order) | mark_shared.load(order);
  }
  // The span's owner, outside of marking.
  void clear_marks() noexcept {
    if (mark.load(std::memory_order_relaxed) != 0) mark.store(0, std::memory_order_relaxed);
    if (mark_shared.load(std::memory_order_relaxed) != 0) mark_shared.store(0, std::memory_order_relaxed);
  }
};
static_assert(sizeof(bit_group) == 32);

// A page's entry in `info`. 0: the page belongs to no span.
//   bits 0-7   span class + 1
//   bits 8-31  pages back to the span's first page; the largest value means "at least so many": look again there
struct page_info {
  static constexpr std::uint32_t k_far = 0xffffff;
  std::uint32_t word;

  static constexpr page_info make(unsigned span_class, std::size_t distance) noexcept {
    return {(span_class + 1) | static_cast<std::uint32_t>(distance < k_far ? distance : k_far) << 8};
  }
  constexpr bool in_use() const noexcept { return word != 0; }
  constexpr unsigned span_class() const noexcept { return (word & 0xff) - 1; }
  constexpr std::uint32_t distance() const noexcept { return word >> 8; }
};

struct space {
  std::uintptr_t base = 0;                // Immutable after init.
  std::size_t reserved = 0;               // Immutable after init.
  std::atomic<std::size_t> committed{0};  // Bytes usable from base. Written under the mheap's lock, only grows.

  // Immutable after init (the tables' addresses). info and masks: written by whoever makes the span, before its first
  // object is handed out; read by markers at any time.
  std::atomic<std::uint32_t>* info = nullptr;
  std::atomic<mspan*>* spans = nullptr;
  std::atomic<std::uint64_t>* masks = nullptr;
  bit_group* bits = nullptr;

  // Reserves heap and tables; as much as the address space allows. False: not even one arena.
  bool init() noexcept;
  // Commits the next arena with its part of every table. False: refused by the system or at the end of the
  // reservation, and nothing has changed.
  bool commit_arena() noexcept;

  bool contains(std::uintptr_t a) const noexcept {
    return a - base <
           committed.load(std::memory_order_relaxed);  // a stale value misses only what is just being made
  }
  std::size_t page_of(std::uintptr_t a) const noexcept { return (a - base) >> k_page_shift; }
  std::uintptr_t page_address(std::size_t page) const noexcept { return base + (page << k_page_shift); }
  std::size_t committed_pages() const noexcept {
    return committed.load(std::memory_order_acquire) >> k_page_shift;
  }

  page_info info_of(std::size_t page) const noexcept {
    // Pairs with the fence at the end of mcache's refill and allocate_large: who got a pointer to an object sees its
    // span's entry, at an address that depends on that pointer.
    return {info[page].load(std::memory_order_relaxed)};
  }
  // First page of the span that `page` lies in; `i` is the entry of `page`, in use.
  std::size_t first_page(std::size_t page, page_info i) const noexcept {
    while (i.distance() == page_info::k_far) [[unlikely]] {
        page -= page_info::k_far;
        i = info_of(page);
      }
    return page - i.distance();
  }
  mspan* span_at(std::size_t first) const noexcept { return spans[first].load(std::memory_order_acquire); }

  // The bits of object `index`, and its 63 neighbours, of the span whose first page is `first`.
  bit_group& group_of(std::size_t first, unsigned index) const noexcept {
    constexpr std::size_t k_skipped = (k_page_groups - 1) * k_arena_pages;  // for each arena before
    return bits[first + first / k_arena_pages * k_skipped + index / 64 * k_arena_pages];
  }
};

extern space g_space;

// Where an address points: an object of a span, whether it is allocated or not.
struct object_ref {
  std::uintptr_t base = 0;  // the object's first byte
  std::size_t first = 0;    // its span's first page
  unsigned span_class = 0;
  unsigned index = 0;
};

// The object that `a` points into. False: `a` is not in the heap, in no span, or in the unused tail of one.
inline bool find_object(std::uintptr_t a, object_ref& out) noexcept {
  const space& s = g_space;
  if (!s.contains(a)) return false;
  const std::size_t page = s.page_of(a);
  const page_info info = s.info_of(page);
  if (!info.in_use()) return false;
  const std::size_t first = s.first_page(page, info);
  const std::uintptr_t start = s.page_address(first);
  const unsigned sc = info.span_class(), size_class = sc >> 1;
  unsigned index = 0;
  if (size_class != 0) {
    index = static_cast<unsigned>((a - start) * detail::k_class_reciprocal[size_class] >> 32);
    if (index >= detail::class_objects(size_class)) return false;
  }
  out = {start + index * std::size_t{detail::k_class_bytes[size_class]}, first, sc, index};
  return true;
}

inline std::uint64_t bit_of(unsigned index) noexcept { return std::uint64_t{1} << (index % 64); }

inline bool is_allocated(const object_ref& o) noexcept {
  return (g_space.group_of(o.first, o.index).alloc.load(std::memory_order_relaxed) & bit_of(o.index)) != 0;
}
inline bool is_marked(const object_ref& o, std::memory_order order = std::memory_order_relaxed) noexcept {
  return (g_space.group_of(o.first, o.index).marked(order) & bit_of(o.index)) != 0;
}

}  // namespace cairn::heap
