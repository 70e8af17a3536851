// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A storm of goroutines on more Ps than there are cores: each does what comes, at random (yields, sleeps,
// starts others and waits for them, waits for descriptors, sets timers, blocks in the kernel, throws, exits, locks its
// thread, spins, allocates), while collections run back to back, the number of Ps changes and the runtime's
// protocols are delayed. What each holds on its stack has to be as it was after every park. One run() follows
// the other; in some main waits for all goroutines, which must all have ended then, and from some it returns in
// the middle.
//
//   sched_storm [seconds [seed]]
//
// Runs itself again under the CAIRNDEBUG that it wants, unless one is set. Aborts with the seed when something
// is wrong, or when nothing has moved for half a minute.
#include <cairn/cairn.h>
#include <cairn/detail/annotate.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/procs.h"
#include "sched/idle_list.h"
#include "stress/storm.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

// Four times as many as processors.
const int n_procs = std::max(8, 4 * static_cast<int>(std::thread::hardware_concurrency()));
constexpr std::size_t k_crowd = 200;  // goroutines that a round has at most, about

std::atomic<std::uint64_t> next_id{1};

// What one run() does. Goroutines that it drops never touch theirs again, but it stays until the end.
struct round_state {
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> started{0}, ended{0};
  std::array<std::mutex, 4> locks;
  std::array<std::uint64_t, 4> inside{};  // each under its lock

  bool full() const { return started - ended >= k_crowd; }

  // Non-blocking sockets; null when there are enough. Closed with the round, when nobody waits for them any more.
  const int* open_pair() {
    const std::size_t at = n_pairs++;
    if (at >= pairs.size()) return nullptr;
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[at].data()) == 0
               ? pairs[at].data()
               : nullptr;
  }
  void close_pairs() {
    for (auto& pair : pairs)
      for (int& fd : pair)
        if (fd >= 0) ::close(std::exchange(fd, -1));
  }

 private:
  std::atomic<std::size_t> n_pairs{0};
  std::array<std::array<int, 2>, 300> pairs = [] {
    std::array<std::array<int, 2>, 300> none;
    none.fill({-1, -1});
    return none;
  }();
};

// ---- what went how often, for the watch-dog and the last line --------------------------------------------

enum action : unsigned {
  a_yield,
  a_sleep,
  a_task,
  a_group,
  a_blocking,
  a_goexit,
  a_throw,
  a_lock_thread,
  a_allocate,
  a_spin,
  a_mutex,
  a_collect,
  a_procs,
  a_errno,
  a_detached,
  a_turns,
  a_kernel,
  a_malloc,
  a_deep,
  a_io,
  a_timer,
  k_actions
};
constexpr const char* k_names[k_actions] = {"yields",
                                            "sleeps",
                                            "tasks",
                                            "groups",
                                            "blocking",
                                            "goexits",
                                            "exceptions",
                                            "locked threads",
                                            "allocations",
                                            "spins",
                                            "mutexes",
                                            "collections",
                                            "changes of max_procs",
                                            "errnos",
                                            "detached",
                                            "turns",
                                            "kernel sleeps",
                                            "mallocs",
                                            "deep stacks",
                                            "descriptors",
                                            "timers"};
std::array<std::atomic<std::uint64_t>, k_actions> done{};
std::atomic<round_state*> current_round{nullptr};

void print_state(FILE* to) {
  for (unsigned a = 0; a < k_actions; ++a)
    std::fprintf(to, "%s%llu %s", a == 0 ? "  " : ", ", as_printed(done[a]), k_names[a]);
  std::fprintf(to, "\n");
}
void tell(FILE* to) {
  if (const round_state* r = current_round)
    std::fprintf(to, "  %zu goroutines of this run have started, %zu ended%s\n", r->started.load(),
                 r->ended.load(), r->stop ? "; it is ending" : "");
  print_state(to);
}

// ---- one goroutine ----------------------------------------------------------------------------------------

