// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The dependency graph as collected objects, read without locks while one thread keeps replacing versions.
//
// A snapshot is an immutable tree from name ids to packages, 64 children a node. A reader loads graph::current once
// and then sees one state of everything, for as long as it likes; nothing it does is written anywhere. The writer
// copies the packages it changes and the tree nodes above them (an editor), and publishes the new snapshot with one
// store. What only old snapshots reach is garbage from then on, and readers that still hold one keep exactly that
// much alive: no reference counts, no epochs, no hazard pointers, nothing to retire.
//
//   graph -> snapshot -> branch -> twig -> package -> version -> clause_node -> alternative -> name
//                                                  -> provider -> version
//                                                  -> dependent -> name
//
// Edges end at names, the only objects that outlive all states: version objects come and go, so an edge that pointed
// at one would have to be replaced with it, and so on up to everything that depends on libc6. A reader resolves a
// name in its own snapshot. Providers do point to versions: they change with them anyway.
//
// Rejected: one gc_atomic per package (a reader would see a mixture of states, and no answer could be checked);
// versions chained by epoch (the writer must learn which reader is oldest, which is reference counting again).
#pragma once
#include <cairn/cairn.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/depgraph/edition.h"
#include "bench/depgraph/records.h"

namespace depgraph {

using text = cairn::gc_slice<const char>;  // pointer-free memory; empty: none
inline std::string_view view(const text& t) { return {t.data(), t.size()}; }

// Immutable from its making on, as everything below but graph and the nodes that an editor still owns.
struct name {
  text spelling;
  name_id id;
};

struct alternative {
  cairn::gc_ptr<name> wanted;
  text constraint;
  relation how;
};

struct clause_node {
  cairn::gc_slice<alternative> any_of;
};

struct provided_name {
  cairn::gc_ptr<name> what;
  text number;  // empty: satisfies only dependencies without a constraint
};

struct version {
  cairn::gc_ptr<name> package;
  text number;
  cairn::gc_slice<clause_node> clauses;
  cairn::gc_slice<provided_name> provides;
  slot_id slot;
  std::uint32_t generation;
};

struct provider {
  cairn::gc_ptr<version> by;
  text number;
};

struct dependent {
  cairn::gc_ptr<name> package;
  slot_id slot;
};

// What is known of a name: nothing but dependents if it is missing from the index.
struct package {
  cairn::gc_slice<cairn::gc_ptr<version>> versions;  // newest first, then by slot
  cairn::gc_slice<provider> providers;               // by slot
  cairn::gc_slice<dependent> dependents;             // by slot; versions with a clause that mentions the name
};

inline constexpr std::size_t k_fan_out = 64;
struct twig {
  cairn::gc_ptr<package> at[k_fan_out];
};
struct branch {
  cairn::gc_ptr<twig> at[k_fan_out];
};
struct snapshot {
  cairn::gc_slice<cairn::gc_ptr<branch>> at;
  std::uint64_t sequence = 0;  // publications before this one

  package* find(name_id id) const {
    return at.data()[id / k_fan_out / k_fan_out]->at[id / k_fan_out % k_fan_out]->at[id % k_fan_out];
  }
};

struct graph {
  // Written by the replacing thread with release, read with acquire: what a snapshot reaches is complete.
  cairn::gc_atomic<snapshot> current;
  cairn::gc_slice<cairn::gc_ptr<name>> names;  // by id; for all states
  cairn::gc_slice<const name_id> package_of;   // by slot; likewise

  snapshot* now() const { return current.load(std::memory_order_acquire); }
};

// A transaction on a base snapshot: packages handed out by edit() are copies that only this editor can see.
class editor {
 public:
  editor(snapshot* base, std::size_t names);
  package* edit(name_id id);
  snapshot* finish() { return made_; }

 private:
  snapshot* base_;
  snapshot* made_;
};

// The graph of all stanzas in generation 0.
cairn::gc_ptr<graph> build_graph(const records& from);

// Puts generation `generation` of the slot in the place of what is there, and publishes. One thread at a time.
void replace_version(graph& in, const records& from, slot_id slot, std::uint32_t generation);

// The version of the slot in that state.
version* version_in(const graph& in, const snapshot& state, slot_id slot);

// Why the snapshot is not well-formed: order, back links, both directions of every edge. Empty if it is.
std::string graph_fault(const graph& in, const snapshot& state);

}  // namespace depgraph
