// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The LRU cache of peers/lru.h without Cairn. Built three times:
//   -DP_MALLOC  raw pointers, freed by hand: what get() returns is good until the next put()
//   -DP_SHARED  std::shared_ptr: the table and the list own the entries, back links are raw pointers
//   -DP_BOEHM   raw pointers, the Boehm-Demers-Weiser collector frees
// usage: lru [operations]
#if defined(P_BOEHM)
#define GC_THREADS
#include <gc/gc.h>
#endif
#include <cstddef>
#include <memory>
#include <span>
#include <thread>

#include "../lru.h"

#if defined(P_SHARED)

struct shared_value {
  std::shared_ptr<std::byte[]> bytes;
  size_t length = 0;
  std::byte* data() const { return bytes.get(); }
  size_t size() const { return length; }
};
struct entry {
  uint64_t key = 0;
  std::shared_ptr<entry> chain;  // the next entry of the same bucket
  std::shared_ptr<entry> older;
  entry* newer = nullptr;
  shared_value value;
};
using entry_ref = std::shared_ptr<entry>;
using value_ref = shared_value;
static entry_ref new_entry() { return std::make_shared<entry>(); }
static value_ref new_value(size_t n) { return {std::make_shared_for_overwrite<std::byte[]>(n), n}; }
static void free_value(value_ref&) {}
static entry* raw(const entry_ref& p) { return p.get(); }
using table = std::vector<entry_ref>;
static table new_table() { return table(k_lru_buckets); }

#else

struct entry {
  uint64_t key;
  entry* chain;
  entry* older;
  entry* newer;
  std::span<std::byte> value;
};
using entry_ref = entry*;
using value_ref = std::span<std::byte>;
static entry* raw(entry_ref p) { return p; }
using table = entry**;
#if defined(P_BOEHM)
static entry_ref new_entry() { return new (GC_MALLOC(sizeof(entry))) entry(); }
static value_ref new_value(size_t n) { return {static_cast<std::byte*>(GC_MALLOC_ATOMIC(n)), n}; }
static void free_value(value_ref) {}
static table new_table() { return static_cast<table>(GC_MALLOC(k_lru_buckets * sizeof(entry_ref))); }
#else
static entry_ref new_entry() { return new (malloc(sizeof(entry))) entry(); }
static value_ref new_value(size_t n) { return {static_cast<std::byte*>(malloc(n)), n}; }
static void free_value(value_ref v) { free(v.data()); }
static table new_table() { return static_cast<table>(calloc(k_lru_buckets, sizeof(entry_ref))); }
#endif

#endif

class lru_cache {
 public:
  value_ref get(uint64_t key) {
    entry_ref p = find(key);
    if (!p) return {};
    use(p);
    return p->value;
  }
  std::byte* put(uint64_t key, size_t size) {
    entry_ref p = find(key);
    if (p) {
      free_value(p->value);
      use(p);
    } else {
      if (size_ == k_lru_entries) drop_oldest();
      p = insert(key);
    }
    p->value = new_value(size);
    return p->value.data();
  }

 private:
  entry_ref find(uint64_t key) const {
    const entry_ref* p = &buckets_[lru_bucket(key)];
    while (*p && (*p)->key != key) p = &(*p)->chain;
    return *p;
  }
  entry_ref insert(uint64_t key) {
    entry_ref& head = buckets_[lru_bucket(key)];
    entry_ref p = new_entry();
    p->key = key;
    p->chain = std::move(head);
    head = p;
    push_front(p);
    size_++;
    return p;
  }
  void use(const entry_ref& p) {
    if (p == newest_) return;
    entry_ref self = p;
    unlink(raw(self));
    push_front(self);
  }
  void push_front(const entry_ref& p) {
    if (newest_) newest_->newer = raw(p);
    else oldest_ = raw(p);
    p->older = std::move(newest_);
    p->newer = nullptr;
    newest_ = p;
  }
  void unlink(entry* p) {
    entry_ref older = std::move(p->older);
    if (older) older->newer = p->newer;
    else oldest_ = p->newer;
    if (p->newer) p->newer->older = std::move(older);
    else newest_ = std::move(older);
  }
  void drop_oldest() {
    entry* victim = oldest_;
    entry_ref* p = &buckets_[lru_bucket(victim->key)];
    while (raw(*p) != victim) p = &(*p)->chain;
    entry_ref self = *p;
    *p = std::move(self->chain);
    unlink(victim);
    free_value(victim->value);
#if defined(P_MALLOC)
    free(victim);
#endif
    size_--;
  }

  table buckets_ = new_table();
  entry_ref newest_{};
  entry* oldest_ = nullptr;
  int64_t size_ = 0;
};

// In static storage: the collector sees it, and a shared_ptr chain of a million links need not be torn down.
static lru_cache* cache;

int main(int argc, char** argv) {
  int64_t n = argc > 1 ? atoll(argv[1]) : k_lru_operations;
#if defined(P_BOEHM)
  GC_INIT();
  cache = new (GC_MALLOC(sizeof(lru_cache))) lru_cache;
#else
  cache = new lru_cache;
#endif
  // A program with threads: shared_ptr counts atomically.
  std::thread([] {
    for (;;) pause();
  }).detach();
  lru_run(*cache, n, [](const std::string& w) {
#if defined(P_BOEHM)
    emit(w, "gc-cycles", GC_get_gc_no(), "count");
#else
    (void)w;
#endif
  });
  fflush(stdout);
  _exit(0);
}
