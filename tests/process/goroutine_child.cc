// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs whose goroutines end them, whose main returns before its goroutines have, or that get no more threads or
// memory.
#include <cairn/cairn.h>
#include <sys/resource.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/procs.h"
#include "process/child.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

void print_id() {
  std::printf("%llu\n", static_cast<unsigned long long>(cairn::goroutine_id()));
  std::fflush(stdout);
}
[[noreturn]] void sleep_for_ever() {
  while (true) cairn::sleep_for(1h);
}

// ---- what leaves a goroutine ------------------------------------------------------------------------------

[[gnu::noinline]] void throws_at_depth(int depth) {
  if (depth == 0) throw std::runtime_error("left alone");
  throws_at_depth(depth - 1);
  print_id();
}
int an_exception_after_parks() {
  return on_procs(2, [] {
    cairn::go([] {
      park_in_all_ways();
      print_id();
      const std::string unwound_by_none = "a destructor on the way";
      throws_at_depth(3);
    });
    sleep_for_ever();
  });
}
[[gnu::noinline]] void rethrows() {
  try {
    throw std::out_of_range("rethrown");
  } catch (...) {
    cairn::yield();
    throw;
  }
}
int an_exception_beside_others() {
  return on_procs(2, [] {
    for (int i = 0; i < 20; ++i)
      cairn::go([] {
        while (true) {
          try {
            cairn::yield();
            throw 1;
          } catch (int) {
          }
        }
      });
    cairn::sleep_for(20ms);
    cairn::go([] {
      print_id();
      rethrows();
    });
    sleep_for_ever();
  });
}
// Whose message takes its time; main returns meanwhile.
std::atomic<bool> is_being_reported{false};
struct slow_to_say : std::exception {
  const char* what() const noexcept override {
    is_being_reported = true;
    std::this_thread::sleep_for(100ms);
    return "said at last";
  }
};
int an_exception_while_main_returns() {
  cairn::go([] {
    print_id();
    throw slow_to_say();
  });
  while (!is_being_reported) std::this_thread::sleep_for(100us);
  return 0;
}
// As another language's runtime raises it.
[[gnu::noinline]] void raises_a_foreign_one() {
  static _Unwind_Exception foreign{};
  std::memcpy(&foreign.exception_class, "OTHRLANG", sizeof foreign.exception_class);
  _Unwind_RaiseException(&foreign);
  std::abort();  // nobody wants it
}
int a_foreign_exception_in_a_handler() {
  return on_procs(2, [] {
    cairn::go([] {
      print_id();
      try {
        throw std::runtime_error("handled");
      } catch (const std::runtime_error&) {
        raises_a_foreign_one();
      }
    });
    sleep_for_ever();
  });
}
int a_swallowed_goexit() {
  return cairn::run([] {
    cairn::go([] {
      print_id();
      try {
        cairn::yield();
        cairn::goexit();
      } catch (...) {
      }
    });
    sleep_for_ever();
  });
}
void throws_one() { throw 1; }
int a_throw_from_noexcept() {
  return cairn::run([] {
    cairn::go([]() noexcept {
      cairn::yield();
      throws_one();
    });
    sleep_for_ever();
  });
}
// exit and quick_exit from a goroutine, with others in all states.
void start_one_of_each() {
  static gate never;
  cairn::go([] { never.pass(); });
  cairn::go([] { sleep_for_ever(); });
  cairn::go([] { cairn::blocking([] { std::this_thread::sleep_for(1h); }); });
  cairn::go([] {
    while (true) cairn::keep_alive(make_list(1, 10));
  });
  cairn::go([] {
    while (true) cairn::yield();
  });
}
int exit_from_a_goroutine() {
  return on_procs(2, [] {
    start_one_of_each();
    cairn::sleep_for(20ms);
    cairn::go([] { std::exit(7); });
    sleep_for_ever();
  });
}

// ---- main returns -----------------------------------------------------------------------------------------

struct tells {
  ~tells() { std::puts("destroyed"); }
};

