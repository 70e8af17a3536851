// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workloads A to F and H of peers/cairn/heap.cc without Cairn. Built three times:
//   -DP_MALLOC  malloc and free, of the allocator it is linked with
//   -DP_SHARED  std::shared_ptr, make_shared
//   -DP_BOEHM   the Boehm-Demers-Weiser collector (GC_INC=1 turns incremental on)
// usage: heap <workload> [arguments]
#include <atomic>
#include <unordered_map>

#include "variant.h"
#if defined(P_BOEHM)
#include <gc/gc_allocator.h>
#endif

// ---- A ----
template <size_t N>
struct bytes_of {
  uint64_t w[N / 8];
};
struct pair32 {
  ref<pair32> a, b;
  uint64_t x, y;
};

template <size_t N>
static void alloc_leaf(size_t n) {
  table<ref<bytes_of<N>>> ring(1024);
  for (size_t i = 0; i < n; i++) {
    auto p = leaf<bytes_of<N>>();
    p->w[0] = i;
    auto& slot = ring[i & 1023];
#if defined(P_MALLOC)
    free(slot);
#endif
    slot = std::move(p);
    asm volatile("" : : : "memory");
  }
#if defined(P_MALLOC)
  for (int i = 0; i < 1024; i++) free(ring[i]);
#endif
}
#if defined(P_MALLOC)
template <size_t N>
static void alloc_zero(size_t n) {
  table<bytes_of<N>*> ring(1024);
  for (size_t i = 0; i < n; i++) {
    auto p = (bytes_of<N>*)calloc(1, N);
    p->w[0] = i;
    free(ring[i & 1023]);
    ring[i & 1023] = p;
    asm volatile("" : : : "memory");
  }
  for (int i = 0; i < 1024; i++) free(ring[i]);
}
#elif defined(P_BOEHM)
template <size_t N>
static void alloc_zero(size_t n) {  // zeroed and scanned
  table<bytes_of<N>*> ring(1024);
  for (size_t i = 0; i < n; i++) {
    auto p = (bytes_of<N>*)GC_MALLOC(N);
    p->w[0] = i;
    ring[i & 1023] = p;
    asm volatile("" : : : "memory");
  }
}
#endif
static void alloc_scan(size_t n) {
  table<ref<pair32>> ring(1024);
  auto u = make<pair32>(), v = make<pair32>();
  for (size_t i = 0; i < n; i++) {
    auto p = make<pair32>();
    p->a = u;
    p->b = v;
    p->x = i;
    auto& slot = ring[i & 1023];
#if defined(P_MALLOC)
    free(slot);
#endif
    slot = std::move(p);
    asm volatile("" : : : "memory");
  }
}
static void alloc_cell(const char* name, void (*f)(size_t), size_t n, int th) {
  std::string w = std::string("alloc-") + name + (th > 1 ? "-2t" : "");
  f(n / 4);
  std::vector<double> wall, cpu;
  uint64_t g0 = gc_count();
  for (int r = 0; r < 5; r++) {
    int64_t c0 = cpu_ns(), t0 = now();
    if (th == 1) f(n);
    else spawn_join(th, [=](int) { f(n); });
    wall.push_back(double(now() - t0) / n);
    cpu.push_back(double(cpu_ns() - c0) / n / th);
  }
  emit(w, "wall", median(wall), "ns/obj");
  emit(w, "cpu", median(cpu), "ns/obj");
#if defined(P_BOEHM)
  emit(w, "gc-per-Mobj", double(gc_count() - g0) / (5.0 * n * th) * 1e6, "count");
  if (gc_count() == g0) abort();
#else
  (void)g0;
#endif
}
#if !defined(P_SHARED)
static void alloc_zeroed_cells(int th) {
  alloc_cell("16z", alloc_zero<16>, 16e6, th);
  alloc_cell("32z", alloc_zero<32>, 12e6, th);
  alloc_cell("64z", alloc_zero<64>, 8e6, th);
  alloc_cell("128z", alloc_zero<128>, 6e6, th);
  alloc_cell("512z", alloc_zero<512>, 4e6, th);
  alloc_cell("2048z", alloc_zero<2048>, 2e6, th);
}
#else
static void alloc_zeroed_cells(int) {}
#endif
static void bench_alloc(int th, bool zeroed) {
  park_a_thread();
  alloc_cell("16", alloc_leaf<16>, 16e6, th);
  alloc_cell("32", alloc_leaf<32>, 12e6, th);
  alloc_cell("64", alloc_leaf<64>, 8e6, th);
  alloc_cell("128", alloc_leaf<128>, 6e6, th);
  alloc_cell("512", alloc_leaf<512>, 4e6, th);
  alloc_cell("2048", alloc_leaf<2048>, 2e6, th);
  alloc_cell("32scan", alloc_scan, 12e6, th);
  if (zeroed) alloc_zeroed_cells(th);
  leave();
}

