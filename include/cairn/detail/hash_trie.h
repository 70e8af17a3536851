// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The tree of sync::map, whatever it holds: a trie over the bits of a hash, 16 ways, from the highest bits down.
//
// A child is null, an inner node, or the first of a chain of entries that have all 64 bits of the hash in
// common. Readers follow the children without a lock. A child is changed with the lock of its node, while that
// is not dead. A node stays an inner node once it is there, until it is empty: then it is taken out of its
// parent, with both locks, and dead. So whoever has the lock of a node that is not dead has what the tree has
// at that place.
//
// An entry keeps its place, and its `next` when it is taken out of the chain: who stands there goes on.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/detail/library_call.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_ptr.h"
#include "cairn/sync/mutex.h"

namespace cairn::detail {

// Holds a mutex whose holder does nothing but what it holds it for: it is not ended with it. Such a mutex never gets a
// bias: a map has very many of them.
class quiet_lock {
 public:
  explicit quiet_lock(sync::mutex& m) : mutex_(&m) {
    if (!has_short_way() || !m.lock_free_word()) [[unlikely]]
      m.lock_slow();
  }
  ~quiet_lock() { unlock(); }
  quiet_lock(const quiet_lock&) = delete;
  quiet_lock& operator=(const quiet_lock&) = delete;

  void unlock() {
    if (mutex_ == nullptr) return;
    release(*mutex_);
    mutex_ = nullptr;
  }
  // Not mutex::try_lock, which may end the goroutine.
  static bool try_take(sync::mutex& m) noexcept { return m.lock_free_word(); }
  static void release(sync::mutex& m) {
    std::uint32_t held = sync::mutex::k_held;
    // Release: as mutex::unlock.
    if (!m.state_.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed))
        [[unlikely]]
      m.unlock_slow(false);
  }

 private:
  sync::mutex* mutex_;
};

struct trie_node {
  explicit trie_node(bool e) : is_entry(e) {}
  const bool is_entry;
};

struct trie_entry : trie_node {
  explicit trie_entry(std::uint64_t h) : trie_node(true), hash(h) {}
  const std::uint64_t hash;
  gc_atomic<trie_entry> next;
};

struct trie_inner : trie_node {
  static constexpr unsigned k_bits = 4, k_ways = 1u << k_bits, k_top = 64 - k_bits;

  explicit trie_inner(trie_inner* above) : trie_node(false), parent(above) {}

  static unsigned way(std::uint64_t hash, unsigned shift) noexcept {
    return static_cast<unsigned>(hash >> shift) & (k_ways - 1);
  }
  bool is_empty() const noexcept;

  std::atomic<bool> dead{false};  // written under both locks; the node's own orders it
  sync::mutex lock;
  gc_ptr<trie_inner> parent;
  gc_atomic<trie_node> children[k_ways];  // release by who changes one; acquire by who reads it
};

// Spreads the bits of a hash, of which users may give few.
inline std::uint64_t spread(std::uint64_t hash) noexcept {
  hash ^= hash >> 32;
  hash *= 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  return hash * 0xbf58476d1ce4e5b9;
}

// The chain in which entries of that hash are, or null: of another hash, perhaps.
inline trie_entry* find_chain(const trie_inner* root, std::uint64_t hash) noexcept {
  const trie_inner* in = root;
  for (unsigned shift = trie_inner::k_top; in != nullptr; shift -= trie_inner::k_bits) {
    trie_node* child = in->children[trie_inner::way(hash, shift)].load(std::memory_order_acquire);
    if (child == nullptr) return nullptr;
    if (child->is_entry) return static_cast<trie_entry*>(child);
    in = static_cast<trie_inner*>(child);
  }
  return nullptr;
}

// The place where an entry of that hash belongs, locked; and what is there.
class trie_place {
 public:
  trie_place(trie_inner* root, std::uint64_t hash);
  ~trie_place() { unlock(); }
  trie_place(const trie_place&) = delete;
  trie_place& operator=(const trie_place&) = delete;

  // The chain there; its hash may be another one.
  trie_entry* first() const noexcept {
    return static_cast<trie_entry*>(slot().load(std::memory_order_relaxed).get());  // under the lock
  }
  // How many nodes must lie between this place and an entry beside the chain that is there.
  unsigned levels_between() const noexcept;
  // Adds it; `nodes` are as many as levels_between() says, linked by `parent`.
  void add(trie_entry* entry, trie_inner* nodes) noexcept;
  // Takes out the one that comes after `previous`, or the first one for null.
  void remove(trie_entry* previous, trie_entry* entry) noexcept;
  // Afterwards the nodes that are empty by what was removed are gone too.
  void unlock();

 private:
  gc_atomic<trie_node>& slot() const noexcept { return in_->children[trie_inner::way(hash_, shift_)]; }

  trie_inner* in_ = nullptr;  // null: unlocked
  const std::uint64_t hash_;
  unsigned shift_ = 0;
  bool has_removed_ = false;
};

// The root of a map, made if there is none.
trie_inner* root_of(gc_atomic<trie_inner>& root);
// One more node for trie_place::add, in front of others.
trie_inner* make_node(trie_inner* others);

}  // namespace cairn::detail