// What must work after a run that left goroutines behind.
void expect_another_run() {
  for (int i = 0; i < 2; ++i) {
    const int got = on_procs(2, [] {
      EXPECT_IN_CHILD(cairn::num_goroutines() == 1);
      std::vector<cairn::task<cell*>> tasks;
      for (std::uint64_t k = 0; k < 50; ++k)
        tasks.push_back(cairn::spawn([k] {
          cell* made = make_list(k, 20);
          park_in_all_ways();
          return made;
        }));
      for (int k = 0; k < 3; ++k) cairn::gc::collect();
      for (std::uint64_t k = 0; k < 50; ++k) EXPECT_IN_CHILD(is_list(tasks[k].get(), k, 20));
      return 5;
    });
    EXPECT_IN_CHILD(got == 5);
  }
  // The program's own thread goes on too.
  for (int i = 0; i < 3; ++i) {
    std::vector<std::unique_ptr<char[]>> blocks;
    for (std::size_t k = 1; k < 2000; ++k) blocks.push_back(std::make_unique<char[]>(k));
    cairn::gc::collect();
  }
}

int parked_ones_are_dropped() {
  static gate never;
  on_procs(2, [] {
    std::atomic<int> there{0};
    for (int i = 0; i < 100; ++i)
      cairn::go([&] {
        tells not_destroyed;
        ++there;
        if (cairn::goroutine_id() % 2 == 0) never.pass();
        else sleep_for_ever();
      });
    cairn::go([] {
      tells not_destroyed;
      cairn::spawn([] { never.pass(); }).get();
    });
    EXPECT_IN_CHILD(eventually([&] { return there == 100; }));
  });
  expect_another_run();
  return 0;
}
int what_parked_ones_held_dies() {
  static gate never;
  std::vector<cairn::gc_weak<cell>> weak(100);
  on_procs(2, [&] {
    std::atomic<int> there{0};
    for (std::size_t i = 0; i < weak.size(); ++i)
      cairn::go([&there, &w = weak[i], i] {
        cell* mine = make_cell(i);
        w = mine;
        ++there;
        never.pass();
        EXPECT_IN_CHILD(mine->is(i));
      });
    EXPECT_IN_CHILD(eventually([&] { return there == 100; }));
  });
  EXPECT_IN_CHILD(collect_until([&] {
    std::size_t gone = 0;
    for (const auto& w : weak) gone += is_gone(w);
    return gone > 80;
  }));
  expect_another_run();
  return 0;
}
// Goroutines that have not begun are never begun.
int new_ones_are_dropped() {
  static std::atomic<int> late{0};
  on_procs(1, [] {
    for (int i = 0; i < 1000; ++i)
      cairn::go([] {
        cairn::yield();
        ++late;
      });
  });
  const int then = late;
  std::this_thread::sleep_for(20ms);
  EXPECT_IN_CHILD(late == then);
  expect_another_run();
  return 0;
}
// Those that run end at their next call into the library.
int yielding_ones_end() {
  static std::atomic<std::uint64_t> steps{0};
  on_procs(2, [] {
    for (int i = 0; i < 20; ++i)
      cairn::go([] {
        while (true) {
          cairn::yield();
          ++steps;
        }
      });
    EXPECT_IN_CHILD(eventually([] { return steps > 1000; }));
  });
  const std::uint64_t then = steps;
  std::this_thread::sleep_for(20ms);
  EXPECT_IN_CHILD(steps == then);
  expect_another_run();
  return 0;
}
std::atomic<bool> let_go{false};
void spin() {
  while (!let_go.load(std::memory_order_relaxed)) {
  }
}
// More of them than Ps: some are frozen when main returns.
int spinning_ones_are_left() {
  const auto start = std::chrono::steady_clock::now();
  static std::atomic<int> there{0};
  on_procs(2, [] {
    for (int i = 0; i < 4; ++i)
      cairn::go([] {
        ++there;
        spin();
      });
    EXPECT_IN_CHILD(eventually([] { return there == 4; }));
  });
  EXPECT_IN_CHILD(std::chrono::steady_clock::now() - start < 30s);
  expect_another_run();
  let_go = true;
  return 0;
}
// Ended or frozen anywhere in malloc, which must work for the rest of the program.
int in_the_middle_of_malloc() {
  static std::atomic<int> there{0};
  on_procs(1, [] {
    for (int i = 0; i < 3; ++i)
      cairn::go([] {
        ++there;
        std::vector<std::unique_ptr<char[]>> held(64);
        for (std::uint64_t n = 0; !let_go.load(std::memory_order_relaxed); ++n)
          held[n % held.size()] = std::make_unique<char[]>(1 + mix(n) % 5000);
      });
    EXPECT_IN_CHILD(eventually([] { return there == 3; }));
    cairn::sleep_for(30ms);
  });
  expect_another_run();
  let_go = true;
  return 0;
}
// The same with a lock of the program, which the rest of it wants.
int holding_a_mutex() {
  static std::mutex lock;
  static std::atomic<int> there{0};
  on_procs(1, [] {
    for (int i = 0; i < 4; ++i)
      cairn::go([] {
        ++there;
        while (!let_go.load(std::memory_order_relaxed)) std::lock_guard guard(lock);
      });
    EXPECT_IN_CHILD(eventually([] { return there == 4; }));
    cairn::sleep_for(30ms);
  });
  for (int i = 0; i < 10; ++i) {
    std::lock_guard guard(lock);
    EXPECT_IN_CHILD(!let_go);
  }
  expect_another_run();
  let_go = true;
  return 0;
}
// The same, and one is certainly in the middle of what it does under the lock when main returns.
int inside_a_critical_section() {
  static std::mutex lock;
  static std::atomic<bool> inside{false};
  static std::atomic<int> came_through{0};
  on_procs(1, [] {
    cairn::go([] {
      const std::lock_guard guard(lock);
      inside = true;
      spin();
      inside = false;
    });
    EXPECT_IN_CHILD(eventually([] { return inside.load(); }));
    for (int i = 0; i < 3; ++i)
      cairn::go([] {
        const std::lock_guard guard(lock);
        EXPECT_IN_CHILD(!inside);
        ++came_through;
      });
    cairn::sleep_for(30ms);
  });
  EXPECT_IN_CHILD(inside && !lock.try_lock());
  expect_another_run();
  EXPECT_IN_CHILD(inside && came_through == 0);
  let_go = true;
  {
    const std::lock_guard guard(lock);
    EXPECT_IN_CHILD(!inside);
  }
  expect_another_run();
  return 0;
}
int blocked_in_the_kernel() {
  static std::atomic<int> there{0};
  static int ends[2];
  EXPECT_IN_CHILD(pipe(ends) == 0);
  on_procs(2, [] {
    for (int i = 0; i < 4; ++i)
      cairn::go([i] {
        ++there;
        char c = 0;
        if (i % 2 == 0) cairn::blocking([&] { return read(ends[0], &c, 1); });
        else EXPECT_IN_CHILD(read(ends[0], &c, 1) == 1);
      });
    EXPECT_IN_CHILD(eventually([] { return there == 4; }));
    cairn::sleep_for(10ms);
  });
  expect_another_run();
  EXPECT_IN_CHILD(write(ends[1], "abcd", 4) == 4);
  std::this_thread::sleep_for(20ms);
  expect_another_run();
  return 0;
}
// A goroutine that runs on for a while after main has returned may use what a parked one has lent it: the
// stacks of those that are dropped are nobody else's before the last has ended.
int stacks_are_kept_for_those_that_run() {
  for (int i = 0; i < 5; ++i) {
    static std::atomic<int> running, checked;
    static std::atomic<bool> returned;
    running = checked = 0;
    returned = false;
    on_procs(2, [] {
      for (int k = 0; k < 2; ++k)
        cairn::go([] {
          volatile std::uint64_t lent[500];
          for (std::uint64_t n = 0; n < 500; ++n) lent[n] = mix(n);
          wait_group child;
          child.go([&lent] {
            ++running;
            while (!returned.load(std::memory_order_relaxed)) {
            }
            const auto until = std::chrono::steady_clock::now() + 50ms;
            while (std::chrono::steady_clock::now() < until)
              for (std::uint64_t n = 0; n < 500; ++n) {
                EXPECT_IN_CHILD(lent[n] == mix(n));
                lent[n] = mix(n);
              }
            ++checked;
            cairn::yield();
          });
          child.wait();
        });
      EXPECT_IN_CHILD(eventually([] { return running == 2; }));
      cairn::sleep_for(5ms);
      returned = true;
    });
    EXPECT_IN_CHILD(checked == 2);
    expect_another_run();
  }
  return 0;
}
int while_a_collection_runs() {
  for (int i = 0; i < 20; ++i) {
    on_procs(2, [] {
      for (int k = 0; k < 4; ++k)
        cairn::go([] {
          while (true) {
            cairn::keep_alive(make_list(1, 100));
            cairn::gc::collect();
          }
        });
      cairn::sleep_for(1ms);
    });
  }
  expect_another_run();
  return 0;
}
int main_throws_beside_others() {
  for (int i = 0; i < 5; ++i) {
    bool caught = false;
    try {
      on_procs(2, []() -> int {
        static gate never;
        for (int k = 0; k < 20; ++k)
          cairn::go([k] {
            if (k % 2 == 0) never.pass();
            while (true) cairn::yield();
          });
        cairn::yield();
        throw std::runtime_error("main's");
      });
    } catch (const std::runtime_error& e) {
      caught = std::string(e.what()) == "main's";
    }
    EXPECT_IN_CHILD(caught);
  }
  expect_another_run();
  return 0;
}
int many_runs() {
  for (int i = 0; i < 100; ++i) {
    static gate never;
    const int got = on_procs(1 + i % 4, [i] {
      for (int k = 0; k < 20; ++k)
        cairn::go([k] {
          if (k % 3 == 0) never.pass();
          if (k % 3 == 1) cairn::sleep_for(1h);
        });
      cairn::yield();
      cell* mine = make_list(1, 10);
      if (i % 10 == 0) cairn::gc::collect();
      return is_list(mine, 1, 10) ? i : -1;
    });
    EXPECT_IN_CHILD(got == i);
  }
  return 0;
}

