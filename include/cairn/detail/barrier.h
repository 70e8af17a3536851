// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The write barrier's inlined part: how one managed word is written. See gc/barrier.h for what it is for.
//
// Store first, then look:
//
//     old = *slot;  *slot = value;  if (cairn_barrier_flags) barrier_slow(slot, old, value)
//
// Setting the flag is a handshake, which may interrupt a thread anywhere. Interrupted before the flag is read, the
// thread will see it set. Interrupted after that, `old` and `value` are in registers, and a handshake shades what the
// interrupted registers hold. That is why the three steps are one asm statement: no compiler can move them, or spill
// `old` between them. The portable form, which ThreadSanitizer needs to see the accesses, is for builds whose
// handshakes wait for a poll instead of interrupting.
//
// A processor may perform the three in another order (AArch64, and x86-64 the last two), but only as far as others see
// it: an interruption finds them done up to one of them. What others have to see of a store, and when, is said where
// they look (gc/barrier.cc).
//
// Constructing counts as overwriting, because a gc_ptr has no destructor that could have told the collector that the
// word's last value is gone. The exception is a word on the caller's own stack: there what a scope leaves behind is
// forgotten silently anyway, and what comes in is on the stack already. (Default construction has no barrier, see
// gc_ptr; containers with gc_allocator clear what they destroy, so their words are null before it.)
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

#include "cairn/detail/annotate.h"
#include "cairn/detail/entry.h"

#if CAIRN_TSAN && !defined(CAIRN_PORTABLE_BARRIER)
#define CAIRN_PORTABLE_BARRIER 1
#elif defined(CAIRN_PORTABLE_BARRIER) && !CAIRN_TSAN
#error "CAIRN_PORTABLE_BARRIER: only ThreadSanitizer keeps handshakes from interrupting such a store"
#endif
#if !defined(__x86_64__) && !defined(__aarch64__)
#error "Cairn runs on x86-64 and AArch64: the barrier is an assembly sequence, and others have none"
#endif

