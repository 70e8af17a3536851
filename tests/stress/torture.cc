// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The torture program: more threads than cores change graphs of which a shadow in malloc memory knows what
// must be in them, while collections are forced from several sides, freed memory is filled with rubbish,
// every structure of the heap is walked after every phase and the runtime's protocols are delayed at random.
// Nothing may be lost; and when the roots have gone the heap must be empty to the last object, every
// destructor, cleanup and finalizer having run once.
//
//   torture [--seconds N] [--threads N] [--seed N] [--debug SETTINGS]
//
// SETTINGS replaces the CAIRNDEBUG under which the program runs itself again. Exit status 0: all well; an
// abort otherwise, with the seed on standard error.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "crash_report.h"
#include "scale.h"
#include "stress/torture_island.h"

namespace torture {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct settings {
  long seconds = static_cast<long>(test_seconds(25).count());
  unsigned threads = 0;
  std::uint64_t seed = 0;
  std::string debug;
};
settings g_settings;

std::atomic<bool> stop{false};
std::atomic<std::uint64_t> steps{0};

}  // namespace

void fail(const std::string& what) {
  std::fprintf(stderr, "torture: %s\ntorture: repeat with --seed %llu --threads %u --debug %s\n",
               what.c_str(), static_cast<unsigned long long>(g_settings.seed), g_settings.threads,
               g_settings.debug.c_str());
  std::abort();
}

