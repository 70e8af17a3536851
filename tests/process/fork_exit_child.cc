// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a program may do around fork, exit and the end of threads.
#include <cairn/cairn.h>
#include <cairn/detail/annotate.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "api/support.h"
#include "process/child.h"

#if CAIRN_TSAN
// Around a fork jemalloc takes all its locks, more than the sanitizer's search for deadlocks can count.
extern "C" const char* __tsan_default_options() { return "detect_deadlocks=0"; }
#endif

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;

int status_of(pid_t child) {
  int status = 0;
  EXPECT_IN_CHILD(waitpid(child, &status, 0) == child);
  return status;
}

// fork, then exec, with other threads allocating meanwhile.
int fork_and_exec() {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (std::uint64_t t = 0; t < 3; ++t)
    busy.emplace_back([&, t] {
      while (!stop) EXPECT_IN_CHILD(is_list(make_list(t, 200), t, 200));
    });
  cell* mine = make_list(1, 1000);
  for (int i = 0; i < 30; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(3);
    }
    const int status = status_of(child);
    EXPECT_IN_CHILD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cairn::gc::collect();
  }
  stop = true;
  for (auto& t : busy) t.join();
  EXPECT_IN_CHILD(is_list(mine, 1, 1000));
  return 0;
}

int fork_and_leave() {
  cell* mine = make_list(1, 1000);
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(is_list(mine, 1, 1000) ? 7 : 8);  // reading is no use of the library
    const int status = status_of(child);
    EXPECT_IN_CHILD(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    cairn::gc::collect();
  }
  return 0;
}

