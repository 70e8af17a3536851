// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/queries.h"

#include <algorithm>

#include "bench/depgraph/version_order.h"

namespace depgraph {
namespace {

using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::make_gc;
using cairn::make_gc_array;

// A set of slots as bits, in pointer-free memory.
class slot_set {
 public:
  explicit slot_set(std::size_t slots) : words_(make_gc_array<std::uint64_t>((slots + 63) / 64)) {}
  bool has(slot_id s) const { return words_.data()[s / 64] >> (s % 64) & 1; }
  bool insert(slot_id s) {
    if (has(s)) return false;
    words_.data()[s / 64] |= std::uint64_t{1} << (s % 64);
    return true;
  }

 private:
  gc_slice<std::uint64_t> words_;
};

// From slots to small numbers: open addressing, key + 1 in the upper half of an entry, doubled when half full.
class slot_map {
 public:
  static constexpr std::uint32_t k_none = ~std::uint32_t{0};

  std::uint32_t find(slot_id s) const {
    std::uint64_t entry = *place(s);
    return entry == 0 ? k_none : static_cast<std::uint32_t>(entry);
  }
  void insert(slot_id s, std::uint32_t value) {
    if (++used_ * 2 > entries_.size()) grow();
    *place(s) = (std::uint64_t{s} + 1) << 32 | value;
  }

 private:
  std::uint64_t* place(slot_id s) const {
    std::size_t at = mixed(s) & (entries_.size() - 1);
    std::uint64_t* all = entries_.data();
    while (all[at] != 0 && all[at] >> 32 != std::uint64_t{s} + 1) at = (at + 1) & (entries_.size() - 1);
    return all + at;
  }
  void grow() {
    gc_slice<std::uint64_t> old = entries_;
    entries_ = make_gc_array<std::uint64_t>(old.size() * 2);
    for (std::uint64_t entry : old) {
      if (entry != 0) *place(static_cast<slot_id>((entry >> 32) - 1)) = entry;
    }
  }

  gc_slice<std::uint64_t> entries_ = make_gc_array<std::uint64_t>(256);
  std::size_t used_ = 0;
};

// Calls f with the candidates of the clause in order of preference until f returns true; whether it did.
template <class F>
bool any_candidate(const snapshot& state, const clause_node& of, F f) {
  for (const alternative& a : of.any_of) {
    const package* p = state.find(a.wanted->id);
    for (version* v : p->versions) {
      if (satisfies(view(v->number), a.how, view(a.constraint)) && f(v)) return true;
    }
    for (const provider& by : p->providers) {
      bool fits = a.how == relation::any ||
                  (!by.number.empty() && satisfies(view(by.number), a.how, view(a.constraint)));
      if (fits && f(by.by.get())) return true;
    }
  }
  return false;
}

version* preferred(const snapshot& state, const clause_node& of) {
  version* first = nullptr;
  any_candidate(state, of, [&](version* v) {
    first = v;
    return true;
  });
  return first;
}

answer closure(const graph& in, const snapshot& state, version* a, progress& meter) {
  answer out;
  slot_set seen(in.package_of.size());
  cairn::vector<gc_ptr<version>> queue;
  auto visit = [&](version* v) {
    if (v == nullptr || !seen.insert(v->slot)) return;
    out.add(v->slot);
    queue.push_back(v);
  };
  visit(a);
  while (!queue.empty()) {
    version* v = queue.back();
    queue.pop_back();
    meter.step();
    for (const clause_node& c : v->clauses) visit(preferred(state, c));
  }
  return out;
}

// Breadth first. The tree is made of linked steps; those that do not lead to the goal are garbage when it is found.
struct step {
  gc_ptr<version> at;
  gc_ptr<step> before, next;  // towards a; in the queue
  std::uint32_t edges;
};

// The last step of a shortest path of at least one edge, null if there is none.
template <class Admits>
step* shortest(const graph& in, const snapshot& state, version* from, version* to, progress& meter,
               Admits admits) {
  slot_set seen(in.package_of.size());
  step* head = make_gc<step>();
  head->at = from;
  for (step* tail = head; head != nullptr; head = head->next) {
    meter.step();
    for (const clause_node& c : head->at->clauses) {
      version* v = preferred(state, c);
      if (v == nullptr || !admits(v) || !seen.insert(v->slot)) continue;
      step* reached = make_gc<step>();
      reached->at = v;
      reached->before = head;
      reached->edges = head->edges + 1;
      if (v == to) return reached;
      tail->next = reached;
      tail = reached;
    }
  }
  return nullptr;
}

void keep_path(const step* last, std::vector<slot_id>* path) {
  if (path == nullptr) return;
  path->clear();
  for (; last != nullptr; last = last->before) path->push_back(last->at->slot);
  std::reverse(path->begin(), path->end());
}

answer why(const graph& in, const snapshot& state, version* a, version* b, progress& meter,
           std::vector<slot_id>* path) {
  answer out;
  if (a == b) {
    out.count = 1;
    if (path != nullptr) *path = {a->slot};
    return out;
  }
  step* last = shortest(in, state, a, b, meter, [](version*) { return true; });
  keep_path(last, path);
  if (last != nullptr) {
    out.length = last->edges;
    out.count = out.length + 1;
  }
  return out;
}

// Tarjan's algorithm from one root, without recursion: what is left on the stack when the root is done is its
// strongly connected component.
class component {
 public:
  component(const snapshot& state, version* root, progress& meter) : state_(state), meter_(meter) {
    enter(root);
    while (!frames_.empty()) advance();
  }
  bool has(const version* v) const {
    std::uint32_t index = index_.find(v->slot);
    return index != slot_map::k_none && is_on_stack_[index];
  }
  const cairn::vector<gc_ptr<version>>& members() const { return stack_; }

