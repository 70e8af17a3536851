// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Allocation from 64 pages. See heap/page_cache.h for overview.
#include "heap/page_cache.h"

#include <bit>

#include "heap/bits.h"
#include "heap/page_alloc.h"

namespace cairn::heap {

page_run page_cache::alloc(std::size_t n) noexcept {
  const unsigned at = n == 1 ? static_cast<unsigned>(std::countr_zero(free))
                             : find_ones(free, static_cast<unsigned>(n));
  if (at >= k_pages) return {};
  const std::uint64_t taken = ones(static_cast<unsigned>(n)) << at;
  const std::uint64_t was_scavenged = scavenged & taken;
  free &= ~taken;
  scavenged &= ~taken;
  return {base + at, was_scavenged == 0 ? 0 : static_cast<std::size_t>(std::popcount(was_scavenged))};
}

void page_cache::flush(page_alloc& pages) noexcept {
  if (!empty()) pages.free_cache(*this);
  *this = {};
}

}  // namespace cairn::heap
