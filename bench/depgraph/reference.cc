// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/reference.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace depgraph {
namespace {

constexpr std::uint32_t k_far = ~std::uint32_t{0};

// Of "12a~": 2 1 2 | a ~ 0. A run of digits becomes its length without leading zeros and its digits, another run
// its characters' ranks and a 0. Missing elements count as 0, which is above "~" and below all else.
std::vector<int> part_key(std::string_view part) {
  std::vector<int> key;
  std::size_t i = 0;
  while (i < part.size()) {
    for (; i < part.size() && !std::isdigit(static_cast<unsigned char>(part[i])); i++) {
      unsigned char c = static_cast<unsigned char>(part[i]);
      key.push_back(c == '~' ? -1 : std::isalpha(c) ? c : 1000 + c);
    }
    key.push_back(0);
    while (i < part.size() && part[i] == '0') i++;
    std::size_t length = key.size();
    key.push_back(0);
    for (; i < part.size() && std::isdigit(static_cast<unsigned char>(part[i])); i++) {
      key.push_back(part[i]);
      key[length]++;
    }
  }
  return key;
}

int compare_keys(const std::vector<int>& a, const std::vector<int>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); i++) {
    int left = i < a.size() ? a[i] : 0, right = i < b.size() ? b[i] : 0;
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

bool fits(std::string_view version, const target& wanted) {
  if (wanted.how == relation::any) return true;
  int order = reference_version_order(version, wanted.version);
  if (wanted.how == relation::equal) return order == 0;
  if (wanted.how == relation::earlier) return order < 0;
  if (wanted.how == relation::earlier_equal) return order <= 0;
  if (wanted.how == relation::later) return order > 0;
  return order >= 0;
}

}  // namespace

int reference_version_order(std::string_view a, std::string_view b) {
  auto cut = [](std::string_view v, std::string_view(&out)[3]) {
    std::size_t colon = v.find(':');
    out[0] = colon == v.npos ? "0" : v.substr(0, colon);
    std::string_view rest = colon == v.npos ? v : v.substr(colon + 1);
    std::size_t hyphen = rest.rfind('-');
    out[1] = rest.substr(0, hyphen);
    out[2] = hyphen == rest.npos ? "" : rest.substr(hyphen + 1);
  };
  std::string_view left[3], right[3];
  cut(a, left);
  cut(b, right);
  for (int i = 0; i < 3; i++) {
    if (left[i] == right[i]) continue;
    if (int order = compare_keys(part_key(left[i]), part_key(right[i])); order != 0) return order;
  }
  return 0;
}

reference::reference(const records& from, const std::vector<std::uint32_t>& generations) : from_(from) {
  std::size_t slots = from.stanzas.size();
  std::vector<edition> editions;
  std::vector<std::vector<slot_id>> owners(from.names.size());
  struct provision {
    slot_id by;
    std::string_view version;
  };
  std::vector<std::vector<provision>> provisions(from.names.size());
  for (slot_id s = 0; s < slots; s++) {
    editions.push_back(edition_of(from, s, generations.empty() ? 0 : generations[s]));
    owners[from.stanzas[s].name].push_back(s);
    for (const target& p : editions.back().provides) provisions[p.name].push_back({s, p.version});
  }
  for (std::vector<slot_id>& list : owners) {
    std::stable_sort(list.begin(), list.end(), [&](slot_id a, slot_id b) {
      return reference_version_order(editions[a].version, editions[b].version) > 0;
    });
  }
  candidates_.resize(slots);
  edges_.resize(slots);
  for (slot_id s = 0; s < slots; s++) {
    for (const std::vector<target>& any_of : editions[s].clauses) {
      std::vector<slot_id> found;
      for (const target& wanted : any_of) {
        for (slot_id owner : owners[wanted.name]) {
          if (fits(editions[owner].version, wanted)) found.push_back(owner);
        }
        for (const provision& p : provisions[wanted.name]) {
          bool good = wanted.how == relation::any || (!p.version.empty() && fits(p.version, wanted));
          if (good) found.push_back(p.by);
        }
      }
      if (!found.empty()) edges_[s].push_back(found.front());
      candidates_[s].push_back(std::move(found));
    }
  }
}

