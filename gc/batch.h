// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The three steps that a batch of candidates goes through, each as a kernel: find where their objects lie, leave out
// those that are marked, and scan those that were marked (gc/mark.h has the whole).
//
// A random graph has four candidates for each object that is marked, and each of them takes some fifty
// instructions one at a time. With AVX-512 eight go through them at once: the tables are gathered from, and
// what counts is packed to the front, so that no branch depends on what is marked. Every kernel gives the
// scalar one's result (tests/gc/batch_test.cc); the best is chosen when the runtime starts.
//
// The bits are read as they are at some time during the step, by plain loads of whole words: who marks looks again
// (marker::set_mark). The scalar `unmarked` leaves nothing out, for its loop would cost what it saves.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gc/fields.h"
#include "heap/space.h"

namespace cairn::gc {

inline constexpr unsigned k_batch = 32;
inline constexpr unsigned k_lanes = 8;  // what a kernel may write beyond what it says

// Entries of a marker's stack are candidates' addresses, the low bits of which are 0 but for these.
inline constexpr std::uintptr_t k_oblet_tag = 1;
// From a stack: the address may also be one past the end of an array.
inline constexpr std::uintptr_t k_stack_tag = 2;
inline constexpr std::uintptr_t k_entry_tags = k_oblet_tag | k_stack_tag;

// The objects that candidates point to.
struct found_batch {
  alignas(64) std::uint64_t address[k_batch + k_lanes];
  alignas(64) heap::bit_group* bits[k_batch + k_lanes];
  alignas(64) std::uint64_t where[k_batch + k_lanes];  // first page, index, span class

  std::size_t first(unsigned i) const noexcept { return static_cast<std::uint32_t>(where[i]); }
  unsigned index(unsigned i) const noexcept { return static_cast<std::uint16_t>(where[i] >> 32); }
  unsigned span_class(unsigned i) const noexcept { return static_cast<unsigned>(where[i] >> 48); }
};

// One that was marked and is to be scanned: `mask` names its words.
struct grey {
  std::uintptr_t address;
  std::uint64_t mask;
};

struct batch_kernels {
  const char* name;
  // Takes candidates from the top, [from, to), and adds their objects behind the n that `out` has; prefetches
  // their bits. Stops when the batch is full, at an entry with a tag, and may stop sooner: the next entry is
  // then for find_one.
  unsigned (*find)(const std::uintptr_t* from, const std::uintptr_t*& to, found_batch& out,
                   unsigned n) noexcept;
  // Packs those that may have to be marked to the front, in their order. Returns how many there are.
  unsigned (*unmarked)(found_batch& batch, unsigned n) noexcept;
  // Pushes what the named words of n objects point to, if it lies in the heap. Returns the new top.
  std::uintptr_t* (*scan)(const grey* from, unsigned n, std::uintptr_t* top) noexcept;
};

// Those that this processor can run, the scalar ones first, the best last.
std::span<const batch_kernels> all_batch_kernels() noexcept;

// The best. Immutable after choose_batch_kernels, which runs when the runtime starts.
extern batch_kernels batching;
void choose_batch_kernels() noexcept;

// Adds the object that the entry, without a tag, points into. False: there is none.
[[gnu::always_inline]] inline bool find_one(std::uintptr_t entry, found_batch& out, unsigned n) noexcept {
  const heap::space& s = heap::g_space;
  const std::size_t page = s.page_of(entry);
  const heap::page_info info = s.info_of(page);
  if (!info.in_use()) return false;
  const std::size_t first = s.first_page(page, info);
  const unsigned span_class = info.span_class(), size_class = span_class / 2;
  const std::uintptr_t start = s.page_address(first);
  // A candidate in the unused tail of a span has an index beyond its slots, whose allocation bit is never set; of the
  // 8 byte class there is no tail. Large objects' reciprocal is 0, and so is their index.
  const std::size_t index = (entry - start) * detail::k_class_reciprocal[size_class] >> 32;
  out.address[n] = start + index * detail::k_class_bytes[size_class];
  out.bits[n] = &s.group_of(first, static_cast<unsigned>(index));
  out.where[n] = first | index << 32 | static_cast<std::uint64_t>(span_class) << 48;
  __builtin_prefetch(out.bits[n]);
  return true;
}

}  // namespace cairn::gc
