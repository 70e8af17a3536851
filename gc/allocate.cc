// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Allocation as the public headers call it: attach, pay what is due, refill; collect and try again when the system
// refuses. See heap/mheap.h for the path of one allocation.
//
// Depth. Everything that may block, allocate metadata or collect is done first, at depth 0, where the thread may be
// stopped at any instruction. Then one runtime section takes the memory. What it returns is in a register from there
// on, so a stop after the section sees it.
#include <cstring>
#include <new>
#include <utility>

#include "cairn/detail/assert.h"
#include "cairn/detail/entry.h"
#include "gc/cycle.h"
#include "gc/runtime.h"
#include "gc/share.h"
#include "heap/mheap.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"
#include "sched/proc.h"

namespace cairn::gc {
namespace {

// Adding to the common count at every refill would stall on it: a locked instruction waits for the stores
// before it, and these are the zeroing of the run (measured: 200 of 310 ns an object of 2 KiB). So it is done
// at the next slow path, and only when it makes a difference to the trigger.
constexpr std::size_t k_count_bytes = 32 << 10;

void count_taken(sched::m& self) noexcept {
  if (self.uncounted < k_count_bytes) return;
  rt().pace.live.fetch_add(self.uncounted, std::memory_order_relaxed);
  self.uncounted = 0;
}

// What every slow path does at depth 0 before it takes `bytes`.
sched::m& before_taking(std::size_t bytes) {
  sched::m& self = sched::self();
  CAIRN_ASSERT(self.depth.load(std::memory_order_relaxed) == 0,
               "allocated inside the runtime or inside blocking()");
  sched::safepoint_poll();
  sched::check_ending();
  count_taken(self);
  collect_if_due(cycle_reason::heap);
  shares::pay(self);
  assists::pay(self, bytes);
  pay_sweep_debt(self, bytes);
  heap::the_heap.reserve_metadata();
  if (!sched::is_asked_to_yield(self)) [[likely]]
    return self;
  sched::make_room();
  return *sched::current();
}

// `take` returns memory or null. The system may refuse at any moment: then what is dead is given back first.
template <class Take>
void* take_or_throw(std::size_t bytes, Take&& take) {
  sched::m& self = before_taking(bytes);
  void* p = take(self);
  for (int attempt = 0; p == nullptr && attempt < 2; ++attempt) {
    // The first cycle frees what is unreachable, the second what only had a destructor to run or a stale word on a
    // stack. Within a no_gc_scope neither may run.
    if (!cycles_allowed()) break;
    heap::stopwatch watch;
    run_cycle(cycle_reason::out_of_memory);
    finish_sweep();
    rt().count.note(pause_kind::stop, watch.stop());
    p = take(self);
  }
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void* take_small(std::size_t bytes, unsigned span_class, std::uint64_t mask, bool is_array) {
  return take_or_throw(bytes, [=](sched::m& self) -> void* {
    sched::runtime_section section(self);
    void* slot = heap::take_slot(self, span_class, mask);
    if (slot == nullptr) {
      const heap::refill_result r = heap::refill(self, span_class, mask);
      self.uncounted += r.bytes;
      assists::charge(self, r.bytes);
      if (r.sweep.ns != 0) rt().count.note(pause_kind::sweep, r.sweep);
      slot = r.slot;
    }
    if (slot != nullptr && is_array) heap::note_array(slot);
    return slot;
  });
}

void* take_large(std::size_t bytes, bool noscan, bool is_array) {
  std::size_t to_zero = 0;
  void* p = take_or_throw(bytes, [&](sched::m& self) -> void* {
    sched::runtime_section section(self);
    heap::mspan* s = heap::allocate_large(self, bytes, noscan);
    if (s == nullptr) return nullptr;
    if (is_array) s->has_array.store(1, std::memory_order_relaxed);
    to_zero = s->needs_zero ? s->elem_bytes : 0;  // the collector looks at all of the slot
    // The check takes what it finds for what the program has stored, in objects that were born marked, too.
    if (to_zero != 0 && rt().options.debug.gccheckmark != 0)
      std::memset(reinterpret_cast<void*>(s->base), 0, std::exchange(to_zero, 0));
    self.uncounted += s->elem_bytes;
    assists::charge(self, s->elem_bytes);
    gc::rt().count.large_bytes.fetch_add(s->elem_bytes, std::memory_order_relaxed);
    return reinterpret_cast<void*>(s->base);
  });
  // Outside the section: a handshake does not wait for it. Until it is done a marker may find old words here, which
  // lead to allocated objects or nowhere.
  if (to_zero != 0) {
    heap::stopwatch watch(sched::self().used);
    std::memset(p, 0, to_zero);
    rt().count.note(pause_kind::zeroing, watch.stop());
  }
  detail::keep_alive(p);
  return p;
}

}  // namespace
}  // namespace cairn::gc

namespace cairn::detail {

void* allocate_slow(unsigned span_class, std::uint64_t mask) {
  return gc::take_small(k_class_bytes[span_class / 2], span_class, mask, false);
}

void* allocate_tiny_slow(std::size_t bytes, std::size_t align) {
  constexpr unsigned k_block = span_class_of(size_class_of(16), true);
  void* block = gc::take_small(16, k_block, 0, false);
  thread_cache* c = this_cache();
  // The larger rest stays open. Between the two stores nothing looks at it but the collector, for which the block is
  // allocated in any case.
  const auto start = reinterpret_cast<std::uintptr_t>(block);
  if (c->tiny_end - c->tiny < 16 - bytes) {
    c->tiny = start + bytes;
    c->tiny_end = start + 16;
  }
  (void)align;  // a block is aligned to 16
  return block;
}

void* allocate_bytes(std::size_t bytes, std::size_t align, layout_info layout, bool is_array) {
  if (bytes == 0) bytes = 1;
  if (const unsigned c = size_class_of(bytes, align))
    return gc::take_small(k_class_bytes[c], span_class_of(c, layout.noscan), layout.noscan ? 0 : layout.mask,
                          is_array);
  if (bytes > SIZE_MAX - k_page_bytes) throw std::bad_alloc();
  return gc::take_large(bytes, layout.noscan, is_array);
}

void* allocate_closure(std::size_t bytes, std::size_t align) {
  return allocate_bytes(bytes, align, {.mask = ~std::uint64_t{0}, .noscan = false}, false);
}

}  // namespace cairn::detail
