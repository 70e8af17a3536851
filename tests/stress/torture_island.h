// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// An island: a random mutable graph of nodes (torture_nodes.h) together with its shadow in malloc memory. The
// shadow knows of every node that can be reached its address, its contents and where its edges lead; the
// collector does not look into it. So whatever a walk along real edges finds can be compared with what must
// be there.
//
//   real edges and shadow edges are equal at all times while the lock is free
//   a node leaves the shadow only when no root reaches it any more (prune), then it may die
//
// Owner of everything here: who holds `lock`.
#pragma once
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "stress/torture_nodes.h"

namespace torture {

// Ends the program: what was found, where, and how to repeat it.
[[noreturn]] void fail(const std::string& what);

struct shadow_edge {
  std::uint64_t id = 0;  // 0: null
  std::size_t offset = 0;
};
struct shadow_node {
  const kind* what = nullptr;
  std::uintptr_t address = 0;
  std::uint64_t content = 0;
  std::vector<shadow_edge> edges;
};

using random_source = std::mt19937_64;

class island {
 public:
  explicit island(std::uint64_t number) : next_id_((number << 40) + 1) {
    for (auto& r : roots_) r = std::make_unique<cairn::root<std::byte>>();
    shadow_roots_.resize(k_roots);
  }

  // One random change or look.
  void step(random_source& random) {
    switch (random() % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
        return add(random);
      case 4:
      case 5:
        return link(random);
      case 6:
        return cut(random);
      case 7:
        return swap(random);
      case 8:
        return rewrite(random);
      case 9:
        return move_root(random);
      case 10:
        return hold_on_stack(random);
      default:
        look(random);
    }
  }

  // Compares everything that is reachable with the shadow.
  void verify_all() {
    std::unordered_map<std::uint64_t, bool> seen;
    std::vector<std::uint64_t> queue;
    for (std::size_t i = 0; i < k_roots; ++i) {
      check_edge(roots_[i]->get(), shadow_roots_[i], "root");
      if (shadow_roots_[i].id != 0 && seen.emplace(shadow_roots_[i].id, true).second)
        queue.push_back(shadow_roots_[i].id);
    }
    while (!queue.empty()) {
      const std::uint64_t id = queue.back();
      queue.pop_back();
      const shadow_node& s = shadow_.at(id);
      // Reached through an edge that was compared before, so the address is known to be held.
      check_node(reinterpret_cast<header*>(s.address), id, s);
      for (const shadow_edge& e : s.edges)
        if (e.id != 0 && seen.emplace(e.id, true).second) queue.push_back(e.id);
    }
  }

  void clear() {
    for (auto& r : roots_) r->reset();
    shadow_roots_.assign(k_roots, {});
    shadow_.clear();
  }

  std::mutex lock;

 private:
  static constexpr std::size_t k_roots = 6;
  static constexpr std::size_t k_most_nodes = 1500;

  // A place on a walk: the node, found through real edges.
  struct spot {
    header* node = nullptr;
    std::uint64_t id = 0;
    shadow_node* shadow = nullptr;
  };

  static std::byte* address(const shadow_node& s, std::size_t offset) {
    return reinterpret_cast<std::byte*>(s.address) + offset;
  }

  void check_edge(const std::byte* real, const shadow_edge& e, const char* where) {
    if (e.id == 0) {
      if (real != nullptr) fail(std::string(where) + ": an edge that must be null is not");
      return;
    }
    const auto s = shadow_.find(e.id);
    if (s == shadow_.end())
      fail("the shadow itself is wrong: node " + std::to_string(e.id) + " is not in it");
    if (real != address(s->second, e.offset)) fail(std::string(where) + ": an edge points elsewhere");
  }

  void check_node(header* node, std::uint64_t id, const shadow_node& s) {
    if (node->id != id || node->content != s.content || !node->intact()) {
      fail("node " + std::to_string(id) + " (" + std::to_string(s.what->bytes) +
           " bytes) has lost its header");
    }
    if (!is_filled(s.what->payload(node), s.content))
      fail("node " + std::to_string(id) + ": payload changed");
    std::span<edge> links = s.what->links(node);
    if (links.size() != s.edges.size()) fail("node " + std::to_string(id) + ": its number of edges changed");
    for (std::size_t i = 0; i < links.size(); ++i) check_edge(links[i].get(), s.edges[i], "node");
  }

  // Walks from a random root along random real edges. Null when the root is.
  spot walk(random_source& random) {
    const std::size_t r = random() % k_roots;
    if (shadow_roots_[r].id == 0) return {};
    spot at = arrive(roots_[r]->get(), shadow_roots_[r]);
    for (std::uint64_t steps = random() % 12; steps > 0; --steps) {
      const std::size_t i = random() % at.shadow->edges.size();
      if (at.shadow->edges[i].id == 0) continue;
      at = arrive(at.shadow->what->links(at.node)[i].get(), at.shadow->edges[i]);
    }
    return at;
  }
  spot arrive(std::byte* real, const shadow_edge& e) {
    check_edge(real, e, "walk");
    spot at{reinterpret_cast<header*>(real - e.offset), e.id, &shadow_.at(e.id)};
    if (at.node->id != e.id || !at.node->intact())
      fail("walk: node " + std::to_string(e.id) + " has lost its header");
    return at;
  }

