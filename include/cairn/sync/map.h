// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::map: a hash table that many read and write at once. A concurrent hash trie, as Go's sync.Map since 1.24 (see
// cairn/detail/hash_trie.h): reading takes no lock and waits for nobody; who writes locks the one node in which the key
// is, so that writers of different keys seldom meet.
#pragma once
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "cairn/detail/hash_trie.h"
#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"
#include "cairn/detail/map_cell.h"
#include "cairn/gc_atomic.h"

namespace cairn::sync {

// From K to V, which are copyable, and seen by the collector as a stack is: raw pointers in them keep their objects.
// Lives where a gc_ptr may. Each operation happens at one moment; what was done before one is seen by who reads what it
// wrote. What Hash, Eq and the functions of K and V throw is passed on, and the map is as before. Hash, Eq and the
// comparison of values must not use the map: a writer calls them with a part of it locked. f of range() may.
template <class K, class V, class Hash = std::hash<K>, class Eq = std::equal_to<K>>
class map {
 public:
  constexpr map() noexcept = default;
  map(const map&) = delete;
  map& operator=(const map&) = delete;

  std::optional<V> load(const K& key) const {
    detail::begin_call();
    return found(find(key, hash_of(key)));
  }
  void store(const K& key, V value) {
    put(key, std::move(value), [](auto&&) {});
  }
  // The value that was there before.
  std::optional<V> swap(const K& key, V value) {
    std::optional<V> before;
    put(key, std::move(value), [&before](const V& old) { before.emplace(old); });
    return before;
  }
  // The value that is there and true, or `value`, which is there now, and false.
  std::pair<V, bool> load_or_store(const K& key, V value);
  // The value that was there.
  std::optional<V> load_and_delete(const K& key) {
    std::optional<held> before;
    take_out(key, [&before](held old) { return before.emplace(old), true; });
    if (!before) return std::nullopt;
    return cell::look(*before, [](const V& v) { return std::optional<V>(v); });  // the lock is free again
  }
  // True if it was there.
  bool erase(const K& key) {
    return take_out(key, [](held) { return true; });
  }
  // Replaces `old` by `desired`. False if something else is there, or nothing.
  bool compare_and_swap(const K& key, const V& old, V desired) requires std::equality_comparable<V>;
  bool compare_and_delete(const K& key, const V& old) requires std::equality_comparable<V> {
    return take_out(key, [&old](held at) {
      return cell::look(at, [&old](const V& now) { return static_cast<bool>(now == old); });
    });
  }
  // All entries that are there when it is called are gone.
  void clear() noexcept { root_.store(nullptr, std::memory_order_release); }

  // f(key, value) for the entries until it returns false. It comes to each key once at most, and to all that are there
  // all the time; it may change the map, as others may meanwhile.
  template <std::predicate<const K&, const V&> F>
  void range(F&& f) const {
    detail::begin_call();
    if (const detail::trie_inner* root = root_.load(std::memory_order_acquire)) walk(*root, f);
  }

 private:
  using cell = detail::map_cell<V>;
  using held = typename cell::held;

  struct entry : detail::trie_entry {
    entry(std::uint64_t h, const K& k, held v) : trie_entry(h), key(k), value(v) {}
    const K key;
    cell value;
  };

  // Unlinked entries and nodes for a writer, made while it has no lock.
  struct supply {
    entry* fresh = nullptr;
    detail::trie_inner* nodes = nullptr;
    unsigned count = 0;
  };

  static std::uint64_t hash_of(const K& key) {
    return detail::spread(static_cast<std::uint64_t>(Hash{}(key)));
  }
  static entry* next_of(const detail::trie_entry* e) noexcept {
    return static_cast<entry*>(e->next.load(std::memory_order_acquire).get());
  }
  static std::optional<V> found(const entry* e) {
    if (e == nullptr) return std::nullopt;
    return cell::look(e->value.get(), [](const V& v) { return std::optional<V>(v); });
  }

  static entry* find_in(detail::trie_entry* first, const K& key, std::uint64_t hash) {
    if (first == nullptr || first->hash != hash) return nullptr;
    for (auto* e = static_cast<entry*>(first); e != nullptr; e = next_of(e))
      if (Eq{}(e->key, key)) return e;
    return nullptr;
  }
  entry* find(const K& key, std::uint64_t hash) const {
    return find_in(detail::find_chain(root_.load(std::memory_order_acquire).get(), hash), key, hash);
  }

