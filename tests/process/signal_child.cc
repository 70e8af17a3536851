// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs that use signals beside the runtime.
#include <cairn/cairn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "api/support.h"
#include "process/child.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;

volatile sig_atomic_t caught = 0;
void count(int) { caught = caught + 1; }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  EXPECT_IN_CHILD(sigaction(signal, &action, nullptr) == 0);
}

// Collections that have to interrupt a running thread.
void collect_beside_a_busy_thread() {
  std::atomic<bool> stop{false}, running{false};
  std::thread busy([&] {
    cairn::gc_ptr<cell> mine = make_list(1, 100);
    running = true;
    while (!stop) EXPECT_IN_CHILD(is_list(mine, 1, 100));
  });
  while (!running) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) cairn::gc::collect();
  stop = true;
  busy.join();
}

// A handler that was there before the library gets the signals that are not the runtime's, and only those.
int earlier_handler_is_chained() {
  handle(SIGURG, count);
  collect_beside_a_busy_thread();
  EXPECT_IN_CHILD(caught == 0);
  for (int i = 0; i < 5; ++i) raise(SIGURG);
  kill(getpid(), SIGURG);
  for (int i = 0; i < 1000 && caught < 6; ++i) usleep(1000);
  EXPECT_IN_CHILD(caught == 6);
  collect_beside_a_busy_thread();
  EXPECT_IN_CHILD(caught == 6);
  return 0;
}

int earlier_siginfo_handler_is_chained() {
  static std::atomic<int> value{0};
  struct sigaction action = {};
  action.sa_sigaction = [](int, siginfo_t* info, void* context) {
    if (context != nullptr) value = info->si_value.sival_int;
  };
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  EXPECT_IN_CHILD(sigaction(SIGURG, &action, nullptr) == 0);
  collect_beside_a_busy_thread();
  sigval v = {};
  v.sival_int = 77;
  EXPECT_IN_CHILD(sigqueue(getpid(), SIGURG, v) == 0);
  for (int i = 0; i < 1000 && value != 77; ++i) usleep(1000);
  EXPECT_IN_CHILD(value == 77);
  return 0;
}

// Run with CAIRNSIGNAL=SIGUSR2: SIGURG belongs to the program, whenever it takes it.
int another_signal() {
  collect_beside_a_busy_thread();
  handle(SIGURG, count);
  collect_beside_a_busy_thread();
  EXPECT_IN_CHILD(caught == 0);
  raise(SIGURG);
  EXPECT_IN_CHILD(caught == 1);
  struct sigaction now = {};
  EXPECT_IN_CHILD(sigaction(SIGUSR2, nullptr, &now) == 0);
  EXPECT_IN_CHILD(now.sa_handler != SIG_DFL);
  return 0;
}

void block(int signal, int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  EXPECT_IN_CHILD(pthread_sigmask(how, &set, nullptr) == 0);
}

// The thread is named after a second; the collection goes on when it answers at last.
int a_thread_that_blocks_the_signal() {
  std::atomic<bool> blocked{false}, collected{false};
  std::thread stubborn([&] {
    cairn::attach_thread attached;
    prctl(PR_SET_NAME, "stubborn");
    block(SIGURG, SIG_BLOCK);
    std::printf("%ld\n", syscall(SYS_gettid));
    std::fflush(stdout);
    blocked = true;
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < 2500ms) {
    }
    EXPECT_IN_CHILD(!collected);
    block(SIGURG, SIG_UNBLOCK);
    while (!collected) std::this_thread::yield();
  });
  while (!blocked) std::this_thread::yield();
  cairn::gc::collect();
  collected = true;
  stubborn.join();
  return 0;
}

// A thread may be started with everything blocked: attaching unblocks the runtime's signal.
int attaching_unblocks() {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  std::atomic<bool> stop{false}, running{false};
  std::thread busy([&] {
    cairn::gc_ptr<cell> mine = make_list(1, 100);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_IN_CHILD(!sigismember(&now, SIGURG) && sigismember(&now, SIGUSR1));
    running = true;
    while (!stop) EXPECT_IN_CHILD(is_list(mine, 1, 100));
  });
  while (!running) std::this_thread::yield();
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  for (int i = 0; i < 20; ++i) cairn::gc::collect();
  stop = true;
  busy.join();
  return 0;
}

// ---- SIGSEGV ----------------------------------------------------------------------------------------------

