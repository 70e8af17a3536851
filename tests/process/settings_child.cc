// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs that look at the settings of their environment, or break a rule that a setting is there to find.
#include <cairn/cairn.h>
#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/support.h"
#include "process/child.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
namespace gc = cairn::gc;

int print_settings() {
  const int percent = gc::set_percent(100);
  const std::size_t limit = gc::set_memory_limit(cairn::no_limit);
  std::printf("%d %zu %d\n", percent, limit, cairn::max_procs());
  return 0;
}

// What run() takes by itself where the process may use the first of its processors only.
int print_procs_on_one_processor() {
  cpu_set_t ours, one;
  EXPECT_IN_CHILD(sched_getaffinity(0, sizeof ours, &ours) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &ours)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  EXPECT_IN_CHILD(sched_setaffinity(0, sizeof one, &one) == 0);
  return cairn::run([] { std::printf("%d\n", cairn::max_procs()); });
}

// A few cycles on demand, a few by themselves.
int work() {
  cairn::root<cell> live = make_list(0, 10'000);
  for (int i = 0; i < 5; ++i) gc::collect();
  for (int i = 0; i < 3'000'000; ++i) cairn::keep_alive(make_cell(1));
  EXPECT_IN_CHILD(is_list(live, 0, 10'000));
  return 0;
}

int work_in_threads() {
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      cairn::gc_ptr<cell> mine = make_list(t, 500);
      for (std::uint64_t i = 0; i < test_count(300, 60); ++i) {
        EXPECT_IN_CHILD(is_list(make_list(i, 200), i, 200));
        mine->next = make_list(t + 1, 499);
        if (i % 20 == 0) gc::collect();
      }
      EXPECT_IN_CHILD(is_list(mine, t, 500));
    });
  for (auto& t : threads) t.join();
  EXPECT_IN_CHILD(gc::verify());
  return 0;
}

// Each of megabytes that another one had before, made while cycles mark.
int large_arrays() {
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) cairn::keep_alive(make_cell(1));
  });
  constexpr std::size_t k_words = 500'000;
  for (int i = 0; i < 60; ++i) {
    const auto words = cairn::make_gc_array<cairn::gc_ptr<cell>>(k_words);
    for (std::size_t k = 0; k < k_words; k += 1000) words[k] = make_cell(k);
    for (std::size_t k = 0; k < k_words; k += 1000)
      if (!words[k]->is(k)) return 1;
  }
  stop = true;
  other.join();
  return 0;
}

struct forgotten_type {
  std::uint64_t x;
};
// A gc_ptr where none may live.
int pointer_in_malloc_memory() {
  auto* bad = new std::vector<cairn::gc_ptr<forgotten_type>>(4);
  (*bad)[2] = cairn::make_gc<forgotten_type>();
  std::printf("%p\n", static_cast<void*>(&(*bad)[2]));
  std::fflush(stdout);
  for (int i = 0; i < 3; ++i) gc::collect();
  return 0;
}
int pointers_in_their_places() {
  static cairn::gc_ptr<cell> in_static;
  thread_local cairn::gc_ptr<cell> in_thread;
  cairn::gc_ptr<cell> on_stack = make_cell(1);
  in_static = in_thread = on_stack->next = make_cell(2);
  auto in_malloc = std::make_unique<cairn::root<cell>>(make_cell(3));
  cairn::vector<cairn::gc_ptr<cell>> v(100, on_stack);
  cairn::sync::wait_group done;
  done.go([p = cairn::gc_ptr<cell>(on_stack)] { EXPECT_IN_CHILD(p->is(1)); });
  done.wait();
  cairn::add_cleanup(on_stack, [p = in_static] { cairn::keep_alive(p); });
  std::thread([&] {
    cairn::attach_thread attached;
    cairn::gc_ptr<cell> here = *in_malloc;
    EXPECT_IN_CHILD(here->is(3));
  }).join();
  for (int i = 0; i < 3; ++i) gc::collect();
  return work_in_threads();
}
int barrier_on_an_unattached_thread() {
  cairn::root<cell> shared = make_cell(1);
  cell* raw = shared;
  std::thread([raw] { raw->next = raw; }).join();
  return 0;
}

// A pointer that the collector could not see is used after its object has died. Its neighbours live on, so
// that its slot is a free one among others.
int dangling(bool store_again) {
  std::uintptr_t hidden = 0;
  static std::vector<cairn::root<cell>> neighbours;
  apart([&] {
    for (std::uint64_t i = 0; i < 1000; ++i) {
      cell* c = make_cell(i);
      if (i == 500) hidden = ~reinterpret_cast<std::uintptr_t>(c);
      else neighbours.emplace_back(c);
    }
  });
  for (int i = 0; i < 4; ++i) {
    clear_stack();
    gc::collect();
  }
  cell* dead = reinterpret_cast<cell*>(~hidden);
  std::printf("%llx\n", static_cast<unsigned long long>(dead->seal[1]));
  std::fflush(stdout);
  if (store_again) {
    neighbours[0]->next = dead;
    for (int i = 0; i < 3; ++i) gc::collect();
  }
  return 0;
}
int read_dangling() { return dangling(false); }
int store_dangling() { return dangling(true); }

// ---- memory -----------------------------------------------------------------------------------------------

