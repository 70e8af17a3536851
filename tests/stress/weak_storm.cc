// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Weak references, finalizers, cleanups and destructors under cycles that run back to back: more threads than cores
// make objects with all of these, hand them to each other, lock, copy and drop weak references to them, and free some
// by hand. What is locked must be whole, what a root holds must lock, and at the end every function must have run as
// often as it should, and nothing be left.
//
//   weak_storm [seconds [seed]]
//
// Run it with CAIRNDEBUG=clobberfree=1,check=1,delay=20 to make rare interleavings common.
#include <cairn/cairn.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "api/support.h"
#include "crash_report.h"
#include "scale.h"

namespace {

using namespace cairn_test;
using clock_type = std::chrono::steady_clock;

std::uint64_t seed;
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> steps{0}, locked{0}, gone{0};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "weak_storm: %s; seed %llu\n", what, static_cast<unsigned long long>(seed));
  std::abort();
}

struct tally {
  std::atomic<std::uint64_t> expected{0}, done{0};
  void expect() { expected.fetch_add(1, std::memory_order_relaxed); }
  void unexpect() { expected.fetch_sub(1, std::memory_order_relaxed); }
  void count() { done.fetch_add(1, std::memory_order_relaxed); }
  bool is_even() const { return expected.load() == done.load(); }
};
tally destructors, finalizers, cleanups;

// Whole if its own number, its tail and the seals agree.
// `Words` spreads the things over size classes, large ones too.
struct thing {
  std::uint64_t id;
  cairn::gc_ptr<cell> tail;
  std::uint64_t seal;
  explicit thing(std::uint64_t n) : id(n), tail(make_list(n, 1 + n % 3)), seal(mix(n)) {}
  bool is_whole() const { return seal == mix(id) && is_list(tail, id, 1 + id % 3); }
};
template <std::size_t Words>
struct sized : thing {
  std::uint64_t more[Words] = {};
  using thing::thing;
};
struct destroyed : thing {
  explicit destroyed(std::uint64_t n) : thing(n) { destructors.expect(); }
  ~destroyed() {
    if (!is_whole()) fail("a destructor found its object damaged");
    destructors.count();
  }
};

[[gnu::noinline]] thing* make_thing(std::uint64_t n) {
  switch (n % 8) {
    case 0:
      return cairn::make_gc<sized<2>>(n);
    case 1:
      return cairn::make_gc<sized<60>>(n);
    case 2:
      return cairn::make_gc<sized<500>>(n);
    case 3:
      return n % 64 == 3 ? static_cast<thing*>(cairn::make_gc<sized<6000>>(n)) : cairn::make_gc<sized<9>>(n);
    case 4:
    case 5:
      return cairn::make_gc<destroyed>(n);
    default:
      return cairn::make_gc<thing>(n);
  }
}

// Where threads leave weak references, and sometimes what keeps their object alive, for each other.
struct place {
  std::mutex lock;
  cairn::gc_weak<thing> weak;
  cairn::root<thing> strong;
  std::uint64_t id = 0;
};
std::vector<place> places(16384);  // so many that most are left alone during a cycle, and white ones die
std::array<cairn::gc_atomic<thing>, 64> shared;  // without a lock

// Objects that a finalizer has brought back; emptied by all.
std::mutex back_lock;
std::vector<cairn::root<thing>> back;

void add_functions(thing* t, std::mt19937_64& random) {
  if (random() % 4 == 0) {
    finalizers.expect();
    // A word: the padding behind a bool would be old words of this stack, and the library looks at captures as it does
    // at a stack.
    const std::uint64_t bring_back = random() % 2;
    cairn::set_finalizer(t, [bring_back, id = t->id](thing* dying) {
      if (dying->id != id || !dying->is_whole()) fail("a finalizer got a damaged object");
      finalizers.count();
      if (bring_back == 0) return;
      std::lock_guard guard(back_lock);
      back.emplace_back(dying);
    });
    if (random() % 8 == 0) {
      cairn::set_finalizer(t, nullptr);
      finalizers.unexpect();
    }
  }
  // One captures a raw pointer, which the library keeps as a stack does.
  for (std::uint64_t n = random() % 3; n-- > 0;) {
    cleanups.expect();
    cell* captured = make_list(n, 2);
    const cairn::stop_handle handle = cairn::add_cleanup(t, [captured, n] {
      if (!is_list(captured, n, 2)) fail("what a cleanup captured is damaged");
      cleanups.count();
    });
    if (random() % 4 == 0 && handle.stop()) cleanups.unexpect();
  }
}

void refill(place& p, std::mt19937_64& random) {
  thing* t = make_thing(random());
  add_functions(t, random);
  p.id = t->id;
  p.weak = t;
  if (random() % 2 == 0) p.strong = t;
  else p.strong.reset();
}

void visit(place& p, std::mt19937_64& random) {
  std::lock_guard guard(p.lock);
  thing* t = p.weak.lock();
  if (t == nullptr) {
    if (p.strong) fail("a weak reference to an object that a root holds is cleared");
    gone.fetch_add(1, std::memory_order_relaxed);
    return refill(p, random);
  }
  locked.fetch_add(1, std::memory_order_relaxed);
  if (t->id != p.id || !t->is_whole()) fail("a locked weak reference leads to a damaged object");
  switch (random() % 8) {
    case 0:
      p.strong.reset();
      break;
    case 1:
      p.strong = t;
      break;
    case 2:
      shared[random() % shared.size()].store(t);
      break;
    case 3:
      refill(p, random);
      break;
    default:
      break;
  }
}

