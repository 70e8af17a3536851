// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The exchange of 16 bytes and what is built of it. See heap/tagged_stack.h.
#include "heap/tagged_stack.h"

#include <bit>

#include "heap/delay.h"

// std::atomic of 16 bytes calls libatomic. Every x86-64 processor since 2006 has the instruction, but the compilers
// emit it only where they are told to. LLVM forgets that it was told where it inlines such a function into another one
// (at link time, too), so those that others call are not inlined.
#if defined(__x86_64__)
#define CAIRN_HAS_CAS16 __attribute__((target("cx16")))
#else
#define CAIRN_HAS_CAS16
#endif

namespace cairn::heap {

// Sequentially consistent.
CAIRN_HAS_CAS16 inline bool tagged_stack::exchange(top& of, const top& expected, const top& wanted) noexcept {
  __extension__ using word __attribute__((may_alias)) = unsigned __int128;
  return __sync_bool_compare_and_swap(reinterpret_cast<word*>(&of), std::bit_cast<word>(expected),
                                      std::bit_cast<word>(wanted));
}

[[gnu::noinline]] CAIRN_HAS_CAS16 void tagged_stack::push_chain(stack_link* first, stack_link* last) noexcept {
  top seen;
  do {
    seen.tag = __atomic_load_n(&top_.tag, __ATOMIC_RELAXED);
    seen.item = __atomic_load_n(&top_.item, __ATOMIC_RELAXED);
    last->next.store(seen.item, std::memory_order_relaxed);
    maybe_delay("stack.push");
  } while (!exchange(top_, seen, {first, seen.tag}));
}

[[gnu::noinline]] CAIRN_HAS_CAS16 stack_link* tagged_stack::pop_chain(unsigned most, unsigned& taken) noexcept {
  for (;;) {
    top seen;
    seen.tag = __atomic_load_n(&top_.tag, __ATOMIC_ACQUIRE);  // both as in pop
    maybe_delay("stack.pop_top");
    seen.item = __atomic_load_n(&top_.item, __ATOMIC_ACQUIRE);
    taken = 0;
    stack_link* rest = seen.item;
    for (; rest != nullptr && taken < most; ++taken) rest = rest->next.load(std::memory_order_relaxed);
    if (taken == 0) return nullptr;
    maybe_delay("stack.pop_link");
    if (exchange(top_, seen, {rest, seen.tag + 1})) return seen.item;
  }
}

[[gnu::noinline]] CAIRN_HAS_CAS16 stack_link* tagged_stack::pop() noexcept {
  for (;;) {
    top seen;
    // Acquire, both: the item is read after the tag, and its link after the item, as whoever pushed it wrote it.
    seen.tag = __atomic_load_n(&top_.tag, __ATOMIC_ACQUIRE);
    maybe_delay("stack.pop_top");
    seen.item = __atomic_load_n(&top_.item, __ATOMIC_ACQUIRE);
    if (seen.item == nullptr) return nullptr;
    stack_link* next = seen.item->next.load(std::memory_order_relaxed);
    maybe_delay("stack.pop_link");
    if (exchange(top_, seen, {next, seen.tag + 1})) return seen.item;
  }
}

}  // namespace cairn::heap
