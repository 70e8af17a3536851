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
//   3. A black stack holds no white pointer: it was scanned whole, objects made since are black, and 1 keeps it so.
// Storing first and looking after is safe because a thread that is interrupted in between either has not read the flag
// yet, and will see it, or holds `old` and `value` in registers, and every asynchronous handshake shades these.
//
// Shading is deferred: the two words go into the thread's buffer of 128, and a full buffer goes to the markers as a
// whole. The mutator never marks.
//
// With the world stopped for the whole of a cycle no store happens while it marks, and bit 0 of the flags stays 0; the
// tests set it by hand. Bit 1 is ptrcheck=1: where may this gc_ptr live?
#include <cstring>

#include "cairn/detail/entry.h"
#include "gc/ptrcheck.h"
#include "gc/runtime.h"
#include "heap/fatal.h"
#include "heap/private.h"

CAIRN_PRIVATE constinit unsigned char cairn_barrier_flags = 0;

namespace cairn::gc {
namespace {

constexpr unsigned k_buffer_words = sizeof(sched::barrier_buffer::words) / sizeof(void*);

void hand_over(sched::barrier_buffer& b) noexcept {
  work_buf* w = rt().work.take_empty();
  if (w == nullptr)
    heap::fatal_error("out of memory for the write barrier's buffers: the system refused 64 KiB");
  std::size_t n = 0;
  for (unsigned i = 0; i < b.n; ++i) {
    const auto word = reinterpret_cast<std::uintptr_t>(b.words[i]);
    if (heap::g_space.contains(word)) w->entries[n++] = word & ~std::uintptr_t{7};
  }
  w->n = n;
  b.n = 0;
  rt().work.put_full(w);
}

void shade(sched::m& self, const void* p) noexcept {
  if (!heap::g_space.contains(reinterpret_cast<std::uintptr_t>(p))) return;
  sched::barrier_buffer& b = self.barrier;
  if (b.n == k_buffer_words) hand_over(b);
  b.words[b.n++] = const_cast<void*>(p);
}

}  // namespace

void flush_barrier(sched::m& self) noexcept {
  if (self.barrier.n != 0) hand_over(self.barrier);
}

}  // namespace cairn::gc

namespace cairn::detail {

void barrier_slow(const void* slot, const void* old, const void* value, const char* type) noexcept {
  if ((cairn_barrier_flags & gc::k_check_location) != 0) gc::check_location(slot, value, type);
  if ((cairn_barrier_flags & gc::k_check_value) != 0) gc::check_value(slot, value, type);
  if ((cairn_barrier_flags & gc::k_marking) == 0) return;
  sched::m* self = sched::current();
  if (self == nullptr) return;
  sched::runtime_section section(*self);
  gc::shade(*self, old);
  gc::shade(*self, value);
}

void bulk_barrier_slow(const void* first, std::size_t bytes) noexcept {
  if ((cairn_barrier_flags & gc::k_marking) == 0) return;
  sched::m* self = sched::current();
  if (self == nullptr) return;
  sched::runtime_section section(*self);
  const auto* words = static_cast<void* const*>(first);
  for (std::size_t i = 0; i < bytes / sizeof(void*); ++i) gc::shade(*self, words[i]);
}

}  // namespace cairn::detail
