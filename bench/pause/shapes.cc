// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/shapes.h"

#include <algorithm>

namespace pause_bench {
namespace {

using cairn::gc_ptr;

template <class T>
void exchange(gc_ptr<T>& a, gc_ptr<T>& b) {
  T* from_a = a.get();
  T* from_b = b.get();
  a = from_b;
  b = from_a;
}

// ---- tree ----

struct tree_node {
  gc_ptr<tree_node> left, right;
  std::uint64_t words[2];
};

tree_node* make_tree(std::size_t nodes) {
  if (nodes == 0) return nullptr;
  tree_node* out = cairn::make_gc<tree_node>();
  out->left = make_tree((nodes - 1) / 2);
  out->right = make_tree(nodes - 1 - (nodes - 1) / 2);
  return out;
}

class tree_shape final : public live_shape {
 public:
  explicit tree_shape(std::size_t bytes) : top_(make_tree(bytes / sizeof(tree_node))) {}

  void walk(unsigned steps, xorshift& random) override {
    tree_node* at = top_.get();
    std::uint64_t way = random.next();
    for (unsigned i = 0; i < steps; i++) {
      exchange(at->left, at->right);
      tree_node* next = (way >> (i % 64) & 1) != 0 ? at->left.get() : at->right.get();
      at = next != nullptr ? next : top_.get();
    }
  }

 private:
  cairn::root<tree_node> top_;
};

// ---- graph: edges 0 and 1 are a tree's, so that every node is reachable; 2 and 3 are random ----

struct graph_node {
  gc_ptr<graph_node> edges[4];
  std::uint64_t words[4];
};
static_assert(sizeof(graph_node) == 64);

graph_node* make_graph(std::size_t nodes, std::uint64_t seed) {
  auto table = cairn::make_gc_array<gc_ptr<graph_node>>(nodes);
  gc_ptr<graph_node>* all = table.data();
  xorshift random{seed};
  for (std::size_t i = 0; i < nodes; i++) all[i] = cairn::make_gc<graph_node>();
  for (std::size_t i = 0; i < nodes; i++) {
    graph_node* node = all[i].get();
    if (2 * i + 1 < nodes) node->edges[0] = all[2 * i + 1];
    if (2 * i + 2 < nodes) node->edges[1] = all[2 * i + 2];
    node->edges[2] = all[random.below(nodes)];
    node->edges[3] = all[random.below(nodes)];
  }
  return all[0].get();
}

class graph_shape final : public live_shape {
 public:
  graph_shape(std::size_t bytes, std::uint64_t seed)
      : top_(make_graph(bytes / sizeof(graph_node), seed)), at_(top_) {}

  // Goes on where the last walk ended.
  void walk(unsigned steps, xorshift& random) override {
    graph_node* at = at_.get();
    std::uint64_t way = random.next();
    for (unsigned i = 0; i < steps; i++) {
      graph_node* next = at->edges[way >> (2 * i % 64) & 3].get();
      if (next == nullptr) next = top_.get();
      exchange(at->edges[2], next->edges[3]);
      at = next;
    }
    at_ = at;
  }

 private:
  cairn::root<graph_node> top_, at_;
};

// ---- arrays ----

constexpr std::size_t k_array_length = (std::size_t{1} << 20) / sizeof(gc_ptr<small>);

struct big_array {
  gc_ptr<small> elements[k_array_length];
};

struct array_table {
  cairn::gc_slice<gc_ptr<big_array>> arrays;
};

// An eighth of the bytes are the objects that the arrays point to.
array_table* make_arrays(std::size_t bytes, std::uint64_t seed) {
  const std::size_t leaf_count = bytes / 8 / sizeof(small);
  auto leaves = cairn::make_gc_array<gc_ptr<small>>(leaf_count);
  for (std::size_t i = 0; i < leaf_count; i++) leaves.data()[i] = cairn::make_gc<small>();
  array_table* out = cairn::make_gc<array_table>();
  out->arrays = cairn::make_gc_array<gc_ptr<big_array>>(
      std::max<std::size_t>((bytes - bytes / 8) / sizeof(big_array), 1));
  xorshift random{seed};
  for (gc_ptr<big_array>& slot : out->arrays) {
    big_array* array = cairn::make_gc<big_array>();
    slot = array;
    for (gc_ptr<small>& element : array->elements) element = leaves.data()[random.below(leaf_count)];
  }
  return out;
}

class arrays_shape final : public live_shape {
 public:
  arrays_shape(std::size_t bytes, std::uint64_t seed) : table_(make_arrays(bytes, seed)) {}

  void walk(unsigned steps, xorshift& random) override {
    array_table* table = table_.get();
    big_array* one = table->arrays.data()[random.below(table->arrays.size())].get();
    for (unsigned i = 0; i < steps; i++) {
      big_array* other = table->arrays.data()[random.below(table->arrays.size())].get();
      exchange(one->elements[random.below(k_array_length)], other->elements[random.below(k_array_length)]);
      one = other;
    }
  }

 private:
  cairn::root<array_table> table_;
};

class no_shape final : public live_shape {
 public:
  void walk(unsigned, xorshift&) override {}
};

}  // namespace

std::unique_ptr<live_shape> make_shape(shape_kind kind, std::size_t bytes, std::uint64_t seed) {
  switch (kind) {
    case shape_kind::tree:
      return std::make_unique<tree_shape>(bytes);
    case shape_kind::graph:
      return std::make_unique<graph_shape>(bytes, seed);
    case shape_kind::arrays:
      return std::make_unique<arrays_shape>(bytes, seed);
    case shape_kind::ring:
      break;
  }
  return std::make_unique<no_shape>();
}

}  // namespace pause_bench