// Counts a goroutine from the call that starts it to the end of its frame, however that comes.
class counted {
 public:
  explicit counted(round_state* r) : round_(r) {}
  ~counted() { ++round_->ended; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

 private:
  round_state* round_;
};

void live(round_state* r, std::uint64_t id, int generation);

// A goroutine of the round that calls body(generation).
template <class F>
auto start(round_state* r, F body) {
  ++r->started;
  return cairn::spawn([r, body]() mutable {
    counted here(r);
    return body();
  });
}

// What a goroutine has on its stack.
struct belongings {
  std::uint64_t number;
  std::size_t length;
  cell* raw;
  cairn::gc_ptr<cell> counted_list;

  explicit belongings(random_source& random) { renew(random); }
  void renew(random_source& random) {
    number = random();
    length = 1 + random() % 30;
    raw = make_list(number, length);
    counted_list = make_list(~number, length);
  }
  void check() const {
    if (!is_list(raw, number, length)) fail("a list that a goroutine's stack holds has changed");
    if (!is_list(counted_list, ~number, length)) fail("a list that a gc_ptr holds has changed");
  }
};

void spin_for(std::chrono::microseconds time) {
  const auto until = clock_type::now() + time;
  while (clock_type::now() < until) {
  }
}
[[gnu::noinline]] void set_errno(int value) {
  errno = value;
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] int get_errno() {
  asm volatile("" ::: "memory");
  return errno;
}

void on_task(round_state* r, random_source& random, int generation) {
  const std::uint64_t id = random();
  auto child = start(r, [r, id, generation] {
    if (generation < 4) live(r, id, generation + 1);
    return make_list(id, 10);
  });
  if (random() % 2 == 0) cairn::yield();
  if (!is_list(child.get(), id, 10)) fail("a task's result is damaged");
}
void on_group(round_state* r, random_source& random, int generation) {
  wait_group group;
  const std::uint64_t children = 1 + random() % 8;
  std::atomic<std::uint64_t> seen{0};
  for (std::uint64_t i = 0; i < children; ++i) {
    ++r->started;
    group.go([r, &seen, generation, id = random()] {
      counted here(r);
      if (generation < 4 && id % 4 == 0) live(r, id, generation + 1);
      else cairn::yield();
      ++seen;
    });
  }
  group.wait();
  if (seen != children) fail("a wait group let its waiter go too early");
}
void on_goexit(round_state* r, random_source& random) {
  std::atomic<int> destroyed{0};
  const bool sleeps = random() % 2 == 0;
  auto child = start(r, [&destroyed, sleeps] {
    cairn::defer first{[&] { ++destroyed; }};
    cairn::defer second{[&] {
      cairn::yield();
      ++destroyed;
    }};
    if (sleeps) cairn::sleep_for(50us);
    cairn::goexit();
  });
  try {
    child.get();
    fail("goexit gave a result");
  } catch (const cairn::goroutine_exited&) {
  }
  if (destroyed != 2) fail("goexit did not run all destructors");
}
void on_throw(round_state* r, random_source& random) {
  const std::string text = std::to_string(random());
  auto child = start(r, [&text] {
    try {
      cairn::yield();
      throw std::runtime_error(text);
    } catch (const std::runtime_error&) {
      cairn::sleep_for(20us);
      throw;
    }
  });
  try {
    child.get();
    fail("a task lost its exception");
  } catch (const std::runtime_error& e) {
    cairn::yield();
    if (e.what() != text) fail("an exception is another goroutine's");
  }
  if (std::uncaught_exceptions() != 0 || std::current_exception() != nullptr)
    fail("an exception is left over");
}
void on_locked_thread(random_source& random) {
  cairn::lock_os_thread here;
  const pid_t thread = gettid();
  for (std::uint64_t i = random() % 5; i-- > 0;) {
    if (random() % 2 == 0) cairn::yield();
    else cairn::sleep_for(up_to(random, 200));
    if (gettid() != thread) fail("a locked goroutine has left its thread");
  }
}
// No call of the library inside: whoever holds the lock may be preempted, but does not park or end.
void on_mutex(round_state* r, random_source& random) {
  const std::size_t which = random() % r->locks.size();
  const auto time = up_to(random, random() % 64 == 0 ? 3000 : 5);
  std::lock_guard guard(r->locks[which]);
  if (++r->inside[which] != 1) fail("two goroutines hold a mutex");
  spin_for(time);
  --r->inside[which];
}
void on_errno(random_source& random) {
  const int mine = 1 + static_cast<int>(random() % 100);
  set_errno(mine);
  cairn::yield();
  if (get_errno() != mine) fail("errno is another goroutine's");
  set_errno(mine + 1);
  cairn::sleep_for(up_to(random, 100));
  if (get_errno() != mine + 1) fail("errno is another goroutine's after a sleep");
}
void on_detached(round_state* r, random_source& random, int generation) {
  ++r->started;
  cairn::go(
      [r, generation](cell* given, std::uint64_t id) {
        counted here(r);
        if (!is_list(given, id, 5)) fail("an argument is damaged");
        if (generation < 4) live(r, id, generation + 1);
      },
      make_list(storm.seed, 5), storm.seed);
  if (random() % 2 == 0) cairn::yield();
}
void on_turns(round_state* r, random_source& random) {
  turns ball;
  const int rounds = static_cast<int>(random() % 20);
  int hits = 0;  // belongs to whose turn it is
  auto other = start(r, [&ball, &hits, rounds] {
    for (int i = 0; i < rounds; ++i) {
      ball.await(1);
      ++hits;
      ball.hand_over_to(0);
    }
  });
  for (int i = 0; i < rounds; ++i) {
    ball.hand_over_to(1);
    ball.await(0);
    ++hits;
  }
  other.get();
  if (hits != 2 * rounds) fail("a turn was lost");
}
void on_malloc(random_source& random) {
  std::vector<std::unique_ptr<unsigned char[]>> held(16);
  for (int i = 0; i < 100; ++i)
    held[random() % held.size()] = std::make_unique<unsigned char[]>(1 + random() % 5000);
}
[[gnu::noinline]] void on_deep_stack(random_source& random, int depth) {
  const std::uint64_t number = random();
  cell* mine = make_cell(number);
  if (depth > 0) on_deep_stack(random, depth - 1);
  else cairn::sleep_for(up_to(random, 2000));
  if (!mine->is(number)) fail("an object of a deep frame has changed");
}
// Two ends of a socket pair talk, with deadlines that pass now and then. The descriptors are given to the round: a
// goroutine that is dropped in the middle does not close its own.
void on_io(round_state* r, random_source& random) {
  const int* ends = r->open_pair();
  if (ends == nullptr) return;
  const std::uint64_t rounds = 1 + random() % 8;
  auto other = start(r, [fd = ends[1], rounds] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      char c = 0;
      while (::read(fd, &c, 1) != 1) cairn::wait_readable(fd);
      if (c != static_cast<char>(i)) fail("a socket has brought something else");
      if (::write(fd, &c, 1) != 1) fail("a socket takes nothing");
    }
  });
  for (std::uint64_t i = 0; i < rounds; ++i) {
    char c = static_cast<char>(i);
    if (::write(ends[0], &c, 1) != 1) fail("a socket takes nothing");
    while (!cairn::wait_readable(ends[0], clock_type::now() + up_to(random, 500))) {
    }
    if (::read(ends[0], &c, 1) != 1) fail("what is readable cannot be read");
    if (c != static_cast<char>(i)) fail("a socket has brought something else");
    if (!cairn::wait_writable(ends[0], clock_type::now() + 1h)) fail("a deadline has passed an hour early");
  }
  other.get();
}
// Its function may run when this goroutine is over, and what it holds is all that it has.
void on_timer(round_state* r, random_source& random) {
  const std::uint64_t id = random();
  const cairn::timer t = cairn::after_func(up_to(random, 1000), [r, id, held = make_list(id, 5)] {
    ++r->started;
    counted here(r);
    if (!is_list(held, id, 5)) fail("what a timer's function holds has changed");
    if (id % 2 == 0) cairn::yield();
  });
  if (random() % 4 == 0) cairn::sleep_for(up_to(random, 1000));
  if (random() % 2 == 0) t.reset(up_to(random, 1000));
  if (random() % 2 == 0 && t.stop() && t.stop()) fail("a timer was stopped twice");
}
// Ticks and times that are received, taken back or left to the collector.
void on_timer_channel(random_source& random) {
  const cairn::timer t(up_to(random, 500));
  const cairn::ticker ticks(1us + up_to(random, 500));
  for (std::uint64_t i = random() % 4; i-- > 0;) ticks.c().recv();
  if (random() % 2 == 0) ticks.stop();
  switch (random() % 3) {
    case 0:
      if (!t.c().recv()) fail("a timer's channel was closed");
      if (t.stop()) fail("a timer was stopped after it had fired and was received from");
      break;
    case 1:
      if (!t.stop() || t.c().try_recv().ok) fail("a timer that nobody received from could not be stopped");
      break;
    default:
      if (cairn::select(cairn::on_recv(cairn::after(1h)), cairn::on_recv(t.c())) != 1)
        fail("an hour has passed");
  }
}
int blocked_in_the_kernel(std::chrono::microseconds time) {
  return cairn::blocking([time] {
    std::this_thread::sleep_for(time);
    return 5;
  });
}

