// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The heap: overview.
//
// Memory goes down and up through four levels.
//
//   mcache    a thread's open runs, one per span class     heap/mcache.h    no lock; the bump is in the public headers
//   mcentral  the spans of one class that no cache holds    heap/mcentral.h  no lock, but for large spans
//   mheap     pages and spans                               this file        one lock
//   space     the reservation and its side tables           heap/space.h     grows by arenas of 64 MiB
//
// Allocating a small object:
//   1. The type's span class (size class, scan or noscan) is a constant. If the thread's open run of that class has
//      room, move its cursor: done, no call.
//   2. Else take the next run of free slots of the same span: set their allocation bits, zero them at once.
//   3. Else give the span to the mcentral and take another one there: one with free slots that is swept already; else
//      one that needs sweeping, which is done now and costs a few cache lines.
//   4. Else take fresh pages: from the thread's page cache, or the page allocator (first fit by address).
//   5. Else commit the next arena. If the system refuses, the caller collects and tries again, then throws.
// An object over 32 KiB goes to step 4 at once and has a span of its own. Pointer-free objects below 16 bytes share
// blocks of 16.
//
// Freeing: marking leaves a bit per live object. Sweeping a span makes these its allocation bits; a span without any
// gives its pages back. It is done by whoever needs a span (step 3), by a background thread, by the start of the next
// cycle for what is left, and before step 4 in proportion to what was allocated, so that none is left.
//
// Everything here that takes a lock is called inside a runtime section (or by a thread that is never stopped): the
// holder of a lock is not stopped by a handshake.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/lock.h"
#include "heap/mcentral.h"
#include "heap/metadata.h"
#include "heap/mspan.h"
#include "heap/page_alloc.h"
#include "heap/page_cache.h"
#include "heap/scavenge.h"
#include "heap/space.h"

namespace cairn::heap {

// clobberfree=1: freed objects are filled with 0xdeadbeef. Written before the first object is allocated.
extern bool clobber_free;
void fill_dead(void* p, std::size_t bytes) noexcept;

// The sweep generation h of heap/mspan.h, which is even, and in bit 0: objects are born marked.
struct generation {
  std::uint32_t word;
  constexpr std::uint32_t sweepgen() const noexcept { return word & ~std::uint32_t{1}; }
  constexpr bool black() const noexcept { return (word & 1) != 0; }
};

class mheap {
 public:
  // Once, before anything else. False when not even one arena can be reserved.
  bool init() noexcept;

  // A fresh span, swept in the sense of generation `h`, published; null when the system gives no more memory. `cache`:
  // the calling thread's, or null.
  mspan* allocate_span(std::size_t pages, unsigned span_class, page_cache* cache, std::uint32_t h) noexcept;
  // Nothing of it is allocated and the caller owns it.
  void free_span(mspan* s) noexcept;
  // n > 0 of one class, with less to do for each.
  void free_spans(mspan* const (&s)[mcentral::k_batch], unsigned n) noexcept;
  // free_span for who should not wait: false when the lock of the pages is not to be had soon, and nothing is done.
  bool try_free_span(mspan* s) noexcept;
  // An empty span starts anew: no pointer mask, no arrays.
  void reset_span(mspan* s) noexcept;
  // A detaching thread's page cache.
  void flush(page_cache& cache) noexcept;

  // At depth 0, where jemalloc may be called: makes sure that the next few spans need no mmap for their records.
  void reserve_metadata() noexcept;

  // One word for what an allocation must know as one: the sweep generation, and whether objects are born marked. A
  // section reads it once. See "the end of a cycle" in gc/concurrent.h.
  generation current() const noexcept { return {generation_.load(std::memory_order_acquire)}; }
  std::uint32_t sweepgen() const noexcept { return current().sweepgen(); }
  // From here on sections that begin make objects marked.
  void begin_black() noexcept;
  // After marking, every span being swept: every span needs sweeping, and objects are born white. Sections that began
  // before may still file spans as the last generation would have it.
  void advance_generation() noexcept;
  // When there are none of these left: sweeping may begin, and end.
  void begin_sweep() noexcept;
  // Sweeps one span of any class. Returns its pages, 0 when nothing is left to sweep. `may_wait`: see mcentral.
  std::size_t sweep_one(bool may_wait) noexcept { return sweep(1, may_wait); }
  // Up to mcentral::k_batch spans of one class, waiting for the lock of the pages.
  std::size_t sweep_some() noexcept { return sweep(mcentral::k_batch, true); }
  bool needs_sweep() const noexcept { return !sweep_done_.load(std::memory_order_seq_cst); }
  // After one of these has returned 0: no span is in a sweeper's hands. A stop does not wait for a sweeper that is not
  // attached, and marking a span that is being swept would lose its marks.
  void await_sweepers() const noexcept;

  struct usage {
    std::size_t mapped = 0;    // arenas committed
    std::size_t idle = 0;      // of that, in no span
    std::size_t released = 0;  // of that, given back to the system
  };
  usage read_usage() noexcept;
  // Pages in spans that are in use; read without the lock.
  std::size_t pages_in_use() const noexcept { return pages_in_use_.load(std::memory_order_relaxed); }
  // The same when sweeping began last, with all the garbage that the cycle had found: 0 before the first.
  std::size_t pages_in_use_before_sweep() const noexcept {
    return pages_before_sweep_.load(std::memory_order_relaxed);
  }

  mcentral central[detail::k_span_class_count];
  lock pages_lock;
  page_alloc pages CAIRN_GUARDED_BY(pages_lock);
  class scavenger scavenger {
    pages, pages_lock
  };

 private:
  page_run find_pages(std::size_t n, page_cache* cache) noexcept CAIRN_EXCLUDES(pages_lock);
  std::size_t sweep(unsigned most, bool may_wait) noexcept;
  std::size_t sweep_next(unsigned most, bool may_wait) noexcept;
  void unpublish(const mspan* s) noexcept;
  void retire(mspan* s) noexcept;
  bool grow() noexcept CAIRN_REQUIRES(pages_lock);
  void publish(mspan* s) noexcept;

  fixed_alloc<mspan> records_;
  std::atomic<std::uint32_t> generation_{4};  // see `generation`
  std::atomic<bool> sweep_done_{true};
  std::atomic<unsigned> sweep_class_{0};  // where sweep_one looks first; a hint
  // Calls of sweep under way. Raised before it looks whether there is anything to sweep; release when the span is
  // back, which pairs with await_sweepers.
  std::atomic<unsigned> sweepers_{0};
  std::atomic<std::size_t> pages_in_use_{0};
  std::atomic<std::size_t> pages_before_sweep_{0};
};

extern mheap the_heap;

// With the world stopped every span; else every one that is not made or freed meanwhile.
template <class F>
void for_each_span(F&& f) {
  const std::size_t end = g_space.committed_pages();
  for (std::size_t page = 0; page < end;) {
    // Acquire: pairs with mheap::publish, which writes the span before it.
    const page_info info{g_space.info[page].load(std::memory_order_acquire)};
    mspan* s = info.in_use() && info.distance() == 0 ? g_space.span_at(page) : nullptr;
    if (s == nullptr) {  // free, or the rest of a span that is just being made
      ++page;
      continue;
    }
    page += s->pages;
    f(s);
  }
}

}  // namespace cairn::heap
