// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The writers' side of sync::map's tree; see cairn/detail/hash_trie.h.
//
// A node that has become empty is taken out with the lock of its parent, which is waited for with no lock held. That of
// the node is not waited for then: who has it is about to put something in, or to take out the node after it.
#include "cairn/detail/hash_trie.h"

#include "cairn/detail/assert.h"
#include "cairn/make_gc.h"
#include "heap/delay.h"

namespace cairn::detail {

bool trie_inner::is_empty() const noexcept {
  for (const gc_atomic<trie_node>& child : children)
    if (child.load(std::memory_order_relaxed) != nullptr) return false;  // under the lock, or a guess
  return true;
}

trie_place::trie_place(trie_inner* root, std::uint64_t hash) : hash_(hash) {
  for (;;) {
    trie_inner* in = root;
    unsigned shift = trie_inner::k_top;
    for (;;) {
      trie_node* child = in->children[trie_inner::way(hash, shift)].load(std::memory_order_acquire);
      if (child == nullptr || child->is_entry) break;
      in = static_cast<trie_inner*>(child);
      shift -= trie_inner::k_bits;
    }
    heap::maybe_delay("map.lock");
    in->lock.lock();
    trie_node* child = in->children[trie_inner::way(hash, shift)].load(std::memory_order_relaxed);
    // Relaxed, both: the lock orders them.
    if (!in->dead.load(std::memory_order_relaxed) && (child == nullptr || child->is_entry)) {
      in_ = in;
      shift_ = shift;
      return;
    }
    quiet_lock::release(in->lock);
  }
}

unsigned trie_place::levels_between() const noexcept {
  const trie_entry* there = first();
  if (there == nullptr || there->hash == hash_) return 0;
  const auto common = static_cast<unsigned>(__builtin_clzll(there->hash ^ hash_)) / trie_inner::k_bits;
  return common - (trie_inner::k_top - shift_) / trie_inner::k_bits;
}

void trie_place::add(trie_entry* entry, trie_inner* nodes) noexcept {
  trie_entry* there = first();
  if (there == nullptr || there->hash == hash_) {
    entry->next.store(there, std::memory_order_relaxed);
    slot().store(entry, std::memory_order_release);
    return;
  }
  trie_inner* top = nodes;
  trie_inner* above = in_;
  unsigned shift = shift_;
  for (unsigned left = levels_between(); left > 0; --left) {
    trie_inner* below = left > 1 ? nodes->parent.get() : nullptr;
    nodes->parent = above;
    shift -= trie_inner::k_bits;
    if (below != nullptr) {
      nodes->children[trie_inner::way(hash_, shift)].store(below, std::memory_order_relaxed);
    } else {
      nodes->children[trie_inner::way(there->hash, shift)].store(there, std::memory_order_relaxed);
      nodes->children[trie_inner::way(hash_, shift)].store(entry, std::memory_order_relaxed);
    }
    above = nodes;
    nodes = below;
  }
  slot().store(top, std::memory_order_release);
}

void trie_place::remove(trie_entry* previous, trie_entry* entry) noexcept {
  gc_ptr<trie_entry> next = entry->next.load(std::memory_order_relaxed);
  if (previous != nullptr) previous->next.store(next, std::memory_order_release);
  else slot().store(next.get(), std::memory_order_release);
  has_removed_ = previous == nullptr && next == nullptr;
}

namespace {

// Takes out `node`, which is reached from its parent by `way`, if it is empty. False if not.
bool prune(trie_inner* node, unsigned way) {
  trie_inner* parent = node->parent.get();
  quiet_lock held(parent->lock);
  if (!quiet_lock::try_take(node->lock)) return false;
  const bool goes = !node->dead.load(std::memory_order_relaxed) && node->is_empty();
  if (goes) {
    heap::maybe_delay("map.prune");
    node->dead.store(true, std::memory_order_relaxed);
    parent->children[way].store(nullptr, std::memory_order_release);
  }
  quiet_lock::release(node->lock);
  return goes;
}

}  // namespace

void trie_place::unlock() {
  if (in_ == nullptr) return;
  trie_inner* node = in_;
  in_ = nullptr;
  const bool may_be_empty = has_removed_ && node->is_empty();
  quiet_lock::release(node->lock);
  if (!may_be_empty) return;
  for (unsigned shift = shift_; shift != trie_inner::k_top; node = node->parent.get()) {
    shift += trie_inner::k_bits;
    if (!prune(node, trie_inner::way(hash_, shift))) return;
  }
}

trie_inner* root_of(gc_atomic<trie_inner>& root) {
  gc_ptr<trie_inner> seen = root.load(std::memory_order_acquire);
  if (seen != nullptr) return seen.get();
  gc_ptr<trie_inner> made = make_gc<trie_inner>(nullptr);
  // Release: with the loads. Acquire: another's.
  if (root.compare_exchange_strong(seen, made, std::memory_order_acq_rel, std::memory_order_acquire))
    return made.get();
  return seen.get();
}

trie_inner* make_node(trie_inner* others) { return make_gc<trie_inner>(others).get(); }

}  // namespace cairn::detail