namespace {

// ---- islands ----------------------------------------------------------------------------------------------

std::vector<std::unique_ptr<island>> islands;

void on_island(random_source& random) {
  island& here = *islands[random() % islands.size()];
  std::lock_guard guard(here.lock);
  for (int i = 0; i < 40; ++i) here.step(random);
  if (random() % 200 == 0) here.verify_all();
}

// ---- trees that all threads hand to each other without a lock ---------------------------------------------

std::array<cairn::gc_atomic<tree>, 32> exchange;
// One per thread, of those that are the program's own: a goroutine's stays behind on the threads it has been on.
thread_local cairn::gc_ptr<tree> kept;

void on_exchange(random_source& random) {
  cairn::gc_atomic<tree>& slot = exchange[random() % exchange.size()];
  tree* mine = make_tree(random(), random() % 4);
  switch (random() % 3) {
    case 0:
      mine = slot.exchange(mine);
      break;
    case 1: {
      tree* expected = slot.load(std::memory_order_acquire);
      if (slot.compare_exchange_strong(expected, mine)) mine = expected;
      break;
    }
    default:
      mine = slot.load();
  }
  if (mine != nullptr && !is_tree(mine, mine->id)) fail("a tree from an exchange slot is damaged");
  if (kept && !is_tree(kept, kept->id)) fail("a tree in a thread_local is damaged");
  if (random() % 2 == 0 && cairn::goroutine_id() == 0) kept = mine;
}

// ---- weak references, cleanups, finalizers ----------------------------------------------------------------

struct calls {
  std::atomic<std::uint64_t> added{0}, stopped{0}, run{0};
};
calls cleanups, finalizers;

// In malloc memory, which the collector does not scan.
struct watched {
  std::mutex lock;
  cairn::gc_weak<tree> tree_;
  std::uint64_t id = 0;
};
std::vector<std::unique_ptr<watched>> watch_list;
// Objects that a finalizer has brought back.
std::mutex brought_back_lock;
std::vector<cairn::root<tree>> brought_back;

void watch(watched& w, random_source& random) {
  tree* t = make_tree(random(), random() % 3);
  w.tree_ = t;
  w.id = t->id;
  exchange[random() % exchange.size()].store(t);
  if (random() % 2 == 0) {
    cleanups.added.fetch_add(1, std::memory_order_relaxed);
    cairn::stop_handle handle = cairn::add_cleanup(
        t, [] { cleanups.run.fetch_add(1, std::memory_order_relaxed); });
    if (random() % 4 == 0 && handle.stop()) cleanups.stopped.fetch_add(1, std::memory_order_relaxed);
  }
  if (random() % 2 == 0) {
    finalizers.added.fetch_add(1, std::memory_order_relaxed);
    // A word: what a closure has as padding is looked at as well, and gccheckmark would take an old word for a
    // reference.
    const std::uint64_t bring_back = random() % 2;
    cairn::set_finalizer(t, [bring_back, id = t->id](tree* dying) {
      if (!is_tree(dying, id)) fail("a finalizer got a damaged tree");
      finalizers.run.fetch_add(1, std::memory_order_relaxed);
      if (bring_back == 0) return;
      std::lock_guard guard(brought_back_lock);
      brought_back.emplace_back(dying);
    });
  }
}

void on_watch_list(random_source& random) {
  watched& w = *watch_list[random() % watch_list.size()];
  {
    std::lock_guard guard(w.lock);
    tree* t = w.tree_.lock();
    if (t == nullptr || random() % 8 == 0) {
      watch(w, random);
    } else if (!is_tree(t, w.id)) {
      fail("a locked weak reference leads to a damaged tree");
    } else if (random() % 2 == 0) {
      exchange[random() % exchange.size()].store(t);
    }
  }
  if (random() % 16 == 0) {
    std::vector<cairn::root<tree>> old;
    std::lock_guard guard(brought_back_lock);
    for (const auto& r : brought_back)
      if (!is_tree(r, r->id)) fail("a tree that its finalizer brought back is damaged");
    old.swap(brought_back);
  }
}

// ---- owned objects, slices, everything that needs no sharing ----------------------------------------------

struct boxed {
  std::uint64_t id;
  cairn::gc_ptr<tree> inside;
  std::unique_ptr<int> outside;
  explicit boxed(std::uint64_t number) : id(number), outside(std::make_unique<int>(7)) {
    tracked.made.fetch_add(1, std::memory_order_relaxed);
  }
  ~boxed() { tracked.destroyed.fetch_add(1, std::memory_order_relaxed); }
};

void on_owned(random_source& random) {
  std::vector<cairn::unique_gc<boxed>> boxes;
  for (std::uint64_t i = 0; i < 20; ++i) {
    boxes.push_back(cairn::make_unique_gc<boxed>(i));
    boxes.back()->inside = make_tree(i, 1);
  }
  std::shuffle(boxes.begin(), boxes.end(), random);
  boxes.resize(10);
  for (auto& b : boxes)
    if (!is_tree(b->inside, b->id) || *b->outside != 7) fail("an owned object is damaged");
  cairn::gc_ptr<boxed> shared = boxes.back().share();
  boxes.clear();
  if (!is_tree(shared->inside, shared->id)) fail("a shared object is damaged");
}

void on_slices(random_source& random) {
  cairn::gc_slice<std::uint64_t> numbers;
  cairn::gc_slice<cairn::gc_ptr<tree>> trees;
  const std::size_t n = random() % 3000;
  for (std::size_t i = 0; i < n; ++i) {
    numbers = numbers.append(mix(i));
    if (i % 16 == 0) trees = trees.append(make_tree(i, 0));
  }
  // Nothing but a pointer into its middle holds the array.
  std::uint64_t* middle = n > 0 ? &numbers[n / 2] : nullptr;
  numbers = {};
  if (random() % 32 == 0) cairn::gc::collect();
  for (std::size_t i = 0; i < n; ++i)
    if (middle[static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(n / 2)] != mix(i))
      fail("a slice changed");
  for (std::size_t i = 0; i < trees.size(); ++i)
    if (!is_tree(trees[i], 16 * i)) fail("an element of a slice is damaged");
}

void on_lists(random_source& random) {
  const std::size_t n = 1 + random() % 2000;
  cairn_test::cell* list = cairn_test::make_list(n, n);
  std::vector<cairn::root<cairn_test::cell>> tails;
  for (cairn_test::cell* c = list; c != nullptr; c = c->next)
    if (random() % 64 == 0) tails.emplace_back(c);
  if (!cairn_test::is_list(list, n, n)) fail("a list is damaged");
  for (auto& t : tails)
    if (!cairn_test::is_list(t, t->id, 2 * n - t->id)) fail("the tail of a list is damaged");
}

// A thread that lives for this only. What it starts with and what it leaves are roots.
void on_short_threads(random_source& random) {
  cairn::root<tree> given = make_tree(random(), 3);
  cairn::root<tree> result;
  const std::uint64_t id = random();
  std::thread worker([&result, given, id] {
    if (!is_tree(given, given->id)) fail("a tree given to a thread is damaged");
    kept = make_tree(id, 2);
    result = kept;
    if (id % 4 == 0) cairn::gc::collect();
  });
  given.reset();
  worker.join();
  if (!is_tree(result, id)) fail("a tree left by a thread is damaged");
}

void on_tasks(random_source& random) {
  const std::uint64_t id = random();
  cairn::gc_ptr<tree> given = make_tree(id, 2);
  auto task = cairn::spawn(
      [](tree* t, std::uint64_t expected) {
        if (!is_tree(t, expected)) fail("a tree given to a task is damaged");
        return cairn::gc_ptr<tree>(make_tree(expected + 1, 2));
      },
      given, id);
  given = nullptr;
  if (!is_tree(task.get(), id + 1)) fail("a task's result is damaged");
}

// ---- the threads ------------------------------------------------------------------------------------------

void work(std::uint64_t seed) {
  random_source random(seed);
  while (!stop.load(std::memory_order_relaxed)) {
    switch (random() % 24) {
      case 0:
      case 1:
        on_exchange(random);
        break;
      case 2:
      case 3:
        on_watch_list(random);
        break;
      case 4:
        on_owned(random);
        break;
      case 5:
        on_slices(random);
        break;
      case 6:
        on_lists(random);
        break;
      case 7:
        if (random() % 8 == 0) on_short_threads(random);
        break;
      case 8:
        if (random() % 8 == 0) on_tasks(random);
        break;
      case 9:
        if (random() % 64 == 0) cairn::gc::collect();
        break;
      default:
        on_island(random);
    }
    steps.fetch_add(1, std::memory_order_relaxed);
  }
  kept = nullptr;
}

void force_cycles(std::uint64_t seed) {
  random_source random(seed);
  while (!stop.load(std::memory_order_relaxed)) {
    switch (random() % 16) {
      case 0:
        if (!cairn::gc::verify()) fail("verify() found a disagreement");
        break;
      case 1:
        cairn::gc::free_os_memory();
        break;
      case 2:
        cairn::gc::set_percent(static_cast<int>(20 + random() % 300));
        break;
      default:
        cairn::gc::collect();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
  }
}

// Not attached: sees whether the others make progress, and the counters from outside. Its own looks are its clock: time
// in which the whole process was stopped is not time in which nothing was done.
void watch_progress() {
  constexpr auto between_looks = 50ms;
  constexpr int most_looks = 120s / between_looks;
  std::uint64_t last = 0;
  int looks = 0;
  std::size_t last_allocs = 0, last_frees = 0, last_cycles = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(between_looks);
    if (const std::uint64_t now = steps.load(std::memory_order_relaxed); now != last) {
      last = now;
      looks = 0;
    } else if (++looks > most_looks) {
      fail("no step was done for two minutes");
    }
    const cairn::gc::stats s = cairn::gc::read_stats();
    if (s.total_allocs < last_allocs || s.total_frees < last_frees || s.gc_cycles < last_cycles)
      fail("a counter went backwards");
    if (s.heap_mapped_bytes < s.heap_idle_bytes || s.heap_idle_bytes < s.heap_released_bytes)
      fail("mapped, idle and released bytes contradict each other");
    last_allocs = s.total_allocs, last_frees = s.total_frees, last_cycles = s.gc_cycles;
  }
}

void drop_roots() {
  for (auto& i : islands) {
    i->verify_all();
    i->clear();
  }
  for (auto& slot : exchange) {
    if (tree* t = slot.load(); t != nullptr && !is_tree(t, t->id)) fail("a tree was damaged at the end");
    slot.store(nullptr);
  }
}

bool all_calls_done() {
  return cleanups.run.load() == cleanups.added.load() - cleanups.stopped.load() &&
         finalizers.run.load() == finalizers.added.load() && tracked.destroyed.load() == tracked.made.load();
}

// The heap must go back to `start` objects. Finalizers bring objects back, so it takes some cycles.
void expect_empty(std::size_t start) {
  cairn::gc::stats s = {};
  const auto deadline = clock::now() + 60s;
  do {
    {
      std::lock_guard guard(brought_back_lock);
      brought_back.clear();
    }
    cairn_test::clear_stack();
    cairn::gc::collect();
    s = cairn::gc::read_stats();
    if (s.total_allocs - s.total_frees == s.heap_objects && s.heap_objects <= start && all_calls_done()) {
      std::printf("torture: all well: %zu objects made and freed, %zu cycles, %llu steps\n", s.total_frees,
                  s.gc_cycles, static_cast<unsigned long long>(steps.load()));
      return;
    }
    std::this_thread::sleep_for(10ms);
  } while (clock::now() < deadline);
  std::string left;
  for (const auto& c : s.per_class)
    if (c.objects_in_use != 0)
      left += ", " + std::to_string(c.objects_in_use) + " of " + std::to_string(c.object_size);
  fail("not everything died: " + std::to_string(s.heap_objects) + " objects, " + std::to_string(start) +
       " at the start; cleanups " + std::to_string(cleanups.run.load()) + "/" +
       std::to_string(cleanups.added.load() - cleanups.stopped.load()) + ", finalizers " +
       std::to_string(finalizers.run.load()) + "/" + std::to_string(finalizers.added.load()) +
       ", destructors " + std::to_string(tracked.destroyed.load()) + "/" +
       std::to_string(tracked.made.load()) + left);
}

// Half of the workers are threads, half goroutines. On a thread of its own, so that main's stack holds
// nothing.
void run_all() {
  std::thread watcher(watch_progress);
  std::vector<std::thread> threads;
  cairn::sync::wait_group goroutines;
  for (unsigned i = 0; i < g_settings.threads; ++i) {
    const std::uint64_t seed = mix(g_settings.seed + i);
    if (i % 2 == 0) threads.emplace_back(work, seed);
    else goroutines.go([seed] { work(seed); });
  }
  for (std::uint64_t i = 0; i < 2; ++i) threads.emplace_back(force_cycles, mix(~g_settings.seed + i));
  // In short sleeps: one that a signal interrupts goes on for what was left of it, the time of the stop not
  // counted.
  const auto end = clock::now() + std::chrono::seconds(g_settings.seconds);
  while (clock::now() < end) std::this_thread::sleep_for(20ms);
  stop.store(true);
  for (auto& t : threads) t.join();
  goroutines.wait();
  watcher.join();
  if (tracked.damaged.load() != 0) fail("a destructor found its object damaged");
  drop_roots();
}

int run() {
  cairn::gc::collect();
  const std::size_t start = cairn::gc::read_stats().heap_objects;
  for (std::uint64_t i = 0; i < 12; ++i) islands.push_back(std::make_unique<island>(i));
  for (int i = 0; i < 200; ++i) watch_list.push_back(std::make_unique<watched>());
  std::thread(run_all).join();
  expect_empty(start);
  for (auto& w : watch_list)
    if (w->tree_.lock().get() != nullptr) fail("a weak reference leads to an object after all have died");
  return 0;
}

// ---- the command line -------------------------------------------------------------------------------------

std::uint64_t number(const char* name, const char* text) {
  char* end = nullptr;
  const std::uint64_t value = text != nullptr ? std::strtoull(text, &end, 10) : 0;
  if (text == nullptr || *text == '\0' || *end != '\0') {
    std::fprintf(stderr, "torture: %s needs a number\n", name);
    std::exit(2);
  }
  return value;
}

void parse(int argc, char** argv) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--seconds") g_settings.seconds = static_cast<long>(number("--seconds", value));
    else if (name == "--threads") g_settings.threads = static_cast<unsigned>(number("--threads", value));
    else if (name == "--seed") g_settings.seed = number("--seed", value);
    else if (name == "--debug" && value != nullptr) g_settings.debug = value;
    else {
      std::fprintf(stderr, "usage: torture [--seconds N] [--threads N] [--seed N] [--debug SETTINGS]\n");
      std::exit(2);
    }
  }
  if (g_settings.threads == 0) g_settings.threads = 2 * std::max(2u, std::thread::hardware_concurrency()) + 2;
  if (g_settings.seed == 0) g_settings.seed = std::random_device()() | 1;
  if (g_settings.debug.empty())
    g_settings.debug = "clobberfree=1,check=3,delay=20,seed=" + std::to_string(g_settings.seed % 1000000);
}

// The runtime reads its settings once, before main: so they are set for another run of this program.
void run_again_with_settings(char** argv) {
  const char* now = std::getenv("CAIRNDEBUG");
  if (now != nullptr && g_settings.debug == now) return;
  setenv("CAIRNDEBUG", g_settings.debug.c_str(), 1);
  const std::string seconds = std::to_string(g_settings.seconds),
                    threads = std::to_string(g_settings.threads), seed = std::to_string(g_settings.seed);
  execl("/proc/self/exe", argv[0], "--seconds", seconds.c_str(), "--threads", threads.c_str(), "--seed",
        seed.c_str(), "--debug", g_settings.debug.c_str(), nullptr);
  std::perror("torture: exec");
  std::exit(2);
}

}  // namespace
}  // namespace torture

int main(int argc, char** argv) {
  cairn_test::report_crashes();
  torture::parse(argc, argv);
  torture::run_again_with_settings(argv);
  std::printf("torture: seed %llu, %u threads, %ld seconds, CAIRNDEBUG=%s\n",
              static_cast<unsigned long long>(torture::g_settings.seed), torture::g_settings.threads,
              torture::g_settings.seconds, torture::g_settings.debug.c_str());
  std::fflush(stdout);
  return torture::run();
}
