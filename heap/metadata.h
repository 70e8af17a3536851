// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Memory of the runtime itself. All of it comes through here and is counted.
//
//   metadata_alloc   any size, from a jemalloc arena of the runtime's own; at depth 0 only
//   fixed_alloc<T>   objects of one type: filled at depth 0 by reserve(), taken and given anywhere
//
// Why depth 0: a thread is stopped anywhere outside a runtime section, perhaps with one of jemalloc's locks
// held (arenas share some of them), so inside a section nobody may call it. See "What may block" in
// docs/hacking.md.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "heap/tagged_stack.h"

namespace cairn::heap {

// Zeroed. `align` is a power of two. Null when there is no memory. At depth 0 only.
[[nodiscard]] void* metadata_alloc(std::size_t bytes, std::size_t align = alignof(std::max_align_t)) noexcept;
// Takes null too. At depth 0 only.
void metadata_free(void* p) noexcept;
// Straight from the os, never returned: for what must be had inside a section. Rounded up to whole physical
// pages.
[[nodiscard]] void* metadata_map(std::size_t bytes) noexcept;
// All of the above and every fixed_alloc's slabs, and what metadata_note added. Any depth.
[[nodiscard]] std::size_t metadata_bytes() noexcept;
// Counts `bytes` of tables that their owner committed through the os itself.
void metadata_note(std::ptrdiff_t bytes) noexcept;

// Those of the runtime's threads that may call malloc, or something of the above, begin with this. jemalloc
// gives a thread its arena at the first malloc, and follows a null pointer when the system has no memory for it
// then: better now than in a collection that memory ran out for, or before a report. Helpers of the collector
// never call malloc and do without: an arena takes 90 KiB, and what a thread keeps for itself 17. (Threads
// cannot have one together: what leaves its arena for another has part of its accounts there as before, so the
// next one is given a new one.)
void prepare_malloc() noexcept;

// Untyped core of fixed_alloc. Slabs are never returned, so a stale pointer to an item stays readable and
// finds an item of the same type. The link of a free item lies before the item, not in it: giving an item does not
// write to it. No lock: threads of the program take and give these in the middle of an allocation, of the barrier and
// of an assist, and with more threads than processors a lock's holder may be off its processor for milliseconds.
//
//   items() == in_use() + free ones + those of a slab that is just being made
class fixed_pool {
 public:
  constexpr fixed_pool(std::size_t item_bytes, std::size_t item_align) noexcept
      : item_bytes_(item_bytes), item_align_(item_align < alignof(head) ? alignof(head) : item_align) {}
  fixed_pool(const fixed_pool&) = delete;
  fixed_pool& operator=(const fixed_pool&) = delete;

  struct item {
    void* p = nullptr;
    bool fresh = false;  // never taken before, all zero
  };

  bool reserve(std::size_t n) noexcept;
  item take() noexcept;
  void give(void* p) noexcept;
  // n of them, n > 0, in one step.
  void give(void* const* p, std::size_t n) noexcept;

  std::size_t items() const noexcept { return items_.load(std::memory_order_relaxed); }
  std::size_t in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }
  std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  // Ends where its item begins. `state`: whose the item is; written by whoever took the item, before it is given.
  struct head : stack_link {
    enum { k_fresh, k_free, k_taken };  // a fresh one is free, too, and zero
    std::uint64_t state;
  };
  std::size_t stride() const noexcept;
  std::size_t slab_bytes(std::size_t capacity) const noexcept;
  std::size_t slab_capacity() const noexcept;
  head* head_of(void* p) const noexcept { return static_cast<head*>(p) - 1; }
  item hand_out(head* h) noexcept;
  head* make_slab(void* memory, std::size_t capacity) noexcept;

  const std::size_t item_bytes_;
  const std::size_t item_align_;
  tagged_stack free_;
  // Statistics, and what reserve() guesses by; relaxed.
  std::atomic<std::size_t> items_{0};
  std::atomic<std::size_t> in_use_{0};
  std::atomic<std::size_t> bytes_{0};
};

// Objects of one type, constructed once, when taken for the first time, and never destroyed: a taken object
// holds what its last owner left.
template <class T>
class fixed_alloc {
  static_assert(std::is_nothrow_default_constructible_v<T>);

 public:
  constexpr fixed_alloc() noexcept = default;

  // Makes the next n calls of take() succeed without the os, if nobody else takes. False when there is no
  // memory. At depth 0 only.
  bool reserve(std::size_t n) noexcept { return pool_.reserve(n); }
  // Inside a section or with the world stopped. Falls back to the os; null when that fails too.
  [[nodiscard]] T* take() noexcept {
    const fixed_pool::item i = pool_.take();
    if (i.p == nullptr) return nullptr;
    return i.fresh ? ::new (i.p) T() : static_cast<T*>(i.p);
  }
  void give(T* p) noexcept { pool_.give(p); }
  // N of them at most; `n` > 0.
  template <std::size_t N>
  void give(T* const (&p)[N], std::size_t n) noexcept {
    void* items[N];
    for (std::size_t i = 0; i < n; ++i) items[i] = p[i];
    pool_.give(items, n);
  }

  std::size_t items() const noexcept { return pool_.items(); }    // ever made
  std::size_t in_use() const noexcept { return pool_.in_use(); }  // taken and not given
  std::size_t bytes() const noexcept { return pool_.bytes(); }

 private:
  fixed_pool pool_{sizeof(T), alignof(T)};
};

}  // namespace cairn::heap