void act(round_state* r, belongings& mine, random_source& random, int generation) {
  const auto what = static_cast<action>(random() % k_actions);
  const bool may_start = !r->full() && !r->stop;
  switch (what) {
    case a_yield:
      cairn::yield();
      break;
    case a_sleep:
      cairn::sleep_for(up_to(random, 2000));
      break;
    case a_task:
      if (may_start) on_task(r, random, generation);
      break;
    case a_group:
      if (may_start) on_group(r, random, generation);
      break;
    case a_blocking:
      if (blocked_in_the_kernel(up_to(random, 500)) != 5) fail("blocking lost a result");
      break;
    case a_goexit:
      if (may_start) on_goexit(r, random);
      break;
    case a_throw:
      if (may_start) on_throw(r, random);
      break;
    case a_lock_thread:
      if (random() % 4 == 0) on_locked_thread(random);
      break;
    case a_allocate:
      mine.renew(random);
      break;
    case a_spin:
      spin_for(up_to(random, random() % 256 == 0 ? 25'000 : 100));
      break;
    case a_mutex:
      on_mutex(r, random);
      break;
    case a_collect:
      if (random() % 256 == 0) cairn::gc::collect();
      break;
    case a_procs:
      if (random() % 64 == 0) cairn::max_procs(1 + static_cast<int>(random() % (2 * n_procs)));
      break;
    case a_errno:
      on_errno(random);
      break;
    case a_detached:
      if (may_start) on_detached(r, random, generation);
      break;
    case a_turns:
      if (may_start) on_turns(r, random);
      break;
    case a_kernel:
      if (random() % 16 == 0) std::this_thread::sleep_for(up_to(random, 300));
      break;
    case a_malloc:
      on_malloc(random);
      break;
    case a_deep:
      on_deep_stack(random, static_cast<int>(random() % 10));
      break;
    case a_io:
      if (may_start) on_io(r, random);
      break;
    case a_timer:
      if (may_start) on_timer(r, random);
      on_timer_channel(random);
      break;
    case k_actions:
      break;
  }
  done[what].fetch_add(1, std::memory_order_relaxed);
  storm.steps.fetch_add(1, std::memory_order_relaxed);
}

void live(round_state* r, std::uint64_t id, int generation) {
  random_source random(mix(storm.seed ^ id));
  belongings mine(random);
  for (std::uint64_t i = 1 + random() % 20; i-- > 0;) {
    act(r, mine, random, generation);
    mine.check();
  }
}

// ---- runs -------------------------------------------------------------------------------------------------

// A thread of the program's own that starts goroutines and waits for them.
void from_outside(round_state* r, std::uint64_t id) {
  random_source random(mix(storm.seed - id));
  while (!r->stop) {
    if (!r->full()) on_task(r, random, 0);
    cairn::sleep_for(up_to(random, 1000));
    storm.steps.fetch_add(1, std::memory_order_relaxed);
  }
}

void keep_busy(round_state* r, random_source& random, clock_type::time_point end) {
  while (clock_type::now() < end) {
    while (!r->full()) {
      ++r->started;
      cairn::go([r, id = next_id++] {
        counted here(r);
        live(r, id, 0);
      });
    }
    cairn::sleep_for(up_to(random, 3000));
    if (random() % 100 == 0) cairn::max_procs(1 + static_cast<int>(random() % n_procs));
  }
}

// Main waits for all of its goroutines.
void run_to_the_end(round_state* r, random_source& random, clock_type::time_point end) {
  on_procs(n_procs, [&] {
    std::vector<std::thread> outside;
    for (std::uint64_t i = 0; i < 2; ++i) outside.emplace_back(from_outside, r, i);
    keep_busy(r, random, end);
    r->stop = true;
    cairn::blocking([&] {
      for (auto& t : outside) t.join();
    });
    while (r->ended != r->started) cairn::sleep_for(1ms);
    while (cairn::num_goroutines() != 1) cairn::sleep_for(1ms);
    if (!cairn::gc::verify()) fail("verify() found a disagreement");
  });
}
// Goroutines that were dropped by the end of their run. No destructor ran: the tasks on their stacks keep their
// closures for good.
std::size_t left_behind = 0;

// Main returns in the middle.
void run_and_leave(round_state* r, random_source& random, clock_type::time_point end) {
  on_procs(n_procs, [&] {
    keep_busy(r, random, end);
    left_behind += cairn::num_goroutines();
  });
  if (const std::size_t left = cairn::num_goroutines(); left != 0) fail("goroutines have survived their run");
}

// Idle workers end after as long as they sleep between two calls, or as they do in programs.
void rest_briefly(bool briefly, random_source& random) {
  cairn::sched::idle_list::rest_ns = briefly ? std::chrono::nanoseconds(up_to(random, 2000)).count()
                                             : cairn::sched::idle_list::k_rest_ns;
}

std::vector<std::unique_ptr<round_state>> rounds;

void play_all() {
  random_source random(storm.seed);
  const company beside(3000us);
  for (const auto end = clock_type::now() + storm.time; clock_type::now() < end;) {
    rounds.push_back(std::make_unique<round_state>());
    round_state* r = rounds.back().get();
    current_round = r;
    rest_briefly(random() % 2 == 0, random);
    const auto round_end = std::min(end, clock_type::now() + 200ms + 1000 * up_to(random, 2000));
    if (random() % 3 == 0) run_and_leave(r, random, round_end);
    else run_to_the_end(r, random, round_end);
    r->close_pairs();
  }
  current_round = nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  begin_storm(argc, argv, "sched_storm", "clobberfree=1,check=2,delay=20", tell);
  cairn::gc::collect();
  const std::size_t before = cairn::gc::read_stats().heap_objects;
  apart(play_all);
  // The slack is for stale words on stacks.
  const std::size_t most = before + 100 + 100 * left_behind;
  if (!collect_until([most] { return cairn::gc::read_stats().heap_objects <= most; })) {
    std::printf("sched_storm: %zu objects are left, %zu were there before; %zu goroutines were left behind\n",
                cairn::gc::read_stats().heap_objects, before, left_behind);
    fail("not everything died");
  }
  std::size_t started = 0;
  for (const auto& r : rounds) started += r->started;
  std::printf("sched_storm: all well: %zu runs, %zu goroutines, %zu cycles\n", rounds.size(), started,
              cairn::gc::read_stats().gc_cycles);
  print_state(stdout);
  return 0;
}