namespace cairn::detail {

// ---- the name of a type, without RTTI -------------------------------------------------------------------------------

template <class T>
constexpr std::string_view pretty_name() noexcept {
  std::string_view text = __PRETTY_FUNCTION__;  // "... [with T = X; ...]" or "... [T = X]"
  text.remove_prefix(text.find("T = ") + 4);
  const std::size_t end = text.find(';');
  return text.substr(0, end != std::string_view::npos ? end : text.rfind(']'));
}

// Types of containers can have names of a thousand characters: what follows k_most of them tells nobody more.
template <class T>
constexpr auto make_type_name() noexcept {
  constexpr std::size_t k_most = 200;
  constexpr std::string_view whole = pretty_name<T>();
  std::array<char, std::min(whole.size(), k_most) + 1> name{};
  whole.copy(name.data(), name.size() - 1);
  return name;
}
template <class T>
inline constexpr auto k_type_name = make_type_name<T>();

// Ends with a zero byte, lives for ever.
template <class T>
constexpr const char* type_name() noexcept {
  return k_type_name<T>.data();
}

// ---- one word -------------------------------------------------------------------------------------------------------

// A pointer of any kind as the library takes it.
template <class T>
const void* plain_address(T* p) noexcept {
  return const_cast<const void*>(static_cast<const volatile void*>(p));
}

// What a store replaced, and whether the collector wants to know.
template <class T>
struct replaced {
  T* old;
  bool wanted;
};

// P is the slot's own type: an access as void* would not alias it.
template <class T>
[[gnu::always_inline]] inline replaced<T> replace_word(T*& slot, T* value) noexcept {
  replaced<T> r;
#if defined(CAIRN_PORTABLE_BARRIER)
  r.old = __atomic_load_n(&slot, __ATOMIC_RELAXED);
  __atomic_store_n(&slot, value, __ATOMIC_RELAXED);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  r.wanted = stores_are_watched();
#elif defined(__x86_64__)
  asm volatile(
      "movq %[slot], %[old]\n\t"
      "movq %[value], %[slot]\n\t"
      "cmpb $0, %[flags]"
      : [slot] "+m"(slot), [old] "=&r"(r.old), "=@ccne"(r.wanted)
      : [value] "r"(value), [flags] "m"(cairn_barrier_flags));
#else
  unsigned flags;
  asm volatile(
      "ldr %[old], %[slot]\n\t"
      "str %[value], %[slot]\n\t"
      "ldrb %w[flags], %[source]"
      : [slot] "+Q"(slot), [old] "=&r"(r.old), [flags] "=&r"(flags)
      : [value] "r"(value), [source] "Q"(cairn_barrier_flags));
  r.wanted = flags != 0;
#endif
  return r;
}

template <class T, class Named = T>
[[gnu::always_inline]] inline void tell(T* const& slot, T* old, T* value) noexcept {
  barrier_slow(std::addressof(slot), plain_address(old), plain_address(value), type_name<Named>());
}

// The store of a managed pointer. `Named` is the type for messages.
template <class T, class Named = T>
[[gnu::always_inline]] inline void store_word(T*& slot, T* value) noexcept {
  const replaced<T> r = replace_word(slot, value);
  if (r.wanted) [[unlikely]]
    tell<T, Named>(slot, r.old, value);
}

// True where the compiler sees that `slot` is a local variable of the function it compiles. GCC folds a comparison of
// two variables' addresses; but an alias of what it does not see may be another name of any static or thread-local
// variable, so the comparison with one is folded for locals only. Not with clang, which moves locals of a coroutine to
// its frame, perhaps a heap object, after it has folded this.
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
extern "C" {
[[maybe_unused, gnu::weakref("cairn_barrier_flags")]] static unsigned char cairn_name_of_no_local;
}
[[gnu::always_inline]] inline bool is_local(const void* slot) noexcept {
  return __builtin_constant_p(slot == static_cast<const void*>(&cairn_name_of_no_local));
}
#else
inline bool is_local(const void*) noexcept { return false; }
#endif

// The construction of a managed pointer in a word that may have held another one.
template <class T>
[[gnu::always_inline]] inline void construct_word(T*& slot, T* value) noexcept {
  if (is_local(std::addressof(slot))) {
    slot = value;
  } else {
    store_word(slot, value);
  }
}

// ---- one word, atomically ------------------------------------------------------------------------------------------

#if !defined(CAIRN_PORTABLE_BARRIER) && defined(__x86_64__)

template <class T>
[[gnu::always_inline]] inline T* exchange_word(T*& slot, T* value, int) noexcept {
  T* old = value;
  bool wanted;
  asm volatile(
      "xchgq %[old], %[slot]\n\t"
      "cmpb $0, %[flags]"
      : [slot] "+m"(slot), [old] "+&r"(old), "=@ccne"(wanted)
      : [flags] "m"(cairn_barrier_flags)
      : "memory");
  if (wanted) [[unlikely]]
    tell(slot, old, value);
  return old;
}

template <class T>
[[gnu::always_inline]] inline bool compare_exchange_word(T*& slot, T*& expected, T* desired, bool, int,
                                                         int) noexcept {
  T* old = expected;
  bool done, wanted;
  asm volatile(
      "lock cmpxchgq %[desired], %[slot]\n\t"
      "sete %[done]\n\t"
      "cmpb $0, %[flags]"
      : [slot] "+m"(slot), [old] "+&a"(old), [done] "=&q"(done), "=@ccne"(wanted)
      : [desired] "r"(desired), [flags] "m"(cairn_barrier_flags)
      : "memory");
  if (!done) {
    expected = old;
    return false;
  }
  if (wanted) [[unlikely]]
    tell(slot, old, desired);
  return true;
}

#elif !defined(CAIRN_PORTABLE_BARRIER)

// One statement here, too, hence not the compiler's own exchange: that may be a call (-moutline-atomics), around which
// the compiler may keep what was replaced in memory. ldaxr with stlxr is sequentially consistent, whatever is asked.
template <class T>
[[gnu::always_inline]] inline T* exchange_word(T*& slot, T* value, int) noexcept {
  T* old;
  unsigned flags;  // at first whether the exclusive store failed
  asm volatile(
      "1:\n\t"
      "ldaxr %[old], %[slot]\n\t"
      "stlxr %w[flags], %[value], %[slot]\n\t"
      "cbnz %w[flags], 1b\n\t"
      "ldrb %w[flags], %[source]"
      : [slot] "+Q"(slot), [old] "=&r"(old), [flags] "=&r"(flags)
      : [value] "r"(value), [source] "Q"(cairn_barrier_flags)
      : "memory");
  if (flags != 0) [[unlikely]]
    tell(slot, old, value);
  return old;
}

template <class T>
[[gnu::always_inline]] inline bool compare_exchange_word(T*& slot, T*& expected, T* desired, bool, int,
                                                         int) noexcept {
  T* old;
  unsigned flags, done;
  asm volatile(
      "1:\n\t"
      "ldaxr %[old], %[slot]\n\t"
      "cmp %[old], %[expected]\n\t"
      "b.ne 2f\n\t"
      "stlxr %w[flags], %[desired], %[slot]\n\t"
      "cbnz %w[flags], 1b\n\t"
      "ldrb %w[flags], %[source]\n"
      "2:\n\t"
      "cset %w[done], eq"
      : [slot] "+Q"(slot), [old] "=&r"(old), [flags] "=&r"(flags), [done] "=&r"(done)
      : [expected] "r"(expected), [desired] "r"(desired), [source] "Q"(cairn_barrier_flags)
      : "cc", "memory");
  if (done == 0) {
    expected = old;
    return false;
  }
  if (flags != 0) [[unlikely]]
    tell(slot, old, desired);
  return true;
}

#else

template <class T>
[[gnu::always_inline]] inline T* exchange_word(T*& slot, T* value, int order) noexcept {
  T* const old = __atomic_exchange_n(&slot, value, order);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (stores_are_watched()) [[unlikely]]
    tell(slot, old, value);
  return old;
}

template <class T>
[[gnu::always_inline]] inline bool compare_exchange_word(T*& slot, T*& expected, T* desired, bool weak,
                                                         int success, int failure) noexcept {
  T* const old = expected;
  if (!__atomic_compare_exchange_n(&slot, &expected, desired, weak, success, failure)) return false;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (stores_are_watched()) [[unlikely]]
    tell(slot, old, desired);
  return true;
}

#endif

// ---- many words ----------------------------------------------------------------------------------------------------

// Sets the whole words in [first, first + bytes) to null. `first` is a multiple of 8, or nothing there is a pointer.
// The words were objects of any types, hence the fences: no alias analysis moves their accesses across.
inline void clear_words(void* first, std::size_t bytes) noexcept {
  asm volatile("" : : : "memory");
  void** const slot = static_cast<void**>(first);
  for (std::size_t i = 0; i < bytes / sizeof(void*); ++i) store_word<void>(slot[i], nullptr);
  asm volatile("" : : : "memory");
}

// After managed words were written to new memory, which held null, without the barrier of each. It looks after the
// last store, as the single barrier does; the words stay where they came from, so nothing can be lost before that.
inline void look_after_copy(const void* first, std::size_t bytes) noexcept {
  asm volatile("" : : : "memory");
  if (stores_are_watched()) [[unlikely]]
    bulk_barrier_slow(first, bytes);
}

}  // namespace cairn::detail