template <class F>
int fork_and(F f) {
  (void)make_list(1, 1000);
  const pid_t child = fork();
  if (child == 0) {
    f();
    _exit(0);
  }
  const int status = status_of(child);
  // The parent goes on.
  cell* mine = make_list(5, 100);
  cairn::gc::collect();
  EXPECT_IN_CHILD(is_list(mine, 5, 100));
  return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
}
int fork_and_allocate() {
  return fork_and([] {
    for (int i = 0; i < 1'000'000; ++i) make_cell(1);
  });
}
int fork_and_collect() {
  return fork_and([] { cairn::gc::collect(); });
}
int fork_and_go() {
  return fork_and([] { cairn::go([] {}); });
}
int fork_and_root() {
  static cairn::root<cell> held = make_cell(1);
  return fork_and([] {
    for (int i = 0; i < 100'000; ++i) new cairn::root<cell>(held);
  });
}
// The parent waits for a descriptor before, meanwhile and afterwards.
int fork_and_wait_readable() {
  int result = 0;
  cairn::run([&] {
    int ends[2];
    EXPECT_IN_CHILD(::pipe(ends) == 0);
    auto reader = cairn::spawn([&] { return cairn::wait_readable(ends[0]); });
    cairn::sleep_for(5ms);
    result = fork_and([&] { cairn::wait_readable(ends[0], std::chrono::steady_clock::now() + 1s); });
    EXPECT_IN_CHILD(!cairn::wait_readable(ends[0], std::chrono::steady_clock::now() + 5ms));
    EXPECT_IN_CHILD(::write(ends[1], "x", 1) == 1 && reader.get());
  });
  return result;
}

// ---- exit -------------------------------------------------------------------------------------------------

struct last_words {
  cairn::gc_ptr<cell> kept;
  bool silent = false;
  ~last_words() {
    if (silent) return;
    // Static destructors may still use the heap.
    EXPECT_IN_CHILD(!kept || is_list(kept, 3, 300));
    cell* fresh = make_list(8, 20'000);
    EXPECT_IN_CHILD(is_list(fresh, 8, 20'000));
    cairn::root<cell> rooted = fresh;
    cairn::vector<cairn::gc_ptr<cell>> v(100, cairn::gc_ptr<cell>(fresh));
    // No collection starts; one that was under way may end.
    const auto cycles = cairn::gc::read_stats().gc_cycles;
    for (int i = 0; i < 50; ++i) (void)cairn::make_gc_bytes(1 << 20);
    EXPECT_IN_CHILD(cairn::gc::read_stats().gc_cycles <= cycles + 1);
    std::puts("last words");
  }
};
last_words before_main;
cairn::root<cell> static_root;

int exit_with_static_destructors() {
  before_main.kept = make_list(3, 300);
  static_root = make_cell(1);
  cairn::gc::collect();
  return 0;
}
int exit_while_threads_run() {
  for (std::uint64_t t = 0; t < 3; ++t)
    std::thread([t] {
      while (true) make_list(t, 100);
    }).detach();
  std::this_thread::sleep_for(50ms);
  std::exit(0);
}
int exit_while_a_cycle_runs() {
  std::thread([] {
    while (true) cairn::gc::collect();
  }).detach();
  before_main.kept = make_list(3, 300);
  std::this_thread::sleep_for(50ms);
  std::exit(0);
}

struct tells {
  std::uint64_t x = 1;
  ~tells() { std::puts("destroyed"); }
};
int exit_runs_no_destructors() {
  static cairn::gc_ptr<tells> kept = cairn::make_gc<tells>();
  for (int i = 0; i < 10; ++i) (void)cairn::make_gc<tells>();
  return kept ? 0 : 1;
}
int exit_after_run() {
  cairn::run([] { before_main.kept = make_list(3, 300); });
  return 0;
}
int never_used() {
  before_main.silent = true;
  return 0;
}
int first_used_by_a_static_destructor() { return 0; }

// ---- run --------------------------------------------------------------------------------------------------

int run_leaves_a_running_goroutine() {
  const auto start = std::chrono::steady_clock::now();
  static std::atomic<bool> stop{false};
  cairn::run([] {
    static std::atomic<bool> running{false};
    cairn::go([] {
      running = true;
      while (!stop) {
      }
    });
    while (!running) std::this_thread::yield();
  });
  const auto took = std::chrono::steady_clock::now() - start;
  stop = true;
  EXPECT_IN_CHILD(took < 5s);
  EXPECT_IN_CHILD(took > 500ms);
  return 0;
}

// ---- threads ----------------------------------------------------------------------------------------------

long rss_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word)
    if (word == "VmRSS:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  return 0;
}

// A sanitizer's own memory grows with every thread and everything freed: there the runtime's figures have to do.
bool grew_little_since(long kib) { return CAIRN_ASAN || CAIRN_TSAN || rss_kib() < kib + (32 << 10); }

int ten_thousand_threads() {
  auto batch = [](int n) {
    for (int i = 0; i < n; i += 10) {
      std::vector<std::thread> ten;
      for (std::uint64_t t = 0; t < 10; ++t)
        ten.emplace_back([t] {
          thread_local cairn::gc_ptr<cell> mine;
          mine = make_list(t, 20);
          cairn::root<cell> rooted = mine;
          auto bytes = cairn::make_gc_bytes(5000);
          bytes[0] = std::byte{1};
          EXPECT_IN_CHILD(is_list(rooted, t, 20));
        });
      for (auto& t : ten) t.join();
    }
  };
  batch(1000);
  cairn::gc::collect();
  const auto before = cairn::gc::read_stats();
  const long rss_before = rss_kib();
  batch(9000);
  EXPECT_IN_CHILD(
      collect_until([&] { return cairn::gc::read_stats().heap_objects <= before.heap_objects + 100; }));
  const auto after = cairn::gc::read_stats();
  std::printf("metadata %zu -> %zu, stacks %zu -> %zu, rss %ld -> %ld KiB\n", before.metadata_bytes,
              after.metadata_bytes, before.stack_bytes, after.stack_bytes, rss_before, rss_kib());
  EXPECT_IN_CHILD(after.metadata_bytes < before.metadata_bytes + (4u << 20));
  EXPECT_IN_CHILD(after.stack_bytes < before.stack_bytes + (4u << 20));
  EXPECT_IN_CHILD(grew_little_since(rss_before));
  return 0;
}

int ten_thousand_goroutines_in_turn() {
  for (std::uint64_t i = 0; i < 10'000; ++i)
    EXPECT_IN_CHILD(is_list(cairn::spawn([i] { return make_list(i, 5); }).get(), i, 5));
  const long rss_before = rss_kib();
  for (std::uint64_t i = 0; i < 5'000; ++i) cairn::spawn([i] { return make_list(i, 5); }).get();
  EXPECT_IN_CHILD(grew_little_since(rss_before));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return process::play(argc, argv,
                       {
                           {"fork_and_exec", fork_and_exec},
                           {"fork_and_leave", fork_and_leave},
                           {"fork_and_allocate", fork_and_allocate},
                           {"fork_and_collect", fork_and_collect},
                           {"fork_and_go", fork_and_go},
                           {"fork_and_root", fork_and_root},
                           {"fork_and_wait_readable", fork_and_wait_readable},
                           {"exit_with_static_destructors", exit_with_static_destructors},
                           {"exit_while_threads_run", exit_while_threads_run},
                           {"exit_while_a_cycle_runs", exit_while_a_cycle_runs},
                           {"exit_runs_no_destructors", exit_runs_no_destructors},
                           {"exit_after_run", exit_after_run},
                           {"never_used", never_used},
                           {"first_used_by_a_static_destructor", first_used_by_a_static_destructor},
                           {"run_leaves_a_running_goroutine", run_leaves_a_running_goroutine},
                           {"ten_thousand_threads", ten_thousand_threads},
                           {"ten_thousand_goroutines_in_turn", ten_thousand_goroutines_in_turn},
                       });
}
