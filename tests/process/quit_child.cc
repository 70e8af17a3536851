// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs that are sent SIGQUIT, by themselves, or that say what the scheduler does. The scene is the first argument.
#include <cairn/cairn.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "cairn/detail/annotate.h"
#include "heap/lock.h"
#include "sched/handshake.h"
#include "sched/m.h"
#include "sched/scheduler.h"

using namespace std::chrono_literals;

namespace {

cairn::sync::wait_group never;
std::atomic<int> begun{0};
std::atomic<bool> is_stuck{false};

[[gnu::noinline]] void waits_for_ever() {
  ++begun;
  never.wait();
  asm volatile("");
}
[[gnu::noinline]] void waits_on_its_thread() {
  cairn::lock_os_thread locked;
  waits_for_ever();
  asm volatile("");
}
[[gnu::noinline]] void spins_for_ever() {
  ++begun;
  for (;;) asm volatile("");
}
[[gnu::noinline]] void sleeps_in_the_kernel() {
  ++begun;
  cairn::blocking([] { sleep(1000); });
  asm volatile("");
}
[[gnu::noinline]] void holds_a_lock_of_the_runtime() {
  cairn::sched::runtime_section section;
  cairn::heap::lock_guard held(cairn::sched::sch.lock);
  is_stuck = true;
  for (;;) asm volatile("");
}
[[gnu::noinline]] void stops_the_world() {
  cairn::sched::with_world_stopped("test", [](const cairn::sched::world_stopped&) {
    is_stuck = true;
    for (;;) pause();
  });
}

void await_begun(int n) {
  while (begun.load() < n) cairn::sleep_for(1ms);
}
void quit() {
  kill(getpid(), SIGQUIT);
  for (;;) pause();
}
// By a thread that the runtime does not know, for the others may be in no state to do it.
template <class P>
void quit_when(P ready) {
  std::thread([ready] {
    while (!ready()) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(300ms);
    kill(getpid(), SIGQUIT);
  }).detach();
}

// ---- scenes --------------------------------------------------------------------------------------------------------

void everything() {
  cairn::go(waits_for_ever);
  cairn::go(waits_on_its_thread);
  cairn::go(sleeps_in_the_kernel);
  await_begun(3);
  cairn::go(spins_for_ever);
  while (begun.load() < 4) cairn::yield();
  std::this_thread::sleep_for(100ms);  // the others come to rest
  quit();
}
void nobody_runs() {
  for (int i = 0; i < 3; ++i) cairn::go(waits_for_ever);
  cairn::go([] { cairn::sleep_for(20s); });
  quit_when([] { return begun.load() == 4; });
  waits_for_ever();
}
void every_p_is_busy() {
  for (int i = 0; i < 8; ++i) cairn::go(spins_for_ever);
  std::this_thread::sleep_for(100ms);
  quit();
}
void the_scheduler_is_stuck() {
  cairn::go(waits_for_ever);
  await_begun(1);
  cairn::go(holds_a_lock_of_the_runtime);
  quit_when([] { return is_stuck.load(); });
  for (;;) cairn::yield();
}
void the_world_is_stopped() {
  cairn::go(waits_for_ever);
  await_begun(1);
  cairn::go(spins_for_ever);
  quit_when([] { return is_stuck.load(); });
  stops_the_world();
}
void many() {
  const int n = CAIRN_TSAN ? 1000 : 20'000;
  for (int i = 0; i < n; ++i) cairn::go(waits_for_ever);
  await_begun(n);
  quit();
}
void a_deep_one() {
  struct recursion {
    [[gnu::noinline]] static int go(int depth) {
      if (depth == 0) waits_for_ever();
      const int n = depth == 0 ? 0 : go(depth - 1);
      asm volatile("");
      return n + 1;
    }
  };
  cairn::go([] { recursion::go(500); });
  await_begun(1);
  quit();
}
// What the list needs malloc for never returns.
std::atomic<bool> demangler_hangs{false};

void the_demangler_hangs() {
  for (int i = 0; i < 3; ++i) cairn::go(waits_for_ever);
  await_begun(3);
  demangler_hangs = true;
  quit();
}

// Its caller's frame pointer is no more: its frames cannot be followed, and trying to is a fault.
[[gnu::noinline]] void waits_on_a_broken_stack() {
  static_cast<void**>(__builtin_frame_address(0))[0] = reinterpret_cast<void*>(0x10000);
  waits_for_ever();
}
[[gnu::noinline]] void calls_with_a_frame_pointer(std::size_t n) {
  char* bytes = static_cast<char*>(__builtin_alloca(n));
  asm volatile("" : : "r"(bytes) : "memory");
  waits_on_a_broken_stack();
  asm volatile("" : : "r"(bytes) : "memory");
}
void a_broken_stack() {
  cairn::go(waits_for_ever);
  cairn::go([] { calls_with_a_frame_pointer(static_cast<std::size_t>(begun.load()) + 100); });
  await_begun(2);
  cairn::go(waits_for_ever);
  await_begun(3);
  quit();
}

[[gnu::noinline]] void at_the_breakpoint() { asm volatile(""); }
[[gnu::noinline]] void adds_and_waits(int a, int b) {
  volatile int sum_of_both = a + b;
  waits_for_ever();
  asm volatile("" : : "r"(sum_of_both));
}
void for_gdb() {
  cairn::go(adds_and_waits, 20, 22);
  cairn::go(waits_on_its_thread);
  cairn::go(sleeps_in_the_kernel);
  await_begun(3);
  cairn::go(spins_for_ever);
  while (begun.load() < 4) cairn::yield();
  std::this_thread::sleep_for(50ms);
  at_the_breakpoint();
}
void for_gdb_by_core() {
  for_gdb();
  std::abort();
}

void own_handler() {
  cairn::go(waits_for_ever);
  kill(getpid(), SIGQUIT);
  std::this_thread::sleep_for(100ms);
  std::puts("went on");
}
void in_a_forked_child() {
  cairn::go(waits_for_ever);
  await_begun(1);
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGQUIT);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}
void some_work() {
  cairn::go(waits_for_ever);
  cairn::go(waits_on_its_thread);
  for (int i = 0; i < 5; ++i) {
    cairn::spawn([] {
      const auto until = std::chrono::steady_clock::now() + 20ms;
      while (std::chrono::steady_clock::now() < until) asm volatile("");
    }).get();
    cairn::sleep_for(30ms);
  }
}

