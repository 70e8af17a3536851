// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Where marking starts: static data of all loaded objects, static thread-local blocks, stacks and registers of attached
// threads, root<T>s, and what the runtime keeps for the program (gc/specials.h).
//
// The list of loaded objects is made, and the static data scanned, under the dynamic loader's own lock: a dlopen or
// dlclose is either over or has not begun, and no segment goes away while it is read. with_loaded_objects does that by
// working inside a callback of dl_iterate_phdr; glibc's lock there is recursive. A thread that is stopped does not hold
// it, because we do.
//
// What is left out: read-only data; the C and C++ libraries', the allocator's and the sanitizers' own data,
// which hold no pointers of the program (they are most of what a small program has); this library's private
// state.
//
// Thread-local blocks of the program and of what is loaded with it lie at the same distances from each thread's
// pointer. The list of distances is made once.
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/mark.h"
#include "sched/handshake.h"

namespace cairn::gc {

// Calls f(arg) with the list of static data up to date and kept so. Depth 0; the loader's lock is held meanwhile.
void with_loaded_objects(void (*f)(void*), void* arg);
// Of the thread that starts the runtime: finds the thread-local blocks.
void find_thread_locals();

struct root_sizes {
  std::size_t stacks = 0, globals = 0;  // bytes scanned
};
// World stopped, inside with_loaded_objects.
root_sizes mark_roots(marker& m, const sched::world_stopped& stopped);

// The same, as f(arg, from, to) for each piece of memory, but for what mark_kept marks, and for goroutines that do not
// run: their functions and stacks.
void for_each_root_range(const sched::world_stopped& stopped,
                         void (*f)(void* arg, const void* from, const void* to), void* arg) noexcept;

// Beside the program, in this order: what is not a thread's, while no thread has been scanned; then each thread, whole,
// by itself in a handshake or by who holds it. gc/concurrent.h says why.
std::size_t mark_static(marker& m) noexcept;  // inside with_loaded_objects; returns bytes
void mark_kept(marker& m) noexcept;           // root<T>s and what the runtime keeps for the program
// The thread's stack, registers and thread-local blocks go to the work pool. Returns the bytes of its stack.
std::size_t scan_thread(const sched::m& thread) noexcept;
// What may be in the hands of a thread that a handshake has interrupted: its registers, and the top of its stack.
void scan_top(const sched::m& thread) noexcept;

// `p` lies in static data or in a static thread-local block of an attached thread; or on the stack of one. For
// ptrcheck; slow. Depth 0.
bool is_static_root(const void* p) noexcept;
bool is_other_stack(const void* p) noexcept;

// The words behind root<T>s.
namespace root_slots {
void** acquire();  // at depth 0; throws std::bad_alloc
void release(void** slot) noexcept;
void flush(sched::m& thread) noexcept;  // a detaching thread's free ones; in a section
void mark(marker& m) noexcept;
std::size_t in_use() noexcept;
std::size_t bytes() noexcept;       // that a cycle looks at
bool owns(const void* p) noexcept;  // `p` is one
}  // namespace root_slots

}  // namespace cairn::gc