// ---- B ----
struct tree_node {
  ref<tree_node> l, r;
};
static ref<tree_node> make_tree(int d) {
  auto t = make<tree_node>();
  if (d) {
    t->l = make_tree(d - 1);
    t->r = make_tree(d - 1);
  }
  return t;
}
static int check(const ref<tree_node>& t) { return t->l ? 1 + check(t->l) + check(t->r) : 1; }
static void del(ref<tree_node>& t) {
#if defined(P_MALLOC)
  if (t->l) del(t->l), del(t->r);
  free(t);
#else
  t = nullptr;
#endif
}
static void bench_trees(int depth, int th) {
  std::string w = th > 1 ? "trees-2t" : "trees-1t";
  park_a_thread();
  gc_start();
  int64_t c0 = cpu_ns(), t0 = now();
  long sum = 0;
  {
    auto s = make_tree(depth + 1);
    sum += check(s);
    del(s);
  }
  auto lng = make_tree(depth);
  for (int d = 4; d <= depth; d += 2) {
    int iters = 1 << (depth - d + 4);
    std::atomic<long> tot{0};
    auto* tp = &tot;
    auto body = [=](int lo, int hi) {
      long c = 0;
      for (int i = lo; i < hi; i++) {
        auto t = make_tree(d);
        c += check(t);
        del(t);
      }
      *tp += c;
    };
    if (th == 1) body(0, iters);
    else spawn_join(th, [=](int k) { body(iters * k / th, iters * (k + 1) / th); });
    sum += tot;
  }
  sum += check(lng);
  emit(w, "wall", (now() - t0) / 1e6, "ms");
  emit(w, "cpu", (cpu_ns() - c0) / 1e6, "ms");
  emit(w, "peak-rss", peak_rss_mb(), "MB");
  emit(w, "checksum", sum % 100000, "n");
  gc_print(w);
  leave();
}

// ---- C ----
struct gcbench_node {
  ref<gcbench_node> l, r;
  int i, j;
};
static void populate(int d, gcbench_node* t) {
  if (d <= 0) return;
  t->l = make<gcbench_node>();
  t->r = make<gcbench_node>();
  populate(d - 1, &*t->l);
  populate(d - 1, &*t->r);
}
static ref<gcbench_node> bottom_up(int d) {
  if (d <= 0) return make<gcbench_node>();
  auto l = bottom_up(d - 1), r = bottom_up(d - 1);
  auto t = make<gcbench_node>();
  t->l = std::move(l);
  t->r = std::move(r);
  return t;
}
static void del(ref<gcbench_node>& t) {
#if defined(P_MALLOC)
  if (t->l) del(t->l), del(t->r);
  free(t);
#else
  t = nullptr;
#endif
}
static void bench_gcbench() {
  park_a_thread();
  auto size = [](int d) { return (1 << (d + 1)) - 1; };
  gc_start();
  int64_t c0 = cpu_ns(), t0 = now();
  {
    auto s = bottom_up(18);
    escape_ptr(&*s);
    del(s);
  }
  auto lng = make<gcbench_node>();
  populate(16, &*lng);
#if defined(P_BOEHM)
  double* arr = (double*)GC_MALLOC_ATOMIC(500000 * sizeof(double));
#else
  double* arr = (double*)malloc(500000 * sizeof(double));
#endif
  memset(arr, 0, 500000 * sizeof(double));
  for (int i = 1; i < 250000; i++) arr[i] = 1.0 / i;
  for (int d = 4; d <= 16; d += 2) {
    int iters = 2 * size(18) / size(d);
    for (int i = 0; i < iters; i++) {
      auto t = make<gcbench_node>();
      populate(d, &*t);
      escape_ptr(&*t);
      del(t);
    }
    for (int i = 0; i < iters; i++) {
      auto t = bottom_up(d);
      escape_ptr(&*t);
      del(t);
    }
  }
  if (arr[1000] != 1.0 / 1000 || !lng->l) abort();
  emit("gcbench", "wall", (now() - t0) / 1e6, "ms");
  emit("gcbench", "cpu", (cpu_ns() - c0) / 1e6, "ms");
  emit("gcbench", "peak-rss", peak_rss_mb(), "MB");
  gc_print("gcbench");
  leave();
}

