// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The soak: all that goroutines can do, mixed, for minutes, on more Ps than there are cores: channels, selects, locks,
// maps, pools, timers, contexts, descriptors, exceptions, blocking calls and spinners, by goroutines and by attached
// threads, while collections run back to back, goroutines are preempted, the number of Ps changes and the runtime's
// protocols are delayed. One run() with many rounds: after each all counts must be right, and the goroutines and the
// descriptors as many as at the start; over the rounds neither objects nor memory nor threads may grow; in the end
// every object with an end has come to it.
//
//   soak [seconds [seed]]
//
// Runs itself again under the CAIRNDEBUG that it wants, unless one is set. Aborts with the seed when something is
// wrong, or with the list of goroutines too when nothing has moved for half a minute. What is done: see kind in
// stress/soak.h, and the files beside it.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "sched/idle_list.h"
#include "stress/soak_channels.h"
#include "stress/soak_goroutines.h"
#include "stress/soak_shared.h"
#include "stress/soak_sync.h"
#include "stress/soak_time.h"

namespace soak {
namespace {

constexpr int k_goroutines = 40, k_threads = 3;  // that act; they start others

// ---- the kinds ----------------------------------------------------------------------------------------------------

deliveries<letter> g_letters{"deliveries of structs", 3};
deliveries<parcel> g_parcels{"deliveries of move-only", 3};
deliveries<void> g_signals{"deliveries of signals"};
relays g_relays;
selects g_selects;
mutexes g_mutexes;
rw_mutexes g_rw_mutexes;
conds g_conds;
semaphores g_semaphores;
wait_groups g_wait_groups;
onces g_onces;
errgroups g_errgroups;
pools g_pools;
maps g_maps;
atomic_values g_atomic_values;
function_timers g_function_timers;
timers g_timers;
contexts g_contexts;
tasks g_tasks;
exceptions g_exceptions;
goexits g_goexits;
kernel_calls g_kernel_calls;
hogs g_hogs;
spins g_spins;
changes_of_procs g_changes_of_procs;
descriptors g_descriptors;
objects g_objects;

kind* const g_kinds[] = {&g_letters,         &g_parcels,      &g_signals,  &g_relays,     &g_selects,
                         &g_mutexes,         &g_rw_mutexes,   &g_conds,    &g_semaphores, &g_wait_groups,
                         &g_onces,           &g_errgroups,    &g_pools,    &g_maps,       &g_atomic_values,
                         &g_function_timers, &g_timers,       &g_contexts, &g_tasks,      &g_exceptions,
                         &g_goexits,         &g_kernel_calls, &g_hogs,     &g_spins,      &g_changes_of_procs,
                         &g_descriptors,     &g_objects};

kind& any_kind(random_source& random) {
  static const std::vector<kind*> by_weight = [] {
    std::vector<kind*> all;
    for (kind* k : g_kinds) all.insert(all.end(), k->weight(), k);
    return all;
  }();
  return *by_weight[random() % by_weight.size()];
}

void print_acts(FILE* to) {
  int column = 0;
  for (const kind* k : g_kinds)
    std::fprintf(to, "%12llu %-24s%s", as_printed(k->acts()), k->name(), ++column % 3 == 0 ? "\n" : "");
  if (column % 3 != 0) std::fprintf(to, "\n");
}

// ---- what must not grow -------------------------------------------------------------------------------------------

struct sample {
  std::size_t goroutines, objects, heap_kib, resident_kib, metadata_kib, threads, descriptors;
};

std::size_t entries_of(const char* directory) {
  std::error_code failed;
  const auto n = std::distance(std::filesystem::directory_iterator(directory, failed), {});
  expect(!failed, "/proc cannot be read");
  return static_cast<std::size_t>(n);
}
// Threads that run goroutines, by their names.
std::size_t count_workers() {
  std::size_t n = 0;
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);  // nothing of one that has just ended
    n += name == "cairn-m";
  }
  expect(!failed, "/proc cannot be read");
  return n;
}
// The fewest of some counts: the runtime has a file of /proc open for an instant now and then.
std::size_t count_descriptors() {
  std::size_t least = entries_of("/proc/self/fd");
  for (int i = 0; i < 10; ++i) {
    cairn::sleep_for(1ms);
    least = std::min(least, entries_of("/proc/self/fd"));
  }
  return least;
}
std::size_t resident_kib() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