 private:
  struct frame {
    gc_ptr<version> at;
    std::uint32_t index, clause;
  };

  void enter(version* v) {
    meter_.step();
    std::uint32_t index = static_cast<std::uint32_t>(low_.size());
    index_.insert(v->slot, index);
    low_.push_back(index);
    is_on_stack_.push_back(1);
    stack_.push_back(v);
    frames_.push_back(frame{v, index, 0});
  }

  void advance() {
    frame& top = frames_.back();
    if (top.clause == top.at->clauses.size()) return leave();
    version* next = preferred(state_, top.at->clauses[top.clause++]);
    if (next == nullptr) return;
    std::uint32_t index = index_.find(next->slot);
    if (index == slot_map::k_none) return enter(next);  // invalidates top
    if (is_on_stack_[index]) low_[top.index] = std::min(low_[top.index], index);
  }

  void leave() {
    frame done = frames_.back();
    frames_.pop_back();
    if (frames_.empty()) return;  // the root: its component stays on the stack
    std::uint32_t& above = low_[frames_.back().index];
    above = std::min(above, low_[done.index]);
    if (low_[done.index] != done.index) return;
    for (bool last = false; !last; stack_.pop_back()) {
      last = stack_.back() == done.at;
      is_on_stack_[index_.find(stack_.back()->slot)] = 0;
    }
  }

  const snapshot& state_;
  progress& meter_;
  slot_map index_;                           // order of discovery
  cairn::vector<std::uint32_t> low_;         // by index: the least index known to be reachable on the stack
  cairn::vector<std::uint8_t> is_on_stack_;  // by index
  cairn::vector<gc_ptr<version>> stack_;
  cairn::vector<frame> frames_;
};

answer cycle(const graph& in, const snapshot& state, version* a, progress& meter, std::vector<slot_id>* path) {
  answer out;
  component of(state, a, meter);
  for (version* v : of.members()) out.add(v->slot);
  step* last = shortest(in, state, a, a, meter, [&](version* v) { return of.has(v); });
  keep_path(last, path);
  if (last != nullptr) out.length = last->edges;
  return out;
}

// What goes when C goes: every clause that mentions a name which the last gone version carried is looked at again.
class collapse {
 public:
  collapse(const graph& in, const snapshot& state, progress& meter)
      : in_(in), state_(state), meter_(meter), gone_(in.package_of.size()) {}

  answer run(const package* start) {
    for (version* v : start->versions) lose(v);
    answer start_only = out_;
    while (!queue_.empty()) {
      version* v = queue_.back();
      queue_.pop_back();
      meter_.step();
      look_at_dependents(v->package);
      for (const provided_name& p : v->provides) look_at_dependents(p.what);
    }
    out_.count -= start_only.count;
    out_.digest -= start_only.digest;
    return out_;
  }

 private:
  void lose(version* v) {
    if (!gone_.insert(v->slot)) return;
    out_.add(v->slot);
    queue_.push_back(v);
  }

  void look_at_dependents(const name* of) {
    for (const dependent& d : state_.find(of->id)->dependents) {
      if (gone_.has(d.slot)) continue;
      meter_.step();
      version* v = version_in(in_, state_, d.slot);
      if (loses_clause(*v, of)) lose(v);
    }
  }

  bool loses_clause(const version& v, const name* mentioned) const {
    for (const clause_node& c : v.clauses) {
      bool mentions = false;
      for (const alternative& a : c.any_of) mentions |= a.wanted == mentioned;
      if (!mentions) continue;
      bool had_one = false;
      bool has_one = any_candidate(state_, c, [&](version* candidate) {
        had_one = true;
        return !gone_.has(candidate->slot);
      });
      if (had_one && !has_one) return true;
    }
    return false;
  }

  const graph& in_;
  const snapshot& state_;
  progress& meter_;
  slot_set gone_;
  cairn::vector<gc_ptr<version>> queue_;
  answer out_;
};

}  // namespace

answer ask(const graph& in, const snapshot& state, const query& asked, progress& meter,
           std::vector<slot_id>* path) {
  version* a = version_in(in, state, asked.a);
  switch (asked.kind) {
    case query_kind::closure:
      return closure(in, state, a, meter);
    case query_kind::why:
      return why(in, state, a, version_in(in, state, asked.b), meter, path);
    case query_kind::cycle:
      return cycle(in, state, a, meter, path);
    default:
      return collapse(in, state, meter).run(state.find(a->package->id));
  }
}

}  // namespace depgraph
