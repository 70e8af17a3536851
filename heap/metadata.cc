// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's jemalloc arena and the pools of fixed-size objects. See heap/metadata.h for overview.
#include "heap/metadata.h"

#include <jemalloc/jemalloc.h>

#include <cstdlib>
#include <new>

#include "cairn/detail/assert.h"
#include "heap/os.h"

namespace cairn::heap {
namespace {

// Bytes in use, as jemalloc rounds them, and what came from the os. Any thread adds; relaxed, it is a
// statistic.
constinit std::atomic<std::ptrdiff_t> g_bytes{0};

constexpr unsigned k_no_arena = ~0u;

// The arena's number. Made on the first use, which is at depth 0 like every use.
unsigned arena() noexcept {
  static const unsigned number = [] {
    unsigned made = k_no_arena;
    std::size_t length = sizeof made;
    return mallctl("arenas.create", &made, &length, nullptr, 0) == 0 ? made : k_no_arena;
  }();
  return number;
}

// No thread cache: it would be flushed by a thread's end at a time nobody chose, and these calls are rare.
int flags(unsigned a) noexcept { return MALLOCX_ARENA(a) | MALLOCX_TCACHE_NONE; }

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

}  // namespace

void* metadata_alloc(std::size_t bytes, std::size_t align) noexcept {
  const unsigned a = arena();
  if (a == k_no_arena) return nullptr;
  void* p = mallocx(bytes == 0 ? 1 : bytes, flags(a) | MALLOCX_ALIGN(align) | MALLOCX_ZERO);
  if (p != nullptr) metadata_note(static_cast<std::ptrdiff_t>(sallocx(p, 0)));
  return p;
}

void metadata_free(void* p) noexcept {
  if (p == nullptr) return;
  metadata_note(-static_cast<std::ptrdiff_t>(sallocx(p, 0)));
  dallocx(p, MALLOCX_TCACHE_NONE);
}

void* metadata_map(std::size_t bytes) noexcept {
  const std::size_t rounded = round_up(bytes, the_os().physical_page_bytes());
  void* p = the_os().map(rounded);
  if (p != nullptr) metadata_note(static_cast<std::ptrdiff_t>(rounded));
  return p;
}

std::size_t metadata_bytes() noexcept {
  return static_cast<std::size_t>(g_bytes.load(std::memory_order_relaxed));
}

void metadata_note(std::ptrdiff_t bytes) noexcept { g_bytes.fetch_add(bytes, std::memory_order_relaxed); }

void prepare_malloc() noexcept {
  void* volatile p = std::malloc(64);  // volatile: or the compiler takes both calls away
  std::free(p);
}

// ---- fixed_pool ----

namespace {
// A slab holds about so much, or what reserve() was asked for: fewer calls of the system against memory never used.
constexpr std::size_t k_slab_bytes = std::size_t{32} << 10;
}  // namespace

std::size_t fixed_pool::stride() const noexcept {
  return round_up(sizeof(head), item_align_) + round_up(item_bytes_, item_align_);
}

// The first item's head lies right before a multiple of the alignment, as all others do.
std::size_t fixed_pool::slab_bytes(std::size_t capacity) const noexcept { return capacity * stride(); }

std::size_t fixed_pool::slab_capacity() const noexcept {
  const std::size_t n = k_slab_bytes / stride();
  return n == 0 ? 1 : n;
}

// `memory` is zero: all items are fresh. They are linked in the order of their addresses; the caller publishes them.
fixed_pool::head* fixed_pool::make_slab(void* memory, std::size_t capacity) noexcept {
  char* p = static_cast<char*>(memory) + round_up(sizeof(head), item_align_);
  head* following = nullptr;
  for (std::size_t i = capacity; i-- > 0;) {
    head* h = ::new (head_of(p + i * stride())) head;
    h->state = head::k_fresh;
    h->next.store(following, std::memory_order_relaxed);
    following = h;
  }
  items_.fetch_add(capacity, std::memory_order_relaxed);
  bytes_.fetch_add(slab_bytes(capacity), std::memory_order_relaxed);
  return following;
}

bool fixed_pool::reserve(std::size_t n) noexcept {
  const std::size_t made = items(), used = in_use();
  const std::size_t available = made > used ? made - used : 0;  // the two were not read together
  if (available >= n) return true;
  std::size_t capacity = slab_capacity();
  if (capacity < n - available) capacity = n - available;
  void* memory = metadata_alloc(slab_bytes(capacity), item_align_);
  if (memory == nullptr) return false;
  head* first = make_slab(memory, capacity);
  head* last = head_of(reinterpret_cast<char*>(first + 1) + (capacity - 1) * stride());
  free_.push_chain(first, last);
  return true;
}

// `h` was popped, or is of a slab that nobody else has seen.
fixed_pool::item fixed_pool::hand_out(head* h) noexcept {
  in_use_.fetch_add(1, std::memory_order_relaxed);
  const bool fresh = h->state == head::k_fresh;
  CAIRN_CHECK(h->state != head::k_taken, "an object was taken twice");
  h->state = head::k_taken;
  return {h + 1, fresh};
}

fixed_pool::item fixed_pool::take() noexcept {
  if (stack_link* free = free_.pop()) return hand_out(static_cast<head*>(free));
  // Threads that come here at once make a slab each. None of them waits, and nothing of it is lost.
  const std::size_t capacity = slab_capacity();
  CAIRN_ASSERT(item_align_ <= the_os().physical_page_bytes(), "a slab from the os is aligned to a page only");
  void* memory = metadata_map(slab_bytes(capacity));
  if (memory == nullptr) return {};
  head* first = make_slab(memory, capacity);
  if (capacity > 1) {
    head* last = head_of(reinterpret_cast<char*>(first + 1) + (capacity - 1) * stride());
    free_.push_chain(first->next.load(std::memory_order_relaxed), last);
  }
  return hand_out(first);
}

void fixed_pool::give(void* p) noexcept {
  if (p != nullptr) give(&p, 1);
}

void fixed_pool::give(void* const* p, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    head* h = head_of(p[i]);
    CAIRN_CHECK(h->state == head::k_taken, "an object was given that was not taken");
    h->state = head::k_free;
    if (i + 1 < n) h->next.store(head_of(p[i + 1]), std::memory_order_relaxed);
  }
  in_use_.fetch_sub(n, std::memory_order_relaxed);
  free_.push_chain(head_of(p[0]), head_of(p[n - 1]));
}

}  // namespace cairn::heap
