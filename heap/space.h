// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The address space of the managed heap: one contiguous reservation and the side tables that describe its pages.
//
//   heap        [base, base + reserved)   committed in arenas of 64 MiB, in address order, never given up
//   info        4 B a page     span class, and the distance to the span's first page
//   spans       8 B a page     the mspan, valid at a span's first page
//   masks       8 B a page     which words of the span's objects may be pointers, valid at the first page
//   bits        128 B a page   mark and allocation bits of the span's objects, at the first page: one cache line each
//   high_bits   128 B a page   the same for objects 512 to 1023, which only the 8 byte class has
//   armed       64 B a page    objects with a destructor still to run, at the first page, and
//   high_armed  64 B a page    their upper half
//
// "Is this word a heap pointer" is a subtraction and a comparison with `committed`; the page is one shift; everything
// else of an object (its span's first page, class, index, mark bit) follows from `info` without touching an mspan.
//
// Rejected: bits at the tail of each page (they cost the power-of-two classes a slot or more and put every page's bits
// into the same few cache sets); a bitmap of one bit per 8 or 16 bytes of heap (no multiplication, but a span's bits
// spread over up to 128 bytes, whatever its class, and large objects waste theirs).
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
inline constexpr unsigned k_line_words = 8;  // 64-bit words of one line of bits: 512 objects

// One line of mark bits beside one line of allocation bits.
struct alignas(64) page_bits {
  std::atomic<std::uint64_t> mark[k_line_words];
  std::atomic<std::uint64_t> alloc[k_line_words];
};
struct alignas(64) armed_bits {
  std::atomic<std::uint64_t> word[k_line_words];
};
static_assert(sizeof(page_bits) == 128 && sizeof(armed_bits) == 64);

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
  page_bits* bits = nullptr;
  page_bits* high_bits = nullptr;
  armed_bits* armed = nullptr;
  armed_bits* high_armed = nullptr;

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
    // Pairs with the release in mheap::publish: who got a pointer to an object sees its span's entry.
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

  // The words that hold bit `index` of the span whose first page is `first`.
  page_bits& line_of(std::size_t first, unsigned index) const noexcept {
    return index < 64 * k_line_words ? bits[first] : high_bits[first];
  }
  std::atomic<std::uint64_t>& mark_word(std::size_t first, unsigned index) const noexcept {
    return line_of(first, index).mark[index / 64 % k_line_words];
  }
  std::atomic<std::uint64_t>& alloc_word(std::size_t first, unsigned index) const noexcept {
    return line_of(first, index).alloc[index / 64 % k_line_words];
  }
  std::atomic<std::uint64_t>& armed_word(std::size_t first, unsigned index) const noexcept {
    return (index < 64 * k_line_words ? armed[first] : high_armed[first]).word[index / 64 % k_line_words];
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

inline bool test_bit(const std::atomic<std::uint64_t>& word, unsigned index) noexcept {
  return word.load(std::memory_order_relaxed) >> (index % 64) & 1;
}
inline std::uint64_t bit_of(unsigned index) noexcept { return std::uint64_t{1} << (index % 64); }

}  // namespace cairn::heap
