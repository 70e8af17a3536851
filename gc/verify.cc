// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Checks of the whole heap with the world stopped: a second mark with bits of its own, and walkers that compare page
// bitmap, page table, spans, bits and counts with each other.
//
// The second mark is as plain as can be, and shares with the first only the roots and the lookup of an object: one
// thread, a stack, one object at a time, every step checked.
#include <bit>
#include <cstring>

#include "gc/cycle.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "gc/second_mark.h"
#include "heap/fatal.h"
#include "heap/mheap.h"

namespace cairn::gc {
namespace {

using heap::g_space;
using heap::object_ref;

class checker {
 public:
  checker(heap_bits& seen, bool compare_marks) noexcept : seen_(seen), compare_marks_(compare_marks) {}

  // Everything reachable from the entries that `m` holds.
  void run(marker& m) noexcept {
    for_each_candidate(m, [this](std::uintptr_t entry) { visit(entry); });
  }
  unsigned disagreements() const noexcept { return disagreements_; }

 private:
  void visit(std::uintptr_t entry) noexcept {
    object_ref o;
    if (!heap::find_object(entry, o)) return;
    // A word that only looks like a pointer may name a free slot; nothing tells it from one that must not.
    if (!heap::is_allocated(o)) return;
    if (!seen_.set(o.base)) return;
    if (compare_marks_ && !heap::is_marked(o)) complain(o, "is reachable and was not marked");
    if (detail::is_noscan_class(o.span_class)) return;
    marker& m = the_marker();
    m.scan_object(o);
    m.flush();
  }
  void complain(const object_ref& o, const char* what) noexcept {
    if (++disagreements_ > 10) return;
    heap::report("verify: the object at {:#x} (slot {} of class {}{}) {}", o.base, o.index,
                 detail::k_class_bytes[o.span_class / 2],
                 detail::is_noscan_class(o.span_class) ? ", no pointers" : "", what);
  }

  heap_bits& seen_;
  bool compare_marks_;
  unsigned disagreements_ = 0;
};

// ---- walkers -------------------------------------------------------------------------------------------------------

struct walk {
  unsigned disagreements = 0;
  std::size_t pages = 0, spans = 0;

