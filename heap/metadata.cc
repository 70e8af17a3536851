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
// A slab from reserve() holds at least so much, one from the os exactly so much (or one item): fewer calls
// against memory never used.
constexpr std::size_t k_slab_bytes = std::size_t{32} << 10;
}  // namespace

std::size_t fixed_pool::slab_bytes(std::size_t capacity) const noexcept {
  const std::size_t head = round_up(sizeof(slab) + capacity * sizeof(void*), item_align_);
  return head + capacity * round_up(item_bytes_, item_align_);
}

std::size_t fixed_pool::slab_capacity(std::size_t bytes) const noexcept {
  const std::size_t fixed = sizeof(slab) + item_align_;
  if (bytes <= fixed) return 0;
  return (bytes - fixed) / (round_up(item_bytes_, item_align_) + sizeof(void*));
}

// `memory` is zero. Counts the items as made.
fixed_pool::slab* fixed_pool::make_slab(void* memory, std::size_t capacity) noexcept {
  slab* s = ::new (memory) slab{};
  s->items = static_cast<char*>(memory) + round_up(sizeof(slab) + capacity * sizeof(void*), item_align_);
  s->capacity = capacity;
  items_.fetch_add(capacity, std::memory_order_relaxed);
  bytes_.fetch_add(slab_bytes(capacity), std::memory_order_relaxed);
  return s;
}

bool fixed_pool::reserve(std::size_t n) noexcept {
  const std::size_t made = items(), used = in_use();
  const std::size_t available = made > used ? made - used : 0;  // the two were not read together
  if (available >= n) return true;
  std::size_t capacity = slab_capacity(k_slab_bytes);
  if (capacity < n - available) capacity = n - available;
  const std::size_t align = item_align_ < alignof(slab) ? alignof(slab) : item_align_;
  void* memory = metadata_alloc(slab_bytes(capacity), align);
  if (memory == nullptr) return false;
  slab* s = make_slab(memory, capacity);
  slab* head = incoming_.load(std::memory_order_relaxed);
  do {
    s->next_incoming = head;
    // Release: publishes the slab's head to refill().
  } while (!incoming_.compare_exchange_weak(head, s, std::memory_order_release, std::memory_order_relaxed));
  return true;
}

// Appends to the chain of slabs, at the end that carving has not reached.
void fixed_pool::link(slab* s) noexcept {
  s->next = nullptr;
  s->previous = last_;
  if (last_ != nullptr) last_->next = s;
  last_ = s;
  if (carving_ == nullptr) carving_ = s;
  if (stack_top_ == nullptr) stack_top_ = s;
}

// Leaves carving_ at a slab with an item not taken yet, or returns false.
bool fixed_pool::refill() noexcept {
  // Acquire: pairs with the push in reserve().
  slab* s = incoming_.exchange(nullptr, std::memory_order_acquire);
  while (s != nullptr) {
    slab* following = s->next_incoming;
    link(s);
    s = following;
  }
  if (carving_ != nullptr && carving_->carved == carving_->capacity && carving_->next != nullptr) {
    carving_ = carving_->next;
  }
  if (carving_ != nullptr && carving_->carved < carving_->capacity) return true;

  std::size_t capacity = slab_capacity(k_slab_bytes);
  if (capacity == 0) capacity = 1;
  CAIRN_ASSERT(item_align_ <= the_os().physical_page_bytes(), "a slab from the os is aligned to a page only");
  void* memory = metadata_map(slab_bytes(capacity));
  if (memory == nullptr) return false;
  link(make_slab(memory, capacity));
  if (carving_->carved == carving_->capacity) carving_ = carving_->next;
  return true;
}

fixed_pool::item fixed_pool::take() noexcept {
  lock_guard guard(lock_);
  // The highest slab with free entries; slabs above it have none.
  while (stack_top_ != nullptr && stack_top_->free == 0 && stack_top_->previous != nullptr) {
    stack_top_ = stack_top_->previous;
  }
  if (stack_top_ != nullptr && stack_top_->free != 0) {
    in_use_.fetch_add(1, std::memory_order_relaxed);
    return {stack_top_->free_items()[--stack_top_->free], false};
  }
  if ((carving_ == nullptr || carving_->carved == carving_->capacity) && !refill()) return {};
  in_use_.fetch_add(1, std::memory_order_relaxed);
  return {carving_->items + carving_->carved++ * round_up(item_bytes_, item_align_), true};
}

void fixed_pool::give(void* p) noexcept {
  if (p == nullptr) return;
  lock_guard guard(lock_);
  CAIRN_CHECK(in_use() != 0, "an object was given that was not taken");
  in_use_.fetch_sub(1, std::memory_order_relaxed);
  // There is room: the slabs together have an entry for each item.
  while (stack_top_->free == stack_top_->capacity) stack_top_ = stack_top_->next;
  stack_top_->free_items()[stack_top_->free++] = p;
}

}  // namespace cairn::heap
