// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A cache that keeps what was used last. What falls out of it is forgotten, not freed: who has got
// a page goes on reading it, and its memory comes back when nobody does. No reference counts, no
// copies, no "is it still in use?".
//
// Shows: gc_ptr links in both directions, root in a standard container, sync::mutex with
// std::lock_guard, const objects.
#include <cairn/cairn.h>

#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

// From K to objects of type V. May be used by many goroutines at once. Lives where a gc_ptr may.
template <class K, class V>
class lru_cache {
 public:
  explicit lru_cache(std::size_t capacity) : capacity_(capacity) {}

  // Null if it is not there.
  cairn::gc_ptr<const V> get(const K& key) {
    std::lock_guard lock(mutex_);
    const auto at = index_.find(key);
    if (at == index_.end()) return nullptr;
    entry* const e = at->second;
    unlink(e);
    link_newest(e);
    return e->value;
  }

  void put(const K& key, cairn::gc_ptr<const V> value) {
    cairn::root<entry> fresh = cairn::make_gc<entry>(key, value);
    std::lock_guard lock(mutex_);
    cairn::root<entry>& place = index_[key];  // from here on nothing throws
    if (place) unlink(place);
    place = std::move(fresh);
    link_newest(place);
    if (index_.size() <= capacity_) return;
    entry* const oldest = ends_->newer;
    unlink(oldest);
    index_.erase(oldest->key);
  }

  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return index_.size();
  }

 private:
  struct entry {
    K key;
    cairn::gc_ptr<const V> value;
    cairn::gc_ptr<entry> newer, older;
  };

  void unlink(entry* e) {
    e->older->newer = e->newer;
    e->newer->older = e->older;
  }
  void link_newest(entry* e) {
    e->newer = ends_;
    e->older = ends_->older;
    e->older->newer = e;
    ends_->older = e;
  }
  // A ring: newer than this one is the oldest, older than this one the newest.
  static cairn::gc_ptr<entry> make_ring() {
    cairn::gc_ptr<entry> e = cairn::make_gc<entry>();
    e->newer = e->older = e;
    return e;
  }

  mutable cairn::sync::mutex mutex_;
  const std::size_t capacity_;
  std::unordered_map<K, cairn::root<entry>> index_;  // its nodes are malloc'd, so root and not gc_ptr
  cairn::gc_ptr<entry> ends_ = make_ring();
};

struct page {
  int number;
  std::string text;
};

int main() {
  return cairn::run([] {
    lru_cache<std::string, page> cache(3);
    for (const char* name : {"one", "two", "three"})
      cache.put(name, cairn::make_gc<page>(static_cast<int>(cache.size()) + 1, name));
    const cairn::gc_ptr<const page> one = cache.get(
        "one");  // so "two" is the one that was not used for longest
    cache.put("four", cairn::make_gc<page>(4, "four"));
    for (const char* name : {"one", "two", "three", "four"})
      std::printf("%s: %s\n", name, cache.get(name) ? "there" : "gone");

    // Many at once, on more pages than there is room for.
    cairn::sync::wait_group all;
    for (int i = 0; i < 4; ++i)
      all.go([&cache, i] {
        for (int n = 0; n < 1000; ++n) {
          const int number = n * (i + 1) % 10;
          const std::string name = std::to_string(number);
          cairn::gc_ptr<const page> p = cache.get(name);
          if (!p) cache.put(name, p = cairn::make_gc<page>(number, name));
          if (p->number != number || p->text != name) std::printf("wrong: %d\n", number);
        }
      });
    all.wait();
    std::printf("%zu pages in the cache\n", cache.size());
    std::printf("one: %s, but here is its text still: %s\n", cache.get("one") ? "there" : "gone",
                one->text.c_str());
  });
}
