// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The soak's pool, maps and atomic value, which all share for a round: next to shadows in malloc'd memory, or with
// contents that say where they belong.
#pragma once
#include <array>
#include <bitset>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "stress/soak.h"

namespace soak {

class pools : public kind {
 public:
  pools() : kind("pools", 4) {}

 private:
  struct item {
    std::atomic<int> users{0};
    std::uint64_t id = 0;
    cairn::gc_ptr<cell> list;
  };
  struct shared {
    cairn::sync::pool<item> with_make{[] { return cairn::make_gc<item>(); }};
    cairn::sync::pool<item> without;
  };

  void begin() override { shared_ = cairn::make_gc<shared>(); }
  void end() override { shared_ = nullptr; }

  static void use(item& it, random_source& random) {
    expect(it.users.exchange(1) == 0, "a pool gave an object to two");
    expect(is_list(it.list.get(), it.id, it.list ? 2 : 0), "an object of a pool is damaged");
    if (random() % 2 == 0) {
      it.id = random();
      it.list = make_list(it.id, 2);
    }
  }
  void act(random_source& random) override {
    cairn::sync::pool<item>& from = random() % 4 != 0 ? shared_->with_make : shared_->without;
    std::array<cairn::gc_ptr<item>, 4> taken;
    for (auto& it : taken) {
      it = &from == &shared_->without ? from.try_get() : from.get();
      expect(it != nullptr || &from == &shared_->without, "a pool that makes objects gave none");
      if (it == nullptr) it = cairn::make_gc<item>();
      use(*it, random);
    }
    sometimes_yield(random);
    for (const auto& it : taken) {
      expect(it->users.exchange(0) == 1, "an object of a pool was given to two");
      if (random() % 8 != 0) from.put(it);
    }
  }

  cairn::root<shared> shared_;
};

// Of a key in hand nobody else changes the value; so the map must say what the shadow says. Who only looks must find a
// value that belongs to the key.
class maps : public kind {
 public:
  maps() : kind("maps", 6) {}

 private:
  static constexpr std::uint64_t k_keys = 512, k_counters = 5;
  using number = std::uint64_t;
  struct shared {
    cairn::sync::map<number, cairn::gc_ptr<cell>> cells;
    cairn::sync::map<std::string, number> counters;
  };
  // The ids of the cells of every 16th key; an id is the key plus a multiple of k_keys.
  struct shadow {
    cairn::sync::mutex lock;
    std::unordered_map<number, number> ids;
  };

  void begin() override { shared_ = cairn::make_gc<shared>(); }
  void end() override {
    std::size_t expected = 0, found = 0;
    for (const shadow& s : shadows_) expected += s.ids.size();
    shared_->cells.range([&](number key, const cairn::gc_ptr<cell>& c) {
      const auto& ids = shadows_[key % shadows_.size()].ids;
      const auto at = ids.find(key);
      expect(at != ids.end() && c->is(at->second), "a map has an entry that was taken out");
      return ++found, true;
    });
    expect(found == expected, "a map has lost an entry");
    number sum = 0;
    shared_->counters.range([&](const std::string&, number n) { return sum += n, true; });
    expect(sum == counted_, "a map has lost an increment");
    for (shadow& s : shadows_) s.ids.clear();
    counted_ = 0;
    shared_ = nullptr;
  }

