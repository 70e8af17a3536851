// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs that do to all of the process what needs every thread, or a lock of the C library's, while goroutines are
// being frozen in the middle of malloc and others collect.
#include <cairn/cairn.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>

#include "api/procs.h"
#include "process/child.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

const char* g_plugin = nullptr;

// More than there are Ps, so that each is frozen when its slice is over, most often in malloc or free.
class malloc_storm {
 public:
  malloc_storm() {
    for (int i = 0; i < 5; ++i) all_.go([this] { allocate(); });
    all_.go([this] {
      while (!stop_) {
        cell* mine = make_list(3, 50);
        cairn::gc::collect();
        EXPECT_IN_CHILD(is_list(mine, 3, 50));
        cairn::sleep_for(1ms);
      }
    });
  }
  ~malloc_storm() {
    stop_ = true;
    all_.wait();
  }

 private:
  void allocate() {
    for (std::size_t n = 1; !stop_.load(std::memory_order_relaxed); n = n * 5 % 65521) {
      void* volatile p = std::malloc(n);
      std::free(p);
    }
  }

  std::atomic<bool> stop_{false};
  wait_group all_;
};

template <class F>
int in_a_storm(int procs, F f) {
  return on_procs(procs, [&] {
    const malloc_storm others;
    for (std::size_t i = 0, n = test_count(8, 4); i < n; ++i) {
      f();
      cairn::sleep_for(1ms);
    }
    return 0;
  });
}

template <class F>
int in_storms(F f) {
  for (int procs : {1, 2, 8})
    if (const int status = in_a_storm(procs, f)) return status;
  return 0;
}

int forks_and_execs() {
  return in_storms([] {
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(9);
    }
    EXPECT_IN_CHILD(child > 0);
    int status = -1;
    cairn::blocking([&] {
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
    });
    EXPECT_IN_CHILD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  });
}

int loads_libraries() {
  return in_storms([] {
    void* const handle = dlopen(g_plugin, RTLD_NOW | RTLD_LOCAL);
    EXPECT_IN_CHILD(handle != nullptr);
    EXPECT_IN_CHILD(dlsym(handle, "fill_plugin") != nullptr);
    EXPECT_IN_CHILD(dlclose(handle) == 0);
  });
}

// The C library has every thread call the system, by a signal of its own; one that is frozen, too.
int changes_its_user() {
  if (geteuid() != 0) return 77;
  return in_storms([] {
    EXPECT_IN_CHILD(seteuid(65534) == 0);
    EXPECT_IN_CHILD(geteuid() == 65534);
    EXPECT_IN_CHILD(seteuid(0) == 0);
  });
}

void* sleep_attached(void*) {
  cairn::attach_thread here;
  const cell* const mine = make_list(1, 10);
  timespec hour{3600, 0};
  while (nanosleep(&hour, &hour) != 0) {
  }
  return const_cast<cell*>(mine);
}

int cancels_threads() {
  return in_storms([] {
    pthread_t thread;
    EXPECT_IN_CHILD(pthread_create(&thread, nullptr, sleep_attached, nullptr) == 0);
    cairn::sleep_for(1ms);
    EXPECT_IN_CHILD(pthread_cancel(thread) == 0);
    void* result = nullptr;
    cairn::blocking([&] { pthread_join(thread, &result); });
    EXPECT_IN_CHILD(result == PTHREAD_CANCELED);
  });
}

int exits() {
  return on_procs(2, [] {
    auto* others = new malloc_storm;  // outlives the exit
    cairn::sleep_for(30ms);
    std::exit(others != nullptr ? 3 : 4);
    return 0;
  });
}

int starts_threads() {
  return in_storms([] {
    std::atomic<bool> ran{false};
    std::thread thread([&] { ran = true; });
    cairn::blocking([&] { thread.join(); });
    EXPECT_IN_CHILD(ran);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) g_plugin = argv[2];
  return process::play(argc, argv,
                       {
                           {"forks_and_execs", forks_and_execs},
                           {"loads_libraries", loads_libraries},
                           {"changes_its_user", changes_its_user},
                           {"cancels_threads", cancels_threads},
                           {"starts_threads", starts_threads},
                           {"exits", exits},
                       });
}
