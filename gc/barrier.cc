// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The write barrier's slow path. The fast path is in include/cairn/detail/barrier.h.
//
// While a cycle marks, a store of a managed pointer shades two objects: the one being forgotten and, as long as some
// stack is grey, the one being stored.
//
//     old = *slot; *slot = value;              // one short asm sequence, then
//     if (cairn_barrier_flags) shade(old), shade(value)
//
// Why this is enough. A white object can be lost only if the last path to it runs through something already black.
//   1. Cutting a path through the heap shades what it led to: the deletion part.
//   2. Handing it from a grey stack to a black object shades it: the insertion part.
//   3. A black stack holds no white pointer: it was scanned whole, objects made since are black, and 1 keeps it
//      so. What is read of a gc_ptr on another's stack, which may be grey and whose end forgets it unseen, is
//      copied to a gc_ptr: that is a store, and shades (gc_ptr.h asks for it).
// Storing first and looking after is safe because a thread that is interrupted in between either has not read the flag
// yet, and will see it, or holds `old` and `value` in registers, and every asynchronous handshake shades these.
//
// Shading is deferred: the two words go into the thread's buffer of 128, and a full buffer goes to the markers
// as a whole. The barrier marks nothing of that. The cycle ends when a handshake that empties all buffers
// brings nothing new.
//
// What is marked needs no shade: whoever set the mark scans it, or it was born marked. Most stores of a cycle
// find that, and end with it: 4 ns instead of 10. A mark may be believed from the end of H1 on; until then
// there are old ones, in spans that sit in caches, and a thread that drops a word for one of these might still
// have its store on the way to memory when the markers come. That all stacks are black says that H1 is over,
// and so do births that are black. The word that was overwritten, and while a stack is grey the one that was stored,
// stay in registers, as they are, until the look at their marks is over: a handshake that comes before finds them
// there, one that comes later has nothing to find. (Should the cycle end in between and another begin: its H1 comes
// after the store, which is nothing to that cycle.)
//
// Nor does a word need a shade whose slot is not allocated at the look: it leads to no object. Not to one that was made
// before: its bit was set before its address was known to anybody, this thread has the address from there, in that
// order (after_pointers), and no bit is cleared until the cycle is over: whatever sweeps has done so by the end of H1,
// and who gives back slots or a large object at once looks at the flags first, in a section, for which H1 waits. If the
// slot is allocated afterwards, the word is a stale one, that leads to the new object by chance, and whoever is given
// the slot has the address from the allocator: either births were black to him, then its bit is set together with a
// mark; or his section began before they were, then he has not been scanned yet, his stack holds the object, or the
// insertion part has shaded it, and what is left of the run is marked when he is (concurrent.h). The marker drops such
// words too, but later: a chance more that the slot has become an object, which would be kept for nothing.
//
// A thread that is not attached is reached by no handshake. What it stores is handed over at once; between its store
// and that nothing protects it. Threads that use managed pointers are attached (gc_ptr.h says so).
#include "gc/barrier.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "gc/ptrcheck.h"
#include "gc/runtime.h"
#include "gc/share.h"
#include "heap/fatal.h"
#include "heap/mheap.h"
#include "heap/private.h"

CAIRN_PRIVATE constinit unsigned char cairn_barrier_flags = 0;