  // Adds an entry that is not there. False if more has to be made before.
  static bool add(detail::trie_place& at, supply& made) noexcept {
    if (made.fresh == nullptr || made.count < at.levels_between()) return false;
    at.add(made.fresh, made.nodes);
    return true;
  }
  // With no lock held.
  static void make(supply& made, unsigned levels, const K& key, std::uint64_t hash, held value) {
    if (made.fresh == nullptr) made.fresh = detail::make_kept_of<entry, K, void*>(hash, key, value);
    for (; made.count < levels; ++made.count) made.nodes = detail::make_node(made.nodes);
  }

  // Sees to it that `key` is there, with `value` if it was not. If it was: replace(entry) under the lock, and true.
  template <class Replace>
  bool put_or(const K& key, std::uint64_t hash, held value, Replace replace) {
    supply made;
    unsigned levels = 0;
    if (find(key, hash) == nullptr) make(made, 0, key, hash, value);
    for (;;) {
      {
        detail::trie_place at(detail::root_of(root_), hash);
        if (entry* e = find_in(at.first(), key, hash)) {
          replace(*e);
          return true;
        }
        if (add(at, made)) return false;
        levels = at.levels_between();
      }
      make(made, levels, key, hash, value);
    }
  }
  template <class See>
  void put(const K& key, V&& value, See see) {
    detail::begin_call();
    const held next = cell::prepare(std::move(value));
    std::optional<held> before;
    const bool was_there = put_or(key, hash_of(key), next, [&](entry& e) {
      before.emplace(e.value.get());
      e.value.set(next);
    });
    if (was_there) cell::look(*before, see);
  }

  // Takes it out if goes(value).
  template <class Goes>
  bool take_out(const K& key, Goes goes) {
    detail::begin_call();
    const std::uint64_t hash = hash_of(key);
    if (find(key, hash) == nullptr) return false;
    detail::trie_place at(detail::root_of(root_), hash);
    if (at.first() == nullptr || at.first()->hash != hash) return false;
    entry* previous = nullptr;
    for (auto* e = static_cast<entry*>(at.first()); e != nullptr; previous = e, e = next_of(e)) {
      if (!Eq{}(e->key, key)) continue;
      if (!goes(e->value.get())) return false;
      at.remove(previous, e);
      return true;
    }
    return false;
  }

  template <class F>
  static bool walk(const detail::trie_inner& in, F& f) {
    for (const auto& child : in.children) {
      detail::trie_node* node = child.load(std::memory_order_acquire);
      if (node == nullptr) continue;
      if (!node->is_entry) {
        if (!walk(*static_cast<detail::trie_inner*>(node), f)) return false;
        continue;
      }
      for (auto* e = static_cast<entry*>(node); e != nullptr; e = next_of(e))
        if (!cell::look(e->value.get(), [&](const V& v) { return static_cast<bool>(f(e->key, v)); }))
          return false;
    }
    return true;
  }

  gc_atomic<detail::trie_inner> root_;
};

template <class K, class V, class Hash, class Eq>
std::pair<V, bool> map<K, V, Hash, Eq>::load_or_store(const K& key, V value) {
  detail::begin_call();
  const std::uint64_t hash = hash_of(key);
  const auto there = [](held v) {
    return cell::look(v, [](const V& x) { return std::pair<V, bool>(x, true); });
  };
  if (entry* e = find(key, hash)) return there(e->value.get());
  const held next = cell::prepare(V(value));
  std::optional<held> now;
  if (put_or(key, hash, next, [&now](entry& e) { now.emplace(e.value.get()); })) return there(*now);
  return {std::move(value), false};
}

template <class K, class V, class Hash, class Eq>
bool map<K, V, Hash, Eq>::compare_and_swap(const K& key, const V& old,
                                           V desired) requires std::equality_comparable<V> {
  detail::begin_call();
  const std::uint64_t hash = hash_of(key);
  const auto is_old = [&old](const entry& e) {
    return cell::look(e.value.get(), [&old](const V& now) { return static_cast<bool>(now == old); });
  };
  if (entry* e = find(key, hash); e == nullptr || !is_old(*e)) return false;
  const held next = cell::prepare(std::move(desired));
  detail::trie_place at(detail::root_of(root_), hash);
  entry* e = find_in(at.first(), key, hash);
  if (e == nullptr || !is_old(*e)) return false;
  e->value.set(next);
  return true;
}

}  // namespace cairn::sync
