// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Arming, running and giving up objects; weak references, finalizers and cleanups as the public headers call them.
#include "gc/armed.h"

#include <cstring>
#include <stdexcept>

#include "cairn/detail/assert.h"
#include "cairn/detail/entry.h"
#include "gc/barrier.h"
#include "gc/runtime.h"
#include "heap/fatal.h"
#include "heap/mheap.h"
#include "heap/private.h"
#include "sched/handshake.h"

namespace cairn::gc {
namespace {

using heap::g_space;
using heap::object_ref;

// The words at the end of the slot.
struct footer {
  static constexpr std::uintptr_t k_is_array = 1;
  std::uintptr_t* last;
  const detail::type_ops* ops() const noexcept {
    return reinterpret_cast<const detail::type_ops*>(*last & ~k_is_array);
  }
  std::size_t count() const noexcept { return (*last & k_is_array) != 0 ? last[-1] : 1; }
};

footer footer_of(const object_ref& o) noexcept {
  const heap::mspan* s = g_space.span_at(o.first);
  return {reinterpret_cast<std::uintptr_t*>(o.base + s->elem_bytes) - 1};
}

// Clears the object's armed bit; true if it was set.
bool disarm(const object_ref& o) noexcept {
  const std::uint64_t bit = heap::bit_of(o.index);
  return (g_space.group_of(o.first, o.index).armed.fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
}

// The allocated object that `p` points into.
bool find_allocated(const void* p, object_ref& o) noexcept {
  return heap::find_object(reinterpret_cast<std::uintptr_t>(p), o) && heap::is_allocated(o);
}

void arm(void* object, const detail::type_ops* ops, std::uintptr_t tag, std::size_t count) noexcept {
  object_ref o;
  const bool found = find_allocated(object, o);
  CAIRN_CHECK(found, "armed something that is no heap object");
  (void)found;
  const footer f = footer_of(o);
  if (tag != 0) f.last[-1] = count;
  *f.last = reinterpret_cast<std::uintptr_t>(ops) | tag;
  sched::runtime_section section;
  // In this order: see specials::any_armed.
  g_space.group_of(o.first, o.index).armed.fetch_or(heap::bit_of(o.index), std::memory_order_seq_cst);
  g_space.span_at(o.first)->has_armed.store(1, std::memory_order_seq_cst);
  rt().specials.any_armed.store(true, std::memory_order_seq_cst);
}

void free_large(heap::mspan* s) noexcept {
  const unsigned sc = s->span_class;
  heap::mcentral& central = heap::the_heap.central[sc];
  if (!central.take_large(s, heap::the_heap.sweepgen())) return;  // being swept just now: the cycle frees it
  const std::size_t bytes = s->elem_bytes;
  s->group(0).clear_marks();
  s->group(0).alloc.store(0, std::memory_order_relaxed);
  s->n_alloc = 0;
  central.freed.fetch_add(1, std::memory_order_relaxed);
  rt().specials.forget(*s);
  heap::the_heap.free_span(s);
  rt().pace.subtract_live(bytes);
}

// The slot waits in the thread's cache for the next object of its class. When too many wait, the one that has waited
// longest is left to the next cycle.
void free_small(sched::m& self, const object_ref& o) noexcept {
  if (self.n_early == heap::mcache::k_max_early) heap::drop_oldest_early(self);
  const std::size_t bytes = detail::k_class_bytes[o.span_class / 2];
  if (heap::clobber_free) heap::fill_dead(reinterpret_cast<void*>(o.base), bytes);
  std::memset(reinterpret_cast<void*>(o.base), 0, bytes);
  self.early[self.n_early++] = {o.base, o.span_class};
  heap::the_heap.central[o.span_class].freed.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void not_a_heap_object(const char* function) {
  throw std::invalid_argument(std::string(function) +
                              ": the pointer does not point into an object made by make_gc");
}

void drop(detail::closure* f) noexcept {
  if (f != nullptr) f->drop(f);
}

}  // namespace

void destroy_now(void* object) {
  object_ref o;
  const bool found = find_allocated(object, o);
  CAIRN_CHECK(found, "an object was freed before its destructor ran");
  (void)found;
  const footer f = footer_of(o);
  f.ops()->destroy(object, f.count());
  detail::keep_alive(object);
}

}  // namespace cairn::gc

namespace cairn::detail {

using gc::rt;

void arm_destructor(void* object, const type_ops* ops) noexcept {
  gc::finalizers::ensure_started();
  gc::arm(object, ops, 0, 1);
}

void arm_array_destructor(void* first, const type_ops* ops, std::size_t count) noexcept {
  gc::finalizers::ensure_started();
  gc::arm(first, ops, gc::footer::k_is_array, count);
}

void destroy_object(void* p) {
  heap::object_ref o;
  if (p == nullptr || !gc::find_allocated(p, o)) return;
  if (gc::disarm(o)) gc::destroy_now(reinterpret_cast<void*>(o.base));
}

void free_object(void* p) noexcept {
  heap::object_ref o;
  if (p == nullptr || !gc::find_allocated(p, o)) return;
  sched::self();
  destroy_object(p);
  sched::m& self = *sched::current();  // the destructor may have parked: it may be another thread now
  // Blocks of several tiny objects are left to the collector, as are threads' objects in a run of arrays.
  const bool tiny = o.span_class == span_class_of(size_class_of(16), true);
  closure* finalizer = nullptr;
  {
    sched::runtime_section section(self);
    finalizer = rt().specials.object_freed(o);
    heap::mspan* s = heap::g_space.span_at(o.first);
    // While a cycle marks the object stays as it is: zeroing it would hide from the cycle what it led to, and a marker
    // may be reading it. The next cycle frees it.
    if (gc::barrier_is_on()) static_cast<void>(s);
    else if (s->is_large()) gc::free_large(s);
    else if (!tiny) gc::free_small(self, o);
  }
  gc::drop(finalizer);
  if (!rt().specials.queue.empty()) gc::finalizers::wake();
}

std::uint64_t add_cleanup(const void* p, closure* function) {
  heap::object_ref o;
  if (!gc::find_allocated(p, o)) gc::not_a_heap_object("add_cleanup");
  gc::finalizers::ensure_started();
  sched::self();
  rt().specials.reserve();
  std::uint64_t id = 0;
  {
    sched::runtime_section section;
    id = rt().specials.add_cleanup(o, function);
    gc::shade(*sched::current(), function);
  }
  keep_alive(p);
  keep_alive(function);
  if (id == 0) throw std::bad_alloc();
  return id;
}

bool stop_cleanup(std::uint64_t id) noexcept {
  closure* f = nullptr;
  {
    sched::runtime_section section;
    f = rt().specials.stop_cleanup(id);
  }
  gc::drop(f);
  return f != nullptr;
}

void set_finalizer(const void* p, closure* function) {
  heap::object_ref o;
  if (!gc::find_allocated(p, o)) gc::not_a_heap_object("set_finalizer");
  gc::finalizers::ensure_started();
  sched::self();
  rt().specials.reserve();
  closure* replaced = nullptr;
  bool done = false;
  {
    sched::runtime_section section;
    done = rt().specials.set_finalizer(o, reinterpret_cast<std::uintptr_t>(p), function, replaced);
    gc::shade(*sched::current(), function);
  }
  keep_alive(p);
  keep_alive(function);
  if (!done) throw std::bad_alloc();
  gc::drop(replaced);
}

void clear_finalizer(const void* p) noexcept {
  heap::object_ref o;
  if (!gc::find_allocated(p, o)) return;
  closure* f = nullptr;
  {
    sched::runtime_section section;
    f = rt().specials.clear_finalizer(o, reinterpret_cast<std::uintptr_t>(p));
  }
  gc::drop(f);
}

// A weak_record is a special. One that is no heap object's (a static's) lives for ever and is never cleared.
namespace {
gc::special* special_of(weak_record* r) noexcept { return reinterpret_cast<gc::special*>(r); }
const gc::special* special_of(const weak_record* r) noexcept {
  return reinterpret_cast<const gc::special*>(r);
}
CAIRN_PRIVATE constinit gc::special immortal;
}  // namespace

weak_record* weak_acquire(const void* p) {
  if (p == nullptr) return nullptr;
  heap::object_ref o;
  if (!gc::find_allocated(p, o)) return reinterpret_cast<weak_record*>(&immortal);
  sched::m& self = sched::self();
  rt().specials.reserve();
  gc::special* s = nullptr;
  {
    sched::runtime_section section(self);
    s = rt().specials.acquire_weak(o);
  }
  keep_alive(p);
  if (s == nullptr) throw std::bad_alloc();
  return reinterpret_cast<weak_record*>(s);
}

void weak_retain(weak_record* r) noexcept {
  // Relaxed: the caller holds a reference already.
  if (r != nullptr && special_of(r) != &immortal)
    special_of(r)->references.fetch_add(1, std::memory_order_relaxed);
}

void weak_release(weak_record* r) noexcept {
  if (r == nullptr || special_of(r) == &immortal) return;
  sched::runtime_section section;
  rt().specials.release_weak(special_of(r));
}

void* weak_lock(const weak_record* r, std::uintptr_t hidden) noexcept {
  if (r == nullptr) return nullptr;
  if (special_of(r) == &immortal) return reinterpret_cast<void*>(~hidden);
  sched::m& self = sched::self();
  // No handshake comes between the look and the pointer's being in a register.
  sched::runtime_section section(self);
  // The barrier first: found off after a cycle, what that cycle cleared is seen.
  const bool marking = gc::barrier_is_on();
  if (special_of(r)->object.load(std::memory_order_relaxed) == 0) return nullptr;
  void* p = reinterpret_cast<void*>(~hidden);
  if (marking) {
    heap::object_ref o;
    bool grey = false;
    if (!heap::find_object(reinterpret_cast<std::uintptr_t>(p), o) ||
        !rt().specials.lock_weak(*special_of(r), o, grey))
      return nullptr;
    if (grey) gc::shade(self, p);
  }
  asm volatile("" : "+r"(p));  // from here on it is p that is kept, not `hidden`
  return p;
}

}  // namespace cairn::detail
