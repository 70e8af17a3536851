// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The LRU cache of peers/lru.h on Cairn: the table, the entries and the values are collected objects, what falls out
// of the cache is simply forgotten, and what get() returned stays good for as long as somebody has it.
// usage: lru [operations]. CAIRNMAXPROCS and CAIRNGC come from the caller, as GOMAXPROCS and GOGC do for Go.
#include <cairn/cairn.h>

#include <cstddef>

#include "../lru.h"

struct entry {
  uint64_t key = 0;
  cairn::gc_ptr<entry> chain;  // the next entry of the same bucket
  cairn::gc_ptr<entry> older, newer;
  cairn::gc_slice<std::byte> value;
};

class lru_cache {
 public:
  cairn::gc_slice<std::byte> get(uint64_t key) {
    entry* p = find(key);
    if (!p) return {};
    use(p);
    return p->value;
  }
  std::byte* put(uint64_t key, size_t size) {
    entry* p = find(key);
    if (p) {
      use(p);
    } else {
      if (size_ == k_lru_entries) drop_oldest();
      p = insert(key);
    }
    p->value = cairn::make_gc_bytes(size);
    return p->value.data();
  }

 private:
  cairn::gc_ptr<entry>& bucket(uint64_t key) const { return buckets_.data()[lru_bucket(key)]; }
  entry* find(uint64_t key) const {
    entry* p = bucket(key);
    while (p && p->key != key) p = p->chain;
    return p;
  }
  entry* insert(uint64_t key) {
    cairn::gc_ptr<entry>& head = bucket(key);
    entry* p = cairn::make_gc<entry>();
    p->key = key;
    p->chain = head;
    head = p;
    push_front(p);
    size_++;
    return p;
  }
  void use(entry* p) {
    if (p == newest_) return;
    unlink(p);
    push_front(p);
  }
  void push_front(entry* p) {
    if (newest_) newest_->newer = p;
    else oldest_ = p;
    p->older = newest_;
    p->newer = nullptr;
    newest_ = p;
  }
  void unlink(entry* p) {
    if (p->older) p->older->newer = p->newer;
    else oldest_ = p->newer;
    if (p->newer) p->newer->older = p->older;
    else newest_ = p->older;
  }
  void drop_oldest() {
    entry* victim = oldest_;
    cairn::gc_ptr<entry>* p = &bucket(victim->key);
    while (*p != victim) p = &(*p)->chain;
    *p = victim->chain;
    unlink(victim);
    size_--;
  }

  cairn::gc_slice<cairn::gc_ptr<entry>> buckets_ = cairn::make_gc_array<cairn::gc_ptr<entry>>(k_lru_buckets);
  cairn::gc_ptr<entry> newest_, oldest_;
  int64_t size_ = 0;
};

int main(int argc, char** argv) {
  setenv("PEER", "cairn", 0);
  int64_t n = argc > 1 ? atoll(argv[1]) : k_lru_operations;
  return cairn::run([n] {
    lru_cache cache;
    cairn::gc::stats before = cairn::gc::read_stats();
    lru_run(cache, n, [&](const std::string& w) {
      cairn::gc::stats after = cairn::gc::read_stats();
      cairn::gc::histogram pauses = after.pauses - before.pauses;
      emit(w, "gc-cycles", after.gc_cycles - before.gc_cycles, "count");
      emit(w, "stw-max", pauses.max().count() / 1e3, "us");
    });
  });
}