  template <class... A>
  void expect(bool holds, fmt::format_string<A...> what, const A&... a) noexcept {
    if (holds || ++disagreements > 10) return;
    heap::report(what, a...);
  }
};

// Bits of word `i` that belong to slots below `end`.
std::uint64_t below(unsigned i, unsigned end) noexcept {
  if (end >= 64 * (i + 1)) return ~std::uint64_t{0};
  return end <= 64 * i ? 0 : (std::uint64_t{1} << (end - 64 * i)) - 1;
}

void check_bits_of(walk& w, const heap::mspan& s) noexcept {
  unsigned allocated = 0;
  std::uint64_t marked_free = 0, beyond = 0, free_below = 0, marked = 0;
  for (unsigned i = 0; i < s.n_groups(); ++i) {
    const std::uint64_t alloc = s.group(i).alloc.load(std::memory_order_relaxed), mark = s.group(i).marked();
    allocated += static_cast<unsigned>(std::popcount(alloc));
    marked_free |= mark & ~alloc;
    marked |= mark;
    beyond |= (alloc | mark) & ~below(i, s.n_slots);
    free_below |= ~alloc & below(i, s.free_index);
  }
  w.expect(allocated == s.n_alloc, "check: the span at {:#x} counts {} objects and has {} allocation bits",
           s.base, s.n_alloc, allocated);
  w.expect(marked_free == 0, "check: the span at {:#x} has marked slots that are not allocated", s.base);
  // Swept, or in a cache and swept. An object that is marked before a cycle begins would not be scanned by it.
  const std::uint32_t h = heap::the_heap.sweepgen(), g = s.sweepgen.load(std::memory_order_relaxed);
  w.expect(marked == 0 || (g != h && g != h + 3), "check: the span at {:#x} is swept and has marks", s.base);
  w.expect(beyond == 0, "check: the span at {:#x} has bits beyond its {} slots", s.base, s.n_slots);
  w.expect(free_below == 0, "check: the span at {:#x} has free slots below the index {}", s.base,
           s.free_index);
}

void check_span(walk& w, const heap::mspan& s, const heap::page_alloc& pages) noexcept {
  const unsigned size_class = s.span_class / 2;
  w.expect(s.base == g_space.page_address(s.first), "check: the span of page {} says it starts at {:#x}",
           s.first, s.base);
  w.expect(size_class == 0 || s.pages == detail::k_class_pages[size_class],
           "check: the span at {:#x} has {} pages", s.base, s.pages);
  w.expect(s.n_slots == (size_class == 0 ? 1 : detail::class_objects(size_class)),
           "check: the span at {:#x} has {} slots", s.base, s.n_slots);
  for (std::size_t i = 0; i < s.pages; ++i) {
    const heap::page_info info = g_space.info_of(s.first + i);
    w.expect(info.in_use() && info.span_class() == s.span_class &&
                 g_space.first_page(s.first + i, info) == s.first,
             "check: page {} of the span at {:#x} is listed as another's", i, s.base);
    w.expect(pages.is_in_use(s.first + i),
             "check: page {} of the span at {:#x} is free for the page allocator", i, s.base);
  }
  check_bits_of(w, s);
  w.pages += s.pages;
  ++w.spans;
}

}  // namespace

bool check_marks(const sched::world_stopped& stopped, bool compare_marks) noexcept {
  heap_bits seen;
  if (!seen.usable()) {
    heap::report("verify: no memory for a second mark: nothing was checked");
    return false;
  }
  checker c(seen, compare_marks);
  marker& m = the_marker();
  kept_figures keep(m);
  mark_roots(m, stopped);
  c.run(m);
  return c.disagreements() == 0;
}

bool check_closed(const sched::world_stopped&) noexcept {
  marker& m = the_marker();
  kept_figures keep(m);
  rt().work.discard();  // what the barrier has brought since marking ended
  walk w;
  auto expect_marked = [&w](std::uintptr_t entry, const char* from, std::uintptr_t at) {
    object_ref o;
    if (!heap::find_object(entry, o)) return;
    const bool allocated = heap::is_allocated(o), marked = heap::is_marked(o);
    object_ref by;
    const bool is_object = heap::find_object(at, by);
    // The end of a vector: not a reference to what happens to lie there.
    object_ref before;
    const bool is_end = entry == o.base && heap::find_object(entry - 1, before) && heap::is_marked(before);
    w.expect(!allocated || marked || is_end,
             "gccheckmark: {:#x}{}, in slot {} of a span of {} byte objects, is not marked; {} {:#x} refers "
             "to it, of {} "
             "bytes",
             entry, detail::is_noscan_class(o.span_class) ? " (no pointers)" : "", o.index,
             g_space.span_at(o.first)->elem_bytes, from, at,
             is_object ? g_space.span_at(by.first)->elem_bytes : 0);
  };
  mark_kept(m);
  for_each_candidate(m, [&](std::uintptr_t entry) { expect_marked(entry, "a root", 0); });
  heap::for_each_span([&](heap::mspan* s) {
    if (s->is_noscan()) return;
    for (unsigned i = 0; i < s->n_slots; ++i) {
      if (!s->is_marked(i)) continue;
      m.scan_object({s->slot_address(i), s->first, s->span_class, i});
      for_each_candidate(
          m, [&](std::uintptr_t entry) { expect_marked(entry, "the object", s->slot_address(i)); });
    }
  });
  return w.disagreements == 0;
}

bool check_heap(const sched::world_stopped& stopped) noexcept {
  walk w;
  heap::lock_guard guard(heap::the_heap.pages_lock);
  const heap::page_alloc& pages = heap::the_heap.pages;
  if (const char* broken = pages.broken_invariant()) w.expect(false, "check: the page allocator: {}", broken);
  heap::for_each_span([&](heap::mspan* s) { check_span(w, *s, pages); });
  std::size_t cached = 0;
  sched::for_each_m(stopped, [&](const sched::m& thread) {
    cached += static_cast<std::size_t>(std::popcount(thread.pages.free));
  });
  const std::size_t held = heap::the_heap.scavenger.pages_held();
  w.expect(w.pages == heap::the_heap.pages_in_use(), "check: {} pages are in spans, {} are counted", w.pages,
           heap::the_heap.pages_in_use());
  w.expect(pages.pages_in_use() == w.pages + cached + held,
           "check: the page allocator has {} pages in use; spans have {}, caches {}, the scavenger {}",
           pages.pages_in_use(), w.pages, cached, held);
  return w.disagreements == 0;
}

}  // namespace cairn::gc
