// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::pool. A pool has two tables, each a collected object: the current one, into which objects are put, and
// the one before. A table has a place for each P, and one for all threads that have none. A place holds one
// object that only its P touches, in a section, without a lock or an atomic operation; and a stack of chunks
// with more, under a lock, of which others take when they find nothing in their own place. So who puts and
// takes by turns meets nobody.
//
// At the start of every cycle the current table becomes the previous one, and what that held is garbage. It
// takes two stores a pool, and stops nobody: who has the table in hand goes on with it, and what is put into one that
// was dropped is dropped. Nothing else refers to the objects, so a pool keeps none for longer than two cycles.
//
// The list of all pools holds no reference to them. Each is in it until its destructor has run, and till
// then its memory is not used again. It comes in with its first table, not when it is constructed: a constructor that
// is ended before its object has a destructor to run (an exception, the end of a run) must leave nothing here.
//
// Rejected: emptying pools when they are used next, by the number of the cycle (one that is not used any more
// would keep what it has); a lock-free deque as Go's (what it saves shows only when more than one object is put
// in between takes).
#include "gc/pool.h"

#include <atomic>
#include <new>
#include <utility>

#include "cairn/detail/annotate.h"
#include "cairn/detail/barrier.h"
#include "cairn/detail/pool.h"
#include "heap/lock.h"
#include "sched/scheduler.h"

namespace cairn::detail {

namespace {

struct chunk {
  static constexpr unsigned k_items = 126;
  chunk* below = nullptr;
  void* items[k_items] = {};
};
static_assert(sizeof(chunk) <= 1024);

// Pointers here are written by the barrier.
struct alignas(64) pool_place {
  void* own = nullptr;  // the P's; see give() and take()
  heap::lock lock;
  std::atomic<unsigned> count{0};  // in `top`; written under the lock. Relaxed elsewhere: a hint
  chunk* top CAIRN_GUARDED_BY(lock) = nullptr;
  chunk* spare CAIRN_GUARDED_BY(lock) = nullptr;  // an empty one
};

void store(chunk*& slot, chunk* value) noexcept { store_word(slot, value); }

}  // namespace

// The places follow it.
struct alignas(64) pool_table {
  unsigned procs;  // the places of Ps; the one after them is of threads without