// ---- nothing more to be had -------------------------------------------------------------------------------

constexpr int k_not_root = 77;

// From here on this process gets `more` threads beside those that it has. Of root nothing is refused, so it becomes a
// user of which there is no other process.
void allow_threads(rlim_t more) {
  const auto user = static_cast<uid_t>(1'000'000 + getpid());
  EXPECT_IN_CHILD(setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0);
  const rlimit limit{more, more};
  EXPECT_IN_CHILD(setrlimit(RLIMIT_NPROC, &limit) == 0);
  // So it is with this user's count: one thread of the process was counted anew, the others were not.
}
bool thread_is_refused() {
  try {
    std::thread([] {}).join();
    return false;
  } catch (const std::system_error&) {
    return true;
  }
}
// The library is told with an exception, or does without; it neither hangs nor crashes.
template <class F>
int report(F f) {
  try {
    f();
    std::puts("went well");
  } catch (const std::system_error& e) {
    std::printf("system_error: %s\n", e.what());
  } catch (const std::bad_alloc&) {
    std::puts("bad_alloc");
  }
  return 0;
}
int no_thread_at_the_start() {
  if (geteuid() != 0) return k_not_root;
  allow_threads(1);
  EXPECT_IN_CHILD(thread_is_refused());
  return report([] {
    on_procs(2, [] {
      EXPECT_IN_CHILD(cairn::spawn([] {
                        cairn::yield();
                        return 5;
                      }).get() == 5);
      cell* mine = make_list(1, 100);
      cairn::gc::collect();
      EXPECT_IN_CHILD(is_list(mine, 1, 100));
    });
  });
}
// Once the runtime runs, refusing threads costs parallelism; those that spawn and block get through all the same, or
// are told.
int no_thread_later() {
  if (geteuid() != 0) return k_not_root;
  return on_procs(2, [] {
    for (int i = 0; i < 10; ++i) cairn::spawn([] { park_in_all_ways(); }).get();
    cairn::gc::collect();
    allow_threads(1);
    EXPECT_IN_CHILD(thread_is_refused());
    report([] {
      for (int round = 0; round < 3; ++round) {
        std::vector<cairn::task<bool>> tasks;
        for (std::uint64_t i = 0; i < 50; ++i)
          tasks.push_back(cairn::spawn([i] {
            cell* mine = make_list(i, 10);
            cairn::blocking([] { std::this_thread::sleep_for(1ms); });
            cairn::yield();
            return is_list(mine, i, 10);
          }));
        for (auto& t : tasks) EXPECT_IN_CHILD(t.get());
        cairn::gc::collect();
      }
    });
    // The rest of the program is as before.
    cell* mine = make_list(7, 100);
    cairn::gc::collect();
    EXPECT_IN_CHILD(is_list(mine, 7, 100));
    return 0;
  });
}
// Stacks for which there is no address space: an exception, or the end with a message; then all goes on.
int no_memory_for_stacks() {
  const rlimit limit{std::size_t{1} << 30, std::size_t{1} << 30};
  EXPECT_IN_CHILD(setrlimit(RLIMIT_AS, &limit) == 0);
  return on_procs(2, [] {
    static gate leave;
    static std::atomic<int> ended{0};
    int started = 0;
    report([&] {
      for (; started < 100'000; ++started)
        cairn::go([] {
          leave.pass();
          ++ended;
        });
    });
    std::printf("started %d\n", started);
    std::fflush(stdout);
    cairn::sleep_for(20ms);
    leave.open();
    EXPECT_IN_CHILD(eventually([&] { return ended == started; }));
    cell* mine = make_list(7, 100);
    cairn::gc::collect();
    EXPECT_IN_CHILD(is_list(mine, 7, 100));
    return 0;
  });
}

}  // namespace