// Copies, moves and ends of references to one object; the object may be a thread's own.
void copy_around(std::mt19937_64& random, std::vector<cairn::gc_weak<thing>>& own) {
  place& p = places[random() % places.size()];
  {
    std::lock_guard guard(p.lock);
    own.push_back(p.weak);
  }
  if (thing* t = shared[random() % shared.size()].load()) {
    if (!t->is_whole()) fail("a shared object is damaged");
    const cairn::gc_weak<thing> first = t, second = first;
    if (second.lock() != t) fail("a weak reference to an object in hand is cleared");
    own.push_back(second);
  }
  if (own.size() > 200) {
    std::shuffle(own.begin(), own.end(), random);
    for (const auto& w : own)
      if (thing* t = w.lock(); t != nullptr && !t->is_whole())
        fail("a copied weak reference leads to a damaged object");
    own.resize(own.size() / 2);
  }
}

template <class T>
void free_by_hand(std::mt19937_64& random) {
  auto owned = cairn::make_unique_gc<T>(random());
  cairn::gc_weak<thing> weak = owned.get();
  if (random() % 2 == 0) {
    cleanups.expect();
    cairn::add_cleanup(owned.get(), [] { cleanups.count(); });
  }
  if (weak.lock() != owned.get()) fail("a weak reference to an owned object is cleared");
  owned.reset();
  if (weak.lock()) fail("a weak reference to a freed object is not cleared");
}

void empty_back() {
  std::vector<cairn::root<thing>> old;
  {
    std::lock_guard guard(back_lock);
    old.swap(back);
  }
  for (const auto& r : old)
    if (!r->is_whole()) fail("an object that its finalizer brought back is damaged");
}

void work(std::uint64_t number) {
  std::mt19937_64 random(mix(seed + number));
  std::vector<cairn::gc_weak<thing>> own;
  while (!stop.load(std::memory_order_relaxed)) {
    switch (random() % 16) {
      case 0:
        free_by_hand<destroyed>(random);
        break;
      case 1:
        free_by_hand<sized<6000>>(random);
        break;
      case 2:
      case 3:
      case 4:
        copy_around(random, own);
        break;
      case 5:
        empty_back();
        break;
      case 6:
        shared[random() % shared.size()].exchange(nullptr);
        break;
      case 7:
        if (random() % 32 == 0) std::thread([&] { visit(places[random() % places.size()], random); }).join();
        break;
      default:
        visit(places[random() % places.size()], random);
    }
    steps.fetch_add(1, std::memory_order_relaxed);
  }
}

void collect_back_to_back() {
  while (!stop.load(std::memory_order_relaxed)) cairn::gc::collect();
}

// Not attached.
void watch_progress() {
  std::uint64_t last = 0;
  auto last_change = clock_type::now();
  while (!stop.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (const std::uint64_t now = steps.load(std::memory_order_relaxed); now != last) {
      last = now;
      last_change = clock_type::now();
    } else if (clock_type::now() - last_change > std::chrono::seconds(60)) {
      fail("no step was done for a minute");
    }
  }
}

void run_all(std::chrono::seconds seconds) {
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2 * std::max(2u, std::thread::hardware_concurrency()) + 1; ++t)
    threads.emplace_back(work, t);
  threads.emplace_back(collect_back_to_back);
  threads.emplace_back(watch_progress);
  const auto end = clock_type::now() + seconds;
  while (clock_type::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop.store(true);
  for (auto& t : threads) t.join();
  for (place& p : places) {
    if (p.strong && !p.strong->is_whole()) fail("a held object was damaged at the end");
    p.strong.reset();
  }
  for (auto& s : shared) s.store(nullptr);
}

bool all_is_over(std::size_t start) {
  empty_back();
  return destructors.is_even() && finalizers.is_even() && cleanups.is_even() &&
         cairn::gc::read_stats().heap_objects <= start;
}

void report(const char* name, const tally& t) {
  std::fprintf(stderr, "weak_storm: %llu of %llu %s ran\n", static_cast<unsigned long long>(t.done.load()),
               static_cast<unsigned long long>(t.expected.load()), name);
}

}  // namespace

int main(int argc, char** argv) {
  cairn_test::report_crashes();
  const auto seconds = argc > 1 ? std::chrono::seconds(std::atol(argv[1])) : test_seconds(10);
  seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device()();
  std::printf("weak_storm: seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  cairn::gc::collect();
  const std::size_t start = cairn::gc::read_stats().heap_objects;
  std::thread(run_all, seconds).join();
  if (!collect_until([start] { return all_is_over(start); })) {
    report("destructors", destructors);
    report("finalizers", finalizers);
    report("cleanups", cleanups);
    std::fprintf(stderr, "weak_storm: %zu objects, %zu at the start\n", cairn::gc::read_stats().heap_objects,
                 start);
    fail("not everything came to its end");
  }
  for (place& p : places)
    if (p.weak.lock()) fail("a weak reference leads to an object after all have died");
  if (!cairn::gc::verify()) fail("verify() found a disagreement");
  std::printf("weak_storm: all well: %llu steps, %llu locked, %llu gone, %zu cycles\n",
              static_cast<unsigned long long>(steps.load()), static_cast<unsigned long long>(locked.load()),
              static_cast<unsigned long long>(gone.load()), cairn::gc::read_stats().gc_cycles);
  return 0;
}
