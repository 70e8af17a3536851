// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The three ways in which peers/cpp/heap.cc is built: what a reference is, how an object is made, what
// holds references outside the heap, and what the collector reports.
#pragma once
#if defined(P_BOEHM)
#define GC_THREADS
#include <gc/gc.h>
#endif
#include <memory>
#include <thread>

#include "../measure.h"

#if defined(P_BOEHM)
template <class T>
using ref = T*;
template <class T>
inline T* make() {
  return new (GC_MALLOC(sizeof(T))) T();
}
template <class T>
inline T* leaf() {
  return (T*)GC_MALLOC_ATOMIC(sizeof(T));
}
template <class T>
struct table {  // a table of references that the collector scans
  T* p;
  table(size_t n) : p((T*)GC_MALLOC_UNCOLLECTABLE(n * sizeof(T))) {}
  ~table() { GC_FREE(p); }
  T& operator[](size_t i) { return p[i]; }
};
#elif defined(P_SHARED)
template <class T>
using ref = std::shared_ptr<T>;
template <class T>
inline ref<T> make() {
  return std::make_shared<T>();
}
template <class T>
inline ref<T> leaf() {
  return std::make_shared_for_overwrite<T>();
}
template <class T>
struct table {
  std::vector<T> v;
  table(size_t n) : v(n) {}
  T& operator[](size_t i) { return v[i]; }
};
#else
template <class T>
using ref = T*;
template <class T>
inline T* make() {
  return new (malloc(sizeof(T))) T();
}
template <class T>
inline T* leaf() {
  return (T*)malloc(sizeof(T));
}
template <class T>
struct table {
  T* p;
  table(size_t n) : p((T*)calloc(n, sizeof(T))) {}
  ~table() { free(p); }
  T& operator[](size_t i) { return p[i]; }
};
#endif

// ---- collector bookkeeping ----
struct pause_record {
  latencies h;
  int64_t t0 = 0;
};
inline pause_record pauses;
#if defined(P_BOEHM)
inline void on_event(GC_EventType e) {
  if (e == GC_EVENT_PRE_STOP_WORLD) pauses.t0 = now();
  if (e == GC_EVENT_POST_START_WORLD && pauses.t0) {
    pauses.h.add(now() - pauses.t0);
    pauses.t0 = 0;
  }
}
inline uint64_t gc_count() { return GC_get_gc_no(); }
#else
inline uint64_t gc_count() { return 0; }
#endif
inline uint64_t gc0;
inline void gc_start() {
  pauses.h = latencies();
  gc0 = gc_count();
}
inline void gc_print(const std::string& w) {
#if defined(P_BOEHM)
  emit(w, "gc-cycles", gc_count() - gc0, "count");
  emit(w, "stw-count", pauses.h.count, "count");
  emit(w, "stw-p50", pauses.h.quantile(.5) / 1e3, "us");
  emit(w, "stw-max", pauses.h.max / 1e3, "us");
#else
  (void)w;
#endif
}
template <class F>
inline void spawn_join(int n, F f) {
  std::vector<std::thread> t;  // with GC_THREADS the collector must know each thread
  for (int i = 0; i < n; i++)
    t.emplace_back([=] {
#if defined(P_BOEHM)
      GC_stack_base sb;
      GC_get_stack_base(&sb);
      GC_register_my_thread(&sb);
#endif
      f(i);
#if defined(P_BOEHM)
      GC_unregister_my_thread();
#endif
    });
  for (auto& x : t) x.join();
}

// Makes this a program with threads: shared_ptr counts atomically.
inline void park_a_thread() {
  std::thread([] {
    for (;;) pause();
  }).detach();
}
// Ends the program without taking its data structures apart.
[[noreturn]] inline void leave() {
  fflush(stdout);
  _exit(0);
}