// ---- D ----
#if defined(P_BOEHM)
struct tree32 {
  tree32 *l, *r;
  uint64_t x, y;
};
struct graph64 {
  graph64* e[4];
  uint64_t p[4];
};
struct list32 {
  list32* next;
  uint64_t p[3];
};
static tree32* make_tree32(int d) {
  auto t = make<tree32>();
  if (d > 1) t->l = make_tree32(d - 1), t->r = make_tree32(d - 1);
  return t;
}
void* volatile g_root[4];  // volatile and not static: it must really be a root
// The array is malloc'd, so the collector is off while it holds the only references.
__attribute__((noinline)) static void build_mark(const std::string& kind, double& objs, double& mb) {
  xorshift r{k_seed};
  size_t n = 4 << 20;
  GC_disable();
  if (kind == "tree") {
    g_root[0] = make_tree32(23);
    objs = (1 << 23) - 1;
    mb = objs * 32 / 1e6;
  } else if (kind == "graph") {
    auto a = (graph64**)malloc(n * 8);
    for (size_t i = 0; i < n; i++) a[i] = make<graph64>();
    for (size_t i = 0; i < n; i++)
      for (auto& e : a[i]->e) e = a[r.next() % n];
    g_root[0] = a[0];
    free(a);
    objs = n * .9802;
    mb = objs * 64 / 1e6;
  } else if (kind == "list" || kind == "listrand") {
    auto a = (list32**)malloc(n * 8);
    for (size_t i = 0; i < n; i++) a[i] = make<list32>();
    if (kind == "listrand")
      for (size_t i = n - 1; i > 0; i--) std::swap(a[i], a[r.next() % (i + 1)]);
    for (size_t i = 0; i + 1 < n; i++) a[i]->next = a[i + 1];
    g_root[0] = a[0];
    free(a);
    objs = n;
    mb = objs * 32 / 1e6;
  } else if (kind == "arrays") {
    size_t m = 1 << 20;
    auto l = (void**)malloc(m * 8);
    for (size_t i = 0; i < m; i++) l[i] = leaf<bytes_of<64>>();
    auto top = (void***)GC_MALLOC(100000 * 8);
    for (size_t i = 0; i < 100000; i++) {
      top[i] = (void**)GC_MALLOC(8192);
      for (int k = 0; k < 1024; k++) top[i][k] = l[r.next() & (m - 1)];
    }
    g_root[0] = top;
    free(l);
    objs = m + 100000;
    mb = (100000.0 * 8192 + double(m) * 64) / 1e6;
  }
  GC_enable();
}
static void bench_mark(const std::string& kind) {
  double objs = 0, mb = 0;
  build_mark(kind, objs, mb);
  if (objs == 0) {
    fprintf(stderr, "no such shape\n");
    exit(2);
  }
  std::string w = "mark-" + kind;
  GC_gcollect();
  GC_gcollect();
  gc_start();
  int64_t c0 = cpu_ns();
  std::vector<double> v;
  for (int i = 0; i < 7; i++) {
    int64_t t0 = now();
    GC_gcollect();
    v.push_back((now() - t0) / 1e6);
  }
  double ms = median(v);
  emit(w, "full-gc", ms, "ms");
  emit(w, "live", mb, "MB");
  emit(w, "rate", mb / ms * 1e3, "MB/s");
  emit(w, "objs", objs / ms / 1e3, "Mobj/s");
  emit(w, "mark-cpu", (cpu_ns() - c0) / 7e6, "ms");
  emit(w, "stw-max", pauses.h.max / 1e3, "us");
  emit(w, "heap-inuse", (GC_get_heap_size() - GC_get_free_bytes()) / 1e6, "MB");
  leave();
}
#endif