constexpr struct {
  const char* name;
  void (*play)();
} k_scenes[] = {
    {"everything", everything},
    {"nobody_runs", nobody_runs},
    {"every_p_is_busy", every_p_is_busy},
    {"the_scheduler_is_stuck", the_scheduler_is_stuck},
    {"the_world_is_stopped", the_world_is_stopped},
    {"many", many},
    {"a_deep_one", a_deep_one},
    {"the_demangler_hangs", the_demangler_hangs},
    {"a_broken_stack", a_broken_stack},
    {"for_gdb", for_gdb},
    {"for_gdb_by_core", for_gdb_by_core},
    {"own_handler", own_handler},
    {"in_a_forked_child", in_a_forked_child},
    {"some_work", some_work},
};

}  // namespace

// In the place of the C++ runtime's.
extern "C" char* __cxa_demangle(const char* name, char* out, std::size_t* size, int* status) {
  while (demangler_hangs.load()) pause();
  using function = char* (*)(const char*, char*, std::size_t*, int*);
  static const auto real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "__cxa_demangle"));
  return real(name, out, size, status);
}

int main(int argc, char** argv) {
  if (argc < 2) return 127;
  if (std::strcmp(argv[1], "own_handler") == 0) signal(SIGQUIT, [](int) { (void)!write(1, "handled\n", 8); });
  never.add(1);
  for (const auto& scene : k_scenes) {
    if (std::strcmp(scene.name, argv[1]) != 0) continue;
    // Goroutines that are left at the end wait for ever.
    return cairn::run([&scene] { scene.play(); }, {.max_procs = 2});
  }
  return 127;
}
