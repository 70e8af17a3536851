// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Weak references, finalizers, cleanups and the fate of unreachable objects. See gc/specials.h.
#include "gc/specials.h"

#include <bit>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/mheap.h"
#include "sched/m.h"

namespace cairn::gc {

using heap::lock_guard;
using heap::object_ref;
using heap::special_table;

namespace {

heap::mspan* span_of(const object_ref& o) noexcept { return heap::g_space.span_at(o.first); }

object_ref ref_of(const special& s) noexcept {
  return {s.span->slot_address(s.index), s.span->first, s.span->span_class, s.index};
}

bool is_marked(const special& s) noexcept { return s.span->is_marked(s.index); }

}  // namespace

// ---- the queue -----------------------------------------------------------------------------------------------------

void finalizer_queue::push(special* s) noexcept {
  lock_guard guard(lock_);
  s->next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = s;
  tail_ = s;
  n_.fetch_add(1, std::memory_order_release);
}

special* finalizer_queue::pop() noexcept {
  lock_guard guard(lock_);
  special* s = head_;
  if (s == nullptr) return nullptr;
  head_ = s->next;
  if (head_ == nullptr) tail_ = nullptr;
  n_.fetch_sub(1, std::memory_order_relaxed);
  return s;
}

void finalizer_queue::mark(marker& m) noexcept {
  sched::runtime_section section;
  lock_guard guard(lock_);
  for (special* s = head_; s != nullptr; s = s->next) {
    m.candidate(reinterpret_cast<std::uintptr_t>(s->function));
    m.candidate(s->object.load(std::memory_order_relaxed));
  }
}

// ---- tables --------------------------------------------------------------------------------------------------------

void specials::reserve() {
  records_.reserve(16);
  tables_.reserve(4);
}

special_table* specials::table_of(heap::mspan* span) noexcept {
  if (span->specials != nullptr) return span->specials;
  special_table* t = tables_.take();
  if (t == nullptr) return nullptr;
  *t = {};
  t->span = span;
  t->next = first_table_;
  first_table_ = t;
  span->specials = t;
  return t;
}

special* specials::make(const object_ref& o, special_kind kind) noexcept {
  special* s = records_.take();
  if (s == nullptr) return nullptr;
  special_table* t = table_of(span_of(o));
  if (t == nullptr) {
    records_.give(s);
    return nullptr;
  }
  s->span = t->span;
  s->index = o.index;
  s->kind = kind;
  s->references.store(0, std::memory_order_relaxed);
  s->id.store(0, std::memory_order_relaxed);
  s->object.store(0, std::memory_order_relaxed);
  s->function = nullptr;
  special*& chain = t->chains[o.index % special_table::k_chains];
  s->next = chain;
  chain = s;
  ++t->n;
  n_specials_.fetch_add(1, std::memory_order_relaxed);
  return s;
}

special* specials::find(const object_ref& o, special_kind kind) noexcept {
  const special_table* t = span_of(o)->specials;
  if (t == nullptr) return nullptr;
  special* s = t->chains[o.index % special_table::k_chains];
  while (s != nullptr && (s->index != o.index || s->kind != kind)) s = s->next;
  return s;
}

// Objects below 16 bytes share a block, so there the address tells whose finalizer it is.
special* specials::find_finalizer(const object_ref& o, std::uintptr_t p) noexcept {
  constexpr unsigned k_tiny = detail::span_class_of(detail::size_class_of(16), true);
  special* s = find(o, special_kind::finalizer);
  if (o.span_class != k_tiny) return s;
  while (s != nullptr && (s->index != o.index || s->kind != special_kind::finalizer ||
                          s->object.load(std::memory_order_relaxed) != p))
    s = s->next;
  return s;
}

void specials::unlink(special* s) noexcept {
  special_table* t = s->span->specials;
  special** link = &t->chains[s->index % special_table::k_chains];
  while (*link != s) link = &(*link)->next;
  *link = s->next;
  s->next = nullptr;
  s->span = nullptr;
  --t->n;
  n_specials_.fetch_sub(1, std::memory_order_relaxed);
}

// ---- weak references -----------------------------------------------------------------------------------------------

special* specials::acquire_weak(const object_ref& o) noexcept {
  lock_guard guard(lock_);
  special* s = find(o, special_kind::weak);
  if (s == nullptr) {
    s = make(o, special_kind::weak);
    if (s == nullptr) return nullptr;
    s->object.store(o.base, std::memory_order_relaxed);
  }
  s->references.fetch_add(1, std::memory_order_relaxed);
  return s;
}

void specials::release_weak(special* s) noexcept {
  // The last reference goes under the lock: acquire_weak makes the first one there, and copies are made of one that
  // exists. Release and acquire: who frees the record sees what the others did before they let go.
  std::uint32_t n = s->references.load(std::memory_order_relaxed);
  while (n > 1) {
    if (s->references.compare_exchange_weak(n, n - 1, std::memory_order_release, std::memory_order_relaxed))
      return;
  }
  lock_guard guard(lock_);
  if (s->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (s->span != nullptr) unlink(s);
  records_.give(s);
}

// ---- finalizers and cleanups ---------------------------------------------------------------------------------------

std::uint64_t specials::add_cleanup(const object_ref& o, detail::closure* f) noexcept {
  lock_guard guard(lock_);
  special* s = make(o, special_kind::cleanup);
  if (s == nullptr) return 0;
  s->function = f;
  // The record's address and 16 bits of a counter: records are never unmapped, so an old id may be looked up.
  const std::uint64_t id = reinterpret_cast<std::uint64_t>(s) << 16 | (next_id_++ & 0xffff);
  s->id.store(id, std::memory_order_relaxed);
  return id;
}

detail::closure* specials::stop_cleanup(std::uint64_t id) noexcept {
  auto* s = reinterpret_cast<special*>(id >> 16);
  if (s == nullptr) return nullptr;
  lock_guard guard(lock_);
  if (s->id.load(std::memory_order_relaxed) != id || s->span == nullptr) return nullptr;
  detail::closure* f = s->function;
  s->id.store(0, std::memory_order_relaxed);
  unlink(s);
  records_.give(s);
  return f;
}

bool specials::set_finalizer(const object_ref& o, std::uintptr_t p, detail::closure* f,
                             detail::closure*& replaced) noexcept {
  lock_guard guard(lock_);
  special* s = find_finalizer(o, p);
  replaced = s != nullptr ? s->function : nullptr;
  if (s == nullptr) s = make(o, special_kind::finalizer);
  if (s == nullptr) return false;
  s->function = f;
  s->object.store(p, std::memory_order_relaxed);
  return true;
}

detail::closure* specials::clear_finalizer(const object_ref& o, std::uintptr_t p) noexcept {
  lock_guard guard(lock_);
  special* s = find_finalizer(o, p);
  if (s == nullptr) return nullptr;
  detail::closure* f = s->function;
  unlink(s);
  records_.give(s);
  return f;
}

detail::closure* specials::object_freed(const object_ref& o) noexcept {
  if (n_specials_.load(std::memory_order_relaxed) == 0) return nullptr;
  lock_guard guard(lock_);
  special_table* t = span_of(o)->specials;
  if (t == nullptr) return nullptr;
  detail::closure* finalizer = nullptr;
  special** link = &t->chains[o.index % special_table::k_chains];
  while (special* s = *link) {
    if (s->index != o.index) {
      link = &s->next;
      continue;
    }
    *link = s->next;
    s->next = nullptr;
    s->span = nullptr;
    --t->n;
    n_specials_.fetch_sub(1, std::memory_order_relaxed);
    switch (s->kind) {
      case special_kind::weak:
        s->object.store(0, std::memory_order_relaxed);
        break;
      case special_kind::finalizer:
        finalizer = s->function;
        records_.give(s);
        break;
      default:
        queue.push(s);
    }
  }
  return finalizer;
}

void specials::forget(heap::mspan& span) noexcept {
  if (span.specials == nullptr) return;  // the caller owns the span, so nobody else gives it one
  lock_guard guard(lock_);
  CAIRN_ASSERT(span.specials->n == 0, "a freed object has weak references or cleanups");
  span.specials->span = nullptr;
  span.specials = nullptr;
}

// ---- marking and deciding ------------------------------------------------------------------------------------------

// f(special) for each, which may unlink it; with the lock, in a section for each table, for a cycle may run on a
// goroutine, which must not be stopped or frozen with the lock. By who runs the cycle: nobody else takes a table out
// of the list, and of those that come meanwhile he need not know.
template <class F>
void specials::for_each(F&& f) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  special_table* t = nullptr;
  for (bool first = true; first || t != nullptr; first = false) {
    sched::runtime_section section;
    lock_guard guard(lock_);
    if (first) {
      t = first_table_;
      continue;
    }
    for (special* chain : t->chains) {
      for (special *s = chain, *next = nullptr; t->n != 0 && s != nullptr; s = next) {
        next = s->next;
        f(s);
      }
    }
    t = t->next;
  }
}

void specials::mark_roots(marker& m) noexcept {
  queue.mark(m);
  for_each([&m](const special* s) { m.candidate(reinterpret_cast<std::uintptr_t>(s->function)); });
}

// f(special) for every special of an object that is not marked. f may unlink it.
template <class F>
void specials::for_each_dead(F&& f) noexcept {
  for_each([&f](special* s) CAIRN_NO_THREAD_SAFETY_ANALYSIS {
    if (!is_marked(*s)) f(s);
  });
}

void specials::clear_dead_weak() noexcept {
  for_each_dead([this](special* s) CAIRN_REQUIRES(lock_) {
    if (s->kind != special_kind::weak) return;
    // Release: with the acquire in lock_weak, before the object may be marked for a finalizer.
    s->object.store(0, std::memory_order_release);
    unlink(s);  // release_weak gives the record back
  });
}

void specials::decide_finalizers(marker& m, void (*drain)(marker&)) noexcept {
  bool any = false;
  for_each_dead([&](special* s) {
    if (s->kind != special_kind::finalizer) return;
    any = true;
    m.scan_object(ref_of(*s));
  });
  if (!any) return;
  drain(m);
  // What is still white here is reached by no other object that waits for its finalizer.
  for_each_dead([&](special* s) CAIRN_REQUIRES(lock_) {
    if (s->kind != special_kind::finalizer) return;
    m.candidate(ref_of(*s).base);
    unlink(s);
    queue.push(s);
  });
  drain(m);
}

// Queues the destructors of the span's dead objects. True if some are armed still.
bool specials::queue_destructors(heap::mspan& span, marker& m) noexcept {
  sched::runtime_section section;  // for the queue's lock
  std::uint64_t left = 0;
  for (unsigned w = 0; w < span.n_groups(); ++w) {
    auto& armed = span.group(w).armed;
    // The armed bits first: an object that is being armed just now was made marked, before that.
    std::uint64_t dead = armed.load(std::memory_order_seq_cst);
    dead &= ~span.group(w).marked();
    for (; dead != 0; dead &= dead - 1) {
      const unsigned index = 64 * w + static_cast<unsigned>(std::countr_zero(dead));
      special* s = records_.take();
      // Without memory for the queue the object lives on, and the next cycle tries again.
      m.candidate(span.slot_address(index));
      if (s == nullptr) continue;
      armed.fetch_and(~heap::bit_of(index), std::memory_order_relaxed);
      s->kind = special_kind::destructor;
      s->span = nullptr;
      s->function = nullptr;
      s->object.store(span.slot_address(index), std::memory_order_relaxed);
      queue.push(s);
    }
    left |= armed.load(std::memory_order_relaxed);
  }
  return left != 0;
}

void specials::decide_destructors(marker& m, void (*drain)(marker&)) noexcept {
  if (!any_armed.exchange(false, std::memory_order_seq_cst)) return;
  bool left = false;
  heap::for_each_span([&](heap::mspan* span) {
    if (span->has_armed.exchange(0, std::memory_order_seq_cst) == 0) return;
    if (!queue_destructors(*span, m)) return;
    span->has_armed.store(1, std::memory_order_seq_cst);
    left = true;
  });
  if (left) any_armed.store(true, std::memory_order_seq_cst);
  if (m.has_work()) drain(m);
}

void specials::decide_cleanups() noexcept {
  for_each_dead([this](special* s) CAIRN_REQUIRES(lock_) {
    if (s->kind == special_kind::cleanup) {
      s->id.store(0, std::memory_order_relaxed);
      unlink(s);
      queue.push(s);
    }
  });
}

void specials::drop_empty_tables() noexcept {
  sched::runtime_section section;
  lock_guard guard(lock_);
  for (special_table** link = &first_table_; *link != nullptr;) {
    special_table* t = *link;
    if (t->n != 0) {
      link = &t->next;
      continue;
    }
    if (t->span != nullptr) t->span->specials = nullptr;
    *link = t->next;
    tables_.give(t);
  }
}

void specials::decide(marker& m, void (*drain)(marker&)) noexcept {
  clear_dead_weak();
  // Release: with lock_weak, which then looks at the record alone. In a stopped cycle the word is open, and stays so.
  std::uint32_t expected = k_decided;
  weak_word_.compare_exchange_strong(expected, k_cleared, std::memory_order_release,
                                     std::memory_order_relaxed);
  decide_finalizers(m, drain);
  decide_destructors(m, drain);
  decide_cleanups();
  drop_empty_tables();
}

bool specials::decide_weak() noexcept {
  std::uint32_t expected = k_open;
  // Acquire and release: with the CAS in lock_weak, and the threads that find it decided.
  return weak_word_.compare_exchange_strong(expected, k_decided, std::memory_order_acq_rel,
                                            std::memory_order_relaxed);
}

bool specials::lock_weak(const special& s, const object_ref& target, bool& shade) noexcept {
  for (;;) {
    std::uint32_t state = weak_word_.load(std::memory_order_acquire);
    if (state == k_cleared) return s.object.load(std::memory_order_acquire) != 0;
    heap::maybe_delay("weak.lock");
    // Acquire: a mark that a finalizer's sake has set comes with the cleared address.
    const bool marked = heap::is_marked(target, std::memory_order_acquire);
    if (state == k_decided) {
      if (weak_word_.load(std::memory_order_acquire) != state) continue;
      return marked && s.object.load(std::memory_order_acquire) != 0;
    }
    // Between the two loads above all may have been decided, and the mark be one for a finalizer's or
    // destructor's sake.
    if (marked) return s.object.load(std::memory_order_acquire) != 0;
    if (state == k_open && !weak_word_.compare_exchange_strong(state, k_dirty, std::memory_order_acq_rel,
                                                               std::memory_order_relaxed))
      continue;
    shade = true;
    return true;
  }
}

void specials::for_each_special(void (*f)(void* arg, special_kind kind, const object_ref& o,
                                          bool is_referred_to),
                                void* arg) noexcept {
  lock_guard guard(lock_);
  for (const special_table* t = first_table_; t != nullptr; t = t->next) {
    if (t->n == 0) continue;
    for (const special* s : t->chains)
      for (; s != nullptr; s = s->next)
        f(arg, s->kind, ref_of(*s), s->references.load(std::memory_order_relaxed) != 0);
  }
}

bool specials::check(void (*complain)(const void* object, const char* what)) noexcept {
  lock_guard guard(lock_);
  bool good = true;
  for (special_table* t = first_table_; t != nullptr; t = t->next) {
    std::size_t n = 0;
    for (special* s : t->chains) {
      for (; s != nullptr; s = s->next) {
        ++n;
        if (s->span == t->span && t->span->specials == t && t->span->is_allocated(s->index)) continue;
        complain(reinterpret_cast<void*>(t->span->slot_address(s->index)),
                 "has a weak reference or cleanup, and is not allocated");
        good = false;
      }
    }
    if (n == t->n) continue;
    complain(t, "counts other specials than it holds");
    good = false;
  }
  return good;
}

}  // namespace cairn::gc
