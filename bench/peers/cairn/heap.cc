// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Workloads A to F and H on Cairn; peers/go and peers/cpp run the same with the same parameters and line format.
// usage: heap <workload> [arguments]. CAIRNMAXPROCS and CAIRNGC come from the caller, as GOMAXPROCS and GOGC for Go.
// Locals are plain T*; gc_ptr is used for fields, arrays and statics only.
#include <cairn/cairn.h>

#include <atomic>
#include <numeric>
#include <unordered_map>

#include "../measure.h"

namespace gc = cairn::gc;
using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::make_gc;
using cairn::make_gc_array;

// ---- collector bookkeeping ----
// The stw rows hold every interval in which the collector kept one mutator from running, as that mutator felt it.
static void emit_gc(const std::string& w, const gc::stats& a, const gc::stats& b) {
  gc::histogram h = b.pauses - a.pauses;
  emit(w, "gc-cycles", b.gc_cycles - a.gc_cycles, "count");
  emit(w, "stw-count", h.count(), "count");
  emit(w, "stw-p50", h.percentile(50).count() / 1e3, "us");
  emit(w, "stw-p99.9", h.percentile(99.9).count() / 1e3, "us");
  emit(w, "stw-max", h.max().count() / 1e3, "us");
}
template <class F>
static void spawn_join(int n, F f) {
  cairn::sync::wait_group wg;
  for (int k = 0; k < n; k++) wg.go([=] { f(k); });
  wg.wait();
}

// ---- A: allocation. A ring of 1024 live slots; each store drops the old object ----
template <size_t N>
struct bytes_of {
  uint64_t w[N / 8];
};
struct pair32 {
  gc_ptr<pair32> a, b;
  uint64_t x, y;
};
template <size_t N>
static void alloc_leaf(size_t n) {
  auto ring = make_gc_array<gc_ptr<bytes_of<N>>>(1024);
  gc_ptr<bytes_of<N>>* r = ring.data();
  for (size_t i = 0; i < n; i++) {
    bytes_of<N>* p = make_gc<bytes_of<N>>();
    p->w[0] = i;
    r[i & 1023] = p;
  }
  cairn::keep_alive(r);
}
static void alloc_scan(size_t n) {
  auto ring = make_gc_array<gc_ptr<pair32>>(1024);
  gc_ptr<pair32>* r = ring.data();
  pair32 *u = make_gc<pair32>(), *v = make_gc<pair32>();
  for (size_t i = 0; i < n; i++) {
    pair32* p = make_gc<pair32>();
    p->a = u;
    p->b = v;
    p->x = i;
    r[i & 1023] = p;
  }
  cairn::keep_alive(r);
}
static void alloc_cell(const char* name, void (*f)(size_t), size_t n, int th) {
  std::string w = std::string("alloc-") + name + (th > 1 ? "-2t" : "");
  f(n / 4);
  std::vector<double> wall, cpu;
  gc::stats s0 = gc::read_stats();
  for (int r = 0; r < 5; r++) {
    int64_t c0 = cpu_ns(), t0 = now();
    if (th == 1) f(n);
    else spawn_join(th, [=](int) { f(n); });
    wall.push_back(double(now() - t0) / n);
    cpu.push_back(double(cpu_ns() - c0) / n / th);
  }
  gc::stats s1 = gc::read_stats();
  double total = 5.0 * n * th;
  emit(w, "wall", median(wall), "ns/obj");
  emit(w, "cpu", median(cpu), "ns/obj");
  emit(w, "gc-per-Mobj", (s1.gc_cycles - s0.gc_cycles) / total * 1e6, "count");
  if (s1.total_allocs - s0.total_allocs < .99 * total) {
    fprintf(stderr, "%s: objects did not reach the heap\n", w.c_str());
    abort();
  }
}
static void bench_alloc(int th) {
  alloc_cell("16", alloc_leaf<16>, 16e6, th);
  alloc_cell("32", alloc_leaf<32>, 12e6, th);
  alloc_cell("64", alloc_leaf<64>, 8e6, th);
  alloc_cell("128", alloc_leaf<128>, 6e6, th);
  alloc_cell("512", alloc_leaf<512>, 4e6, th);
  alloc_cell("2048", alloc_leaf<2048>, 2e6, th);
  alloc_cell("32scan", alloc_scan, 12e6, th);
}

