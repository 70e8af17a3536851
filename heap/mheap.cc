// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Pages into spans and back. See heap/mheap.h for overview.
#include "heap/mheap.h"

#include <cstring>

#include "cairn/detail/assert.h"
#include "heap/pause.h"
#include "heap/private.h"

namespace cairn::heap {

CAIRN_PRIVATE constinit bool clobber_free = false;
CAIRN_PRIVATE constinit mheap the_heap;

void fill_dead(void* p, std::size_t bytes) noexcept {
  auto* words = static_cast<std::uint32_t*>(p);
  for (std::size_t i = 0; i < bytes / 4; ++i) words[i] = 0xdeadbeef;
}

bool mheap::init() noexcept {
  if (!g_space.init()) return false;
  {
    lock_guard guard(pages_lock);
    if (!pages.init(g_space.reserved / k_page_bytes)) return false;
  }
  scavenger.init(reinterpret_cast<void*>(g_space.base));
  return true;
}

void mheap::reserve_metadata() noexcept { records_.reserve(16); }

bool mheap::grow() noexcept {
  // A page allocator that could not follow an arena makes up for it at the next call.
  if (pages.end_page() == g_space.committed_pages() && !g_space.commit_arena()) return false;
  return pages.grow(pages.end_page(), k_arena_pages);
}

page_run mheap::find_pages(std::size_t n, page_cache* cache) noexcept {
  const bool cached = cache != nullptr && n <= page_cache::k_max_run_pages;
  if (cached) {
    if (const page_run run = cache->alloc(n)) return run;
  }
  lock_guard guard(pages_lock);
  if (cached && cache->empty()) {
    *cache = pages.alloc_cache();
    if (const page_run run = cache->alloc(n)) return run;
  }
  for (;;) {
    if (const page_run run = pages.alloc(n)) return run;
    // Arenas join at their borders, so what is free at the end of the last one counts too: ask again after each.
    if (n > g_space.reserved / k_page_bytes) return {};
    if (grow()) continue;
    // What the scavenger holds for the time of one madvise may be just what is missing.
    if (scavenger.pages_held() == 0) return {};
    pages_lock.unlock();
    yield_cpu();
    pages_lock.lock();
  }
}

void mheap::publish(mspan* s) noexcept {
  const std::size_t first = s->first;
  g_space.masks[first].store(0, std::memory_order_relaxed);
  g_space.spans[first].store(s, std::memory_order_release);  // pairs with space::span_at
  for (std::size_t i = 0; i < s->pages; ++i)
    // Release: who finds the entry, by a word that is no pointer yet, finds the span. Of its objects see mcache.cc.
    g_space.info[first + i].store(page_info::make(s->span_class, i).word, std::memory_order_release);
}

mspan* mheap::allocate_span(std::size_t n_pages, unsigned span_class, page_cache* cache,
                            std::uint32_t h) noexcept {
  const page_run run = find_pages(n_pages, cache);
  if (!run) return nullptr;
  const std::size_t first = run.page;
  mspan* s = records_.take();
  if (s == nullptr) {
    lock_guard guard(pages_lock);
    pages.free(first, n_pages);
    return nullptr;
  }
  const unsigned size_class = span_class / 2;
  s->base = g_space.page_address(first);
  s->pages = n_pages;
  s->set_first(static_cast<std::uint32_t>(first));
  s->elem_bytes = size_class != 0 ? detail::k_class_bytes[size_class] : n_pages * k_page_bytes;
  s->n_slots = static_cast<std::uint16_t>(size_class != 0 ? detail::class_objects(size_class) : 1);
  s->span_class = static_cast<std::uint8_t>(span_class);
  s->needs_zero = run.scavenged_pages != n_pages;
  s->free_index = s->n_alloc = 0;
  s->has_array.store(0, std::memory_order_relaxed);
  s->has_armed.store(0, std::memory_order_relaxed);
  s->specials = nullptr;
  // All of them are zero. Where that is the system's page of zeros, a look at them would map it, and the first bit that
  // is set replace it: two faults, and an interrupt to every processor that runs a thread of the program (10 us).
  for (unsigned w = 0; !s->needs_zero && w < s->n_groups(); ++w)
    s->group(w).alloc.store(0, std::memory_order_relaxed);
  s->sweepgen.store(h, std::memory_order_relaxed);
  publish(s);
  central[span_class].spans.fetch_add(1, std::memory_order_relaxed);
  pages_in_use_.fetch_add(n_pages, std::memory_order_relaxed);
  return s;
}

void mheap::unpublish(const mspan* s) noexcept {
  CAIRN_ASSERT(s->n_alloc == 0, "a span with objects was freed");
  CAIRN_ASSERT(s->specials == nullptr, "a span with weak references or cleanups was freed");
  const std::size_t first = s->first;
  for (std::size_t i = 0; i < s->pages; ++i) g_space.info[first + i].store(0, std::memory_order_relaxed);
  g_space.spans[first].store(nullptr, std::memory_order_relaxed);
}

// All of free_span but for freeing the pages, which the caller does. The record is another's afterwards.
void mheap::retire(mspan* s) noexcept {
  const std::size_t n_pages = s->pages;
  unpublish(s);
  central[s->span_class].spans.fetch_sub(1, std::memory_order_relaxed);
  records_.give(s);
  pages_in_use_.fetch_sub(n_pages, std::memory_order_relaxed);
}

void mheap::free_span(mspan* s) noexcept {
  const std::size_t first = s->first, n_pages = s->pages;
  retire(s);
  lock_guard guard(pages_lock);
  pages.free(first, n_pages);
}

void mheap::free_spans(mspan* const (&s)[mcentral::k_batch], unsigned n) noexcept {
  std::size_t n_pages = 0;
  for (unsigned i = 0; i < n; ++i) {
    unpublish(s[i]);
    n_pages += s[i]->pages;
  }
  central[s[0]->span_class].spans.fetch_sub(n, std::memory_order_relaxed);
  pages_in_use_.fetch_sub(n_pages, std::memory_order_relaxed);
  {
    lock_guard guard(pages_lock);
    for (unsigned i = 0; i < n; ++i) pages.free(s[i]->first, s[i]->pages);
  }
  records_.give(s, n);
}

bool mheap::try_free_span(mspan* s) noexcept {
  // As long as a holder that runs takes. Longer: a thread that sweeps dozens of spans waits for each of them.
  for (unsigned spins = 0; !pages_lock.try_lock(); ++spins) {
    if (spins == 8) return false;
    cpu_relax();
  }
  const std::size_t first = s->first, n_pages = s->pages;
  retire(s);
  pages.free(first, n_pages);
  pages_lock.unlock();
  return true;
}

void mheap::flush(page_cache& cache) noexcept {
  if (cache.empty()) return;
  lock_guard guard(pages_lock);
  cache.flush(pages);
}

void mheap::reset_span(mspan* s) noexcept {
  g_space.masks[s->first].store(0, std::memory_order_relaxed);
  s->has_array.store(0, std::memory_order_relaxed);
}

void mheap::begin_black() noexcept {
  generation_.store(generation_.load(std::memory_order_relaxed) | 1, std::memory_order_release);
}

void mheap::advance_generation() noexcept {
  generation_.store(current().sweepgen() + 2, std::memory_order_release);
}

void mheap::begin_sweep() noexcept {
  sweep_class_.store(0, std::memory_order_relaxed);
  pages_before_sweep_.store(pages_in_use(), std::memory_order_relaxed);
  sweep_done_.store(false, std::memory_order_release);
}

std::size_t mheap::sweep(unsigned most, bool may_wait) noexcept {
  // Raised before the look: a thread that is not attached, and that nothing keeps between the two, would else begin to
  // sweep when a cycle has begun, or the next generation. Sequentially consistent, both, and where sweeping is found
  // done and await_sweepers: one of the two sees the other.
  sweepers_.fetch_add(1, std::memory_order_seq_cst);
  const std::size_t swept = sweep_done_.load(std::memory_order_seq_cst) ? 0 : sweep_next(most, may_wait);
  sweepers_.fetch_sub(1, std::memory_order_release);
  return swept;
}

void mheap::await_sweepers() const noexcept {
  for (unsigned spins = 0; sweepers_.load(std::memory_order_seq_cst) != 0; ++spins) {
    cpu_relax();
    if (spins > 100) yield_cpu();
  }
}

std::size_t mheap::sweep_next(unsigned most, bool may_wait) noexcept {
  const std::uint32_t h = sweepgen();
  // Large spans (classes 0 and 1) come first: they give most back for least.
  for (unsigned sc = sweep_class_.load(std::memory_order_relaxed); sc < detail::k_span_class_count; ++sc) {
    if (most > 1) {
      if (const std::size_t swept = central[sc].sweep_batch(h)) return swept;
    }
    if (const std::size_t swept = central[sc].sweep_one(h, may_wait)) return swept;
    unsigned seen = sc;  // nobody adds to an unswept list, so an empty one stays empty
    sweep_class_.compare_exchange_strong(seen, sc + 1, std::memory_order_relaxed);
  }
  sweep_done_.store(true, std::memory_order_seq_cst);
  return 0;
}

mheap::usage mheap::read_usage() noexcept {
  lock_guard guard(pages_lock);
  usage u;
  u.mapped = g_space.committed.load(std::memory_order_relaxed);
  u.idle = u.mapped - pages_in_use_.load(std::memory_order_relaxed) * k_page_bytes;
  u.released = pages.pages_scavenged() * k_page_bytes;
  return u;
}

}  // namespace cairn::heap
