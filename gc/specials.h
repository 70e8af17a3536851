// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Specials: what hangs on an object besides its memory: weak references, a finalizer, cleanups. (Destructors are bits,
// heap/space.h `armed`, and a footer in the object.)
//
// A span that has any has a table of 64 chains, chosen by the object's index; a special is a record of the runtime's
// own memory, linked into one of them. All tables are in one list, so that the end of marking visits exactly the
// specials there are.
//
//   every special in a table belongs to an allocated object
//   an object has at most one weak special and one finalizer, and any number of cleanups
//   a weak record lives as long as its table entry or a gc_weak refers to it
//
// What happens to an object that marking did not reach, decided once per cycle by decide(), in this order:
//   1. its weak references are cleared;
//   2. if it has a finalizer: what it reaches is kept, and unless another such object reaches it, its finalizer is
//      queued and the object kept for it;
//   3. else if its destructor is armed: the destructor is queued, the object and what it reaches are kept for it;
//   4. else its cleanups are queued and it is swept.
// Kept objects are marked; the queue holds them alive until their function has run.
//
// One lock guards all tables; it is taken inside runtime sections, by who runs the cycle for one table at a
// time and never while something is marked. An object found dead at the first step is reached by nobody, so
// what hangs on it stands still from there on, but for the weak references, which may let go.
//
// gc_weak::lock beside the cycle. It makes a strong reference out of nothing, which no barrier sees. One word says how:
//
//   open     a white target is shaded, and the word becomes dirty
//   dirty    a white target is shaded
//   decided  a marked target is returned; for a white one the answer is null
//   cleared  the records of white targets are cleared: the record says it all. The marks do not any more, for
//            spans are swept from the end of the cycle on, before the last thread has seen the barrier off
//
//   the cycle opens it before each of its last rounds, and decides it by a CAS from open after one in which
//   nothing turned grey: if a lock came in between, the CAS fails and another round follows a thread that found
//   it open or dirty has its shade in its buffer before its section ends, so the next handshake collects it
//   decided, the mark is read before the special's address: what is marked later on, for a finalizer's sake,
//   has had its address cleared before. The word is read again after the mark: unchanged, no span was swept yet. It is
//   opened again when no thread can be in a section that began before
//   the barrier was turned off
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/entry.h"
#include "gc/mark.h"
#include "heap/lock.h"
#include "heap/metadata.h"
#include "heap/mspan.h"

namespace cairn::gc {
struct special;
}

namespace cairn::heap {

struct special_table {
  static constexpr unsigned k_chains = 64;
  mspan* span = nullptr;          // null: it was freed by hand; nothing is in the table
  special_table* next = nullptr;  // list of all tables
  std::size_t n = 0;
  gc::special* chains[k_chains] = {};
};

}  // namespace cairn::heap

namespace cairn::gc {

enum class special_kind : std::uint8_t { weak, finalizer, cleanup, destructor };

struct special {
  special* next = nullptr;      // chain of the table, or the queue
  heap::mspan* span = nullptr;  // null: in no table
  std::uint32_t index = 0;      // of the object
  special_kind kind = special_kind::weak;
  // Weak: references from gc_weak. 0 with span == null: free.
  std::atomic<std::uint32_t> references{0};
  // Cleanup: the id under which it can be stopped; changes each time the record is used. 0: none.
  std::atomic<std::uint64_t> id{0};
  // Weak: the object's address while it is reachable, else 0. Written with the world stopped, read inside sections.
  std::atomic<std::uintptr_t> object{0};
  // Finalizer, cleanup: what to call; scanned as a root.
  detail::closure* function = nullptr;
};
static_assert(sizeof(special) <= 64);

// What the runtime's own thread has to run, first in, first out. Roots.
class finalizer_queue {
 public:
  void push(special* s) noexcept;
  special* pop() noexcept;
  bool empty() const noexcept { return n_.load(std::memory_order_acquire) == 0; }
  std::size_t size() const noexcept { return n_.load(std::memory_order_acquire); }
  void mark(marker& m) noexcept;  // world stopped

 private:
  heap::lock lock_;
  special* head_ CAIRN_GUARDED_BY(lock_) = nullptr;
  special* tail_ CAIRN_GUARDED_BY(lock_) = nullptr;
  std::atomic<std::size_t> n_{0};
};

class specials {
 public:
  using object_ref = heap::object_ref;
  void reserve();  // at depth 0

