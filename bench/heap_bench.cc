// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the library's own operations cost: allocation by size (collections included), a pointer store, a weak lock, a
// root made and dropped. Beside each stands what a C++ program would use instead. malloc is jemalloc's here, because
// the program is linked with it. bench/compare has the whole programs.
#include <benchmark/benchmark.h>
#include <cairn/cairn.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

using cairn::gc_ptr;
using cairn::gc_slice;
using cairn::gc_weak;
using cairn::make_gc;
using cairn::make_gc_array;
using cairn::root;

constexpr std::size_t k_live = 1024;  // a new object drops the one that was made k_live objects ago

template <std::size_t N>
struct plain {
  std::byte bytes[N];
};
template <std::size_t N>
struct linked {
  gc_ptr<linked> a, b;
  std::byte bytes[N - 16];
};
struct node {
  gc_ptr<node> next;
  std::uint64_t payload[7];
};
struct shared_node {
  std::shared_ptr<shared_node> next;
  std::uint64_t payload[6];
};

// ---- allocation ----

template <class T>
void allocate(benchmark::State& state) {
  gc_slice<gc_ptr<T>> ring = make_gc_array<gc_ptr<T>>(k_live);
  std::size_t i = 0;
  for (auto _ : state) ring.data()[i++ % k_live] = make_gc<T>();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * sizeof(T)));
}
BENCHMARK(allocate<plain<8>>);
BENCHMARK(allocate<plain<16>>);
BENCHMARK(allocate<plain<32>>);
BENCHMARK(allocate<plain<64>>);
BENCHMARK(allocate<plain<128>>);
BENCHMARK(allocate<plain<512>>);
BENCHMARK(allocate<plain<2048>>);
BENCHMARK(allocate<plain<32768>>);
BENCHMARK(allocate<plain<65536>>);
BENCHMARK(allocate<linked<16>>);
BENCHMARK(allocate<linked<32>>);
BENCHMARK(allocate<linked<64>>);
BENCHMARK(allocate<linked<128>>);

void allocate_bytes(benchmark::State& state) {
  auto size = static_cast<std::size_t>(state.range(0));
  gc_slice<gc_slice<std::byte>> ring = make_gc_array<gc_slice<std::byte>>(k_live);
  std::size_t i = 0;
  for (auto _ : state) ring.data()[i++ % k_live] = cairn::make_gc_bytes(size);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(allocate_bytes)->RangeMultiplier(4)->Range(16, 1 << 20);

void malloc_and_free(benchmark::State& state) {
  auto size = static_cast<std::size_t>(state.range(0));
  std::vector<void*> ring(k_live);
  std::size_t i = 0;
  for (auto _ : state) {
    void*& slot = ring[i++ % k_live];
    std::free(slot);
    slot = std::malloc(size);
    benchmark::DoNotOptimize(slot);
    benchmark::ClobberMemory();
  }
  for (void* p : ring) std::free(p);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(malloc_and_free)->Arg(16)->Arg(32)->Arg(64)->Arg(128)->Arg(512)->Arg(2048)->Arg(32768);

// ---- pointer store ----

// Into the fields of k_live nodes that are in the cache; each store changes the field.
void store_gc_ptr(benchmark::State& state) {
  gc_slice<gc_ptr<node>> nodes = make_gc_array<gc_ptr<node>>(k_live);
  for (gc_ptr<node>& p : nodes) p = make_gc<node>();
  std::size_t i = 0;
  for (auto _ : state) {
    nodes.data()[i % k_live]->next = nodes.data()[(i * 7 + i / k_live) % k_live];
    i++;
    benchmark::ClobberMemory();
  }
}
BENCHMARK(store_gc_ptr);

void store_raw(benchmark::State& state) {
  struct raw_node {
    raw_node* next;
    std::uint64_t payload[7];
  };
  std::vector<std::unique_ptr<raw_node>> nodes(k_live);
  for (auto& p : nodes) p = std::make_unique<raw_node>();
  std::size_t i = 0;
  for (auto _ : state) {
    nodes[i % k_live]->next = nodes[(i * 7 + i / k_live) % k_live].get();
    i++;
    benchmark::ClobberMemory();
  }
}
BENCHMARK(store_raw);

void store_shared_ptr(benchmark::State& state) {
  std::vector<std::shared_ptr<shared_node>> nodes(k_live);
  for (auto& p : nodes) p = std::make_shared<shared_node>();
  std::size_t i = 0;
  for (auto _ : state) {
    nodes[i % k_live]->next = nodes[(i * 7 + i / k_live) % k_live];
    i++;
    benchmark::ClobberMemory();
  }
  for (auto& p : nodes) p->next = nullptr;
}
BENCHMARK(store_shared_ptr);

// ---- weak pointers ----

void lock_gc_weak(benchmark::State& state) {
  gc_ptr<node> object = make_gc<node>();
  gc_weak<node> weak(object);
  for (auto _ : state) benchmark::DoNotOptimize(weak.lock().get());
  cairn::keep_alive(object);
}
BENCHMARK(lock_gc_weak);

void lock_weak_ptr(benchmark::State& state) {
  auto object = std::make_shared<shared_node>();
  std::weak_ptr<shared_node> weak(object);
  for (auto _ : state) benchmark::DoNotOptimize(weak.lock().get());
}
BENCHMARK(lock_weak_ptr);

void make_gc_weak(benchmark::State& state) {
  gc_ptr<node> object = make_gc<node>();
  for (auto _ : state) {
    gc_weak<node> weak(object);
    benchmark::DoNotOptimize(weak);
  }
  cairn::keep_alive(object);
}
BENCHMARK(make_gc_weak);

// ---- roots ----

void make_root(benchmark::State& state) {
  gc_ptr<node> object = make_gc<node>();
  for (auto _ : state) {
    root<node> r(object);
    benchmark::DoNotOptimize(r);
  }
}
BENCHMARK(make_root);

void make_roots(benchmark::State& state) {
  gc_ptr<node> object = make_gc<node>();
  auto count = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    std::vector<root<node>> roots(count, root<node>(object));
    benchmark::DoNotOptimize(roots.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(make_roots)->Arg(1000)->Arg(100'000);

void copy_shared_ptr(benchmark::State& state) {
  auto object = std::make_shared<shared_node>();
  for (auto _ : state) {
    std::shared_ptr<shared_node> copy = object;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(copy_shared_ptr);

// ---- a collection of next to nothing ----

void collect_small_heap(benchmark::State& state) {
  for (auto _ : state) cairn::gc::collect();
}
BENCHMARK(collect_small_heap)->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv) {
  return cairn::run([&] {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  });
}
