// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The only declarations by which the public headers call the library. Everything here is internal: programs use what
// the headers beside this folder give them.
//
// The inlined fast paths need three things of the library: the calling thread's open runs (`this_cache`), the byte
// that says whether a store must be looked at (`cairn_barrier_flags`), and the out-of-line functions below.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

#include "cairn/detail/size_class.h"

// Non-zero while stores of managed pointers must call barrier_slow: bit 0 while a cycle marks, bit 1 with ptrcheck=1.
// Written only while a handshake makes the change seen by every attached thread; read without an order by the store
// sequence, and by everything else through `stores_are_watched`.
extern "C" unsigned char cairn_barrier_flags;

namespace cairn::detail {

// Relaxed: the partner of the store in set_barrier is the handshake that follows it.
inline bool stores_are_watched() noexcept {
  return __atomic_load_n(&cairn_barrier_flags, __ATOMIC_RELAXED) != 0;
}

// ---- allocation --------------------------------------------------------------------------------------------------

// A run: adjacent free slots of one span, zeroed, from which the owning thread allocates by moving `cursor`.
// Everything from a stored cursor to `end` counts as in use (see heap/mcache.h), so the thread may be stopped between
// any two instructions of the fast path.
struct alloc_run {
  std::uintptr_t cursor = 0;
  std::uintptr_t end = 0;
  std::uint64_t mask = 0;  // the pointer masks that the span carries already
  void* span = nullptr;    // the mspan it was cut from; null when there is none
};

// What the fast path sees of an attached thread. First member of sched::m. Owner: the thread; others read it while
// the thread is stopped.
struct thread_cache {
  alloc_run runs[k_span_class_count];
  std::uintptr_t tiny = 0;      // next byte of the open tiny block
  std::uintptr_t tiny_end = 0;  // its end; 0 when none is open
};

// Of the calling thread; an unattached thread has one whose runs are all empty, so its first allocation takes the slow
// path and attaches it. The compiler must not cache the result across a call that can park.
extern thread_local thread_cache* tls_cache [[gnu::tls_model("initial-exec")]];
inline thread_cache* this_cache() noexcept {
#if defined(__x86_64__)
  thread_cache* cache;
  asm volatile(
      "movq _ZN5cairn6detail9tls_cacheE@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(cache));
  return cache;
#elif defined(__aarch64__)
  thread_cache* cache;
  std::uintptr_t offset;
  asm volatile(
      "adrp %1, :gottprel:_ZN5cairn6detail9tls_cacheE\n\t"
      "mrs %0, tpidr_el0\n\t"
      "ldr %1, [%1, :gottprel_lo12:_ZN5cairn6detail9tls_cacheE]\n\t"
      "ldr %0, [%0, %1]"
      : "=&r"(cache), "=&r"(offset));
  return cache;
#else
  return tls_cache;
#endif
}

// How an allocation is to be looked at by the collector.
struct layout_info {
  std::uint64_t mask = 0;  // bit i: word i may hold a pointer; used up to 512 bytes, all ones when nothing is known
  bool noscan = false;  // no word does
};

// One slot of `span_class`, zeroed. Throws std::bad_alloc.
[[nodiscard]] void* allocate_slow(unsigned span_class, std::uint64_t mask);
// A pointer-free object below 16 bytes, zeroed, `align` a power of two up to 8.
[[nodiscard]] void* allocate_tiny_slow(std::size_t bytes, std::size_t align);
// Any size and any alignment up to 4096. `is_array`: an address one past its end, on a stack, keeps it alive.
[[nodiscard]] void* allocate_bytes(std::size_t bytes, std::size_t align, layout_info layout, bool is_array);

// ---- destructors, finalizers, cleanups, weak references ------------------------------------------------------------

// Objects with a destructor carry a footer in the last words of their slot: the word at the slot's end minus 8 is the
// type_ops (bit 0 set for arrays), for arrays the word before it is the element count. make_gc asks for as many bytes
// more; arm_destructor writes the footer and makes the collector see it. An object that is not armed has no destructor.
struct type_ops {
  void (*destroy)(void* first, std::size_t count) noexcept;
  const char* name;  // the type, for messages
};
inline constexpr std::size_t k_object_footer_bytes = 8;
inline constexpr std::size_t k_array_footer_bytes = 16;
void arm_destructor(void* object, const type_ops* ops) noexcept;
void arm_array_destructor(void* first, const type_ops* ops, std::size_t count) noexcept;
// Runs the destructor of the object that `p` points into, if it is armed and did not run yet.
void destroy_object(void* p);
// destroy_object, then gives the slot back at once. `p` is the only reference.
void free_object(void* p) noexcept;

// A function the library keeps: the header of an object from allocate_closure, scanned as a stack is.
struct closure {
  void (*run)(closure* self, void* argument);  // calls the function and destroys it
  void (*drop)(closure* self) noexcept;        // destroys it uncalled
};
[[nodiscard]] void* allocate_closure(std::size_t bytes, std::size_t align);
// When these throw the function is still the caller's.
std::uint64_t add_cleanup(const void* p, closure* function);  // throws std::invalid_argument: no heap object
bool stop_cleanup(std::uint64_t id) noexcept;                 // true: it will not run
void set_finalizer(const void* p, closure* function);         // argument: `p`; replaces an earlier one
void clear_finalizer(const void* p) noexcept;

// One record per object that has weak references, counted, in the runtime's own memory.
struct weak_record;
[[nodiscard]] weak_record* weak_acquire(const void* p);  // null for null; throws std::bad_alloc
void weak_retain(weak_record*) noexcept;
void weak_release(weak_record*) noexcept;
// ~hidden if the object has not been found unreachable, else null. `hidden` is the complement of the pointer, so that a
// conservative scan of a gc_weak does not keep its object.
[[nodiscard]] void* weak_lock(const weak_record*, std::uintptr_t hidden) noexcept;

// ---- barrier and roots ---------------------------------------------------------------------------------------------

// After `*slot` went from `old` to `value` while cairn_barrier_flags was set. `type` names T for ptrcheck's message.
void barrier_slow(const void* slot, const void* old, const void* value, const char* type) noexcept;
// Before [slot, slot + words) is overwritten or moved as a whole.
[[gnu::cold]] void bulk_barrier_slow(const void* first, std::size_t bytes) noexcept;

// A word that the collector scans, for a root<T> that may lie anywhere. Attaches the calling thread.
[[nodiscard]] void** root_acquire(void* value);
void root_release(void** slot) noexcept;

// Empty asm that needs `p`: it is reachable up to here.
inline void keep_alive(const void* p) noexcept { asm volatile("" : : "r"(p) : "memory"); }
// `x` is in memory up to here, with what it held when it was passed on.
template <class X>
inline void keep_in_place(const X& x) noexcept {
  if constexpr (!std::is_function_v<X>)
    keep_alive(const_cast<const void*>(static_cast<const volatile void*>(std::addressof(x))));
}

}  // namespace cairn::detail