  // All inside a runtime section. `o` is allocated. False or null: the system gives no memory.
  special* acquire_weak(const heap::object_ref& o) noexcept;
  void release_weak(special* s) noexcept;
  // Returns the cleanup's id, 0 for no memory.
  std::uint64_t add_cleanup(const heap::object_ref& o, detail::closure* f) noexcept;
  // The function that will not run now; null when it has, or there is no such cleanup.
  detail::closure* stop_cleanup(std::uint64_t id) noexcept;
  // `p` is what the finalizer will be called with. `replaced`: the earlier function, to be dropped.
  bool set_finalizer(const heap::object_ref& o, std::uintptr_t p, detail::closure* f,
                     detail::closure*& replaced) noexcept;
  detail::closure* clear_finalizer(const heap::object_ref& o, std::uintptr_t p) noexcept;
  // The object is freed by hand: weak references are cleared, cleanups queued. The finalizer is returned, to be
  // dropped.
  detail::closure* object_freed(const heap::object_ref& o) noexcept;
  // The span of a large object that was freed by hand goes, object_freed having come first: its table must not lead to
  // the span that its record will be next.
  void forget(heap::mspan& span) noexcept;

  // Marks what tables and queue hold. What comes in later is shaded by who brings it.
  void mark_roots(marker& m) noexcept;
  // Marking done. `drain` marks everything reachable from the marker's candidates.
  void decide(marker& m, void (*drain)(marker&)) noexcept;

  // The word of gc_weak::lock. By who runs the cycle: the first, and the second, which is false if a lock has been.
  void open_weak() noexcept { weak_word_.store(k_open, std::memory_order_release); }
  bool decide_weak() noexcept;
  // What lock() does while the barrier is on, in a section: true if the target may be returned. `shade`: it must be
  // shaded first.
  bool lock_weak(const special& s, const object_ref& target, bool& shade) noexcept;
  // World stopped: f(arg, kind, object, does a gc_weak refer to it) for each of those in tables.
  void for_each_special(void (*f)(void* arg, special_kind kind, const object_ref& o, bool is_referred_to),
                        void* arg) noexcept;
  // World stopped: every special's object is allocated.
  bool check(void (*complain)(const void* object, const char* what)) noexcept;

  std::size_t size() const noexcept { return n_specials_.load(std::memory_order_relaxed); }

  // For the thread that runs them: a special popped from the queue is given back here.
  void recycle(special* s) noexcept { records_.give(s); }

  finalizer_queue queue;
  // Some object's destructor may be armed: without any, a cycle need not look at all spans. Who arms one sets the bit,
  // then the span's has_armed, then this; the cycle clears in the other order before it looks, and sets again what it
  // finds. All sequentially consistent, so that one of them sees the other.
  std::atomic<bool> any_armed{false};

 private:
  struct find_result;
  heap::special_table* table_of(heap::mspan* s) noexcept CAIRN_REQUIRES(lock_);
  special* make(const heap::object_ref& o, special_kind kind) noexcept CAIRN_REQUIRES(lock_);
  special* find(const heap::object_ref& o, special_kind kind) noexcept CAIRN_REQUIRES(lock_);
  special* find_finalizer(const heap::object_ref& o, std::uintptr_t p) noexcept CAIRN_REQUIRES(lock_);
  void unlink(special* s) noexcept CAIRN_REQUIRES(lock_);
  template <class F>
  void for_each(F&& f) noexcept CAIRN_EXCLUDES(lock_);
  template <class F>
  void for_each_dead(F&& f) noexcept CAIRN_EXCLUDES(lock_);
  void clear_dead_weak() noexcept CAIRN_EXCLUDES(lock_);
  void decide_finalizers(marker& m, void (*drain)(marker&)) noexcept CAIRN_EXCLUDES(lock_);
  void decide_destructors(marker& m, void (*drain)(marker&)) noexcept;
  bool queue_destructors(heap::mspan& span, marker& m) noexcept;
  void decide_cleanups() noexcept CAIRN_EXCLUDES(lock_);
  void drop_empty_tables() noexcept CAIRN_EXCLUDES(lock_);

  static constexpr std::uint32_t k_open = 0, k_dirty = 1, k_decided = 2, k_cleared = 3;
  std::atomic<std::uint32_t> weak_word_{k_open};

  heap::lock lock_;
  heap::fixed_alloc<special> records_;
  heap::fixed_alloc<heap::special_table> tables_;
  heap::special_table* first_table_ CAIRN_GUARDED_BY(lock_) = nullptr;
  std::uint64_t next_id_ CAIRN_GUARDED_BY(lock_) = 1;
  std::atomic<std::size_t> n_specials_{0};
};

}  // namespace cairn::gc