answer reference::ask(const query& asked) const {
  switch (asked.kind) {
    case query_kind::closure:
      return closure(asked.a);
    case query_kind::why:
      return why(asked.a, asked.b);
    case query_kind::cycle:
      return cycle(asked.a);
    default:
      return breaks(asked.a);
  }
}

std::vector<std::uint32_t> reference::distances(slot_id from) const {
  std::vector<std::uint32_t> far(edges_.size(), k_far);
  std::vector<slot_id> queue{from};
  far[from] = 0;
  for (std::size_t i = 0; i < queue.size(); i++) {
    for (slot_id to : edges_[queue[i]]) {
      if (far[to] != k_far) continue;
      far[to] = far[queue[i]] + 1;
      queue.push_back(to);
    }
  }
  return far;
}

std::vector<bool> reference::reachable(slot_id from) const {
  std::vector<bool> seen(edges_.size());
  std::vector<slot_id> left{from};
  seen[from] = true;
  while (!left.empty()) {
    slot_id at = left.back();
    left.pop_back();
    for (slot_id to : edges_[at]) {
      if (seen[to]) continue;
      seen[to] = true;
      left.push_back(to);
    }
  }
  return seen;
}

answer reference::closure(slot_id a) const {
  answer out;
  std::vector<bool> seen = reachable(a);
  for (slot_id s = 0; s < seen.size(); s++) {
    if (seen[s]) out.add(s);
  }
  return out;
}

answer reference::why(slot_id a, slot_id b) const {
  answer out;
  std::uint32_t far = distances(a)[b];
  if (far == k_far) return out;
  out.length = far;
  out.count = far + 1;
  return out;
}

std::uint32_t reference::shortest_cycle(slot_id a) const {
  std::vector<std::uint32_t> far = distances(a);
  std::uint32_t least = 0;
  for (slot_id s = 0; s < edges_.size(); s++) {
    if (far[s] == k_far || std::find(edges_[s].begin(), edges_[s].end(), a) == edges_[s].end()) continue;
    if (least == 0 || far[s] + 1 < least) least = far[s] + 1;
  }
  return least;
}

// Forwards from a, then backwards to a among what was found.
answer reference::cycle(slot_id a) const {
  std::vector<bool> forward = reachable(a), back(edges_.size());
  std::vector<std::vector<slot_id>> reversed(edges_.size());
  for (slot_id s = 0; s < edges_.size(); s++) {
    for (slot_id to : edges_[s]) {
      if (forward[s]) reversed[to].push_back(s);
    }
  }
  answer out;
  std::vector<slot_id> left{a};
  back[a] = true;
  while (!left.empty()) {
    slot_id at = left.back();
    left.pop_back();
    out.add(at);
    for (slot_id before : reversed[at]) {
      if (back[before]) continue;
      back[before] = true;
      left.push_back(before);
    }
  }
  out.length = shortest_cycle(a);
  return out;
}

// Whole rounds over everything until one changes nothing.
answer reference::breaks(slot_id a) const {
  std::vector<bool> gone(edges_.size());
  for (slot_id s = 0; s < edges_.size(); s++) gone[s] = from_.stanzas[s].name == from_.stanzas[a].name;
  answer out;
  for (bool changed = true; changed;) {
    changed = false;
    for (slot_id s = 0; s < edges_.size(); s++) {
      if (gone[s]) continue;
      for (const std::vector<slot_id>& any_of : candidates_[s]) {
        if (any_of.empty() || !std::all_of(any_of.begin(), any_of.end(), [&](slot_id c) { return gone[c]; }))
          continue;
        gone[s] = changed = true;
        out.add(s);
        break;
      }
    }
  }
  return out;
}

bool reference::is_answer(const query& asked, const std::vector<slot_id>& path) const {
  answer right = ask(asked);
  if (asked.kind == query_kind::why && right.count == 0) return path.empty();
  if (asked.kind == query_kind::cycle && right.length == 0) return path.empty();
  slot_id goal = asked.kind == query_kind::why ? asked.b : asked.a;
  if (path.size() != right.length + 1 || path.front() != asked.a || path.back() != goal) return false;
  for (std::size_t i = 0; i + 1 < path.size(); i++) {
    if (std::find(edges_[path[i]].begin(), edges_[path[i]].end(), path[i + 1]) == edges_[path[i]].end())
      return false;
  }
  return true;
}

}  // namespace depgraph
