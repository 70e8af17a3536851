// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// graph_fault(): what must hold in every snapshot, looked at without any of the code that builds one.
#include <algorithm>
#include <string>

#include "bench/depgraph/graph.h"
#include "bench/depgraph/version_order.h"

namespace depgraph {
namespace {

class checker {
 public:
  checker(const graph& in, const snapshot& state) : in_(in), state_(state) {}
  std::string run();

 private:
  void check_versions(name_id id, const package& p);
  void check_back_links(name_id id, const package& p);
  void check_links(const version& v);
  void expect(bool holds, name_id id, const char* what) {
    if (!holds && fault_.empty()) fault_ = std::string(view(in_.names[id]->spelling)) + ": " + what;
  }

  const graph& in_;
  const snapshot& state_;
  std::size_t seen_ = 0;
  std::string fault_;
};

bool mentions(const version& v, name_id id) {
  for (const clause_node& c : v.clauses) {
    if (std::any_of(c.any_of.begin(), c.any_of.end(),
                    [&](const alternative& a) { return a.wanted->id == id; })) {
      return true;
    }
  }
  return false;
}

void checker::check_versions(name_id id, const package& p) {
  for (std::size_t i = 0; i < p.versions.size(); i++) {
    const version& v = *p.versions[i];
    seen_++;
    expect(v.package == in_.names[id], id, "a version of another package");
    expect(in_.package_of[v.slot] == id, id, "a version in a slot of another package");
    check_links(v);
    if (i == 0) continue;
    const version& newer = *p.versions[i - 1];
    std::strong_ordering order = version_order(view(newer.number), view(v.number));
    expect(order > 0 || (order == 0 && newer.slot < v.slot), id, "versions out of order");
  }
}

// From a version's own lists to the lists that name it.
void checker::check_links(const version& v) {
  name_id id = v.package->id;
  for (const clause_node& c : v.clauses) {
    for (const alternative& a : c.any_of) {
      expect(a.wanted == in_.names[a.wanted->id], id, "an edge to a name that is not the interned one");
      const auto& list = state_.find(a.wanted->id)->dependents;
      auto before = [](const dependent& d, slot_id slot) { return d.slot < slot; };
      const dependent* entry = std::lower_bound(list.begin(), list.end(), v.slot, before);
      expect(entry != list.end() && entry->slot == v.slot, id, "missing from the dependents of what it needs");
    }
  }
  for (const provided_name& one : v.provides) {
    const auto& list = state_.find(one.what->id)->providers;
    expect(std::any_of(list.begin(), list.end(), [&](const provider& p) { return p.by == &v; }), id,
           "missing from the providers of what it provides");
  }
}

void checker::check_back_links(name_id id, const package& p) {
  for (std::size_t i = 0; i < p.dependents.size(); i++) {
    const dependent& d = p.dependents[i];
    const version* v = version_in(in_, state_, d.slot);
    expect(v != nullptr && v->package == d.package && mentions(*v, id), id,
           "a dependent that does not need it");
    expect(i == 0 || p.dependents[i - 1].slot < d.slot, id, "dependents out of order");
  }
  std::size_t provided = 0;
  for (std::size_t i = 0; i < p.providers.size(); i++) {
    const version* by = p.providers[i].by;
    expect(version_in(in_, state_, by->slot) == by, id, "a provider of another state");
    expect(i == 0 || p.providers[i - 1].by->slot <= by->slot, id, "providers out of order");
    if (i != 0 && p.providers[i - 1].by == by) continue;
    for (const provided_name& one : by->provides) provided += one.what->id == id;
  }
  expect(provided == p.providers.size(), id, "the wrong number of providers");
}

std::string checker::run() {
  for (name_id id = 0; id < in_.names.size() && fault_.empty(); id++) {
    const package* p = state_.find(id);
    expect(p != nullptr && in_.names[id]->id == id, id, "no package for the name");
    if (!fault_.empty()) break;
    check_versions(id, *p);
    check_back_links(id, *p);
  }
  if (fault_.empty() && seen_ != in_.package_of.size()) fault_ = "the number of versions has changed";
  return fault_;
}

}  // namespace

std::string graph_fault(const graph& in, const snapshot& state) { return checker(in, state).run(); }

}  // namespace depgraph
