// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Runs and the sweep of one span. See heap/mspan.h.
#include "heap/mspan.h"

#include <bit>
#include <cstring>

#include "cairn/detail/assert.h"
#include "heap/mheap.h"

namespace cairn::heap {
namespace {

// Bits [from, to) of word w.
std::uint64_t range_mask(unsigned w, unsigned from, unsigned to) noexcept {
  const unsigned lo = from > 64 * w ? from - 64 * w : 0;
  const unsigned hi = to < 64 * (w + 1) ? to - 64 * w : 64;
  const std::uint64_t below_hi = hi == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << hi) - 1;
  return below_hi & ~((std::uint64_t{1} << lo) - 1);
}

// The first slot at or after `index` whose allocation bit is `value`, or n_slots.
unsigned next_with(const mspan& s, unsigned index, bool value) noexcept {
  while (index < s.n_slots) {
    std::uint64_t word = s.group(index / 64).alloc.load(std::memory_order_relaxed);
    if (!value) word = ~word;
    word >>= index % 64;
    if (word != 0) {
      const unsigned found = index + static_cast<unsigned>(std::countr_zero(word));
      return found < s.n_slots ? found : s.n_slots;
    }
    index = (index / 64 + 1) * 64;
  }
  return s.n_slots;
}

// Debugging aid: what a freed object holds with clobberfree=1.
void clobber_dead(const mspan& s, unsigned w, std::uint64_t dead) noexcept {
  for (; dead != 0; dead &= dead - 1) {
    const unsigned index = 64 * w + static_cast<unsigned>(std::countr_zero(dead));
    fill_dead(reinterpret_cast<void*>(s.slot_address(index)), s.elem_bytes);
  }
}

}  // namespace

unsigned mspan::take_run(std::size_t most_bytes, unsigned& index) noexcept {
  const unsigned from = next_with(*this, free_index, false);
  if (from == n_slots) {
    free_index = n_slots;
    return 0;
  }
  unsigned to = next_with(*this, from, true);
  const auto most = static_cast<unsigned>(most_bytes / elem_bytes);
  if (to - from > most) to = from + (most > 0 ? most : 1);
  for (unsigned w = from / 64; 64 * w < to; ++w) {
    auto& word = group(w).alloc;  // plain read and write: the owner alone writes allocation bits
    word.store(word.load(std::memory_order_relaxed) | range_mask(w, from, to), std::memory_order_relaxed);
  }
  free_index = static_cast<std::uint16_t>(to);
  n_alloc = static_cast<std::uint16_t>(n_alloc + (to - from));
  index = from;
  return to - from;
}

void mspan::return_slots(unsigned from, unsigned to) noexcept {
  for (unsigned w = from / 64; 64 * w < to; ++w) {
    bit_group& bits = group(w);
    const std::uint64_t gone = range_mask(w, from, to), before = bits.alloc.load(std::memory_order_relaxed);
    CAIRN_ASSERT((before & gone) == gone, "slots given back twice");
    CAIRN_ASSERT((bits.marked() & gone) == 0, "slots given back that are marked");
    bits.alloc.store(before & ~gone, std::memory_order_relaxed);
  }
  n_alloc = static_cast<std::uint16_t>(n_alloc - (to - from));
  if (from < free_index) free_index = static_cast<std::uint16_t>(from);
}

void mspan::mark_slots(unsigned from, unsigned to) noexcept {
  for (unsigned w = from / 64; 64 * w < to; ++w)
    group(w).mark_shared.fetch_or(range_mask(w, from, to), std::memory_order_relaxed);
}

unsigned mspan::sweep() noexcept {
  unsigned live = 0;
  for (unsigned w = 0, n = n_groups(); w < n; ++w) {
    bit_group& bits = group(w);
    const std::uint64_t marked = bits.marked(), before = bits.alloc.load(std::memory_order_relaxed);
    CAIRN_CHECK((marked & ~before) == 0, "zombie: a marked slot is not allocated");
    if (clobber_free && marked != before) clobber_dead(*this, w, before & ~marked);
    if (marked != before) bits.alloc.store(marked, std::memory_order_relaxed);
    bits.clear_marks();
    live += static_cast<unsigned>(std::popcount(marked));
  }
  const unsigned freed = n_alloc - live;
  CAIRN_ASSERT(live <= n_alloc, "more objects marked than allocated");
  n_alloc = static_cast<std::uint16_t>(live);
  free_index = 0;
  if (freed > 0) needs_zero = true;
  return freed;
}

}  // namespace cairn::heap