  void set_edge(spot at, std::size_t i, std::byte* target, shadow_edge e) {
    at.shadow->what->links(at.node)[i] = target;
    at.shadow->edges[i] = e;
  }

  void add(random_source& random) {
    if (shadow_.size() >= k_most_nodes) prune();
    if (shadow_.size() >= k_most_nodes) return cut(random);
    const bool large = random() % 400 == 0;
    const kind& k = large ? *k_large_kinds[random() % std::size(k_large_kinds)]
                          : *k_kinds[random() % std::size(k_kinds)];
    header* node = k.make(random());
    const std::uint64_t id = next_id_++;
    const std::uint64_t content = random();
    stamp(k, node, id, content);
    shadow_[id] = {&k, reinterpret_cast<std::uintptr_t>(node), content,
                   std::vector<shadow_edge>(k.links(node).size())};
    const shadow_edge e{id, random_offset(random, k)};
    std::byte* target = reinterpret_cast<std::byte*>(node) + e.offset;
    spot at = walk(random);
    if (at.node == nullptr || random() % 50 == 0) {
      const std::size_t r = random() % k_roots;
      *roots_[r] = target;
      shadow_roots_[r] = e;
    } else {
      set_edge(at, random() % at.shadow->edges.size(), target, e);
    }
  }
  // Mostly the start; else anywhere in the object.
  static std::size_t random_offset(random_source& random, const kind& k) {
    return random() % 3 != 0 ? 0 : random() % k.bytes;
  }

  void link(random_source& random) {
    spot from = walk(random), to = walk(random);
    if (from.node == nullptr || to.node == nullptr) return;
    const std::size_t offset = random_offset(random, *to.shadow->what);
    set_edge(from, random() % from.shadow->edges.size(), reinterpret_cast<std::byte*>(to.node) + offset,
             {to.id, offset});
  }

  void cut(random_source& random) {
    spot at = walk(random);
    if (at.node != nullptr) set_edge(at, random() % at.shadow->edges.size(), nullptr, {});
  }

  void swap(random_source& random) {
    spot a = walk(random), b = walk(random);
    if (a.node == nullptr || b.node == nullptr) return;
    const std::size_t i = random() % a.shadow->edges.size(), j = random() % b.shadow->edges.size();
    std::swap(a.shadow->what->links(a.node)[i], b.shadow->what->links(b.node)[j]);
    std::swap(a.shadow->edges[i], b.shadow->edges[j]);
  }

  void rewrite(random_source& random) {
    spot at = walk(random);
    if (at.node == nullptr) return;
    at.shadow->content = random();
    stamp(*at.shadow->what, at.node, at.id, at.shadow->content);
  }

  void move_root(random_source& random) {
    const std::size_t i = random() % k_roots, j = random() % k_roots;
    if (i == j) return;
    if (random() % 2 == 0) {
      std::swap(roots_[i], roots_[j]);  // the roots stay where they are
    } else {
      std::swap(*roots_[i], *roots_[j]);  // the pointers move through a third root
    }
    std::swap(shadow_roots_[i], shadow_roots_[j]);
  }

  // For a while a whole subgraph hangs on nothing but a local variable.
  void hold_on_stack(random_source& random) {
    spot at = walk(random);
    if (at.node == nullptr) return;
    const std::size_t i = random() % at.shadow->edges.size();
    std::byte* held = at.shadow->what->links(at.node)[i];
    at.shadow->what->links(at.node)[i] = nullptr;
    if (random() % 64 == 0) {
      cairn::gc::collect();
    } else {
      for (std::uint64_t n = random() % 200; n > 0; --n) cairn::keep_alive(cairn::make_gc<plain<1, 2, 1>>());
    }
    at.shadow->what->links(at.node)[i] = held;
  }

  void look(random_source& random) {
    spot at = walk(random);
    if (at.node != nullptr) check_node(at.node, at.id, *at.shadow);
  }

  // Drops from the shadow what no root reaches.
  void prune() {
    std::unordered_map<std::uint64_t, shadow_node> reachable;
    std::vector<std::uint64_t> queue;
    auto reach = [&](const shadow_edge& e) {
      if (e.id == 0 || reachable.count(e.id) != 0) return;
      reachable.emplace(e.id, std::move(shadow_.at(e.id)));
      queue.push_back(e.id);
    };
    for (const shadow_edge& e : shadow_roots_) reach(e);
    while (!queue.empty()) {
      const std::uint64_t id = queue.back();
      queue.pop_back();
      const std::vector<shadow_edge> edges = reachable.at(id).edges;
      for (const shadow_edge& e : edges) reach(e);
    }
    shadow_ = std::move(reachable);
  }

  std::unique_ptr<cairn::root<std::byte>> roots_[k_roots];
  std::vector<shadow_edge> shadow_roots_;
  std::unordered_map<std::uint64_t, shadow_node> shadow_;
  std::uint64_t next_id_;
};

}  // namespace torture