  pool_place& place(unsigned i) noexcept {
    return reinterpret_cast<pool_place*>(reinterpret_cast<char*>(this) + sizeof(pool_table))[i];
  }
};

namespace {

// The object that is the P's own. In a section, by who has the P. Whoever has it next sees what is written here by how
// the P came to it; ThreadSanitizer does not see the ways in which it is taken away.
void* take_own(pool_place& at) noexcept {
#if CAIRN_TSAN
  return exchange_word<void>(at.own, nullptr, __ATOMIC_ACQ_REL);
#else
  void* object = at.own;
  if (object != nullptr) store_word<void>(at.own, nullptr);
  return object;
#endif
}
bool give_own(pool_place& at, void* object) noexcept {
#if CAIRN_TSAN
  if (__atomic_load_n(&at.own, __ATOMIC_ACQUIRE) != nullptr) return false;
  exchange_word<void>(at.own, object, __ATOMIC_ACQ_REL);
#else
  if (at.own != nullptr) return false;
  store_word<void>(at.own, object);
#endif
  return true;
}

// One of the stack. In a section.
void* pop(pool_place& at) noexcept {
  if (at.count.load(std::memory_order_relaxed) == 0) return nullptr;
  heap::lock_guard held(at.lock);
  unsigned n = at.count.load(std::memory_order_relaxed);
  if (n == 0) return nullptr;
  void*& slot = at.top->items[--n];
  void* object = slot;
  store_word<void>(slot, nullptr);
  if (n == 0 && at.top->below != nullptr) {
    chunk* empty = at.top;
    store(at.top, empty->below);
    store(empty->below, nullptr);
    store(at.spare, empty);
    n = chunk::k_items;
  }
  at.count.store(n, std::memory_order_relaxed);
  return object;
}

// On the stack; false if it takes a new chunk and `fresh` is null. It is null afterwards if it was used. In a section.
[[gnu::noinline]] bool push(pool_place& at, void* object, chunk*& fresh) noexcept {
  heap::lock_guard held(at.lock);
  unsigned n = at.count.load(std::memory_order_relaxed);
  if (at.top == nullptr || n == chunk::k_items) {
    chunk* more = at.spare != nullptr ? at.spare : std::exchange(fresh, nullptr);
    if (more == nullptr) return false;
    store(at.spare, nullptr);
    store(more->below, at.top);
    store(at.top, more);
    n = 0;
  }
  store_word<void>(at.top->items[n], object);
  at.count.store(n + 1, std::memory_order_relaxed);
  return true;
}

[[gnu::noinline]] void* take_from(pool_table* table, const sched::p* pp) noexcept {
  if (table == nullptr) return nullptr;
  const unsigned n = table->procs + 1;
  unsigned mine = table->procs;
  if (pp != nullptr && static_cast<unsigned>(pp->id) < table->procs) {
    mine = static_cast<unsigned>(pp->id);
    if (void* object = take_own(table->place(mine))) return object;
  }
  for (unsigned i = mine, k = 0; k < n; ++k, i = i + 1 == n ? 0 : i + 1)
    if (void* object = pop(table->place(i))) return object;
  return nullptr;
}

void* allocate_scanned(std::size_t bytes, std::size_t align) {
  return allocate_bytes(bytes, align, {.mask = ~std::uint64_t{0}, .noscan = false}, false);
}

// ---- all pools -----------------------------------------------------------------------------------------------------

heap::lock g_lock;
std::uintptr_t g_first CAIRN_GUARDED_BY(g_lock) = 0;  // hidden, as the links are

std::uintptr_t hide(pool_core* pool) noexcept { return ~reinterpret_cast<std::uintptr_t>(pool); }
pool_core* shown(std::uintptr_t hidden) noexcept {
  return hidden == 0 ? nullptr : reinterpret_cast<pool_core*>(~hidden);
}

void make_known(pool_core& pool) noexcept {
  sched::runtime_section section;
  heap::lock_guard held(g_lock);
  if (std::exchange(pool.is_known, true)) return;
  pool.next = g_first;
  if (pool_core* after = shown(pool.next)) after->before = hide(&pool);
  g_first = hide(&pool);
}

// Puts a table with places for all Ps where `seen` is, or somebody else's. At depth 0.
void replace_table(pool_core& pool, pool_table* seen) {
  make_known(pool);
  const auto procs = static_cast<unsigned>(sched::procs_made());
  void* memory = allocate_scanned(sizeof(pool_table) + (procs + 1) * sizeof(pool_place), alignof(pool_table));
  auto* table = ::new (memory) pool_table{procs};
  for (unsigned i = 0; i <= procs; ++i) ::new (&table->place(i)) pool_place;
  // Release: with who takes it.
  compare_exchange_word(pool.current, seen, table, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

}  // namespace

pool_core::~pool_core() {
  sched::runtime_section section;
  heap::lock_guard held(g_lock);
  if (!is_known) return;
  if (pool_core* after = shown(next)) after->before = before;
  if (pool_core* ahead = shown(before)) ahead->next = next;
  else g_first = next;
}

void* take_from_pool(pool_core& pool) noexcept {
  sched::m& self = *sched::current();
  sched::runtime_section section(self);
  const sched::p* pp = sched::own_p(self);
  // Acquire, both: with replace_table and grow_old.
  pool_table* current = __atomic_load_n(&pool.current, __ATOMIC_ACQUIRE);
  if (current != nullptr && pp != nullptr && static_cast<unsigned>(pp->id) < current->procs) [[likely]]
    if (void* object = take_own(current->place(static_cast<unsigned>(pp->id)))) [[likely]]
      return object;
  if (void* object = take_from(current, pp)) return object;
  return take_from(__atomic_load_n(&pool.previous, __ATOMIC_ACQUIRE), pp);
}

void put_into_pool(pool_core& pool, void* object) {
  chunk* fresh = nullptr;
  for (;;) {
    pool_table* table = nullptr;
    bool has_place = false;
    {
      sched::m& self = *sched::current();
      sched::runtime_section section(self);
      const sched::p* pp = sched::own_p(self);
      const auto id = static_cast<unsigned>(pp != nullptr ? pp->id : 0);
      table = __atomic_load_n(&pool.current, __ATOMIC_ACQUIRE);  // with replace_table
      has_place = table != nullptr && (pp == nullptr || id < table->procs);
      if (has_place) {
        if (pp != nullptr && give_own(table->place(id), object)) return;
        if (push(table->place(pp != nullptr ? id : table->procs), object, fresh)) return;
      }
    }
    if (!has_place) replace_table(pool, table);
    else fresh = ::new (allocate_scanned(sizeof(chunk), alignof(chunk))) chunk;
  }
}

}  // namespace cairn::detail

namespace cairn::gc::pools {

void grow_old() noexcept {
  using namespace detail;
  sched::runtime_section section;
  heap::lock_guard held(g_lock);
  for (pool_core* pool = shown(g_first); pool != nullptr; pool = shown(pool->next)) {
    // No barrier: nothing is marked yet, and what is dropped here was to be had from the pool only. Acquire and
    // release: with who takes the tables.
    pool_table* was = __atomic_exchange_n(&pool->current, nullptr, __ATOMIC_ACQ_REL);
    __atomic_store_n(&pool->previous, was, __ATOMIC_RELEASE);
  }
}

}  // namespace cairn::gc::pools