// ---- the pointer-rich heap of E-big and F ----
#if defined(P_SHARED)
// cycles would leak, so the extra edges are raw pointers, as a user would do
struct big_node {
  std::shared_ptr<big_node> e[2];
  big_node* x[2];
  uint64_t p[8];
};
#else
struct big_node {
  big_node* e[4];
  uint64_t p[12];
};
#endif
ref<big_node> big_root;
__attribute__((noinline)) static void big_heap(size_t n) {
#if defined(P_BOEHM)
  GC_disable();
#endif
  std::vector<ref<big_node>> a(n);
  xorshift r{k_seed};
  for (auto& p : a) p = make<big_node>();
  for (size_t i = 0; i < n; i++) {
    if (2 * i + 1 < n) a[i]->e[0] = a[2 * i + 1];
    if (2 * i + 2 < n) a[i]->e[1] = a[2 * i + 2];
#if defined(P_SHARED)
    a[i]->x[0] = a[r.next() % n].get();
    a[i]->x[1] = a[r.next() % n].get();
#else
    a[i]->e[2] = a[r.next() % n];
    a[i]->e[3] = a[r.next() % n];
#endif
  }
  big_root = a[0];
  escape_ptr(&big_root);
#if defined(P_BOEHM)
  GC_enable();
#endif
}

// ---- E ----
static void bench_churn(const std::string& kind, int secs, size_t big) {
  if (kind != "ring" && kind != "map") {
    fprintf(stderr, "no such table\n");
    exit(2);
  }
  park_a_thread();
  std::string w = "churn-" + kind + (big ? "-2GiB" : "");
  if (big) big_heap(big);
  const int64_t live = 200000, most = 10000000;
  using message = bytes_of<1024>;
  auto* ring = new table<ref<message>>(live);
#if defined(P_BOEHM)  // the table's own nodes must be visible to the collector
  std::unordered_map<int64_t, message*, std::hash<int64_t>, std::equal_to<int64_t>,
                     gc_allocator<std::pair<const int64_t, message*>>>
      m;
#else
  std::unordered_map<int64_t, ref<message>> m;
#endif
  m.reserve(live);
  bool use_map = kind == "map";
  auto push = [&](int64_t i) {
    auto p = leaf<message>();
    memset(p->w, int(i), 1024);
    escape_ptr(p->w);
    if (!use_map) {
      auto& slot = (*ring)[i % live];
#if defined(P_MALLOC)
      free(slot);
#endif
      slot = std::move(p);
    } else {
      if (i >= live) {
        auto it = m.find(i - live);
#if defined(P_MALLOC)
        free(it->second);
#endif
        m.erase(it);
      }
      m[i] = std::move(p);
    }
  };
  for (int64_t i = 0; i < live; i++) push(i);
#if defined(P_BOEHM)
  GC_gcollect();
#endif
  gc_start();
  latencies h;
  int64_t c0 = cpu_ns(), start = now(), t0 = start, end = start + secs * 1000000000ll, n = live;
  for (; n < most; n++) {
    push(n);
    int64_t t1 = now();
    h.add(t1 - t0);
    t0 = t1;
    if (t1 > end) break;
  }
  emit(w, "rate", (n - live) / ((t0 - start) / 1e9) / 1e6, "Mmsg/s");
  emit(w, "cpu", double(cpu_ns() - c0) / (n - live), "ns/msg");
  h.print(w, "insert-");
  gc_print(w);
  emit(w, "peak-rss", peak_rss_mb(), "MB");
  leave();
}

