// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Refilling a thread's runs and giving them back. See heap/mcache.h.
#include "heap/mcache.h"

#include <algorithm>
#include <cstring>

#include "cairn/detail/assert.h"
#include "heap/mheap.h"

namespace cairn::heap {
namespace {

// The seqlock's write side. Release: a reader that sees the even value sees what was written before it. A fence, not a
// store, because it also publishes the slots: whoever finds a pointer to one, stored by the program in any order later,
// finds them zeroed, and their span's entries in the tables. With the fences in gc/barrier.cc, and with markers, whose
// looks depend on the address.
class version_guard {
 public:
  explicit version_guard(mcache& c) noexcept : c_(c) {
    c_.version.store(c_.version.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
  }
  ~version_guard() {
    std::atomic_thread_fence(std::memory_order_release);
    c_.version.store(c_.version.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

 private:
  mcache& c_;
};

void count(mcache& c, unsigned span_class, std::int64_t slots) noexcept {
  auto& n = c.taken[span_class];
  n.store(n.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(slots), std::memory_order_relaxed);
}

// The runs' words are read by statistics while the owner runs.
void set_word(std::uintptr_t& word, std::uintptr_t value) noexcept {
  __atomic_store_n(&word, value, __ATOMIC_RELAXED);
}

void clear_run(detail::alloc_run& run) noexcept {
  set_word(run.cursor, 0);
  set_word(run.end, 0);
  run.mask = 0;
  run.span = nullptr;
}

mspan* span_of(const detail::alloc_run& run) noexcept { return static_cast<mspan*>(run.span); }

// Gives back the rest of a run, so that the span may leave the cache.
void close_run(mcache& c, unsigned span_class) noexcept {
  detail::alloc_run& run = c.runs[span_class];
  mspan* s = span_of(run);
  if (s == nullptr || run.cursor == run.end) return;
  const unsigned from = s->index_of(run.cursor);
  const auto n = static_cast<unsigned>((run.end - run.cursor) / s->elem_bytes);
  s->return_slots(from, from + n);
  count(c, span_class, -static_cast<std::int64_t>(n));
  set_word(run.end, run.cursor);
}

// The span goes back to its mcentral.
void uncache(mcache& c, unsigned span_class, std::uint32_t h, bool marking) noexcept {
  detail::alloc_run& run = c.runs[span_class];
  mspan* s = span_of(run);
  if (s == nullptr) return;
  if (!marking) close_run(c, span_class);
  clear_run(run);
  if (s->n_alloc == 0 && !marking) the_heap.free_span(s);
  else the_heap.central[span_class].put(s, h);
}

// Sweeps a cached span of before the last mark.
void sweep_if_stale(mspan* s, std::uint32_t h) noexcept {
  if (s->sweepgen.load(std::memory_order_acquire) != h + 1) return;
  const unsigned gone = s->sweep();
  if (gone > 0) the_heap.central[s->span_class].freed.fetch_add(gone, std::memory_order_relaxed);
  s->sweepgen.store(h + 3, std::memory_order_release);
}

// Fresh memory is written before the program reads it. The store of a pointer reads first what it overwrites:
// the system would map its page of zeros, and at the write a moment later replace it, with an interrupt to
// every processor that runs a thread of the program (5 us for each page, measured on two).
void touch(std::uintptr_t from, std::uintptr_t to) noexcept {
  constexpr std::uintptr_t k_system_page = 4096;
  for (std::uintptr_t a = from; a < to; a = (a | (k_system_page - 1)) + 1)
    *reinterpret_cast<volatile std::uintptr_t*>(a) = 0;
}

// The span learns of a pointer mask. Returns all that it knows. An atomic addition, although the span is in the
// caller's cache: a slot of it that was freed by hand may be taken by another thread. Mostly it knows, and a look
// suffices: bits are added for as long as anything of the span is in use.
std::uint64_t add_mask(std::size_t first, std::uint64_t mask) noexcept {
  std::atomic<std::uint64_t>& known = g_space.masks[first];
  const std::uint64_t now = known.load(std::memory_order_relaxed);
  if ((mask & ~now) == 0) return now;
  return known.fetch_or(mask, std::memory_order_relaxed) | mask;
}

bool open_run(mcache& c, mspan* s, unsigned span_class, std::uint64_t mask, bool black,
              refill_result& out) noexcept {
  unsigned index = 0;
  const unsigned n = s->take_run(
      s->needs_zero ? c.most_run_bytes : std::min(c.most_run_bytes, k_most_fresh_bytes), index);
  if (n == 0) return false;
  if (black) {
    s->mark_slots(index, index + n);
    c.black_bytes += n * s->elem_bytes;
  }
  detail::alloc_run& run = c.runs[span_class];
  // Before the zeroing: a locked instruction after it waits until all of its stores have left for the cache. Until the
  // slots are zeroed, a marker that comes upon one by a stale word finds old words there.
  run.mask = add_mask(s->first, mask);
  const std::uintptr_t start = s->slot_address(index);
  const std::size_t bytes = n * s->elem_bytes;
  if (s->needs_zero) std::memset(reinterpret_cast<void*>(start), 0, bytes);
  else touch(start, start + bytes);
  count(c, span_class, n);
  run.span = s;
  set_word(run.end, start + bytes);
  set_word(run.cursor, start + s->elem_bytes);
  out.slot = reinterpret_cast<void*>(start);
  out.bytes = bytes;
  return true;
}

// A slot that was freed by hand, if there is one of this class. It is not marked here: a thread that is black had it
// marked when it was scanned (mark_open), in one that is not objects may be white, and its span may have been swept by
// now, if the cycle ends meanwhile.
void* take_early(mcache& c, unsigned span_class, std::uint64_t mask) noexcept {
  for (unsigned i = 0; i < c.n_early; ++i) {
    if (c.early[i].span_class != span_class) continue;
    const std::uintptr_t a = c.early[i].address;
    --c.n_early;
    for (; i < c.n_early; ++i) c.early[i] = c.early[i + 1];
    const std::size_t first = g_space.first_page(g_space.page_of(a), g_space.info_of(g_space.page_of(a)));
    add_mask(first, mask);
    count(c, span_class, 1);
    return reinterpret_cast<void*>(a);
  }
  return nullptr;
}

}  // namespace

refill_result refill(mcache& c, unsigned span_class, std::uint64_t mask) noexcept {
  detail::alloc_run& run = c.runs[span_class];
  version_guard guard(c);
  if (run.cursor < run.end) {  // the run has room but its span did not know this mask
    run.mask = add_mask(span_of(run)->first, mask);
    void* slot = reinterpret_cast<void*>(run.cursor);
    set_word(run.cursor, run.cursor + span_of(run)->elem_bytes);
    return {slot, 0};
  }
  const generation now = the_heap.current();
  const std::uint32_t h = now.sweepgen();
  const bool black = now.black();
  if (void* slot = take_early(c, span_class, mask)) return {slot, 0};
  refill_result out;
  if (mspan* s = span_of(run)) {
    sweep_if_stale(s, h);
    if (open_run(c, s, span_class, mask, black, out)) return out;
    clear_run(run);
    the_heap.central[span_class].put(s, h);
  }
  mcentral& central = the_heap.central[span_class];
  mspan* s = black ? central.take_swept(h) : central.take(h, c.used, out.sweep);
  if (s == nullptr) {
    s = the_heap.allocate_span(detail::k_class_pages[span_class / 2], span_class, &c.pages, h);
    if (s == nullptr) return out;
    s->sweepgen.store(h + 3, std::memory_order_release);
  }
  const bool opened = open_run(c, s, span_class, mask, black, out);
  CAIRN_CHECK(opened, "a span with free slots had none");
  return out;
}

void* take_slot(mcache& c, unsigned span_class, std::uint64_t mask) noexcept {
  detail::alloc_run& run = c.runs[span_class];
  const std::uintptr_t p = run.cursor;
  const std::size_t bytes = detail::k_class_bytes[span_class / 2];
  if (run.end - p < bytes || (mask & ~run.mask) != 0) return nullptr;
  set_word(run.cursor, p + bytes);
  return reinterpret_cast<void*>(p);
}

void note_array(const void* slot) noexcept {
  const std::size_t page = g_space.page_of(reinterpret_cast<std::uintptr_t>(slot));
  mspan* s = g_space.span_at(g_space.first_page(page, g_space.info_of(page)));
  if (s->has_array.load(std::memory_order_relaxed) == 0) s->has_array.store(1, std::memory_order_relaxed);
}

void drop_oldest_early(mcache& c) noexcept {
  version_guard guard(c);
  // It stays allocated, an object that nothing refers to.
  count(c, c.early[0].span_class, 1);
  --c.n_early;
  for (unsigned i = 0; i < c.n_early; ++i) c.early[i] = c.early[i + 1];
}

void flush(mcache& c, bool marking) noexcept {
  version_guard guard(c);
  const std::uint32_t h = the_heap.sweepgen();
  for (unsigned i = 0; i < c.n_early; ++i) {
    const std::uintptr_t a = c.early[i].address;
    object_ref o;
    const bool found = find_object(a, o);
    CAIRN_CHECK(found, "a freed slot left the heap");
    (void)found;
    // It stays allocated, an object that nothing refers to, and the next cycle frees it.
    count(c, o.span_class, 1);
  }
  c.n_early = 0;
  c.tiny = c.tiny_end = 0;
  for (unsigned sc = 2; sc < detail::k_span_class_count; ++sc) {
    if (mspan* s = span_of(c.runs[sc])) sweep_if_stale(s, h);
    uncache(c, sc, h, marking);
  }
  the_heap.flush(c.pages);
}

std::size_t mark_open(mcache& c) noexcept {
  std::size_t bytes = 0;
  for (detail::alloc_run& run : c.runs) {
    if (run.cursor == run.end) continue;
    mspan* s = span_of(run);
    const unsigned from = s->index_of(run.cursor);
    s->mark_slots(from, from + static_cast<unsigned>((run.end - run.cursor) / s->elem_bytes));
    bytes += run.end - run.cursor;
  }
  auto mark_one = [](std::uintptr_t a) {
    object_ref o;
    if (find_object(a, o))
      g_space.group_of(o.first, o.index).mark_shared.fetch_or(bit_of(o.index), std::memory_order_relaxed);
  };
  if (c.tiny_end != 0) mark_one(c.tiny_end - 1);
  for (unsigned i = 0; i < c.n_early; ++i) mark_one(c.early[i].address);
  return bytes;
}

void sweep_cached(mcache& c, std::uint32_t h) noexcept {
  for (detail::alloc_run& run : c.runs)
    if (mspan* s = span_of(run)) sweep_if_stale(s, h);
}

mspan* allocate_large(mcache& c, std::size_t bytes, bool noscan) noexcept {
  const std::size_t pages = (bytes + k_page_bytes - 1) >> k_page_shift;
  const unsigned span_class = noscan ? 1 : 0;
  const generation now = the_heap.current();
  mspan* s = the_heap.allocate_span(pages, span_class, nullptr, now.sweepgen());
  if (s == nullptr) return nullptr;
  s->group(0).alloc.store(1, std::memory_order_relaxed);
  s->free_index = s->n_alloc = 1;
  if (now.black()) {
    s->mark_slots(0, 1);
    c.black_bytes += s->elem_bytes;
  }
  {
    version_guard guard(c);
    count(c, span_class, 1);
  }
  the_heap.central[span_class].put(s, now.sweepgen());
  return s;
}

}  // namespace cairn::heap
