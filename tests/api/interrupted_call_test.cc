// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// System calls that wait for a time and that the kernel does not restart after a signal, beside collections and
// preemption: made as they are they may end early, once a cycle, with EINTR and nothing else; inside blocking they do
// not.
#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <ostream>
#include <string>
#include <thread>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto k_time = 20ms;
constexpr timespec k_timespec{0, 20'000'000};

// What they wait for never comes.
struct nothing {
  nothing() {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || sem_init(&none, 0, 0) != 0) std::abort();
    const timeval limit{0, 20'000};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    epoll = epoll_create1(EPOLL_CLOEXEC);
  }
  ~nothing() {
    close(ends[0]), close(ends[1]), close(epoll);
    sem_destroy(&none);
  }
  nothing(const nothing&) = delete;
  nothing& operator=(const nothing&) = delete;

  int ends[2] = {-1, -1};
  int epoll = -1;
  sem_t none;
};

// 0: its time is over. Else an errno value.
int error_of(bool is_over) { return is_over ? 0 : errno; }

int sleep_in_kernel(nothing&) { return error_of(nanosleep(&k_timespec, nullptr) == 0); }
int poll_nothing(nothing& n) {
  pollfd one{n.ends[0], POLLIN, 0};
  return error_of(poll(&one, 1, 20) == 0);
}
int wait_for_events(nothing& n) {
  epoll_event event;
  return error_of(epoll_wait(n.epoll, &event, 1, 20) == 0);
}
int receive_with_a_limit(nothing& n) {
  char byte;
  return error_of(recv(n.ends[0], &byte, 1, 0) == -1 && errno == EAGAIN);
}
int wait_for_semaphore(nothing& n) {
  timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += k_timespec.tv_nsec;
  if (end.tv_nsec >= 1'000'000'000) ++end.tv_sec, end.tv_nsec -= 1'000'000'000;
  return error_of(sem_timedwait(&n.none, &end) == -1 && errno == ETIMEDOUT);
}

struct call {
  const char* name;
  int (*make)(nothing&);
};
void PrintTo(const call& c, std::ostream* os) { *os << c.name; }

class InterruptedCall : public testing::TestWithParam<call> {};
INSTANTIATE_TEST_SUITE_P(All, InterruptedCall,
                         testing::Values(call{"nanosleep", sleep_in_kernel}, call{"poll", poll_nothing},
                                         call{"epoll_wait", wait_for_events},
                                         call{"recv", receive_with_a_limit},
                                         call{"sem_timedwait", wait_for_semaphore}),
                         [](const auto& named) {
                           std::string name = named.param.name;
                           std::erase(name, '_');
                           return name;
                         });

// Beside collections without pause and a hog that wants the P: f(calls made).
template <class F>
void beside_everything(F f) {
  for (int procs : {1, 2}) {
    on_procs(procs, [&] {
      const collections all_the_time;
      std::atomic<bool> stop{false};
      cairn::sync::wait_group hog;
      hog.go([&] {
        while (!stop) asm volatile("");
      });
      for (std::size_t i = 0; i < test_count(10, 3); ++i) f();
      stop = true;
      hog.wait();
    });
  }
}

TEST_P(InterruptedCall, EndsEarlyWithEintrAtWorst) {
  nothing n;
  beside_everything([&] {
    const auto before = clock_type::now();
    const int error = GetParam().make(n);
    EXPECT_TRUE(error == 0 || error == EINTR) << error;
    if (error == 0) {
      EXPECT_GE(clock_type::now() - before, k_time - 1ms);
    }
  });
}

TEST_P(InterruptedCall, TakesItsTimeInsideBlocking) {
  nothing n;
  beside_everything([&] {
    const auto before = clock_type::now();
    EXPECT_EQ(cairn::blocking([&] { return GetParam().make(n); }), 0);
    EXPECT_GE(clock_type::now() - before, k_time - 1ms);
  });
}

TEST(InterruptedCalls, InsideBlockingAreNotReachedBySignalsThatWereSentBefore) {
  on_procs(4, [] {
    const collections all_the_time;
    std::atomic<int> interrupted{0};
    cairn::sync::wait_group callers;
    for (int i = 0; i < 4; ++i) {
      callers.go([&] {
        for (std::size_t n = 0; n < test_count(1'000, 50); ++n) {
          if (cairn::blocking([] { return poll(nullptr, 0, 1); }) != 0) ++interrupted;
          for (int k = 0; k < 20'000; ++k) asm volatile("");  // a signal is on its way at some time of this
        }
      });
    }
    callers.wait();
    EXPECT_EQ(interrupted, 0);
  });
}

TEST_P(InterruptedCall, OfAThreadThatIsNotAttachedIsNotInterrupted) {
  nothing n;
  beside_everything([&] {
    int error = 0;
    cairn::blocking([&] { std::thread([&] { error = GetParam().make(n); }).join(); });
    EXPECT_EQ(error, 0);
  });
}

}  // namespace