int main(int argc, char** argv) {
  return process::play(argc, argv,
                       {
                           {"an_exception_after_parks", an_exception_after_parks},
                           {"an_exception_beside_others", an_exception_beside_others},
                           {"an_exception_while_main_returns", an_exception_while_main_returns},
                           {"a_foreign_exception_in_a_handler", a_foreign_exception_in_a_handler},
                           {"a_swallowed_goexit", a_swallowed_goexit},
                           {"a_throw_from_noexcept", a_throw_from_noexcept},
                           {"exit_from_a_goroutine", exit_from_a_goroutine},
                           {"parked_ones_are_dropped", parked_ones_are_dropped},
                           {"what_parked_ones_held_dies", what_parked_ones_held_dies},
                           {"new_ones_are_dropped", new_ones_are_dropped},
                           {"yielding_ones_end", yielding_ones_end},
                           {"spinning_ones_are_left", spinning_ones_are_left},
                           {"in_the_middle_of_malloc", in_the_middle_of_malloc},
                           {"holding_a_mutex", holding_a_mutex},
                           {"inside_a_critical_section", inside_a_critical_section},
                           {"blocked_in_the_kernel", blocked_in_the_kernel},
                           {"stacks_are_kept_for_those_that_run", stacks_are_kept_for_those_that_run},
                           {"while_a_collection_runs", while_a_collection_runs},
                           {"main_throws_beside_others", main_throws_beside_others},
                           {"many_runs", many_runs},
                           {"no_thread_at_the_start", no_thread_at_the_start},
                           {"no_thread_later", no_thread_later},
                           {"no_memory_for_stacks", no_memory_for_stacks},
                       });
}