// ---- F ----
struct node64 {
  ref<node64> a;
  uint64_t p[7];
};
template <class V>
__attribute__((noinline)) static void unit(V& dst, xorshift& r) {
  for (int i = 0; i < 4096; i++) {
    uint64_t x = r.next();
    dst[x & 16383] = dst[(x >> 20) & 16383];
  }
}
static void bench_hiccup(int secs, size_t big) {
  big_heap(big);
  auto* dst = new table<ref<node64>>(16384);
  for (int i = 0; i < 16384; i++) (*dst)[i] = make<node64>();
#if defined(P_BOEHM)
  GC_gcollect();
#endif
  latencies h, quiet;
  xorshift r{12345};
  std::atomic<bool> go{false}, stop{false};
  std::atomic<long> count{0};
  auto *gp = &go, *sp = &stop;
  auto* cp = &count;
  std::thread other([=] {
    spawn_join(1, [=](int) {
      while (!*gp) usleep(1000);
      auto* ring = new table<ref<node64>>(1024);
      long n = 0;
      while (!*sp) {
        for (int i = 0; i < 1024; i++) {
          auto p = make<node64>();
          p->p[0] = i;
          auto& slot = (*ring)[i];
#if defined(P_MALLOC)
          free(slot);
#endif
          slot = std::move(p);
        }
        n += 1024;
      }
      *cp = n;
    });
  });
  int64_t last = now(), end = last + 500000000;
  while (last < end) {
    unit(*dst, r);
    int64_t t = now();
    quiet.add(t - last);
    last = t;
  }
  gc_start();
  go = true;
  int64_t start = last = now();
  end = last + secs * 1000000000ll;
  while (last < end) {
    unit(*dst, r);
    int64_t t = now();
    h.add(t - last);
    last = t;
  }
  stop = true;
  other.join();
  double s = (last - start) / 1e9;
  emit("hiccup", "quiet-p50", quiet.quantile(.5) / 1e3, "us");
  emit("hiccup", "quiet-p99.9", quiet.quantile(.999) / 1e3, "us");
  h.print("hiccup", "unit-");
  emit("hiccup", "units", h.count / s / 1e3, "k/s");
  emit("hiccup", "alloc-rate", count / s / 1e6, "Mobj/s");
  gc_print("hiccup");
  emit("hiccup", "peak-rss", peak_rss_mb(), "MB");
  leave();
}

// ---- H ----
// k differs from call to call, so that each store changes the slot (shared_ptr
// skips its counts when both sides are already the same).
template <class V>
__attribute__((noinline)) static void stores(V& dst, V& src, int n, int k) {
  for (int i = 0; i < n; i++) dst[i & 1023] = src[(i * 7 + (i >> 10) + k) & 1023];
}
template <class V>
__attribute__((noinline)) static void field_stores(V& a, int n, int k) {
  for (int i = 0; i < n; i++) a[i & 1023]->a = a[(i * 7 + (i >> 10) + k) & 1023];
}
static void bench_store() {
  park_a_thread();
  auto *dst = new table<ref<node64>>(1024), *src = new table<ref<node64>>(1024);
  for (int i = 0; i < 1024; i++) (*dst)[i] = (*src)[i] = make<node64>();
#if defined(P_BOEHM)
  bool inc = getenv("GC_INC");
  if (inc) big_heap(1 << 20);
#endif
  repeat("store", "slice-idle", "ns", [&] {
    int64_t t0 = now();
    for (int i = 0; i < 2000; i++) stores(*dst, *src, 10000, i);
    return (now() - t0) / 2e7;
  });
  repeat("store", "field-idle", "ns", [&] {
    int64_t t0 = now();
    for (int i = 0; i < 2000; i++) field_stores(*src, 10000, i);
    return (now() - t0) / 2e7;
  });
#if defined(P_BOEHM)
  if (inc) {  // keep the incremental collector at work by allocating beside the stores
    gc_start();
    std::vector<double> v;
    for (int i = 0; i < 4000; i++) {
      for (int k = 0; k < 200; k++) escape_ptr(make<node64>());
      int64_t t0 = now();
      stores(*dst, *src, 10000, i);
      v.push_back((now() - t0) / 1e4);
    }
    double sum = 0;
    for (double x : v) sum += x;
    emit("store", "slice-marking-mean", sum / v.size(), "ns");
    emit("store", "slice-marking", median(v), "ns");
    gc_print("store");
  }
#endif
  leave();
}

int main(int argc, char** argv) {
  auto num = [&](int i, long d) { return argc > i ? atol(argv[i]) : d; };
  std::string w = argc > 1 ? argv[1] : "", kind = argc > 2 ? argv[2] : "";
#if defined(P_BOEHM)
  GC_INIT();
  GC_allow_register_threads();
  GC_set_on_collection_event(on_event);
  if (getenv("GC_INC")) GC_enable_incremental();
#endif
  if (w == "alloc") bench_alloc(num(2, 1), num(3, 0));
  else if (w == "trees") bench_trees(num(2, 18), num(3, 1));
  else if (w == "gcbench") bench_gcbench();
#if defined(P_BOEHM)
  else if (w == "mark") bench_mark(kind);
#endif
  else if (w == "churn") bench_churn(kind, num(3, 5), num(4, 0));
  else if (w == "hiccup") bench_hiccup(num(2, 20), num(3, 8 << 20));
  else if (w == "store") bench_store();
  else return fprintf(stderr, "no such workload\n"), 2;
  return 0;
}