  // What the shadow says of a key.
  struct entry {
    bool is_there;
    number id;
  };
  static void expect_same(const std::optional<cairn::gc_ptr<cell>>& found, const entry& shadowed) {
    expect(found.has_value() == shadowed.is_there, "a map and its shadow have not the same keys");
    expect(!found || (*found)->is(shadowed.id), "a map and its shadow have not the same values");
  }
  void change(random_source& random) {
    const number key = random() % k_keys, id = key + k_keys * (random() % 1'000'000);
    shadow& s = shadows_[key % shadows_.size()];
    std::lock_guard held(s.lock);
    auto& cells = shared_->cells;
    const auto at = s.ids.find(key);
    const entry was = at == s.ids.end() ? entry{false, 0} : entry{true, at->second};
    switch (random() % 7) {
      case 0:
        expect_same(cells.load(key), was);
        return;
      case 1:
        expect_same(cells.swap(key, make_cell(id)), was);
        break;
      case 2:
        expect_same(cells.load_and_delete(key), was);
        s.ids.erase(key);
        return;
      case 3:
        expect(cells.erase(key) == was.is_there, "a map did not erase what its shadow has");
        s.ids.erase(key);
        return;
      case 4: {
        const auto [now, was_there] = cells.load_or_store(key, make_cell(id));
        expect(was_there == was.is_there && now->is(was_there ? was.id : id),
               "load_or_store gave something else");
        if (was_there) return;
        break;
      }
      case 5: {
        const auto now = cells.load(key);
        expect_same(now, was);
        if (cells.compare_and_swap(key, now.value_or(nullptr), make_cell(id)) != was.is_there)
          fail("compare_and_swap did not what the shadow says");
        if (!was.is_there) return;
        break;
      }
      default:
        cells.store(key, make_cell(id));
    }
    s.ids[key] = id;
  }
  void look(random_source& random) {
    if (random() % 16 != 0) {
      const number key = random() % k_keys;
      if (const auto c = shared_->cells.load(key))
        expect((*c)->id % k_keys == key && (*c)->is((*c)->id), "a map has a wrong value");
      return;
    }
    std::bitset<k_keys> seen;
    shared_->cells.range([&](number key, const cairn::gc_ptr<cell>& c) {
      expect(!seen[key], "a range came to a key twice");
      seen[key] = true;
      expect(c->id % k_keys == key && c->is(c->id), "a range found a wrong value");
      return true;
    });
  }
  void count(random_source& random) {
    const std::string name = "counter number " + std::to_string(random() % k_counters);
    for (;;) {
      const auto [n, was_there] = shared_->counters.load_or_store(name, 1);
      if (!was_there || shared_->counters.compare_and_swap(name, n, n + 1)) break;
    }
    ++counted_;
  }
  void act(random_source& random) override {
    for (std::uint64_t i = 1 + random() % 8; i-- > 0;) change(random), look(random), look(random);
    count(random);
  }

  cairn::root<shared> shared_;
  std::array<shadow, 16> shadows_;
  std::atomic<number> counted_{0};
};

// Not in the class: inside it the compiler does not know yet that it has a default constructor.
struct config {
  std::uint64_t version = 0;
  cairn::gc_ptr<cell> list = nullptr;
  bool operator==(const config& o) const { return version == o.version; }
};

class atomic_values : public kind {
 public:
  atomic_values() : kind("atomic_values") {}

 private:
  struct shared {
    cairn::sync::atomic_value<config> current;
    cairn::sync::atomic_value<std::string> text{std::string("0")};
  };

  void begin() override {
    shared_ = cairn::make_gc<shared>();
    wins_ = 0;
  }
  void end() override {
    expect(shared_->current.load().version == wins_, "an atomic_value has lost an update");
    taken_.add(std::stoull(shared_->text.load()));
    texts_.add(0);
    expect(texts_ == taken_, "swaps of an atomic_value have lost a text");
    shared_ = nullptr;
  }
  void act(random_source& random) override {
    const config now = shared_->current.load();
    expect(is_list(now.list.get(), now.version, now.version == 0 ? 0 : 2), "an atomic_value is torn");
    sometimes_yield(random);
    const std::uint64_t next = now.version + 1;
    if (shared_->current.compare_and_swap(now, {next, make_list(next, 2)})) ++wins_;
    const std::uint64_t id = next_id++;
    texts_.add(id);
    taken_.add(std::stoull(shared_->text.swap(std::to_string(id))));
  }

  cairn::root<shared> shared_;
  std::atomic<std::uint64_t> wins_{0};
  tally texts_, taken_;  // those that were stored, and those that were there before
};

}  // namespace soak
