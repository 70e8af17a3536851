// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The objects of the torture program. A node is any of the types below: it begins with a header whose
// contents follow from its number, has edges to other nodes and a payload that follows from its header. Which
// type it is decides its size, its layout (aggregate, listed fields, unknown) and what hangs on it. The
// program reaches all through `kind`.
#pragma once
#include <cairn/cairn.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "api/support.h"

namespace torture {

using cairn_test::mix;

// An edge may point anywhere into its target.
using edge = cairn::gc_ptr<std::byte>;

struct header {
  std::uint64_t id;
  std::uint64_t content;  // what the payload is made from
  std::uint64_t check;

  static std::uint64_t checksum(std::uint64_t id, std::uint64_t content) { return mix(id) + mix(~content); }
  bool intact() const { return check == checksum(id, content); }
};

inline void fill(std::span<std::uint64_t> payload, std::uint64_t content) {
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = mix(content + i);
}
inline bool is_filled(std::span<const std::uint64_t> payload, std::uint64_t content) {
  for (std::size_t i = 0; i < payload.size(); ++i)
    if (payload[i] != mix(content + i)) return false;
  return true;
}

// An aggregate: its layout is found at compile time.
template <std::size_t Before, std::size_t Edges, std::size_t After>
struct plain {
  header head;
  std::uint64_t before[Before];
  edge edges[Edges];
  std::uint64_t after[After];

  std::span<edge> links() { return edges; }
  std::span<std::uint64_t> payload() { return after; }
};

// A class without a visible layout: every word is looked at.
template <std::size_t Edges, std::size_t Words>
class opaque {
 public:
  opaque() : head_{}, words_{}, edges_{} {}
  std::span<edge> links() { return edges_; }
  std::span<std::uint64_t> payload() { return words_; }

 private:
  header head_;
  std::uint64_t words_[Words];
  edge edges_[Edges];
};

// A class that lists its fields, in another order than it declares them.
class listed {
 public:
  listed() : head_{} {}
  std::span<edge> links() { return edges_; }
  std::span<std::uint64_t> payload() { return words_; }
  CAIRN_GC_FIELDS(listed, unused_, edges_)

 private:
  [[maybe_unused]] header head_;
  [[maybe_unused]] std::uint16_t flags_ : 3 = 5;
  std::array<edge, 3> edges_;
  std::uint64_t words_[2] = {};
  edge unused_;
};

struct tracked_counts {
  std::atomic<std::uint64_t> made{0}, destroyed{0}, damaged{0};
};
inline tracked_counts tracked;

// With a destructor, which finds the object as it was left.
template <std::size_t Edges, std::size_t Words>
struct destructible {
  header head{};
  edge edges[Edges];
  std::uint64_t words[Words] = {};

  destructible() { tracked.made.fetch_add(1, std::memory_order_relaxed); }
  destructible(const destructible&) = delete;
  destructible& operator=(const destructible&) = delete;
  ~destructible() {
    if (!head.intact() || !is_filled(words, head.content))
      tracked.damaged.fetch_add(1, std::memory_order_relaxed);
    tracked.destroyed.fetch_add(1, std::memory_order_relaxed);
  }
  std::span<edge> links() { return edges; }
  std::span<std::uint64_t> payload() { return words; }
};

// Its edges lie in an array beside it, of random length.
template <std::size_t Most>
struct table {
  header head;
  cairn::gc_slice<edge> edges;
  cairn::gc_slice<std::uint64_t> words;

  void grow(std::uint64_t random) {
    edges = cairn::make_gc_array<edge>(1 + random % Most);
    words = cairn::make_gc_array<std::uint64_t>(mix(random) % Most);
  }
  std::span<edge> links() { return {edges.data(), edges.size()}; }
  std::span<std::uint64_t> payload() { return {words.data(), words.size()}; }
};

// Its edges lie in a vector.
struct with_vector {
  header head{};
  cairn::vector<edge> edges;
  std::uint64_t words[1] = {};

  void grow(std::uint64_t random) {
    for (std::uint64_t n = 1 + random % 40; n > 0; --n) edges.emplace_back();
  }
  std::span<edge> links() { return {edges.data(), edges.size()}; }
  std::span<std::uint64_t> payload() { return words; }
};

// How the program handles a node of which it knows only the kind.
struct kind {
  std::size_t bytes;
  header* (*make)(std::uint64_t random);
  std::span<edge> (*links)(header*);
  std::span<std::uint64_t> (*payload)(header*);
};

template <class T>
[[gnu::noinline]] header* make_node(std::uint64_t random) {
  T* node = cairn::make_gc<T>();
  if constexpr (requires { node->grow(random); }) node->grow(random);
  return reinterpret_cast<header*>(node);  // its first member
}

template <class T>
inline constexpr kind kind_of = {sizeof(T), &make_node<T>,
                                 [](header* h) { return reinterpret_cast<T*>(h)->links(); },
                                 [](header* h) { return reinterpret_cast<T*>(h)->payload(); }};

inline constexpr const kind* k_kinds[] = {
    &kind_of<plain<1, 1, 1>>,   &kind_of<plain<1, 2, 1>>,     &kind_of<plain<1, 2, 1>>,
    &kind_of<plain<3, 4, 2>>,   &kind_of<plain<2, 9, 20>>,    &kind_of<plain<30, 3, 25>>,
    &kind_of<plain<1, 40, 90>>, &kind_of<plain<200, 3, 300>>, &kind_of<opaque<2, 3>>,
    &kind_of<opaque<5, 60>>,    &kind_of<opaque<7, 120>>,     &kind_of<listed>,
    &kind_of<listed>,           &kind_of<destructible<2, 2>>, &kind_of<destructible<3, 70>>,
    &kind_of<table<10>>,        &kind_of<table<300>>,         &kind_of<with_vector>,
};
// More than 32 KiB: spans of their own. Rarely made.
inline constexpr const kind* k_large_kinds[] = {&kind_of<plain<1, 3000, 3000>>, &kind_of<plain<5000, 2, 100>>,
                                                &kind_of<table<20000>>};

// Gives a fresh or an old node new contents.
inline void stamp(const kind& k, header* node, std::uint64_t id, std::uint64_t content) {
  node->id = id;
  node->content = content;
  node->check = header::checksum(id, content);
  fill(k.payload(node), content);
}

// ---- trees whose contents follow from the number of their root: they need no shadow -----------------------

struct tree {
  std::uint64_t id;
  std::uint64_t depth;
  cairn::gc_ptr<tree> child[3];
  std::uint64_t seal;
};

[[gnu::noinline]] inline tree* make_tree(std::uint64_t id, std::uint64_t depth) {
  tree* t = cairn::make_gc<tree>();
  t->id = id;
  t->depth = depth;
  t->seal = mix(id ^ depth);
  for (std::uint64_t i = 0; depth > 0 && i < 3; ++i) t->child[i] = make_tree(mix(id + i), depth - 1);
  return t;
}
[[gnu::noinline]] inline bool is_tree(const tree* t, std::uint64_t id) {
  if (t == nullptr || t->id != id || t->seal != mix(id ^ t->depth) || t->depth > 8) return false;
  for (std::uint64_t i = 0; i < 3; ++i) {
    if (t->depth == 0 ? t->child[i] != nullptr : !is_tree(t->child[i], mix(id + i))) return false;
  }
  return true;
}

}  // namespace torture