namespace cairn::gc {
namespace {

constexpr unsigned k_buffer_words = sizeof(sched::barrier_buffer::words) / sizeof(void*);

// Between reading a pointer in the heap and looking up what it points to. Else the end of the heap may be read first,
// and be an older one than the pointer: the word would count as none of the heap's. Acquire: with the fence at the end
// of a refill (heap/mcache.cc). x86-64 keeps loads in order by itself.
void after_pointers() noexcept { std::atomic_thread_fence(std::memory_order_acquire); }

void add(work_writer& out, const void* p) noexcept {
  const auto word = reinterpret_cast<std::uintptr_t>(p);
  if (heap::g_space.contains(word)) out.push(word & ~std::uintptr_t{7});
}

// The multiplier for an offset within a span, by the low byte of its pages' entry: 0 for pages of no span.
constexpr auto k_reciprocal_by_entry = [] {
  std::array<std::uint32_t, 256> table{};
  for (unsigned sc = 0; sc < 2 * detail::k_size_class_count; ++sc)
    table[heap::page_info::make(sc, 0).word] = detail::k_class_reciprocal[sc / 2];
  return table;
}();

// Whether the bits of the slot that `p` points into say so; true, too, if `p` points out of the heap, and false where
// they take more than one look: in the far pages of an object of 128 GiB. For a page of no span it asks the bits of a
// first slot, whatever they are. Made to need no frame.
template <class F>
[[gnu::always_inline]] inline bool look_at(const void* p, F says_so) noexcept {
  const heap::space& s = heap::g_space;
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(p) - s.base;
  if (offset >= s.committed.load(std::memory_order_relaxed)) [[unlikely]]
    return true;
  const std::size_t page = offset >> detail::k_page_shift;
  const heap::page_info info = s.info_of(page);
  if (info.distance() == heap::page_info::k_far) [[unlikely]]
    return false;
  const std::size_t first = page - info.distance();
  // As in find_one: of the tail behind the last slot no bit is ever set.
  const std::uint64_t scaled = (offset - (first << detail::k_page_shift)) *
                               k_reciprocal_by_entry[info.word & 0xff];
  const auto index = static_cast<unsigned>(scaled >> 32);
  return (says_so(info, s.group_of(first, index)) & heap::bit_of(index)) != 0;
}

// The marker would find nothing to do with `p`, as stores find as a rule while a cycle marks: it points to a slot that
// is marked. So each instruction counts, and none is spent on the rarer reasons of is_no_news.
[[gnu::always_inline]] inline bool is_marked_object(const void* p) noexcept {
  return look_at(p, [](heap::page_info, const heap::bit_group& bits) { return bits.marked(); });
}

// For whatever reason: it may also point to a page of no span, or to a slot that is not allocated.
[[gnu::always_inline]] inline bool is_no_news(const void* p) noexcept {
  return look_at(p, [](heap::page_info info, const heap::bit_group& bits) {
    const std::uint64_t free = ~bits.alloc.load(std::memory_order_relaxed);
    return info.in_use() ? bits.marked() | free : ~std::uint64_t{0};
  });
}

// To the work buffer that the thread fills, and that to the pool when it is full: each turn at the pool's locks
// may have to wait for a holder that is off its processor.
void hand_over(sched::barrier_buffer& b) noexcept {
  work_writer out(rt().work, static_cast<work_buf*>(b.out));
  const bool marks_count = heap::the_heap.current().black();
  for (unsigned i = 0; i < b.n; ++i)
    if (!marks_count || !is_no_news(b.words[i])) add(out, b.words[i]);
  b.n = 0;
  b.out = out.release();
}

[[gnu::noinline]] void hand_over_full(sched::m& self) noexcept {
  heap::stopwatch watch = sched::stopwatch_of(self);
  hand_over(self.barrier);
  rt().count.note(pause_kind::barrier_buffer, watch.stop());
}

[[gnu::always_inline]] inline void record(sched::m& self, const void* p) noexcept {
  after_pointers();
  if (!heap::g_space.contains(reinterpret_cast<std::uintptr_t>(p))) return;
  sched::barrier_buffer& b = self.barrier;
  if (b.n == k_buffer_words) [[unlikely]]
    hand_over_full(self);
  b.words[b.n++] = const_cast<void*>(p);
}

}  // namespace

void set_barrier(unsigned bits) noexcept {
  const unsigned others = cairn_barrier_flags & ~unsigned{k_marking | k_grey_stacks};
  // Release: see barrier_is_on. The program's stores read it without an order: a handshake makes up for that.
  __atomic_store_n(&cairn_barrier_flags, static_cast<unsigned char>(others | bits), __ATOMIC_SEQ_CST);
}

void shade(sched::m& self, const void* p) noexcept {
  if (barrier_is_on()) record(self, p);
}

void flush_barrier(sched::m& self) noexcept {
  sched::barrier_buffer& b = self.barrier;
  if (b.n != 0) hand_over(b);
  const work_writer rest(rt().work, static_cast<work_buf*>(std::exchange(b.out, nullptr)));
}

void drop_barrier(sched::m& self) noexcept {
  sched::barrier_buffer& b = self.barrier;
  b.n = 0;
  if (auto* out = static_cast<work_buf*>(std::exchange(b.out, nullptr))) rt().work.give_empty(out);
}

}  // namespace cairn::gc