// The address space is limited before the first use of the library.
void limit_address_space(std::size_t bytes) {
  const rlimit limit{bytes, bytes};
  EXPECT_IN_CHILD(setrlimit(RLIMIT_AS, &limit) == 0);
}
int small_address_space() {
  limit_address_space(std::size_t{1} << 30);
  cairn::root<cell> live = make_list(0, 1000);
  for (int i = 0; i < 1'000'000; ++i) cairn::keep_alive(make_cell(1));
  EXPECT_IN_CHILD(is_list(live, 0, 1000));
  return 0;
}
int exhaustion(std::size_t piece) {
  limit_address_space(std::size_t{700} << 20);
  cairn::root<cell> live = make_list(0, 1000);
  for (int round = 0; round < 3; ++round) {
    std::size_t pieces = 0;
    apart([&] {
      struct link {
        cairn::gc_ptr<link> next;
        cairn::gc_slice<std::byte> bytes;
      };
      cairn::gc_ptr<link> all;
      try {
        while (true) {
          auto l = cairn::make_gc<link>();
          l->bytes = cairn::make_gc_bytes(piece);
          for (std::size_t i = 0; i < piece; i += 4096) l->bytes[i] = std::byte{1};
          l->next = all;
          all = l;
          ++pieces;
        }
      } catch (const std::bad_alloc&) {
      }
    });
    std::printf("round %d: %zu MiB\n", round, pieces * piece >> 20);
    EXPECT_IN_CHILD(pieces * piece > (std::size_t{64} << 20));
    // After catching it and letting go, the program goes on.
    gc::collect();
    EXPECT_IN_CHILD(is_list(live, 0, 1000));
    EXPECT_IN_CHILD(gc::verify());
    for (int i = 0; i < 100'000; ++i) cairn::keep_alive(make_cell(1));
    EXPECT_IN_CHILD(cairn::make_gc_bytes(10 << 20).size() == 10 << 20);
  }
  return 0;
}
int exhaustion_by_small_objects() { return exhaustion(2000); }
int exhaustion_by_large_objects() { return exhaustion(5 << 20); }
// Garbage is found before the error is.
int exhaustion_is_collected_first() {
  limit_address_space(std::size_t{700} << 20);
  gc::set_percent(cairn::gc_off);
  for (int i = 0; i < 500; ++i) (void)cairn::make_gc_bytes(10 << 20);
  EXPECT_IN_CHILD(gc::read_stats().gc_cycles > 0);
  return 0;
}
int too_small_address_space() {
  limit_address_space(std::size_t{40} << 20);
  try {
    (void)make_cell(1);
  } catch (const std::bad_alloc&) {
    std::puts("bad_alloc");
  }
  return 0;
}

// ---- exceptions that leave what the runtime called --------------------------------------------------------

int wait_for_the_end() {
  for (int i = 0; i < 200; ++i) {
    clear_stack();
    gc::collect();
    std::this_thread::sleep_for(20ms);
  }
  return 0;
}
int throw_from_goroutine() {
  cairn::go([] { throw std::runtime_error("nobody catches this"); });
  return wait_for_the_end();
}
int throw_from_goroutine_in_run() { return cairn::run(throw_from_goroutine); }
struct throws {
  std::uint64_t x = 1;
  ~throws() noexcept(false) { throw std::runtime_error("nobody catches this"); }
};
int throw_from_destructor() {
  apart([] { (void)cairn::make_gc<throws>(); });
  return wait_for_the_end();
}
int throw_from_cleanup() {
  apart([] { cairn::add_cleanup(make_cell(1), [] { throw std::runtime_error("nobody catches this"); }); });
  return wait_for_the_end();
}
int throw_from_finalizer() {
  apart([] {
    cairn::set_finalizer(make_cell(1), [](cell*) { throw std::runtime_error("nobody catches this"); });
  });
  return wait_for_the_end();
}
int throw_an_int_from_goroutine() {
  cairn::go([] { throw 42; });
  return wait_for_the_end();
}

}  // namespace

int main(int argc, char** argv) {
  return process::play(argc, argv,
                       {
                           {"print_settings", print_settings},
                           {"print_procs_on_one_processor", print_procs_on_one_processor},
                           {"work", work},
                           {"work_in_threads", work_in_threads},
                           {"large_arrays", large_arrays},
                           {"pointer_in_malloc_memory", pointer_in_malloc_memory},
                           {"pointers_in_their_places", pointers_in_their_places},
                           {"barrier_on_an_unattached_thread", barrier_on_an_unattached_thread},
                           {"read_dangling", read_dangling},
                           {"store_dangling", store_dangling},
                           {"small_address_space", small_address_space},
                           {"exhaustion_by_small_objects", exhaustion_by_small_objects},
                           {"exhaustion_by_large_objects", exhaustion_by_large_objects},
                           {"exhaustion_is_collected_first", exhaustion_is_collected_first},
                           {"too_small_address_space", too_small_address_space},
                           {"throw_from_goroutine", throw_from_goroutine},
                           {"throw_from_goroutine_in_run", throw_from_goroutine_in_run},
                           {"throw_from_destructor", throw_from_destructor},
                           {"throw_from_cleanup", throw_from_cleanup},
                           {"throw_from_finalizer", throw_from_finalizer},
                           {"throw_an_int_from_goroutine", throw_an_int_from_goroutine},
                       });
}