// ---- B: binary trees ----
struct tree_node {
  gc_ptr<tree_node> l, r;
};
static tree_node* make_tree(int d) {
  tree_node* t = make_gc<tree_node>();
  if (d) {
    t->l = make_tree(d - 1);
    t->r = make_tree(d - 1);
  }
  return t;
}
static int check(const tree_node* t) { return t->l ? 1 + check(t->l) + check(t->r) : 1; }
static void bench_trees(int depth, int th) {
  std::string w = th > 1 ? "trees-2t" : "trees-1t";
  gc::stats s0 = gc::read_stats();
  int64_t c0 = cpu_ns(), t0 = now();
  long sum = check(make_tree(depth + 1));
  tree_node* lng = make_tree(depth);
  for (int d = 4; d <= depth; d += 2) {
    int iters = 1 << (depth - d + 4);
    std::atomic<long> tot{0};
    auto body = [&tot, d](int lo, int hi) {
      long c = 0;
      for (int i = lo; i < hi; i++) c += check(make_tree(d));
      tot += c;
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
  emit_gc(w, s0, gc::read_stats());
}

// ---- C: GCBench ----
struct gcbench_node {
  gc_ptr<gcbench_node> l, r;
  int i, j;
};
static void populate(int d, gcbench_node* t) {
  if (d <= 0) return;
  t->l = make_gc<gcbench_node>();
  t->r = make_gc<gcbench_node>();
  populate(d - 1, t->l);
  populate(d - 1, t->r);
}
static gcbench_node* bottom_up(int d) {
  if (d <= 0) return make_gc<gcbench_node>();
  gcbench_node *l = bottom_up(d - 1), *r = bottom_up(d - 1);
  return make_gc<gcbench_node>(l, r, 0, 0);
}
static void bench_gcbench() {
  auto size = [](int d) { return (1 << (d + 1)) - 1; };
  gc::stats s0 = gc::read_stats();
  int64_t c0 = cpu_ns(), t0 = now();
  escape_ptr(bottom_up(18));
  gcbench_node* lng = make_gc<gcbench_node>();
  populate(16, lng);
  auto arr = make_gc_array<double>(500000);
  for (int i = 1; i < 250000; i++) arr[i] = 1.0 / i;
  for (int d = 4; d <= 16; d += 2) {
    int iters = 2 * size(18) / size(d);
    for (int i = 0; i < iters; i++) {
      gcbench_node* t = make_gc<gcbench_node>();
      populate(d, t);
      escape_ptr(t);
    }
    for (int i = 0; i < iters; i++) escape_ptr(bottom_up(d));
  }
  if (arr[1000] != 1.0 / 1000 || !lng->l) abort();
  emit("gcbench", "wall", (now() - t0) / 1e6, "ms");
  emit("gcbench", "cpu", (cpu_ns() - c0) / 1e6, "ms");
  emit("gcbench", "peak-rss", peak_rss_mb(), "MB");
  emit_gc("gcbench", s0, gc::read_stats());
}

// ---- D: marking ----
struct tree32 {
  gc_ptr<tree32> l, r;
  uint64_t x, y;
};
struct graph64 {
  gc_ptr<graph64> e[4];
  uint64_t p[4];
};
struct list32 {
  gc_ptr<list32> next;
  uint64_t p[3];
};
struct row1024 {
  gc_ptr<bytes_of<64>> e[1024];
};
static gc_ptr<void> g_root;

static tree32* make_tree32(int d) {
  tree32* t = make_gc<tree32>();
  if (d > 1) {
    t->l = make_tree32(d - 1);
    t->r = make_tree32(d - 1);
  }
  return t;
}
static bool build_mark(const std::string& kind, double& objs, double& mb) {
  xorshift r{k_seed};
  size_t n = 4 << 20;
  if (kind == "tree") {
    g_root = make_tree32(23);
    objs = (1 << 23) - 1;
    mb = objs * 32 / 1e6;
  } else if (kind == "graph") {
    auto a = make_gc_array<gc_ptr<graph64>>(n);
    for (auto& p : a) p = make_gc<graph64>();
    for (auto& p : a)
      for (auto& e : p->e) e = a.data()[r.next() % n];
    g_root = a.data()[0];
    objs = n * .9802;
    mb = objs * 64 / 1e6;
  } else if (kind == "list" || kind == "listrand") {
    auto a = make_gc_array<gc_ptr<list32>>(n);
    for (auto& p : a) p = make_gc<list32>();
    if (kind == "listrand")
      for (size_t i = n - 1; i > 0; i--) std::swap(a[i], a[r.next() % (i + 1)]);
    for (size_t i = 0; i + 1 < n; i++) a[i]->next = a[i + 1];
    g_root = a[0];
    objs = n;
    mb = objs * 32 / 1e6;
  } else if (kind == "arrays") {
    size_t m = 1 << 20;
    auto leaf = make_gc_array<gc_ptr<bytes_of<64>>>(m);
    for (auto& p : leaf) p = make_gc<bytes_of<64>>();
    auto top = make_gc_array<gc_ptr<row1024>>(100000);
    for (auto& t : top) {
      row1024* row = make_gc<row1024>();
      for (auto& e : row->e) e = leaf.data()[r.next() & (m - 1)];
      t = row;
    }
    g_root = top.data();
    objs = m + 100000;
    mb = (100000.0 * 8192 + double(m) * 64) / 1e6;
  } else {
    return false;
  }
  return true;
}
static int bench_mark(const std::string& kind) {
  double objs = 0, mb = 0;
  // built by a goroutine of its own: its stack, and the tables it points to, are gone when the collections are timed
  if (!cairn::spawn([&] { return build_mark(kind, objs, mb); }).get())
    return fprintf(stderr, "no such shape\n"), 2;
  std::string w = "mark-" + kind;
  gc::collect();
  gc::collect();
  gc::stats s0 = gc::read_stats();
  int64_t c0 = cpu_ns();
  std::vector<double> v;
  for (int i = 0; i < 7; i++) {
    int64_t t0 = now();
    gc::collect();
    v.push_back((now() - t0) / 1e6);
  }
  int64_t c1 = cpu_ns();
  gc::stats s1 = gc::read_stats();
  double ms = median(v);
  emit(w, "full-gc", ms, "ms");
  emit(w, "live", mb, "MB");
  emit(w, "rate", mb / ms * 1e3, "MB/s");
  emit(w, "objs", objs / ms / 1e3, "Mobj/s");
  emit(w, "per-obj", ms * 1e6 / objs, "ns");
  emit(w, "mark-cpu", (c1 - c0) / 7e6, "ms");
  emit(w, "stw-max", (s1.pauses - s0.pauses).max().count() / 1e3, "us");
  emit(w, "heap-inuse", s1.heap_live_bytes / 1e6, "MB");
  return 0;
}

// ---- the pointer-rich heap of E-big, F and H: edges 0 and 1 form a binary tree, 2 and 3 are random ----
struct big_node {
  gc_ptr<big_node> e[4];
  uint64_t p[12];
};
static big_node* build_big(size_t n) {
  auto a = make_gc_array<gc_ptr<big_node>>(n);
  xorshift r{k_seed};
  for (auto& p : a) p = make_gc<big_node>();
  gc_ptr<big_node>* t = a.data();
  for (size_t i = 0; i < n; i++) {
    big_node* p = t[i];
    if (2 * i + 1 < n) p->e[0] = t[2 * i + 1];
    if (2 * i + 2 < n) p->e[1] = t[2 * i + 2];
    p->e[2] = t[r.next() % n];
    p->e[3] = t[r.next() % n];
  }
  return t[0];
}
static void big_heap(size_t n) {
  cairn::spawn([n] { g_root = build_big(n); }).get();
}

// ---- E: churn <ring|map> <seconds> <big-nodes> ----
using message = bytes_of<1024>;
static message* make_message(int64_t i) {
  message* p = make_gc<message>();
  memset(p->w, int(i), sizeof p->w);
  return p;
}
struct message_ring {
  gc_slice<gc_ptr<message>> slots;
  explicit message_ring(int64_t live) : slots(make_gc_array<gc_ptr<message>>(live)) {}
  void push(int64_t i, int64_t live) { slots.data()[i % live] = make_message(i); }
};
struct root_map {  // the straight port: a std table in malloc memory, so its values are roots
  std::unordered_map<int64_t, cairn::root<message>> m;
  explicit root_map(int64_t live) { m.reserve(live); }
  void push(int64_t i, int64_t live) {
    if (i >= live) m.erase(i - live);
    m[i] = make_message(i);
  }
};
template <class Table>
static void churn(std::string w, int secs, size_t big) {
  if (big) {
    w += "-2GiB";
    big_heap(big);
  }
  const int64_t live = 200000, most = 10000000;
  Table table(live);
  for (int64_t i = 0; i < live; i++) table.push(i, live);
  gc::collect();
  gc::collect();
  latencies h;
  gc::stats s0 = gc::read_stats();
  int64_t c0 = cpu_ns(), start = now(), t0 = start, end = start + secs * 1000000000ll, n = live;
  for (; n < most; n++) {
    table.push(n, live);
    int64_t t1 = now();
    h.add(t1 - t0);
    t0 = t1;
    if (t1 > end) break;
  }
  gc::stats s1 = gc::read_stats();
  emit(w, "rate", (n - live) / ((t0 - start) / 1e9) / 1e6, "Mmsg/s");
  emit(w, "cpu", double(cpu_ns() - c0) / (n - live), "ns/msg");
  h.print(w, "insert-");
  emit_gc(w, s0, s1);
  emit(w, "peak-rss", peak_rss_mb(), "MB");
}
static int bench_churn(const std::string& kind, int secs, size_t big) {
  if (kind == "ring") churn<message_ring>("churn-ring", secs, big);
  else if (kind == "map") churn<root_map>("churn-map", secs, big);
  else return fprintf(stderr, "no such table\n"), 2;
  return 0;
}

// ---- F: hiccup <seconds> <big-nodes>: units of 4096 pointer stores, timed, beside an allocating goroutine ----
struct node64 {
  gc_ptr<node64> a;
  uint64_t p[7];
};
__attribute__((noinline)) static void unit(gc_ptr<node64>* dst, xorshift& r) {
  for (int i = 0; i < 4096; i++) {
    uint64_t x = r.next();
    dst[x & 16383] = dst[(x >> 20) & 16383];
  }
}
static void bench_hiccup(int secs, size_t big) {
  big_heap(big);
  auto slots = make_gc_array<gc_ptr<node64>>(16384);
  for (auto& p : slots) p = make_gc<node64>();
  gc_ptr<node64>* dst = slots.data();
  gc::collect();
  gc::collect();
  latencies h, quiet;
  xorshift r{12345};
  std::atomic<bool> stop{false};
  int64_t last = now(), end = last + 500000000;
  while (last < end) {
    unit(dst, r);
    int64_t t = now();
    quiet.add(t - last);
    last = t;
  }
  auto other = cairn::spawn([&stop] {
    auto ring = make_gc_array<gc_ptr<node64>>(1024);
    gc_ptr<node64>* slot = ring.data();
    long n = 0;
    while (!stop) {
      for (int i = 0; i < 1024; i++) {
        node64* p = make_gc<node64>();
        p->p[0] = i;
        slot[i] = p;
      }
      n += 1024;
    }
    return n;
  });
  gc::stats s0 = gc::read_stats();
  int64_t start = last = now();
  end = last + secs * 1000000000ll;
  while (last < end) {
    unit(dst, r);
    int64_t t = now();
    h.add(t - last);
    last = t;
  }
  gc::stats s1 = gc::read_stats();
  stop = true;
  long count = other.get();
  double s = (last - start) / 1e9;
  emit("hiccup", "quiet-p50", quiet.quantile(.5) / 1e3, "us");
  emit("hiccup", "quiet-p99.9", quiet.quantile(.999) / 1e3, "us");
  h.print("hiccup", "unit-");
  emit("hiccup", "units", h.count / s / 1e3, "k/s");
  emit("hiccup", "alloc-rate", count / s / 1e6, "Mobj/s");
  emit_gc("hiccup", s0, s1);
  emit("hiccup", "peak-rss", peak_rss_mb(), "MB");
}

// ---- H: the price of a pointer store, 1024 slots (in cache), told apart by phase as in peers/go ----
// k differs from call to call, so that each store changes the slot.
__attribute__((noinline)) static void stores(gc_ptr<node64>* dst, gc_ptr<node64>* src, int n, int k) {
  for (int i = 0; i < n; i++) dst[i & 1023] = src[(i * 7 + (i >> 10) + k) & 1023];
}
__attribute__((noinline)) static void raw_stores(uintptr_t* dst, uintptr_t* src, int n, int k) {
  for (int i = 0; i < n; i++) dst[i & 1023] = src[(i * 7 + (i >> 10) + k) & 1023];
}
__attribute__((noinline)) static void field_stores(gc_ptr<node64>* a, int n, int k) {
  for (int i = 0; i < n; i++) a[i & 1023]->a = a[(i * 7 + (i >> 10) + k) & 1023];
}
static const int k_store_batch = 10000;
enum class store_phase { any, idle, marking };

// ns per store of f, which makes k_store_batch: of up to `samples` runs that began and ended in the phase asked
// for. None when none did within three seconds: a collector that marks with the world stopped has no stores
// then.
template <class F>
static std::vector<double> measure_stores(F f, store_phase want, size_t samples) {
  auto fits = [want](gc::phase p) {
    return want == store_phase::any || (p == (want == store_phase::idle ? gc::phase::off : gc::phase::mark));
  };
  std::vector<double> v;
  int64_t last = now(), end = last + 3'000'000'000;
  while (v.size() < samples && last < end) {
    gc::phase before = gc::current_phase();
    int64_t start = now();
    f();
    last = now();
    if (fits(before) && fits(gc::current_phase())) v.push_back(double(last - start) / k_store_batch);
  }
  return v;
}
// The mean has in it what takes the processor meanwhile, the median has not.
template <class F>
static void store_row(const std::string& figure, F f, store_phase want, size_t samples) {
  std::vector<double> ns = measure_stores(f, want, samples);
  if (ns.empty()) return;
  emit("store", figure + "-mean", std::accumulate(ns.begin(), ns.end(), 0.) / ns.size(), "ns");
  emit("store", figure, median(ns), "ns");
}
static void bench_store() {
  big_heap(4 << 20);
  auto d = make_gc_array<gc_ptr<node64>>(1024), s = make_gc_array<gc_ptr<node64>>(1024);
  auto di = make_gc_array<uintptr_t>(1024), si = make_gc_array<uintptr_t>(1024);
  for (int i = 0; i < 1024; i++) d[i] = s[i] = make_gc<node64>();
  int k = 0;
  auto slice = [&] { stores(d.data(), s.data(), k_store_batch, ++k); };
  auto field = [&] { field_stores(s.data(), k_store_batch, ++k); };
  auto ints = [&] { raw_stores(di.data(), si.data(), k_store_batch, ++k); };
  gc::collect();
  measure_stores(slice, store_phase::idle, 1000);
  measure_stores(field, store_phase::idle, 1000);
  store_row("int-idle", ints, store_phase::any, 5000);
  store_row("slice-idle", slice, store_phase::idle, 5000);
  store_row("field-idle", field, store_phase::idle, 5000);
  std::atomic<bool> stop{false};
  auto collector = cairn::spawn([&stop] {
    int gcs = 0;
    for (; !stop; gcs++) gc::collect();
    return gcs;
  });
  store_row("slice-marking", slice, store_phase::marking, 10000);
  store_row("field-marking", field, store_phase::marking, 10000);
  store_row("int-marking", ints, store_phase::marking, 10000);
  stop = true;
  int gcs = collector.get();
  if (!gcs) abort();
  emit("store", "gcs", gcs, "count");
}

int main(int argc, char** argv) {
  setenv("PEER", "cairn", 0);
  std::string w = argc > 1 ? argv[1] : "", kind = argc > 2 ? argv[2] : "";
  auto num = [&](int i, long d) { return argc > i ? atol(argv[i]) : d; };
  return cairn::run([&] {
    if (w == "alloc") bench_alloc(num(2, 1));
    else if (w == "trees") bench_trees(num(2, 18), num(3, 1));
    else if (w == "gcbench") bench_gcbench();
    else if (w == "mark") return bench_mark(kind);
    else if (w == "churn") return bench_churn(kind, num(3, 5), num(4, 0));
    else if (w == "hiccup") bench_hiccup(num(2, 20), num(3, 8 << 20));
    else if (w == "store") bench_store();
    else return fprintf(stderr, "no such workload\n"), 2;
    return 0;
  });
}
