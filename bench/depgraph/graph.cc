// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/graph.h"

#include <algorithm>
#include <cstring>

#include "bench/depgraph/version_order.h"

namespace depgraph {
namespace {

using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::make_gc;
using cairn::make_gc_array;

text text_of(std::string_view from) {
  if (from.empty()) return {};
  gc_slice<char> made = make_gc_array<char>(from.size());
  std::memcpy(made.data(), from.data(), from.size());
  return made;
}

// Slices that others may see are never written: a change is a new array.
template <class T>
gc_slice<T> with(const gc_slice<T>& from, std::size_t at, const T& value) {
  gc_slice<T> made = make_gc_array<T>(from.size() + 1);
  std::copy(from.begin(), from.begin() + at, made.begin());
  made.begin()[at] = value;
  std::copy(from.begin() + at, from.end(), made.begin() + at + 1);
  return made;
}

template <class T>
gc_slice<T> without(const gc_slice<T>& from, std::size_t at) {
  if (from.size() == 1) return {};
  gc_slice<T> made = make_gc_array<T>(from.size() - 1);
  std::copy(from.begin(), from.begin() + at, made.begin());
  std::copy(from.begin() + at + 1, from.end(), made.begin() + at);
  return made;
}

// Where an entry of that slot is or belongs.
template <class T, class SlotOf>
std::size_t place_of(const gc_slice<T>& in, slot_id slot, SlotOf slot_of) {
  auto before = [&](const T& entry, slot_id wanted) { return slot_of(entry) < wanted; };
  return static_cast<std::size_t>(std::lower_bound(in.begin(), in.end(), slot, before) - in.begin());
}
slot_id provider_slot(const provider& p) { return p.by->slot; }
slot_id dependent_slot(const dependent& d) { return d.slot; }

bool is_before(const version* a, const version* b) {
  std::strong_ordering order = version_order(view(a->number), view(b->number));
  return order != 0 ? order > 0 : a->slot < b->slot;
}

gc_slice<alternative> make_alternatives(const graph& in, const std::vector<target>& from) {
  gc_slice<alternative> made = make_gc_array<alternative>(from.size());
  for (std::size_t i = 0; i < from.size(); i++) {
    made[i].wanted = in.names[from[i].name];
    made[i].constraint = text_of(from[i].version);
    made[i].how = from[i].how;
  }
  return made;
}

version* make_version(const graph& in, const records& from, slot_id slot, std::uint32_t generation) {
  edition content = edition_of(from, slot, generation);
  version* made = make_gc<version>();
  made->package = in.names[from.stanzas[slot].name];
  made->number = text_of(content.version);
  made->slot = slot;
  made->generation = generation;
  if (!content.clauses.empty()) made->clauses = make_gc_array<clause_node>(content.clauses.size());
  for (std::size_t c = 0; c < content.clauses.size(); c++) {
    made->clauses[c].any_of = make_alternatives(in, content.clauses[c]);
  }
  if (!content.provides.empty()) made->provides = make_gc_array<provided_name>(content.provides.size());
  for (std::size_t p = 0; p < content.provides.size(); p++) {
    made->provides[p].what = in.names[content.provides[p].name];
    made->provides[p].number = text_of(content.provides[p].version);
  }
  return made;
}

// The names that a version's clauses mention, each once, in order of their ids.
std::vector<name_id> mentioned(const version& by) {
  std::vector<name_id> ids;
  for (const clause_node& c : by.clauses) {
    for (const alternative& a : c.any_of) ids.push_back(a.wanted->id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// A list of (name, slot), for the lists that are built per name.
using pairs = std::vector<std::pair<name_id, slot_id>>;

// The pairs of one name, found in ascending order of names.
std::span<const std::pair<name_id, slot_id>> take(const pairs& from, std::size_t& at, name_id id) {
  std::size_t first = at;
  while (at < from.size() && from[at].first == id) at++;
  return {from.data() + first, at - first};
}

void add_providers(package& to, const version* by, name_id id, std::size_t at) {
  for (const provided_name& p : by->provides) {
    if (p.what->id != id) continue;
    provider one;
    one.by = const_cast<version*>(by);
    one.number = p.number;
    to.providers = with(to.providers, at++, one);
  }
}

void fill_package(package& to, const graph& in, gc_slice<gc_ptr<version>> by_slot,
                  std::span<const std::pair<name_id, slot_id>> own,
                  std::span<const std::pair<name_id, slot_id>> providing,
                  std::span<const std::pair<name_id, slot_id>> depending, const records& from) {
  if (!own.empty()) to.versions = make_gc_array<gc_ptr<version>>(own.size());
  for (std::size_t i = 0; i < own.size(); i++) to.versions[i] = by_slot[own[i].second];
  std::sort(to.versions.begin(), to.versions.end(), is_before);
  for (auto [id, slot] : providing) add_providers(to, by_slot[slot], id, to.providers.size());
  if (!depending.empty()) to.dependents = make_gc_array<dependent>(depending.size());
  for (std::size_t i = 0; i < depending.size(); i++) {
    to.dependents[i].package = in.names[from.stanzas[depending[i].second].name];
    to.dependents[i].slot = depending[i].second;
  }
}

void sort_and_unite(pairs& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

snapshot* first_snapshot(const graph& in, const records& from) {
  gc_slice<gc_ptr<version>> by_slot = make_gc_array<gc_ptr<version>>(from.stanzas.size());
  pairs own, providing, depending;
  for (slot_id slot = 0; slot < from.stanzas.size(); slot++) {
    version* made = make_version(in, from, slot, 0);
    by_slot[slot] = made;
    own.emplace_back(made->package->id, slot);
    for (const provided_name& p : made->provides) providing.emplace_back(p.what->id, slot);
    for (name_id id : mentioned(*made)) depending.emplace_back(id, slot);
  }
  for (pairs* list : {&own, &providing, &depending}) sort_and_unite(*list);
  editor all(nullptr, from.names.size());
  std::size_t o = 0, p = 0, d = 0;
  for (name_id id = 0; id < from.names.size(); id++) {
    package* made = all.edit(id);
    fill_package(*made, in, by_slot, take(own, o, id), take(providing, p, id), take(depending, d, id), from);
  }
  return all.finish();
}

void replace_own(editor& change, version* old, version* made) {
  package* own = change.edit(made->package->id);
  std::size_t at = 0;
  while (own->versions[at] != old) at++;
  gc_slice<gc_ptr<version>> rest = without(own->versions, at);
  at = 0;
  while (at < rest.size() && is_before(rest[at], made)) at++;
  own->versions = with(rest, at, gc_ptr<version>(made));
}

void replace_provider(editor& change, version* old, version* made) {
  for (const provided_name& p : old->provides) {
    package* what = change.edit(p.what->id);
    std::size_t at = place_of(what->providers, old->slot, provider_slot);
    if (at < what->providers.size() && what->providers[at].by == old)
      what->providers = without(what->providers, at);
  }
  // A name that is provided twice has two entries, in the order of the field.
  for (std::size_t i = 0; i < made->provides.size(); i++) {
    package* what = change.edit(made->provides[i].what->id);
    provider one;
    one.by = made;
    one.number = made->provides[i].number;
    std::size_t at = place_of(what->providers, made->slot + 1, provider_slot);
    what->providers = with(what->providers, at, one);
  }
}

void replace_dependent(editor& change, version* old, version* made) {
  std::vector<name_id> before = mentioned(*old), after = mentioned(*made), gone, come;
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(gone));
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(come));
  for (name_id id : gone) {
    package* what = change.edit(id);
    what->dependents = without(what->dependents, place_of(what->dependents, old->slot, dependent_slot));
  }
  for (name_id id : come) {
    package* what = change.edit(id);
    dependent one;
    one.package = made->package;
    one.slot = made->slot;
    what->dependents = with(what->dependents, place_of(what->dependents, made->slot, dependent_slot), one);
  }
}

}  // namespace

editor::editor(snapshot* base, std::size_t names) : base_(base), made_(make_gc<snapshot>()) {
  std::size_t branches = (names + k_fan_out * k_fan_out - 1) / (k_fan_out * k_fan_out);
  made_->at = make_gc_array<gc_ptr<branch>>(branches);
  if (base == nullptr) return;
  made_->sequence = base->sequence + 1;
  std::copy(base->at.begin(), base->at.end(), made_->at.begin());
}

// A node is this editor's own if it is not the base's: no list of copies is needed.
package* editor::edit(name_id id) {
  std::size_t i = id / k_fan_out / k_fan_out, j = id / k_fan_out % k_fan_out, k = id % k_fan_out;
  branch* old_branch = base_ == nullptr ? nullptr : base_->at[i].get();
  gc_ptr<branch>& own_branch = made_->at[i];
  if (own_branch == old_branch)
    own_branch = old_branch == nullptr ? make_gc<branch>() : make_gc<branch>(*old_branch);

  twig* old_twig = old_branch == nullptr ? nullptr : old_branch->at[j].get();
  gc_ptr<twig>& own_twig = own_branch->at[j];
  if (own_twig == old_twig) own_twig = old_twig == nullptr ? make_gc<twig>() : make_gc<twig>(*old_twig);

  package* old_package = old_twig == nullptr ? nullptr : old_twig->at[k].get();
  gc_ptr<package>& own = own_twig->at[k];
  if (own == old_package) own = old_package == nullptr ? make_gc<package>() : make_gc<package>(*old_package);
  return own;
}

gc_ptr<graph> build_graph(const records& from) {
  graph* made = make_gc<graph>();
  made->names = make_gc_array<gc_ptr<name>>(from.names.size());
  for (name_id id = 0; id < from.names.size(); id++) {
    name* one = make_gc<name>();
    one->spelling = text_of(from.names[id]);
    one->id = id;
    made->names[id] = one;
  }
  gc_slice<name_id> package_of = make_gc_array<name_id>(from.stanzas.size());
  for (slot_id slot = 0; slot < from.stanzas.size(); slot++) package_of[slot] = from.stanzas[slot].name;
  made->package_of = package_of;
  made->current.store(first_snapshot(*made, from), std::memory_order_release);
  return made;
}

void replace_version(graph& in, const records& from, slot_id slot, std::uint32_t generation) {
  snapshot* base = in.current.load(std::memory_order_relaxed);  // only this thread stores
  version* old = version_in(in, *base, slot);
  version* made = make_version(in, from, slot, generation);
  editor change(base, in.names.size());
  replace_own(change, old, made);
  replace_provider(change, old, made);
  replace_dependent(change, old, made);
  in.current.store(change.finish(), std::memory_order_release);
}

version* version_in(const graph& in, const snapshot& state, slot_id slot) {
  for (version* v : state.find(in.package_of[slot])->versions) {
    if (v->slot == slot) return v;
  }
  return nullptr;
}

}  // namespace depgraph