namespace cairn::detail {

namespace {

[[gnu::cold, gnu::noinline]] void record_unattached(const void* old, const void* value) noexcept {
  gc::after_pointers();
  gc::work_writer out(gc::rt().work);
  gc::add(out, old);
  gc::add(out, value);
}

[[gnu::always_inline]] inline void record_stored(unsigned char flags, const void* old,
                                                 const void* value) noexcept {
  // Once all stacks are black what they hold needs no shade. An object that has just been made has nothing to lose: so
  // filling it ends here.
  if ((flags & gc::k_grey_stacks) == 0) {
    if (old == nullptr) return;
    value = nullptr;
  }
  sched::m* self = sched::current();
  if (self == nullptr) [[unlikely]] {
    if ((flags & gc::k_marking) != 0) record_unattached(old, value);
    return;
  }
  sched::runtime_section section(*self);
  // Looked at in the section: since the caller looked the cycle may have ended, and another begun.
  if (!gc::barrier_is_on()) return;
  gc::record(*self, old);
  gc::record(*self, value);
}

// Until the thread looks at the clock. No goroutine's: a look too early or too late is none the worse.
[[gnu::tls_model("initial-exec")]] thread_local int t_stores_left = 0;

// Who stores many pointers and allocates nothing has a processor, too, whose part of the marking is due (gc/share.h).
// Not within a section: who is in the middle of the runtime, perhaps with a lock, goes on.
[[gnu::noinline, gnu::cold]] void take_part() noexcept {
  constexpr int k_stores = 256;  // from one look to the next: 1 us, and a look takes 35 ns
  t_stores_left = k_stores;
  sched::m* self = sched::current();
  if (self == nullptr || self->depth.load(std::memory_order_relaxed) != 0) return;
  const int error = errno;  // a store of a pointer changes nothing else
  gc::shares::pay(*self);
  errno = error;
}

// After a store that has nothing to tell.
[[gnu::always_inline]] inline void count_store() noexcept {
  if (--t_stores_left < 0) [[unlikely]]
    take_part();
}

[[gnu::noinline, gnu::cold]] void check_store(unsigned char flags, const void* slot, const void* value,
                                              const char* type) noexcept {
  if ((flags & gc::k_check_location) != 0) gc::check_location(slot, value, type);
  if ((flags & gc::k_check_value) != 0) gc::check_value(slot, value, type);
}

[[gnu::noinline]] void store_watched(const void* slot, const void* old, const void* value,
                                     const char* type) noexcept {
  const unsigned char flags = __atomic_load_n(&cairn_barrier_flags, __ATOMIC_RELAXED);
  const void *kept_old = old, *kept_value = value;
  asm volatile("" : "+r"(kept_old), "+r"(kept_value));  // as in barrier_slow
  const bool is_known = heap::the_heap.current().black() && gc::is_no_news(old) &&
                        ((flags & gc::k_grey_stacks) == 0 || gc::is_no_news(value));
  if (!is_known) record_stored(flags, kept_old, kept_value);
  // Afterwards: they wait in the safe state, where no handshake looks for what a store has in its registers.
  if ((flags & (gc::k_check_location | gc::k_check_value)) != 0) [[unlikely]]
    return check_store(flags, slot, value, type);
  if (is_known) count_store();
}

}  // namespace

// Not inlined: the address of its thread's count must not outlive a call that may park.
[[gnu::noinline]] void barrier_slow(const void* slot, const void* old, const void* value,
                                    const char* type) noexcept {
  const void* kept = old;
  asm volatile("" : "+r"(kept));  // no compiler derives it from what the look below computes of `old`
  gc::after_pointers();
  // All stacks are black and nothing is to be checked: the frequent case.
  if (__atomic_load_n(&cairn_barrier_flags, __ATOMIC_RELAXED) != gc::k_marking || !gc::is_marked_object(old))
      [[unlikely]]
    return store_watched(slot, kept, value, type);
  count_store();
}

void bulk_barrier_slow(const void* first, std::size_t bytes) noexcept {
  const auto* words = static_cast<void* const*>(first);
  sched::m* self = sched::current();
  if (self == nullptr) {
    if (!gc::barrier_is_on()) return;
    gc::work_writer out(gc::rt().work);
    for (std::size_t i = 0; i < bytes / sizeof(void*); ++i) {
      const void* word = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
      gc::after_pointers();
      gc::add(out, word);
    }
    return;
  }
  // A piece at a time: a handshake waits for no more than that.
  for (std::size_t i = 0; i < bytes / sizeof(void*);) {
    sched::runtime_section section(*self);
    for (unsigned n = 0; n < 512 && i < bytes / sizeof(void*); ++n, ++i)
      gc::shade(*self, __atomic_load_n(&words[i], __ATOMIC_RELAXED));
  }
}

}  // namespace cairn::detail