sigjmp_buf back;
void jump_back(int) { siglongjmp(back, 1); }
int users_sigsegv_handler() {
  struct sigaction action = {};
  action.sa_handler = jump_back;
  EXPECT_IN_CHILD(sigaction(SIGSEGV, &action, nullptr) == 0);
  cell* kept = make_list(1, 100);
  auto* page = static_cast<volatile int*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  static int round;
  for (round = 0; round < 10; ++round) {
    if (sigsetjmp(back, 1) == 0) {
      *page = 1;
      return 1;
    }
    cairn::gc::collect();
  }
  EXPECT_IN_CHILD(is_list(kept, 1, 100));
  return 0;
}
// A page that is made writable when it is touched, as garbage collectors and checkpointing libraries do.
volatile int* guarded;
int sigsegv_handler_that_repairs() {
  guarded = static_cast<volatile int*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  struct sigaction action = {};
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    if (info->si_addr != const_cast<int*>(guarded)) _exit(1);
    mprotect(const_cast<int*>(guarded), 4096, PROT_READ | PROT_WRITE);
  };
  action.sa_flags = SA_SIGINFO;
  EXPECT_IN_CHILD(sigaction(SIGSEGV, &action, nullptr) == 0);
  collect_beside_a_busy_thread();
  *guarded = 5;
  EXPECT_IN_CHILD(*guarded + 0 == 5);
  return 0;
}
int plain_segv() {
  (void)make_list(1, 100);
  cairn::gc::collect();
  static volatile std::uintptr_t nowhere = 16;
  *reinterpret_cast<volatile int*>(nowhere) = 1;
  return 0;
}

// ---- sleeps -----------------------------------------------------------------------------------------------

// What is documented: a sleep that the kernel does not restart may end early with EINTR, and nothing worse.
int sleeps_may_be_interrupted() {
  std::atomic<bool> stop{false};
  std::thread sleeper([&] {
    cairn::gc_ptr<cell> mine = make_list(1, 100);
    while (!stop) {
      timespec left = {}, wanted = {0, 20'000'000};
      const int result = nanosleep(&wanted, &left);
      EXPECT_IN_CHILD(result == 0 || errno == EINTR);
      EXPECT_IN_CHILD(is_list(mine, 1, 100));
    }
  });
  for (int i = 0; i < 100; ++i) {
    cairn::gc::collect();
    std::this_thread::sleep_for(1ms);
  }
  stop = true;
  sleeper.join();
  return 0;
}
// Reads and writes are restarted.
int reads_are_restarted() {
  int ends[2];
  EXPECT_IN_CHILD(pipe(ends) == 0);
  std::thread reader([&] {
    cairn::attach_thread attached;
    char c = 0;
    EXPECT_IN_CHILD(read(ends[0], &c, 1) == 1 && c == 'x');
  });
  for (int i = 0; i < 50; ++i) {
    cairn::gc::collect();
    usleep(1000);
  }
  EXPECT_IN_CHILD(write(ends[1], "x", 1) == 1);
  reader.join();
  return 0;
}

// ---- no signals -------------------------------------------------------------------------------------------

// From now on, in threads that are started, too, nobody signals a thread.
bool forbid_signals() {
  sock_filter lines[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof lines / sizeof *lines, lines};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Goroutines that compute for 50 ms at a time, then call the library, one of which collects, on 1 and on 2 Ps.
int signals_are_forbidden() {
  if (!forbid_signals()) return 77;
  for (int procs : {1, 2}) {
    cairn::run([procs] {
      cairn::max_procs(procs);
      cairn::sync::wait_group all;
      for (std::uint64_t n = 0; n < 3; ++n) {
        all.add(1);
        cairn::go([&all, n] {
          cell* mine = make_list(n, 100);
          for (int i = 0; i < 4; ++i) {
            const auto until = std::chrono::steady_clock::now() + 50ms;
            while (std::chrono::steady_clock::now() < until) EXPECT_IN_CHILD(is_list(mine, n, 100));
            cairn::yield();
            if (n == 0) cairn::gc::collect();
          }
          all.done();
        });
      }
      all.wait();
    });
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return process::play(argc, argv,
                       {
                           {"earlier_handler_is_chained", earlier_handler_is_chained},
                           {"earlier_siginfo_handler_is_chained", earlier_siginfo_handler_is_chained},
                           {"another_signal", another_signal},
                           {"a_thread_that_blocks_the_signal", a_thread_that_blocks_the_signal},
                           {"attaching_unblocks", attaching_unblocks},
                           {"users_sigsegv_handler", users_sigsegv_handler},
                           {"sigsegv_handler_that_repairs", sigsegv_handler_that_repairs},
                           {"plain_segv", plain_segv},
                           {"sleeps_may_be_interrupted", sleeps_may_be_interrupted},
                           {"reads_are_restarted", reads_are_restarted},
                           {"signals_are_forbidden", signals_are_forbidden},
                       });
}
