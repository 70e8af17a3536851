// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/regions.h.
#include "gc/regions.h"

#include <new>

#include "cairn/detail/assert.h"
#include "gc/batch.h"
#include "gc/work.h"
#include "heap/delay.h"
#include "heap/metadata.h"
#include "heap/space.h"

namespace cairn::gc {

using heap::g_space;

namespace {

constexpr unsigned k_least_shift = 21;

}  // namespace

// ---- lists ----------------------------------------------------------------------------------------------------------

void region_lists::fit(std::size_t committed, std::size_t live, const sorting_limits& limits) noexcept {
  CAIRN_ASSERT(empty(), "regions are changed while there are candidates in them");
  shift_ = k_least_shift;
  while (committed >> shift_ >= k_regions) ++shift_;
  limits_ = limits;
  sorts_ = live >= limits.live_bytes;
}

std::uintptr_t region_lists::start_of(std::uint32_t region) const noexcept {
  return g_space.base + (std::uintptr_t{region} << shift());
}

void region_lists::put(work_buf* b) noexcept {
  buffers_.fetch_add(1, std::memory_order_relaxed);
  counts_[b->region].fetch_add(1, std::memory_order_relaxed);
  heap::maybe_delay("regions.put");
  lists_[b->region].push(b);
}

work_buf* region_lists::try_take(std::uint32_t region) noexcept {
  if ((counts_[region].load(std::memory_order_relaxed) & ~k_somebody) == 0) return nullptr;
  auto* b = static_cast<work_buf*>(lists_[region].pop());
  if (b == nullptr) return nullptr;
  heap::maybe_delay("regions.take");
  // The next one has been out of the cache for long, and will be asked for when this one is used up. It may be
  // somebody else's by now: then that was in vain.
  if (const auto* next = reinterpret_cast<const char*>(b->next.load(std::memory_order_relaxed)))
    for (std::size_t at = 0; at < sizeof(work_buf); at += 64) __builtin_prefetch(next + at, 0, 2);
  counts_[region].fetch_sub(1, std::memory_order_relaxed);
  buffers_.fetch_sub(1, std::memory_order_relaxed);
  return b;
}

work_buf* region_lists::try_take_any() noexcept {
  if (empty()) return nullptr;
  for (std::uint32_t r = 0; r < k_regions; ++r)
    if (work_buf* b = try_take(r)) return b;
  return nullptr;
}

std::uint32_t region_lists::fullest(bool with_others) const noexcept {
  const std::uint32_t ignored = with_others ? k_somebody : 0;
  std::uint32_t best = k_no_region, most = 0;
  for (std::uint32_t r = 0; r < k_regions; ++r) {
    const std::uint32_t n = counts_[r].load(std::memory_order_relaxed) & ~ignored;
    if (n <= most || n >= k_somebody) continue;
    most = n;
    best = r;
  }
  return best;
}

std::uint32_t region_lists::enter() noexcept {
  if (empty()) return k_no_region;
  std::uint32_t r = fullest(false);
  if (r == k_no_region) r = fullest(true);
  if (r != k_no_region) counts_[r].fetch_or(k_somebody, std::memory_order_relaxed);
  return r;
}

void region_lists::leave(std::uint32_t region) noexcept {
  counts_[region].fetch_and(~k_somebody, std::memory_order_relaxed);
}

// ---- a marker's -----------------------------------------------------------------------------------------------------

// Written, though the memory is zero: a tail is read before it is written, so the first read would map the page of
// zeros, and the first write have the other processors forget that. With both faults that is some 30 us a page.
bool sorter::make_tails() noexcept {
  if (tails_ != nullptr) return true;
  void* memory = heap::metadata_map(k_regions * sizeof(tail));
  if (memory != nullptr) tails_ = ::new (memory) tail[k_regions]();
  return memory != nullptr;
}

std::uintptr_t* sorter::sort(std::uintptr_t* from, std::uintptr_t* to) noexcept {
  if (tails_ == nullptr && !make_tails()) return to;
  const std::uintptr_t base = g_space.base;
  const unsigned shift = pool_.regions().shift();
  const std::uintptr_t inside = (std::uintptr_t{1} << shift) - 1;
  std::uintptr_t* kept = from;
  for (const std::uintptr_t* p = from; p != to; ++p) {
    const std::uintptr_t entry = *p, offset = entry - base, region = offset >> shift;
    if ((entry & k_entry_tags) != 0 || region >= k_regions) [[unlikely]] {
      *kept++ = entry;
      continue;
    }
    tail& t = tails_[region];
    if (t.next == t.end && !make_room(t, static_cast<std::uint32_t>(region))) [[unlikely]] {
      *kept++ = entry;
      continue;
    }
    *t.next++ = static_cast<std::uint32_t>((offset & inside) >> 3);
  }
  entries_ += static_cast<std::size_t>((to - from) - (kept - from));
  return kept;
}

[[gnu::noinline]] bool sorter::make_room(tail& t, std::uint32_t region) noexcept {
  // First the new one: without, the full one stays where it is.
  work_buf* b = pool_.take_empty();
  if (b == nullptr) return false;
  if (work_buf* full = close(t, region)) pool_.put_region(full);
  t = {b->offsets, b->offsets + work_buf::k_offsets};
  return true;
}

// Its buffer, which has entries; null: there is none.
work_buf* sorter::close(tail& t, std::uint32_t region) noexcept {
  if (t.end == nullptr) return nullptr;
  auto* b = reinterpret_cast<work_buf*>(reinterpret_cast<char*>(t.end) - sizeof(work_buf));
  b->region = region;
  b->n = static_cast<std::uint32_t>(t.next - b->offsets);
  entries_ -= b->n;
  t = {};
  return b;
}

work_buf* sorter::take(std::uint32_t region) noexcept {
  return tails_ != nullptr ? close(tails_[region], region) : nullptr;
}

work_buf* sorter::take_next() noexcept {
  CAIRN_ASSERT(entries_ != 0, "there is nothing to take");
  for (;; at_ = (at_ + 1) % k_regions)
    if (work_buf* b = take(at_)) return b;
}

void sorter::hand_over() noexcept {
  if (entries_ == 0) return;
  for (std::uint32_t r = 0; r < k_regions; ++r)
    if (work_buf* b = take(r)) pool_.put_region(b);
}

}  // namespace cairn::gc