// After two collections, since what the first finds dead may end with a function. Nobody else collects meanwhile.
sample take_sample(company& beside) {
  std::lock_guard held(beside.collecting());
  cairn::gc::collect();
  cairn::gc::collect();
  const cairn::gc::stats s = cairn::gc::read_stats();
  return {cairn::num_goroutines(), s.heap_objects,          s.heap_live_bytes / 1024,
          resident_kib(),          s.metadata_bytes / 1024, entries_of("/proc/self/task"),
          count_descriptors()};
}

void print_sample(FILE* to, const char* when, const sample& s) {
  std::fprintf(to, "%-8s%9zu%9zu%12zu%12zu%12zu%9zu%9zu\n", when, s.goroutines, s.objects, s.heap_kib,
               s.resident_kib, s.metadata_kib, s.threads, s.descriptors);
}

using samples = std::vector<sample>;

std::size_t median(const samples& all, std::size_t from, std::size_t to, std::size_t sample::*field) {
  std::vector<std::size_t> values;
  for (std::size_t i = from; i < to; ++i) values.push_back(all[i].*field);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The last third of the rounds next to the second sixth: the first one fills caches, pools and stacks. What is
// tolerated is `percent` and `more`: stale words on stacks keep objects, and malloc's memory is as fragmented as it is.
struct limit {
  const char* name;
  std::size_t sample::*field;
  std::size_t percent, more;
};
constexpr limit k_limits[] = {
    {"objects", &sample::objects, 10, 2000},
    {"KiB of the heap", &sample::heap_kib, 10, 512},
    {"KiB of resident memory", &sample::resident_kib, 10, 8 * 1024},
    {"KiB of metadata", &sample::metadata_kib, 10, 1024},
    {"threads", &sample::threads, 0, 8},
};

bool is_limited(const limit& l) {
  // A sanitizer's own tables and quarantine grow for a long time.
  return !(CAIRN_ASAN || CAIRN_TSAN) || l.field != &sample::resident_kib;
}

void expect_no_growth(const samples& all) {
  const std::size_t n = all.size();
  if (n < 12) {
    std::printf("%zu rounds are too few to say what has grown\n", n);
    return;
  }
  bool has_grown = false;
  for (const limit& l : k_limits) {
    const std::size_t early = median(all, n / 6, n / 3, l.field), late = median(all, n - n / 3, n, l.field);
    const std::size_t most = early + early * l.percent / 100 + l.more;
    std::printf("%24s: %9zu early, %9zu late, at most %9zu%s\n", l.name, early, late, most,
                is_limited(l) ? "" : " (not under a sanitizer)");
    if (late > most && is_limited(l)) has_grown = true;
  }
  if (has_grown) fail("something has grown from round to round");
}

// ---- rounds -------------------------------------------------------------------------------------------------------

void live(std::uint64_t number, const std::atomic<bool>& stop) {
  random_source random(mix(number));
  while (!stop) any_kind(random).do_one(random);
}

void play(random_source& random, std::chrono::milliseconds time) {
  for (kind* k : g_kinds) k->begin();
  std::atomic<bool> stop{false};
  wait_group all;
  std::vector<std::thread> threads;
  for (int i = 0; i < k_goroutines; ++i) all.go([&stop, number = random()] { live(number, stop); });
  for (int i = 0; i < k_threads; ++i)
    threads.emplace_back([&stop, number = random()] { live(number, stop); });
  cairn::sleep_for(time);
  stop = true;
  all.wait();
  cairn::blocking([&] {
    for (std::thread& t : threads) t.join();
  });
  for (kind* k : g_kinds) k->end();
}

// Rounds of a second or two, or so short that there are enough of them.
std::chrono::milliseconds round_time(random_source& random) {
  const auto most = std::chrono::milliseconds(storm.time) / 20;
  return std::min(most, std::chrono::milliseconds(1000 + random() % 1000));
}

void tell(FILE* to) { print_acts(to); }

struct outcome {
  sample first, last;
  std::size_t rounds;
};

// Those that a round had in blocking() or frozen. Beside those in the list of idle ones there are this goroutine's and
// the sleeper.
void await_ends_of_workers() {
  const std::size_t most = static_cast<std::size_t>(cairn::max_procs()) + cairn::sched::k_spare_workers + 2;
  expect(eventually([most] { return count_workers() <= most; }), "threads that nobody needs are left");
}

// Main. The poller's descriptors, which stay open, are there before the first sample. The goroutines are counted before
// those make one: it may be counted for a while after it has said that it is through.
outcome play_all(company& beside) {
  random_source random(storm.seed);
  const std::size_t goroutines = cairn::num_goroutines();
  g_descriptors.do_one(random);
  const sample first = take_sample(beside);
  samples all;
  const auto end = clock_type::now() + storm.time;
  do {  // one round at least
    play(random, round_time(random));
    expect(eventually([&] { return cairn::num_goroutines() == goroutines; }), "goroutines are left");
    await_ends_of_workers();
    all.push_back(take_sample(beside));
    expect(eventually([&first] { return count_descriptors() == first.descriptors; }), "descriptors are left");
  } while (clock_type::now() < end);
  expect_no_growth(all);
  return {first, all.back(), all.size()};
}

outcome soak_for_a_while() {
  outcome result{};
  cairn::sched::idle_list::rest_ns = std::chrono::nanoseconds(100ms).count();  // less than a round
  company beside(500us);
  on_procs(k_procs, [&] { result = play_all(beside); });
  return result;
}

bool is_all_over(std::size_t most) {
  return objects::all_are_over() && cairn::gc::read_stats().heap_objects <= most;
}

// What has ended so far, if not all did.
void print_ends() {
  const auto print = [](const char* name, const made_and_over& c) {
    std::fprintf(stderr, "soak: %llu of %llu %s ran\n", as_printed(c.over), as_printed(c.made), name);
  };
  print("destructors", objects::destructors);
  print("cleanups", objects::cleanups);
  print("finalizers", objects::finalizers);
  std::fprintf(stderr, "soak: %zu objects\n", cairn::gc::read_stats().heap_objects);
}

int main_of(int argc, char** argv) {
  begin_storm(argc, argv, "soak", "clobberfree=1,check=2,delay=5", tell);
  cairn::gc::collect();
  // The slack is for stale words on stacks.
  const std::size_t most = cairn::gc::read_stats().heap_objects + 100;
  outcome result{};
  apart([&result] { result = soak_for_a_while(); });
  if (!collect_until([most] { return is_all_over(most); })) {
    print_ends();
    fail("not everything came to its end");
  }
  if (!cairn::gc::verify()) fail("verify() found a disagreement");
  std::printf("soak: all well: %zu rounds, %zu cycles, at least %llu preemptions\n", result.rounds,
              cairn::gc::read_stats().gc_cycles, as_printed(g_hogs.preemptions()));
  print_acts(stdout);
  std::printf("        %9s%9s%12s%12s%12s%9s%9s\n", "fibers", "objects", "heap KiB", "resident", "metadata",
              "threads", "files");
  print_sample(stdout, "start", result.first);
  print_sample(stdout, "end", result.last);
  return 0;
}

}  // namespace
}  // namespace soak

int main(int argc, char** argv) { return soak::main_of(argc, argv); }
